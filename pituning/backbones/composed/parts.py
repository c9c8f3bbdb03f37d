"""Whether a composed backbone that was copied into a workspace has its parts there."""

from __future__ import annotations

from pathlib import Path

import torch

from pituning.backbones.composed.backbone import language_part, vision_part
from pituning.backbones.composed.config import ComposedConfig
from pituning.errors import ArtefactError, BadInput


def check_parts(staged: Path, name: str) -> None:
    """Loads the encoder and compares the fingerprints of both parts with those that the projector was made for.

    Args:
        staged: a directory beside those of the other backbones, where parts that are named relatively are looked for.
        name: what the backbone will be called, for messages.

    Raises:
        BadInput: a part is missing, incomplete, of another kind or another version, or the config is damaged.
    """
    try:
        config = ComposedConfig.read(staged)
        language_part(staged, config)
        vision_part(staged, config, torch.device("cpu"))
    except (ArtefactError, BadInput) as error:
        raise BadInput(str(error).replace(f"backbone {staged.name}", f"backbone {name}"), field="source") from error
