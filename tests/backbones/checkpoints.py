"""Tiny checkpoints as people have them: decoder-only models of stock classes, and the same as a GGUF file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

CHAT = "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<eos>{% endfor %}"
WIDTH, INNER, LAYERS, HEADS, POSITIONS = 32, 64, 2, 4, 128
TEXTS = ["which colour is it? red green blue", "how is the mood? good bad unsure", "the small round one is very old"]


def tiny_tokenizer() -> Any:
    """A byte-level BPE with a chat template."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<pad>", "<bos>", "<eos>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXTS * 4, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<bos>", eos_token="<eos>", unk_token="<pad>"
    )
    fast.chat_template = CHAT
    return fast


def save_tiny_llama(directory: Path, *, shard: str = "5GB", seed: int = 0, licence: str | None = "apache-2.0") -> Path:
    """A random Llama with its tokenizer and model card; about 40 000 parameters."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = tiny_tokenizer()
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=WIDTH, intermediate_size=INNER, num_hidden_layers=LAYERS,
        num_attention_heads=HEADS, num_key_value_heads=2, max_position_embeddings=POSITIONS,
        bos_token_id=1, eos_token_id=2, pad_token_id=0, tie_word_embeddings=False,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(directory, max_shard_size=shard)
    tokenizer.save_pretrained(directory)
    if licence is not None:
        (directory / "README.md").write_text(f"---\nlicense: {licence}\ntags:\n- tiny\n---\n\n# Tiny\n")
    return directory


def write_tiny_gguf(path: Path, checkpoint: Path, *, architecture: str = "llama", without: str | None = None) -> Path:
    """The checkpoint of `save_tiny_llama` as a GGUF file, as llama.cpp would convert it."""
    import gguf
    import numpy as np
    from safetensors.numpy import load_file

    tensors = load_file(checkpoint / "model.safetensors")
    document = json.loads((checkpoint / "tokenizer.json").read_text())
    vocabulary = sorted(document["model"]["vocab"], key=document["model"]["vocab"].__getitem__)
    merges = [" ".join(pair) if isinstance(pair, list) else pair for pair in document["model"]["merges"]]

    writer = gguf.GGUFWriter(path, architecture)
    writer.add_name("Tiny")
    writer.add_license("apache-2.0")
    writer.add_context_length(POSITIONS)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(2)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_vocab_size(len(vocabulary))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(vocabulary)
    writer.add_token_merges(merges)
    writer.add_token_types([3 if word in ("<pad>", "<bos>", "<eos>") else 1 for word in vocabulary])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(0)
    writer.add_unk_token_id(0)
    writer.add_add_bos_token(False)
    writer.add_chat_template(CHAT)
    for name, tensor in tensors.items():
        renamed = _gguf_name(name)
        if renamed != without:
            heads = {"attn_q": HEADS, "attn_k": 2}.get(renamed.split(".")[-2], 0)
            writer.add_tensor(renamed, np.ascontiguousarray(_interleaved(tensor, heads)))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _gguf_name(name: str) -> str:
    whole = {
        "model.embed_tokens.weight": "token_embd.weight",
        "model.norm.weight": "output_norm.weight",
        "lm_head.weight": "output.weight",
    }
    parts = {
        "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
    }  # fmt: skip
    if name in whole:
        return whole[name]
    _, _, layer, rest = name.split(".", 3)
    return f"blk.{layer}.{parts[rest.removesuffix('.weight')]}.weight"


def _interleaved(tensor: Any, heads: int) -> Any:
    """llama.cpp keeps the two halves of a head's rotary dimensions interleaved."""
    if not heads:
        return tensor
    rows, columns = tensor.shape
    return tensor.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)
