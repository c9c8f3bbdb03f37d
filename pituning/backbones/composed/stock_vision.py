"""Any vision encoder of transformers that gives a grid of features."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModel

from pituning.backbones.composed.vision import VisionPart
from pituning.backbones.files import CONFIG, digest_of, weight_files
from pituning.backbones.loading import from_pretrained, quiet
from pituning.backbones.seeing import HALF
from pituning.errors import ArtefactError, BadInput
from pituning.workspace.atomic import read_json

PREPROCESSOR = "preprocessor_config.json"


class StockVision(VisionPart):
    """An encoder from the directory of its checkpoint: convolutional, or a transformer over patches."""

    def __init__(self, model: Any, path: Path, settings: dict[str, Any]):
        self.model = model
        self.image_size = settings["image_size"]
        self.image_mean, self.image_std = settings["image_mean"], settings["image_std"]
        self.fingerprint = digest_of(path, (CONFIG, *weight_files(path), PREPROCESSOR))
        size = self.image_size
        with torch.no_grad():
            _, self.channels, self.side, _ = self.grid(torch.zeros(1, 3, size, size)).shape

    @classmethod
    def load(cls, source: Path | None, device: torch.device) -> VisionPart:
        if source is None:
            raise BadInput("vision part 'transformers' needs the directory of a checkpoint; give that", field="vision")
        lacking = [name for name in (CONFIG, *weight_files(source), PREPROCESSOR) if not (source / name).is_file()]
        if lacking:
            raise ArtefactError(
                f"vision part {source} lacks {', '.join(lacking)}; give the directory of a whole checkpoint that "
                "save_pretrained wrote, with its image processor"
            )
        settings = _settings(source)
        try:
            with quiet():
                model = from_pretrained(AutoModel, source, torch.float32)
        except (OSError, ValueError, KeyError, RuntimeError, AttributeError) as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ArtefactError(f"vision part {source} cannot be loaded ({reason}); restore it") from error
        # Models of pictures and texts are two encoders; only the one that sees is a part.
        model = getattr(model, "vision_model", model)
        part = cls(model.eval().requires_grad_(False), source, settings)
        model.to(device)
        return part

    def grid(self, pixel_values: Tensor) -> Tensor:
        try:
            states = self.model(pixel_values=pixel_values).last_hidden_state
        except (TypeError, AttributeError, ValueError, RuntimeError) as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise BadInput(
                f"vision part {type(self.model).__name__} gives no features of {pixel_values.shape[2]} x "
                f"{pixel_values.shape[3]} pixels ({reason}); choose an encoder of images",
                field="vision",
            ) from error
        if states.dim() == 4:
            return states
        # Patches in rows, after a token of the whole image and others that stand first.
        side = int(states.shape[1] ** 0.5) if states.dim() == 3 else 0
        if side < 1:
            raise BadInput(
                f"vision part {type(self.model).__name__} gives features of shape {tuple(states.shape)}, which are no "
                "grid; choose an encoder that gives one vector for each patch",
                field="vision",
            )
        return states[:, states.shape[1] - side * side :].transpose(1, 2).unflatten(2, (side, side))


def _settings(source: Path) -> dict[str, Any]:
    document = read_json(source / PREPROCESSOR)
    document = document if isinstance(document, dict) else {}
    size = document.get("crop_size") or document.get("size") or {}
    sides = [size] if isinstance(size, int) else [size.get("height"), size.get("width"), size.get("shortest_edge")]
    sides = [side for side in sides if side is not None]
    if not sides or not all(isinstance(side, int) and side > 0 and side == sides[0] for side in sides):
        raise ArtefactError(f"vision part {source}: {PREPROCESSOR} has size {size!r}; it must be a square")
    return {
        "image_size": sides[0],
        "image_mean": document.get("image_mean", HALF),
        "image_std": document.get("image_std", HALF),
    }
