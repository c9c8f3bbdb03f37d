"""Which tasks a study is about where nobody names any. Torch-free."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

from pituning.errors import BadInput
from pituning.studies.config import LowshotConfig, TransferConfig, ZooConfig
from pituning.tasks.mini import TASK_NAMES
from pituning.tasks.registry import TaskSource
from pituning.workspace.layout import DEFAULT_BACKBONE
from pituning.workspace.zoo import Zoo

Config = TypeVar("Config", ZooConfig, TransferConfig, LowshotConfig)


def with_tasks(config: Config, zoo: Zoo, source: TaskSource) -> Config:
    """The configuration with the tasks that it is about: those it names, else those of the zoo.

    Raises:
        BadInput: it names none, and the zoo has none whose examples are here; or it is about experts that see and
            names one without pictures.
    """
    kinds = config.kinds if isinstance(config, ZooConfig) else (config.kind,)
    if not getattr(config, "vision_tower", False):
        return config if config.tasks else replace(config, tasks=tasks_of(zoo, kinds, source))
    blind = [name for name in config.tasks if not _pictured(name, source)]
    if blind:
        raise BadInput(f"vision_tower is for tasks with pictures, and {blind[0]!r} has none", field="tasks")
    seeing = tuple(name for name in config.tasks or tasks_of(zoo, kinds, source) if _pictured(name, source))
    return replace(config, tasks=seeing)


def _pictured(name: str, source: TaskSource) -> bool:
    return source.load(name).modality != "language"


def tasks_of(zoo: Zoo, kinds: Sequence[str], source: TaskSource) -> tuple[str, ...]:
    """The mini suite for the embedded backbone; for others all that have an expert and whose examples are here.

    Raises:
        BadInput: there are none.
    """
    if zoo.backbone == DEFAULT_BACKBONE:
        return TASK_NAMES
    found = suite_first(name for kind in kinds for name in zoo.expert_dirs(kind) if source.has(name))
    if not found:
        raise BadInput(
            f"the zoo of {zoo.backbone} has no {' or '.join(kinds)} expert of a task whose examples are here; name "
            f"tasks, or make experts: {zoo.command('zoo build --tasks a,b,c')}",
            field="tasks",
        )
    return found


def suite_first(names: Iterable[str]) -> tuple[str, ...]:
    """Each name once: those of the mini suite in its order, so that its figures stay what they are, then the others."""
    given = set(names)
    return tuple(name for name in TASK_NAMES if name in given) + tuple(sorted(given - set(TASK_NAMES)))
