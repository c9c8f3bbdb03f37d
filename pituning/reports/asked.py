"""What settings of a slide ask for, checked; and words that several views share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from pituning.figures.words import KINDS, PREDICTORS, label
from pituning.registry import unknown
from pituning.reports.drawn import File
from pituning.reports.reader import NearestZoo, Reader, Zoo
from pituning.text import shorten

MOST_NAME = 44
"""Letters of a title inside a sentence."""


COLUMN = 13
"""Letters of a task over a column of a matrix: a slide has little height, and the rows have the names whole."""


def zoo_of(reader: Reader, settings: Mapping[str, Any]) -> Zoo:
    """The similarities that a slide is about.

    Raises:
        BadInput, ArtefactError: as `Reader.zoo`.
    """
    return reader.zoo(settings.get("kind"), settings.get("predictor"))


def one_of(settings: Mapping[str, Any], name: str, choices: Any) -> Any:
    """A setting that is one of the values of a ``Literal``, by default the first.

    Raises:
        BadInput: it is none of them.
    """
    known = get_args(choices)
    value = settings.get(name, known[0])
    if value not in known:
        raise unknown(name, value, list(known))
    return value


def task_of(settings: Mapping[str, Any], name: str, known: Mapping[str, Any] | list[str]) -> str | None:
    """A setting that names a task, or None.

    Raises:
        BadInput: there is no such task.
    """
    value = settings.get(name)
    if value is not None and value not in known:
        raise unknown("task", value, list(known))
    return value


def named(title: str) -> str:
    """A title inside a sentence."""
    return shorten(" ".join(title.split()), MOST_NAME) or "a task without a title"


def listed(words: list[str]) -> str:
    """``"a, b and c"``."""
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))


def minus(text: str) -> str:
    """With the sign for minus as it is printed."""
    return text.replace("-", "−")


def source_title(zoo: Zoo | NearestZoo) -> str:
    """Which similarities these are, for people."""
    return f"{label(KINDS, zoo.kind)} experts, {label(PREDICTORS, zoo.predictor).lower()}"


def csv_file(name: str, data: bytes, *, label: str = "CSV") -> File:
    """A table to download."""
    return File(label=label, name=name, mime="text/csv", data=data)
