"""The family of composed backbones."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import LoraConfig, PeftModel
from PIL import Image
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoTokenizer

from pituning.backbones.base import Backbone
from pituning.backbones.causal import CausalBackbone
from pituning.backbones.chat import Turn
from pituning.backbones.composed.config import (
    UPDATE_CONFIG,
    ComposedConfig,
    check_fingerprint,
    place_of_language,
    place_of_vision,
)
from pituning.backbones.composed.projector import DIRECT, DIRECT_MAPS, Projector
from pituning.backbones.composed.vision import VisionPart
from pituning.backbones.composed.vision_parts import VISION_PARTS
from pituning.backbones.encoded import Batch, EncodedExamples
from pituning.backbones.families import FAMILIES, family_of
from pituning.backbones.files import fingerprint as fingerprint_of
from pituning.backbones.files import missing_files
from pituning.backbones.inputs import all_or_no_images
from pituning.backbones.loading import from_pretrained
from pituning.backbones.places import IMAGE_ROLE, Block
from pituning.backbones.shelf import Shelf, too_large
from pituning.errors import ArtefactError
from pituning.progress import Reporter, Silent
from pituning.registry import load
from pituning.tasks.base import Example, Task
from pituning.workspace.atomic import read_json

PROJECTOR_MODULE = "projector"
"""Where the projector stands in the model, and what its layer is called."""
IMAGE_BATCH = 32
REMEMBERED = 4096
"""Images whose features are kept by their content, so that they are computed once for all phases of a run."""


class ComposedBackbone(CausalBackbone):
    """A language model that reads the tokens that a projector makes of an image, before the prompt.

    ``model`` is the language model with the projector hung into it, so what it does with texts is what the plain model
    does. Experts attach to the language model and, unless the config says otherwise, to the projector's direct
    maps; what they have there does nothing where there is no picture.

    Args:
        vision: the encoder.
        projector: its features to tokens.
        config: of the directory.
    """

    record = FAMILIES["composed"]
    eyes_inside = False

    def __init__(
        self, model: Any, tokenizer: Any, *, vision: VisionPart, projector: Projector, config: ComposedConfig,
        **given: Any,
    ):  # fmt: skip
        model.add_module(PROJECTOR_MODULE, projector)
        self.expert_settings = config.expert_settings
        super().__init__(model, tokenizer, **given)
        self.vision, self.config, self.projector = vision, config, projector
        self.image_size = vision.image_size
        holes = (self.pad_token,) * config.tokens
        self.seeing_turn = Turn((*self.turn.head, *holes), self.turn.tail, self.turn.end)
        self._remembered: OrderedDict[bytes, Tensor] = OrderedDict()

    @classmethod
    def open(cls, path: Path, *, name: str, fingerprint: str, device: torch.device, dtype: torch.dtype) -> Backbone:
        config = ComposedConfig.read(path)
        language = language_part(path, config)
        tokenizer = AutoTokenizer.from_pretrained(language, local_files_only=True)
        model = from_pretrained(AutoModelForCausalLM, language, dtype)
        if config.updated:
            model = PeftModel.from_pretrained(model, str(path), config=update_config(path)).merge_and_unload()
        return cls(
            model,
            tokenizer,
            vision=vision_part(path, config, device),
            projector=Projector.read(path, config, int(model.get_input_embeddings().weight.shape[1])),
            config=config,
            name=name,
            fingerprint=fingerprint,
            device=device,
        )

    # What it is.

    def find_blocks(self) -> tuple[Block, ...]:
        blocks = super().find_blocks()
        if not self.config.image_experts:
            return blocks
        direct = [
            Block(
                module=f"{PROJECTOR_MODULE}.{DIRECT}.{number}", layer=PROJECTOR_MODULE, part=DIRECT,
                label=f"{DIRECT}.{number}", role=IMAGE_ROLE, d_in=self.config.channels, d_out=self.width,
            )
            for number in range(DIRECT_MAPS)
        ]  # fmt: skip
        return (*direct, *blocks)

    def skeleton(self) -> nn.Module:
        made = super().skeleton()
        with torch.device("meta"):
            made.add_module(PROJECTOR_MODULE, Projector.shaped(self.config, self.width))
        return made

    # Examples in.

    def encode(
        self, task: Task, examples: Sequence[Example], *, keep_pixels: bool = False, reporter: Reporter | None = None
    ) -> EncodedExamples:
        examples = list(examples)
        seen = all_or_no_images(task, examples)
        asked = self.prompt_tokens(task, [task.prompt(example) for example in examples])
        turns = [self.seeing_turn] * len(examples) if seen else None
        prompts, answers = self.framed(asked, [example.answer for example in examples], task, reporter, turns)
        features = self.see(examples, reporter or Silent()) if seen else None
        return EncodedExamples(prompts=prompts, answers=answers, backbone=self, features=features)

    def see(self, examples: Sequence[Example], reporter: Reporter) -> Tensor | Shelf:
        """(N, T, C) features of the examples' images, in float16; of many images when asked for."""
        reporter.phase("encode images", len(examples))
        features: list[Tensor] = []
        for begin in range(0, len(examples), IMAGE_BATCH):
            chunk = [self._pixels(example) for example in examples[begin : begin + IMAGE_BATCH]]
            features += self.features_of(chunk)
            if too_large(features[0], len(examples)):
                reporter.advance(len(examples))
                return Shelf(
                    lambda row: self._pixels(examples[row]), lambda picture: self.features_of([picture])[0],
                    [example.image for example in examples], features[0],
                )  # fmt: skip
            reporter.advance(len(chunk))
        return torch.stack(features)

    def features_of(self, pictures: Sequence[np.ndarray]) -> list[Tensor]:
        """(T, C) features of each picture (H, W, 3) of bytes; what was seen lately is remembered."""
        digests = [hashlib.blake2b(picture.tobytes(), digest_size=16).digest() for picture in pictures]
        new = {digest: picture for digest, picture in zip(digests, pictures, strict=True)
               if digest not in self._remembered}  # fmt: skip
        if new:
            pixels = torch.from_numpy(np.stack(list(new.values())))
            made = self.vision.features(pixels, self.config.side, colours=self.config.colours)
            self._remembered.update(zip(new, made.unbind(0), strict=True))
        found = [self._remembered[digest] for digest in digests]
        while len(self._remembered) > REMEMBERED:
            self._remembered.popitem(last=False)
        return found

    def collate(self, encoded: EncodedExamples, rows: Sequence[int]) -> Batch:
        batch = super().collate(encoded, rows)
        if encoded.features is None:
            return batch
        return replace(batch, images={"features": encoded.features[list(rows)].to(self.device)})

    def embedded(self, batch: Batch, ids: Tensor) -> Tensor | None:
        if not batch.images:
            return None
        embeds = self.model.get_input_embeddings()(ids)
        tokens = self.projector(batch.images["features"]).to(embeds.dtype)
        # Prompts are padded on the left, and the image stands after the beginning of the turn.
        padding = (batch.attention_mask == 0).sum(dim=1, keepdim=True)
        places = padding + len(self.turn.head) + torch.arange(tokens.shape[1], device=ids.device)
        return embeds.scatter(1, places[:, :, None].expand(-1, -1, embeds.shape[2]), tokens)

    def beside_pictures(self, batch: Batch, answers: int = 0) -> dict[str, Any]:
        embeds = self.embedded(batch, batch.input_ids)
        return {} if embeds is None else {"inputs_embeds": embeds}

    def _pixels(self, example: Example) -> np.ndarray:
        assert example.image is not None
        image = example.image.render(self.image_size).convert("RGB")
        if image.size != (self.image_size, self.image_size):
            image = image.resize((self.image_size, self.image_size), Image.Resampling.BILINEAR)
        return np.array(image, dtype=np.uint8)


def language_part(path: Path, config: ComposedConfig) -> Path:
    """The directory of a composed backbone's language model, which is the one that its projector was made for.

    Raises:
        ArtefactError: it is missing, incomplete, of another kind or another version.
    """
    directory = place_of_language(path)
    where = f"backbone {path.name}: its language part {directory.name}"
    if not directory.is_dir():
        raise ArtefactError(f"{where} is not at {directory}; add it: pituning backbones add {directory.name}")
    lacking = missing_files(directory)
    if lacking:
        raise ArtefactError(f"{where} at {directory} lacks {', '.join(lacking)}; remove it and add it again")
    check_language(directory)
    check_fingerprint(where, fingerprint_of(directory), config.language_fingerprint)
    return directory


def update_config(path: Path) -> LoraConfig:
    """The PEFT config of the language model's update: rank, scale and modules are read, and nothing else of the file.

    Raises:
        ArtefactError: they are not there.
    """
    document = read_json(path / UPDATE_CONFIG)
    try:
        rank, alpha, leaves = int(document["r"]), float(document["lora_alpha"]), document["target_modules"]
        if rank < 1 or not isinstance(leaves, list) or not all(isinstance(leaf, str) for leaf in leaves):
            raise ValueError(f"r {rank!r}, target_modules {leaves!r}")
    except (KeyError, TypeError, ValueError) as error:
        raise ArtefactError(f"{path / UPDATE_CONFIG} is damaged ({error}); restore it") from error
    return LoraConfig(task_type="CAUSAL_LM", r=rank, lora_alpha=alpha, target_modules=leaves, inference_mode=True)


def check_language(directory: Path) -> None:
    """Raises ArtefactError unless a directory holds a decoder-only text model."""
    document = read_json(directory / "config.json")
    family = family_of(document if isinstance(document, dict) else {}, str(directory))
    if family.name != CausalBackbone.record.name:
        raise ArtefactError(
            f"language part {directory.name} is of the family {family.label!r}; a composed backbone takes "
            f"{CausalBackbone.record.label!r}"
        )


def vision_part(path: Path, config: ComposedConfig, device: torch.device) -> VisionPart:
    """A composed backbone's encoder, which is the one that its projector was made for; raises as `VisionPart.load`."""
    part_class: type[VisionPart] = load(VISION_PARTS[config.vision].path)
    part = part_class.load(place_of_vision(path), device)
    check_fingerprint(f"backbone {path.name}: its vision part {config.vision}", part.fingerprint,
                      config.vision_fingerprint)  # fmt: skip
    return part
