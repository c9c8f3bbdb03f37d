"""What a composed backbone's ``config.json`` says, and where its parts are. Torch-free.

``config.json`` has what identifies the backbone, the fingerprints of its parts among it; where the parts are stands
apart in ``parts.json``, so that they may move.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pituning.errors import ArtefactError
from pituning.workspace.atomic import read_json, write_json
from pituning.workspace.layout import directories, embedded_data

MODEL_TYPE = "composed"
FORMAT_VERSION = 1
CONFIG, PARTS = "config.json", "parts.json"
PROJECTOR = "projector.safetensors"
SHIPPED = "projectors"
"""Where in the data that ships; not among its backbones, since without their parts they are none."""
UPDATE, UPDATE_CONFIG = "adapter_model.safetensors", "adapter_config.json"
"""The low-rank update of the language model, as PEFT saves one."""


@dataclass(frozen=True, kw_only=True)
class ComposedConfig:
    """A composed backbone.

    Args:
        vision: name of a record of `VISION_PARTS`.
        vision_fingerprint, language_fingerprint: 64 hexadecimal digits over the files of each part.
        channels: C, of the encoder's features, colours included.
        colours: whether the mean colour of each cell stands beside its features, 3 channels at their end.
        side: S; an image becomes S x S tokens.
        hidden: width of the projector's inner layer.
        image_experts: whether experts attach to the projector, too, beside the language model.
        expert_settings: what experts of a kind have instead of its defaults, by the kind's name.
        updated: whether a low-rank update of the language model belongs to it.
        trained: what the projector has seen; empty where it is as it was composed.
        text_config: of the language model, as its own ``config.json`` has it.
        vision_parameters, language_parameters: how many numbers each part is.
        language_dtype: of the language model's weights, as PyTorch calls it.
    """

    vision: str
    vision_fingerprint: str
    language_fingerprint: str
    channels: int
    side: int
    hidden: int
    colours: bool = False
    image_experts: bool = True
    expert_settings: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    updated: bool = False
    trained: Mapping[str, Any] = field(default_factory=dict)
    text_config: Mapping[str, Any]
    vision_parameters: int
    language_parameters: int
    language_dtype: str

    @property
    def tokens(self) -> int:
        """T, that stand for an image."""
        return self.side**2

    def save(self, directory: Path) -> None:
        """Writes ``config.json``."""
        write_json(directory / CONFIG, {"model_type": MODEL_TYPE, "format_version": FORMAT_VERSION, **asdict(self)})

    @classmethod
    def read(cls, directory: Path) -> ComposedConfig:
        """That of a directory.

        Raises:
            ArtefactError: the file is missing, damaged or from a later version.
        """
        path = directory / CONFIG
        document = read_json(path)
        try:
            if document["format_version"] > FORMAT_VERSION:
                raise ArtefactError(
                    f"{path} has format_version {document['format_version']!r}, this version reads up to "
                    f"{FORMAT_VERSION}; upgrade pituning-studio"
                )
            given = {key: document[key] for key in document if key not in ("model_type", "format_version")}
            config = cls(**given)
            counts = (config.channels, config.side, config.hidden)
            if not all(type(number) is int and number > 0 for number in counts):
                raise ValueError(f"channels, side and hidden are {counts}")
            return config
        except (KeyError, TypeError, ValueError) as error:
            raise ArtefactError(f"{path} is damaged ({error}); compose the backbone again") from error


@dataclass(frozen=True, kw_only=True)
class PartPlaces:
    """Where the parts of a composed backbone are.

    Args:
        language: directory of the language model: a name is that of a directory beside the backbone's own.
        vision: the same of the encoder; None where it comes as a package.
    """

    language: str
    vision: str | None = None

    def save(self, directory: Path) -> None:
        """Writes ``parts.json``."""
        write_json(directory / PARTS, asdict(self))

    @classmethod
    def read(cls, directory: Path) -> PartPlaces:
        """Those of a directory; raises ArtefactError where the file is missing or damaged."""
        document = read_json(directory / PARTS)
        try:
            places = cls(**document)
        except TypeError as error:
            raise ArtefactError(f"{directory / PARTS} is damaged ({error}); compose the backbone again") from error
        if not isinstance(places.language, str) or not isinstance(places.vision, str | None):
            raise ArtefactError(f"{directory / PARTS} is damaged: its values are no paths; compose the backbone again")
        return places


def place_of_language(directory: Path) -> Path:
    """The directory of a composed backbone's language model, whether it is there or not."""
    return _place(directory, PartPlaces.read(directory).language)


def place_of_vision(directory: Path) -> Path | None:
    """The directory of a composed backbone's encoder; None where it comes as a package."""
    named = PartPlaces.read(directory).vision
    return None if named is None else _place(directory, named)


def _place(directory: Path, named: str) -> Path:
    # A name of one part is a neighbour; anything else has to be a whole path, so that nothing else is reached by "..".
    path = Path(named)
    if path.is_absolute():
        return path
    if path.name != named or named in ("", ".", ".."):
        raise ArtefactError(
            f"{directory / PARTS} names a part {named!r}; give the name of a directory beside it or a whole path"
        )
    return directory.resolve().parent / named


def shipped_projectors() -> dict[str, Path]:
    """The directories of the projectors that ship, by name."""
    data = embedded_data()
    return {} if data is None else directories(data / SHIPPED)


def check_fingerprint(where: str, found: str, wanted: str) -> None:
    """Raises ArtefactError where a part is another than the projector was made for."""
    if found != wanted:
        raise ArtefactError(
            f"{where} is another version (fingerprint {found[:12]}) than its projector was made for ({wanted[:12]}); "
            "install that version, or compose a backbone of this one"
        )
