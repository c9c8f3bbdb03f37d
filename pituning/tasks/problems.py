"""Rows of a table that cannot be used, told as one error. Torch-free."""

from __future__ import annotations

from collections.abc import Sequence

from pituning.errors import BadInput
from pituning.tasks.reading import RowProblem

MAX_PROBLEMS = 1000
"""So many rows that cannot be used are kept; then the rest of a table is not read."""

SHOWN_PROBLEMS = 3


class TableError(BadInput):
    """Rows of a table cannot be used; ``problems`` has them all, or the first `MAX_PROBLEMS`, the message fewer."""

    def __init__(self, filename: str, problems: Sequence[RowProblem]):
        shown = "; ".join(map(str, problems[:SHOWN_PROBLEMS]))
        more = f"; and {len(problems) - SHOWN_PROBLEMS} more" if len(problems) > SHOWN_PROBLEMS else ""
        rows = len({problem.row for problem in problems})
        count, them = ("1 row", "it") if rows == 1 else (f"{rows:,} rows", "them")
        if len(problems) >= MAX_PROBLEMS:
            count += " and more"
        super().__init__(
            f"file {filename!r}: {count} cannot be used: {shown}{more}; correct or delete {them}", field="file"
        )
        self.problems = tuple(problems)
