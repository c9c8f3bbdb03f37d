"""What random checkpoints are made with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from tests.conftest import COLOURS, WORDS

TEXTS = [" ".join([*COLOURS, *WORDS, "how is the mood? which colour where is one very good bad unsure user assistant"])]
CHAT = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@dataclass(frozen=True)
class Tiny:
    """A tiny checkpoint.

    Args:
        id: of the test, such as ``causal-llama``.
        family: which runs it.
        make: writes it into a directory.
        plain: its stock transformers class, or what stands for one.
        labels: whether that takes ``labels`` and gives a loss.
    """

    id: str
    family: str
    make: Callable[[Path], object]
    plain: Any
    labels: bool = True

    def below(self, base: Path) -> Path:
        """Its directory, which is made once for all tests that share ``base`` and only read it."""
        path = base / "tiny-checkpoints" / self.id
        if not path.is_dir():
            path.parent.mkdir(exist_ok=True)
            self.make(path)
        return path


def tokenizer(*, chat: bool, vocabulary: int = 330, more: Sequence[str] = (), **named: str) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer, with a chat template or without.

    Args:
        more: further special tokens.
        named: special tokens that are attributes of the tokenizer.
    """
    bpe = Tokenizer(models.BPE(unk_token=None))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    bpe.train_from_iterator(TEXTS * 2, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token=None if chat else "<|endoftext|>",
        eos_token="<|im_end|>" if chat else "<|endoftext|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=["<|im_start|>", "<|im_end|>", *more],
        **named,
        clean_up_tokenization_spaces=False,
    )
    if chat:
        fast.chat_template = CHAT
    return fast


def save(model_class: Any, config: Any, directory: Path, *, seed: int = 3) -> None:
    """A random model whose outputs depend visibly on inputs and on experts."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = model_class(config).float()
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if parameter.dim() == 2:
                    scale = 0.3 if "embed" in name or "shared" in name else parameter.shape[1] ** -0.5
                    if name.endswith(("Attention.q.weight", "Attention.k.weight")):
                        scale /= 3  # T5 does not scale its scores: its queries and keys are small
                    parameter.normal_(0.0, scale)
    model.save_pretrained(directory)
