"""What a tuning has finished, on disk: a run that was stopped goes on with the method at which it stopped."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from pituning.errors import ArtefactError
from pituning.tasks.base import Example, Task
from pituning.tasks.registry import TaskSource
from pituning.workspace.atomic import read_json, write_bytes, write_json


class Stages:
    """Results of finished stages by name. Everything is seeded, so a stage gives the same when it is done again.

    Args:
        directory: where they are kept; None keeps nothing.
        identity: of the run's settings; what was kept under another identity is not used.
        earlier: what an earlier version took for it; what was kept under that is used, too.
    """

    def __init__(
        self, directory: Path | None, identity: Mapping[str, Any], *, earlier: Mapping[str, Any] | None = None
    ):
        self.directory = directory
        self.identity = _identity(identity)
        self._known = {self.identity} if earlier is None else {self.identity, _identity(earlier)}

    def load(self, name: str) -> dict[str, Any] | None:
        """What `save` was given under that name, or None."""
        return self._load(name)[1]

    def save(self, name: str, value: Mapping[str, Any]) -> None:
        """Keeps a JSON document."""
        if self.directory is not None:
            document = json.loads(json.dumps(dict(value)))  # as it will be read
            digest = _digest(document)
            write_json(
                self.directory / f"{name}.json", {"identity": self.identity, "sha256": digest, "value": document}
            )

    def load_tensors(self, name: str) -> dict[str, Tensor] | None:
        """What `save_tensors` was given under that name, or None."""
        if self.directory is None:
            return None
        identity, kept = self._load(f"{name}-tensors")
        try:
            data = self._tensors(name, identity).read_bytes()
            return load(data) if kept and kept["sha256"] == hashlib.sha256(data).hexdigest() else None
        except (OSError, SafetensorError):
            return None

    def save_tensors(self, name: str, tensors: Mapping[str, Tensor]) -> None:
        """Keeps tensors."""
        if self.directory is not None:
            data = save({key: tensor.cpu().contiguous().clone() for key, tensor in tensors.items()})
            write_bytes(self._tensors(name, self.identity), data)
            self.save(f"{name}-tensors", {"sha256": hashlib.sha256(data).hexdigest()})

    def _load(self, name: str) -> tuple[str, dict[str, Any] | None]:
        """The identity under which it was kept, and what was."""
        if self.directory is None:
            return self.identity, None
        try:
            document = read_json(self.directory / f"{name}.json")
            if document["identity"] in self._known and document["sha256"] == _digest(document["value"]):
                return document["identity"], document["value"]
        except (ArtefactError, KeyError, TypeError):
            pass
        return self.identity, None  # not there, of another run or damaged: the stage is done again

    def _tensors(self, name: str, identity: str) -> Path:
        assert self.directory is not None
        return self.directory / f"{name}-{identity[:16]}.safetensors"


def task_digest(task: Task, rows: Sequence[Example], source: TaskSource) -> str:
    """Of a task and some of its rows.

    Args:
        source: from which it comes, and which tells its images apart, too.
    """
    version = source.version(task.name) if source.has(task.name) else ""
    digest = hashlib.sha256(json.dumps([version, task.instruction, task.metric, task.labels]).encode())
    for row in rows:
        digest.update(json.dumps([row.uid, row.text, row.answer, row.accepted]).encode())
    return digest.hexdigest()


def _identity(settings: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def _digest(value: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
