"""A random backbone of random parts: a small ResNet, a small Llama, a projector and an update of the language model."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from transformers import LlamaConfig, LlamaForCausalLM, ResNetConfig, ResNetModel

from pituning.backbones.base import Backbone
from pituning.backbones.composed.backbone import ComposedBackbone
from pituning.backbones.composed.composing import compose
from pituning.backbones.composed.config import UPDATE, place_of_language
from pituning.backbones.places import FILE as PLACES_FILE
from pituning.pretraining.projector.config import ProjectorConfig
from pituning.pretraining.projector.recipe import Trainee
from pituning.workspace.atomic import write_json
from pituning.workspace.layout import Workspace
from tests.backbones.making import save, tokenizer

SIZE = 32
"""Side of the pictures: the grid of the ResNet is 4 x 4."""


def resnet(directory: Path, *, seed: int = 5) -> None:
    """Writes a random ResNet with what is said of its pictures."""
    config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 12], depths=[1, 1], layer_type="basic")
    save(ResNetModel, config, directory, seed=seed)
    write_json(directory / "preprocessor_config.json", {"size": {"height": SIZE, "width": SIZE}})


def llama(directory: Path, *, seed: int = 3) -> None:
    """Writes a random Llama with a chat template."""
    words = tokenizer(chat=True)
    config = LlamaConfig(
        vocab_size=len(words), hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=8, max_position_embeddings=160, bos_token_id=words.bos_token_id,
        eos_token_id=words.eos_token_id, pad_token_id=words.pad_token_id,
    )  # fmt: skip
    save(LlamaForCausalLM, config, directory, seed=seed)
    words.save_pretrained(directory)


def parts(workspace: Workspace) -> tuple[Path, str]:
    """A vision part's directory and the name of a language part, made in a workspace."""
    vision = workspace.root / "eyes"
    resnet(vision)
    llama(workspace.root / "backbones" / "reader")
    return vision, "reader"


def composed(directory: Path) -> None:
    """Writes a composed backbone whose parts stand elsewhere."""
    workspace = Workspace.open(directory.parent / f"{directory.name}-parts")
    vision, language = parts(workspace)
    compose(workspace, vision=str(vision), language=language, name="joined", side=2, hidden=24)
    made = Backbone.load(workspace.backbone_dir("joined"))
    assert isinstance(made, ComposedBackbone)
    trainee = Trainee(made, ProjectorConfig(rank=2))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for tensor in trainee.update.values():
            tensor.normal_(0.0, 0.2, generator=generator)
    shutil.copytree(workspace.backbone_dir("joined"), directory)
    write_json(directory / "parts.json", {"language": str(workspace.backbone_dir(language)), "vision": str(vision)})
    (directory / PLACES_FILE).unlink()
    trainee.save(directory, {})


class PlainComposed:
    """What stands for a stock class: the language model with the update added by hand."""

    @staticmethod
    def from_pretrained(directory: Path, dtype: torch.dtype) -> Any:
        model = LlamaForCausalLM.from_pretrained(place_of_language(Path(directory)), dtype=dtype)
        tensors = load_file(Path(directory) / UPDATE)
        with torch.no_grad():
            for name, down in tensors.items():
                if name.endswith("lora_A.weight"):
                    up = tensors[name.replace("lora_A", "lora_B")]
                    module = name.removeprefix("base_model.model.").removesuffix(".lora_A.weight")
                    model.get_submodule(module).weight += 2 * up.float() @ down.float()
        return model
