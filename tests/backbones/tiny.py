"""Random checkpoints of every family, small enough for every test: written by `save_pretrained`, as users have them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from tokenizers import pre_tokenizers
from transformers import (
    Florence2ForConditionalGeneration,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    MT5Config,
    MT5ForConditionalGeneration,
    Qwen3Config,
    Qwen3ForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
    T5Gemma2ForConditionalGeneration,
    T5Tokenizer,
    UMT5Config,
    UMT5ForConditionalGeneration,
)

from pituning.backbones.families import FAMILIES
from pituning.backbones.ofa.config import OfaConfig
from pituning.backbones.ofa.model import OfaForConditionalGeneration
from pituning.backbones.ofa.pixels import preprocessor_config
from pituning.backbones.ofa.tokenizer import ofa_tokenizer
from pituning.experts.kinds import mixable_kinds
from pituning.workspace.atomic import write_json
from tests.backbones.making import TEXTS, Tiny, save, tokenizer
from tests.backbones.tiny_composed import PlainComposed, composed
from tests.backbones.tiny_image_text import IMAGE_TEXT, t5gemma2
from tests.conftest import save_tiny_backbone


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
        # Not trained: the trainer gives another vocabulary each time.
        known = dict.fromkeys(f"▁{word}" for word in TEXTS[0].split())
        letters = ["▁", *(chr(code) for code in range(33, 127))]
        scores = [(piece, 0.0) for piece in ("<pad>", "</s>", "<unk>")]
        scores += [(piece, -5.0) for piece in known] + [(letter, -10.0) for letter in letters]
        words = T5Tokenizer(vocab=scores, extra_ids=3, model_max_length=96)
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


TINY = (
    Tiny("florence2", "florence2", lambda path: save_tiny_backbone(path, layers=2, seed=1),
         Florence2ForConditionalGeneration),
    Tiny("llama", "causal", causal(LlamaConfig, LlamaForCausalLM), LlamaForCausalLM),
    Tiny("llama-without-chat", "causal", causal(LlamaConfig, LlamaForCausalLM, chat=False), LlamaForCausalLM),
    Tiny("gemma3_text", "causal",
         causal(Gemma3TextConfig, Gemma3ForCausalLM, sliding_window=96, sliding_window_pattern=2), Gemma3ForCausalLM),
    Tiny("qwen3", "causal", causal(Qwen3Config, Qwen3ForCausalLM, tie_word_embeddings=True), Qwen3ForCausalLM),
    Tiny("t5", "t5", t5(T5Config, T5ForConditionalGeneration, num_layers=3, num_decoder_layers=3),
         T5ForConditionalGeneration),
    Tiny("mt5", "t5",
         t5(MT5Config, MT5ForConditionalGeneration, feed_forward_proj="gated-gelu", tie_word_embeddings=False),
         MT5ForConditionalGeneration),
    Tiny("umt5", "t5",
         t5(UMT5Config, UMT5ForConditionalGeneration, feed_forward_proj="gated-gelu"), UMT5ForConditionalGeneration),
    Tiny("ofa", "ofa", ofa, OfaForConditionalGeneration, labels=False),
    Tiny("t5gemma2", "t5gemma2", t5gemma2, T5Gemma2ForConditionalGeneration),
    *IMAGE_TEXT,
    Tiny("composed", "composed", composed, PlainComposed),
)  # fmt: skip

FIRST = tuple(
    {tiny.family: tiny for tiny in reversed(TINY)}[family] for family in dict.fromkeys(t.family for t in TINY)
)
"""One of each family."""


def each(tinies: Sequence[Tiny] = TINY) -> list[Any]:
    """Parameters of tests of every tiny checkpoint; in the fast part are those of one of each family."""
    return [pytest.param(tiny, id=tiny.id, marks=() if tiny in FIRST else pytest.mark.slow) for tiny in tinies]


def pairs() -> list[Any]:
    """Parameters of tests of every kind of experts on every tiny checkpoint that can have it.

    In the fast part each kind meets two families and each family one kind.
    """
    found = []
    for tiny in TINY:
        kinds = fast = [kind for kind in mixable_kinds() if kind not in FAMILIES[tiny.family].without]
        if tiny not in FIRST[:2]:
            fast = [kinds[FIRST.index(tiny) % len(kinds)]] if tiny in FIRST else []
        for kind in kinds:
            marks = () if kind in fast else pytest.mark.slow
            found.append(pytest.param(tiny, kind, id=f"{tiny.id}-{kind}", marks=marks))
    return found
