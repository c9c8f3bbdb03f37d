"""Names of runs that nobody has named: kind and subject, and a number that tells them apart. Torch-free."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from pituning.runs.records import Run
from pituning.runs.spec import RunSpec
from pituning.runs.store import RUNS


def new_names(connection: sa.Connection, specs: Sequence[RunSpec]) -> list[str]:
    """A name for each of some runs that no run has: the first of a kind on a subject has no number, the next is 2.

    Numbers are not used again while a later run is there.

    Args:
        connection: within a transaction during which nobody else queues.
    """
    highest: dict[str, int] = {}
    names = []
    for spec in specs:
        name = _plain(spec)
        if name not in highest:
            taken = connection.scalars(sa.select(RUNS.c.name).where(RUNS.c.name.startswith(name, autoescape=True)))
            highest[name] = max((_number(name, each) for each in taken), default=0)
        highest[name] += 1
        names.append(name if highest[name] == 1 else f"{name} {highest[name]}")
    return names


def number_of(run: Run) -> int:
    """Which of its kind on its subject a run is, from 1; 0 where somebody has named it or it cannot be understood."""
    return _number(_plain(run.spec), run.name) if run.understood else 0


def _plain(spec: RunSpec) -> str:
    return f"{spec.kind} {spec.subject}"


def _number(plain: str, name: str) -> int:
    """The number in a name, 1 in one without, 0 in any other."""
    if name == plain:
        return 1
    number = name.removeprefix(f"{plain} ")
    return int(number) if number != name and number.isascii() and number.isdigit() else 0
