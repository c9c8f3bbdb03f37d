"""Tasks that ship with a zoo as cards alone: their experts and figures are there, their examples are not. Torch-free.

The examples belong to whoever published them. Somebody who has them adds the task under the same name, and then it is
an ordinary task of the workspace.
"""

from __future__ import annotations

from pathlib import Path

from pituning.errors import ArtefactError
from pituning.tasks.base import SPLITS, Task
from pituning.workspace.atomic import read_json, write_json
from pituning.workspace.layout import Workspace

FORMAT_VERSION = 1
SOURCE = "zoo"


def zoo_cards(workspace: Workspace | None, backbone: str | None = None) -> dict[str, Path]:
    """The cards that ship with the zoo of a backbone, or with all zoos, by the name of the task."""
    if workspace is None or workspace.embedded is None:
        return {}
    shipped = workspace.embedded / "zoos"
    if not shipped.is_dir():
        return {}
    zoos = [workspace.zoo(path.name) for path in sorted(shipped.iterdir()) if backbone in (None, path.name)]
    return {path.stem: path for zoo in zoos for path in zoo.task_cards()}


def write_task_card(task: Task, path: Path, *, origin: str, licence: str) -> None:
    """Writes what may be told of a task without its examples.

    Args:
        origin: of the data: who published it, and where.
        licence: of the data.
    """
    write_json(
        path,
        {
            "format_version": FORMAT_VERSION,
            "name": task.name,
            "title": task.title,
            "instruction": task.instruction,
            "modality": task.modality,
            "metric": task.metric,
            "labels": None if task.labels is None else list(task.labels),
            "origin": origin,
            "licence": licence,
        },
    )


def card_task(path: Path) -> Task:
    """The task of a card, without examples.

    Raises:
        ArtefactError: the card is damaged or from a later version.
    """
    card = read_json(path)
    try:
        if card["format_version"] > FORMAT_VERSION:
            raise ArtefactError(
                f"{path} has format_version {card['format_version']!r}, this version reads up to {FORMAT_VERSION}; "
                "upgrade pituning-studio"
            )
        return Task(
            name=card["name"],
            title=card["title"],
            instruction=card["instruction"],
            modality=card["modality"],
            metric=card["metric"],
            labels=None if card["labels"] is None else tuple(card["labels"]),
            description=f"Its examples do not ship: {card['origin']}, {card['licence']}. Add them as a task "
            f"{card['name']!r} to see them, or to tune on them.",
            source=SOURCE,
            splits=dict.fromkeys(SPLITS, ()),
        )
    except (KeyError, TypeError) as error:
        raise ArtefactError(f"{path} is no card of a task ({error}); restore it") from error
