"""What the graph wants to know of a task."""

from __future__ import annotations

from typing import Protocol


class NodeInfo(Protocol):
    """A task; `pituning.tasks.registry.TaskInfo` has all of it."""

    @property
    def name(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def modality(self) -> str: ...
    @property
    def families(self) -> tuple[str, ...]: ...
    @property
    def instruction(self) -> str: ...
    @property
    def labels(self) -> tuple[str, ...] | None: ...
