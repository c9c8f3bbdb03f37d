"""What a tuning has finished, on disk: a run that was stopped goes on with the method at which it stopped."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from pituning.errors import ArtefactError
from pituning.workspace.atomic import read_json, write_bytes, write_json


class Stages:
    """Results of finished stages by name. Everything is seeded, so a stage gives the same when it is done again.

    Args:
        directory: where they are kept; None keeps nothing.
        identity: of the run's settings; what was kept under another identity is not used.
    """

    def __init__(self, directory: Path | None, identity: Mapping[str, Any]):
        self.directory = directory
        self.identity = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()

    def load(self, name: str) -> dict[str, Any] | None:
        """What `save` was given under that name, or None."""
        if self.directory is None:
            return None
        try:
            document = read_json(self.directory / f"{name}.json")
            return document["value"] if document["identity"] == self.identity else None
        except (ArtefactError, KeyError, TypeError):
            return None  # not there or damaged: the stage is done again

    def save(self, name: str, value: Mapping[str, Any]) -> None:
        """Keeps a JSON document."""
        if self.directory is not None:
            write_json(self.directory / f"{name}.json", {"identity": self.identity, "value": dict(value)})

    def load_tensors(self, name: str) -> dict[str, Tensor] | None:
        """What `save_tensors` was given under that name, or None."""
        if self.directory is None:
            return None
        try:
            return load((self.directory / f"{name}-{self.identity[:16]}.safetensors").read_bytes())
        except (OSError, SafetensorError):
            return None

    def save_tensors(self, name: str, tensors: Mapping[str, Tensor]) -> None:
        """Keeps tensors."""
        if self.directory is not None:
            path = self.directory / f"{name}-{self.identity[:16]}.safetensors"
            write_bytes(path, save({key: tensor.contiguous().clone() for key, tensor in tensors.items()}))
