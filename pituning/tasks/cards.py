"""Cards of tasks: what a task is, as YAML that people can read, change and hand on. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from pituning.errors import BadInput
from pituning.tasks.base import SPLITS, Task
from pituning.workspace.documents import DocumentError, parse_yaml

_ROLES = {"text": "text", "pair": "text", "answer": "answer", "box": "answer", "image": "image"}


@dataclass(frozen=True, kw_only=True)
class CardOptions:
    """What a card says of how a file becomes a task; see `pituning.tasks.adding.AddOptions`."""

    title: str = ""
    instruction: str = ""
    text: tuple[str, ...] = ()
    answer: tuple[str, ...] = ()
    image: str | None = None
    template: str | None = None
    answers: str | None = None
    label_names: Mapping[str, str] = field(default_factory=dict)
    missing: str | None = None
    box_format: str | None = None
    metric: str | None = None
    licence: str = ""
    origin: str = ""


def card_of(task: Task) -> dict[str, Any]:
    """The card of a task."""
    about = task.about
    return {
        "name": task.name,
        "title": task.title,
        "instruction": task.instruction,
        "columns": {column: role for column, role in dict(about.get("columns", {})).items() if role != "ignored"},
        "template": about.get("template"),
        "answers": about.get("answers") or ("labels" if task.labels is not None else "text"),
        "labels": list(task.labels) if task.labels is not None else None,
        "metric": task.metric,
        "splits": {split: len(task.split(split)) for split in SPLITS},
        "licence": about.get("licence", ""),
        "origin": about.get("origin", ""),
        **{name: about[name] for name in ("hub", "skipped") if about.get(name)},
    }


def card_text(card: Mapping[str, Any]) -> str:
    """A card as YAML."""
    return yaml.safe_dump(dict(card), sort_keys=False, allow_unicode=True, width=100)


def read_card_file(path: Path) -> Mapping[str, Any]:
    """The content of a card on disk.

    Raises:
        BadInput: it cannot be read, or is no YAML object.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadInput(f"card {str(path)!r} cannot be read ({error.strerror}); check the path", field="card") from error
    return parse_card(data, path.name)


def parse_card(data: bytes, name: str) -> Mapping[str, Any]:
    """The content of a card.

    Raises:
        BadInput: it is no YAML object.
    """
    try:
        document = parse_yaml(data)
    except DocumentError as error:
        raise BadInput(f"file {name!r} cannot be read as a card: {error}; correct it", field="card") from error
    if not isinstance(document, dict):
        raise BadInput(f"file {name!r} is no card of a task: it has no named fields", field="card")
    return document


def card_options(card: Mapping[str, Any]) -> CardOptions:
    """What a card says, checked; names of fields that are not known are passed over.

    Raises:
        BadInput: a field is of the wrong type.
    """
    columns = _mapping(card, "columns")
    by_role: dict[str, list[str]] = {"text": [], "answer": [], "image": []}
    for column, role in columns.items():
        if role in _ROLES:
            by_role[_ROLES[role]].append(column)
    return CardOptions(
        text=tuple(by_role["text"]),
        answer=tuple(by_role["answer"]),
        image=next(iter(by_role["image"]), None),
        label_names=_mapping(card, "label_names"),
        **{
            name: _text(card, name)
            for name in (
                "title",
                "instruction",
                "template",
                "answers",
                "missing",
                "box_format",
                "metric",
                "licence",
                "origin",
            )
            if card.get(name)
        },
    )


def about_of(card: CardOptions) -> dict[str, Any]:
    """What is kept of a card beside the task itself."""
    return {name: value for name in ("licence", "origin") if (value := getattr(card, name))}


def _text(card: Mapping[str, Any], name: str) -> str:
    value = card[name]
    if not isinstance(value, str):
        raise BadInput(f"{name} in the card is {value!r}; write a text", field="card")
    return value


def _mapping(card: Mapping[str, Any], name: str) -> dict[str, str]:
    value = card.get(name) or {}
    if not isinstance(value, dict):
        raise BadInput(f"{name} in the card is {value!r}; write one 'name: value' on each line", field="card")
    return {str(key): str(inner) for key, inner in value.items()}
