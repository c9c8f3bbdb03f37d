"""Where experts attach to a backbone, as a file beside its weights. Torch-free.

``places.json`` is read from the loaded model once (`pituning.backbones.base.Backbone.places`). Whoever only checks an
expert that is imported, as the app does, needs no more than this.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pituning.errors import ArtefactError
from pituning.workspace.atomic import read_json, write_json

FILE = "places.json"
REFERENCE_WIDTH = 128
"""Width of the embedded backbone, for which the kinds' usual learning rates were found."""
FORMAT_VERSION = 1
IMAGE_ROLE = "image"
"""The role of a linear map that only pictures pass."""


@dataclass(frozen=True)
class Block:
    """One linear map.

    Args:
        module: its dotted path in the backbone's model.
        layer: what people read, such as ``decoder.3``; layers are explained one by one.
        part: of the layer, such as ``self_attn`` or ``ffn``; the maps of a part share one interpolation weight.
        label: what people read of its place within a layer, such as ``self_attn.q_proj`` or ``fc1``.
        role: a key of `pituning.backbones.blocks.ROLES`, or `IMAGE_ROLE`.
        d_in, d_out: its width.
    """

    module: str
    layer: str
    part: str
    label: str
    role: str
    d_in: int
    d_out: int


@dataclass(frozen=True)
class AttentionShape:
    """The decoder's self-attention, at which prefixes attach.

    Args:
        layers: the dotted path of each layer's attention.
        names: what each layer is called in `Block.layer`.
        heads: of keys and values.
        head_width: of one of them.
        query_heads: of queries; PEFT's prefixes are sized by them where keys and values have fewer.
        encoder_decoder: whether the model is an encoder-decoder.
    """

    layers: tuple[str, ...]
    names: tuple[str, ...]
    heads: int
    head_width: int
    query_heads: int
    encoder_decoder: bool

    @property
    def width(self) -> int:
        return self.heads * self.head_width

    @property
    def table_layers(self) -> int:
        """How many layers of prefix to ask PEFT for, so that each decoder layer gets a prefix of its own.

        For encoder-decoder models PEFT 0.21 doubles the list of its N key and value pairs and gives layer j the pair
        2j mod N (`PeftModel.get_prompt`): all different for odd N, while for even N two layers share a pair and half of
        them do nothing.
        """
        return len(self.layers) + (self.encoder_decoder and len(self.layers) % 2 == 0)

    def pair_of(self, layer: int) -> int:
        """Which pair of PEFT's prefix table acts on a decoder layer; see `table_layers`."""
        return 2 * layer % self.table_layers if self.encoder_decoder else layer


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where experts attach.

    Args:
        width: D, of the embedded tokens.
        eyes: the linear maps of what sees pictures, where that is a part of the model: they take an expert where they
            are asked to.
    """

    blocks: tuple[Block, ...]
    attention: AttentionShape
    width: int
    eyes: tuple[Block, ...] = ()

    @property
    def rate_factor(self) -> float:
        """What a kind's usual learning rate is multiplied by: wide models want smaller ones, about in proportion."""
        return min(1.0, REFERENCE_WIDTH / self.width)

    @cached_property
    def by_module(self) -> Mapping[str, Block]:
        """The blocks by the path of their module, then those of what sees pictures."""
        return {block.module: block for block in (*self.blocks, *self.eyes)}

    def of(self, *, sees: bool) -> Mapping[str, Block]:
        """`by_module` of what experts that see can act on, or of the blocks alone."""
        return self.by_module if sees else {block.module: block for block in self.blocks}

    def save(self, directory: Path) -> None:
        """Writes ``places.json`` into a backbone's directory."""
        write_json(directory / FILE, {"format_version": FORMAT_VERSION, **asdict(self)})

    @staticmethod
    def is_kept(directory: Path) -> bool:
        """Whether a file is there that says all that `Places` has, or one that `read` has to complain of."""
        if not (directory / FILE).is_file():
            return False
        try:
            return "eyes" in read_json(directory / FILE)
        except (ArtefactError, TypeError):
            return True

    @classmethod
    def read(cls, directory: Path) -> Places:
        """Those of the backbone in a directory.

        Raises:
            ArtefactError: the file is missing, damaged or from a later version.
        """
        path = directory / FILE
        if not path.is_file():
            raise ArtefactError(f"{path} is missing; make it with: pituning backbones check {directory.name}")
        document: Any = read_json(path)
        try:
            if document["format_version"] > FORMAT_VERSION:
                raise ArtefactError(
                    f"{path} has format_version {document['format_version']!r}, this version reads up to "
                    f"{FORMAT_VERSION}; upgrade pituning-studio"
                )
            attention: dict[str, Any] = {
                key: tuple(value) if isinstance(value, list) else value for key, value in document["attention"].items()
            }
            return cls(
                blocks=tuple(Block(**block) for block in document["blocks"]),
                attention=AttentionShape(**attention),
                width=int(document["width"]),
                eyes=tuple(Block(**block) for block in document.get("eyes", ())),  # once there were none
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ArtefactError(
                f"{path} is damaged ({error}); make it again: pituning backbones check {directory.name}"
            ) from error
