"""Rows of a table that cannot be used: told as one error, or left out and named. Torch-free."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pituning.errors import BadInput
from pituning.tasks.reading import RowProblem

MAX_PROBLEMS = 1000
"""So many rows that cannot be used are kept; then the rest of a table is not read."""

SHOWN_PROBLEMS = 3


def count_rows(problems: Sequence[RowProblem]) -> int:
    """How many rows have a problem; some have several."""
    return len({problem.place for problem in problems})


def in_order(problems: Sequence[RowProblem]) -> tuple[RowProblem, ...]:
    """Problems by row, and by file as these come."""
    files = list(dict.fromkeys(problem.file for problem in problems))
    return tuple(sorted(problems, key=lambda problem: (files.index(problem.file), problem.row)))


class TableError(BadInput):
    """Rows of a table cannot be used; ``problems`` has them all, or the first `MAX_PROBLEMS`, the message fewer.

    Args:
        skippable: whether there is a task without them.
    """

    def __init__(self, filename: str, problems: Sequence[RowProblem], *, skippable: bool = False):
        rows = count_rows(problems)
        count, them = ("1 row", "it") if rows == 1 else (f"{rows:,} rows", "them")
        if len(problems) >= MAX_PROBLEMS:
            count += " and more"
        leave = f", or leave {them} out with --skip-bad-rows" if skippable else ""
        super().__init__(
            f"file {filename!r}: {count} cannot be used: {listed(problems)}; correct or delete {them}{leave}",
            field="file",
        )
        self.problems = tuple(problems)


def listed(problems: Sequence[RowProblem]) -> str:
    """The first problems, and how many more there are."""
    more = f"; and {len(problems) - SHOWN_PROBLEMS} more" if len(problems) > SHOWN_PROBLEMS else ""
    return "; ".join(map(str, problems[:SHOWN_PROBLEMS])) + more


@dataclass(frozen=True, kw_only=True)
class SkippedRows:
    """Rows that a task was made without.

    Args:
        rows: how many.
        named: why each was left out; of rows without an answer the first `MAX_PROBLEMS`.
    """

    rows: int = 0
    named: tuple[RowProblem, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """What the task's card says of them."""
        return {"rows": self.rows, "named": list(map(str, self.named))}
