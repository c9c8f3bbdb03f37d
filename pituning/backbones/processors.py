"""A checkpoint's own processor of images and texts, without the eyes for videos that would want further packages.

Images are processed with Pillow always, so that the same checkpoint sees the same wherever it runs.
"""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import transformers
from transformers import AutoImageProcessor
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING_NAMES

from pituning.errors import ArtefactError

PARTS = ("image_processor", "tokenizer")
STAND_INS = {"SmolVLMProcessor": "Idefics3Processor"}
"""The same for images; what they stand for spells numbers of video frames with a package that is not needed here."""


def processor_of(path: Path, model_type: str, tokenizer: Any) -> Any:
    """The processor in a directory, around a tokenizer that has been read from there.

    Raises:
        ArtefactError: nothing names a processor that transformers has.
    """
    name = _named(path) or PROCESSOR_MAPPING_NAMES.get(model_type)
    real: Any = getattr(transformers, STAND_INS.get(str(name), str(name)), None)
    if real is None:
        raise ArtefactError(f"backbone {path} has a processor {name!r}, which transformers does not; add its files")
    images = AutoImageProcessor.from_pretrained(path, local_files_only=True, backend="pil")
    settings, _ = real.get_processor_dict(path, local_files_only=True)
    taken = inspect.signature(real.__init__).parameters
    given = {key: value for key, value in settings.items() if key in taken and key not in (*PARTS, "video_processor")}
    if "video_processor" in taken:
        given["video_processor"] = None
    alone = type(real.__name__, (real,), {"get_attributes": classmethod(lambda _: list(PARTS))})
    return alone(image_processor=images, tokenizer=tokenizer, **given)


def _named(path: Path) -> str | None:
    """The class that the checkpoint's files name."""
    for file in ("processor_config.json", "preprocessor_config.json", "tokenizer_config.json"):
        if (path / file).is_file():
            name = json.loads((path / file).read_text(encoding="utf-8")).get("processor_class")
            if isinstance(name, str):
                return name
    return None
