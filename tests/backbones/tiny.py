"""Random checkpoints of every family, small enough for every test: written by `save_pretrained`, as users have them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    Florence2ForConditionalGeneration,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    MT5Config,
    MT5ForConditionalGeneration,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
    T5Tokenizer,
    UMT5Config,
    UMT5ForConditionalGeneration,
)

from pituning.backbones.ofa.config import OfaConfig
from pituning.backbones.ofa.model import OfaForConditionalGeneration
from pituning.backbones.ofa.pixels import preprocessor_config
from pituning.backbones.ofa.tokenizer import ofa_tokenizer
from pituning.workspace.atomic import write_json
from tests.conftest import COLOURS, WORDS, save_tiny_backbone

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
        prefixed: what it is to be told beside a prefix of PEFT's.
    """

    id: str
    family: str
    make: Callable[[Path], object]
    plain: Any
    labels: bool = True
    prefixed: Mapping[str, int] = field(default_factory=dict)


def tokenizer(*, chat: bool, vocabulary: int = 330) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer, with a chat template or without."""
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
        additional_special_tokens=["<|im_start|>", "<|im_end|>"],
        clean_up_tokenization_spaces=False,
    )
    if chat:
        fast.chat_template = CHAT
    return fast


def causal(config_class: Any, model_class: Any, *, chat: bool = True, **given: Any) -> Callable[[Path], None]:
    """Writes a random decoder-only model."""

    def make(directory: Path) -> None:
        words = tokenizer(chat=chat)
        config = config_class(
            **{
                "vocab_size": len(words), "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
                "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 128,
                "bos_token_id": words.bos_token_id, "eos_token_id": words.eos_token_id,
                "pad_token_id": words.pad_token_id, **given,
            }
        )  # fmt: skip
        save(model_class, config, directory)
        words.save_pretrained(directory)

    return make


def t5(config_class: Any, model_class: Any, **given: Any) -> Callable[[Path], None]:
    """Writes a random T5 with a Unigram tokenizer that knows, as the real ones do, special tokens as pieces."""

    def make(directory: Path) -> None:
        special = ["<pad>", "</s>", "<unk>"]
        pieces = Tokenizer(models.Unigram())
        pieces.pre_tokenizer = pre_tokenizers.Metaspace()
        letters = [chr(code) for code in range(33, 127)]
        trainer = trainers.UnigramTrainer(
            vocab_size=200, special_tokens=special, unk_token="<unk>", initial_alphabet=letters, show_progress=False
        )
        pieces.train_from_iterator(TEXTS * 2, trainer)
        found = json.loads(pieces.to_str())["model"]["vocab"]
        words = T5Tokenizer(vocab=[(piece, score) for piece, score in found], extra_ids=3, model_max_length=96)
        config = config_class(
            **{
                "vocab_size": len(words) + 4, "d_model": 32, "d_kv": 8, "num_heads": 4, "d_ff": 48, "num_layers": 2,
                "num_decoder_layers": 2, "pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0, **given,
            }
        )  # fmt: skip
        save(model_class, config, directory)
        words.save_pretrained(directory)

    return make


def ofa(directory: Path) -> None:
    """Writes a random OFA."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = ofa_tokenizer(
        {word: number for number, word in enumerate(["<s>", "<pad>", "</s>", "<unk>", *letters, "<mask>"])}, []
    )
    sizes = {"encoder_layers": 2, "decoder_layers": 2, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48,
             "encoder_attention_heads": 4, "decoder_attention_heads": 4}  # fmt: skip
    config = OfaConfig(
        **sizes, vocab_size=len(words), d_model=32, max_position_embeddings=256, image_bucket_size=4,
        resnet_type="resnet50",
    )  # fmt: skip
    save(OfaForConditionalGeneration, config, directory)
    words.save_pretrained(directory)
    write_json(directory / "preprocessor_config.json", preprocessor_config(32))


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


TINY = (
    Tiny("florence2", "florence2", lambda path: save_tiny_backbone(path, layers=2, seed=1),
         Florence2ForConditionalGeneration),
    Tiny("llama", "causal", causal(LlamaConfig, LlamaForCausalLM), LlamaForCausalLM),
    Tiny("llama-without-chat", "causal", causal(LlamaConfig, LlamaForCausalLM, chat=False), LlamaForCausalLM),
    Tiny("gemma3", "causal",
         causal(Gemma3TextConfig, Gemma3ForCausalLM, sliding_window=96, sliding_window_pattern=2), Gemma3ForCausalLM),
    Tiny("qwen3", "causal", causal(Qwen3Config, Qwen3ForCausalLM, tie_word_embeddings=True), Qwen3ForCausalLM),
    Tiny("t5", "t5", t5(T5Config, T5ForConditionalGeneration, num_layers=3, num_decoder_layers=3),
         T5ForConditionalGeneration),
    Tiny("mt5", "t5",
         t5(MT5Config, MT5ForConditionalGeneration, feed_forward_proj="gated-gelu", tie_word_embeddings=False),
         MT5ForConditionalGeneration),
    Tiny("umt5", "t5",
         t5(UMT5Config, UMT5ForConditionalGeneration, feed_forward_proj="gated-gelu"), UMT5ForConditionalGeneration),
    Tiny("ofa", "ofa", ofa, OfaForConditionalGeneration, labels=False, prefixed={"prefix_length": 30}),
)  # fmt: skip
