"""Uploaded tables, each read in a process of its own within bounds: what pages ask of a file. Torch-free.

A `Table` that these functions return is an outline: its columns and what was found about the file, without rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from pituning.errors import BadInput
from pituning.tasks.columns import Guess, guess_columns
from pituning.tasks.files import TablePreview, preview_table, save_task, task_from_table
from pituning.tasks.mapping import ColumnMapping
from pituning.tasks.reading import ReadOptions, Row, RowProblem, Table, open_table
from pituning.tasks.reading.base import counted
from pituning.tasks.table_options import TableOptions
from pituning.workspace import bounded
from pituning.workspace.bounded import Limits
from pituning.workspace.layout import Workspace

MOST_ROWS = 1_000_000
MOST_TEXT_BYTES = 2**29
"""What is packed small can be large: so much text is read of an uploaded table."""

LIMITS = Limits(instead="make it smaller, or add it on the command line: pituning tasks add")


@dataclass(frozen=True, kw_only=True)
class Upload:
    """A file that somebody uploaded, and how it is to be read."""

    filename: str
    data: bytes = field(repr=False)
    options: ReadOptions

    def ask(self, work: str, *arguments: Any) -> Any:
        """What a function of this module returns, in a process of its own; errors as of `bounded.call`."""
        path = f"{__name__}:{work}"
        return bounded.call(path, self, *arguments, what=f"file {self.filename!r}", limits=LIMITS)

    def open(self) -> Table:
        """The table, within the bounds of uploads."""
        table = open_table(self.data, self.options, filename=self.filename)

        def read() -> Iterator[Row | RowProblem]:
            return counted(table.read(), table.filename, rows=MOST_ROWS, text=MOST_TEXT_BYTES)

        return replace(table, read=read)

    def look(self) -> tuple[Table, Guess]:
        """What the table is and how it is likely to be read; errors as of `open_table` and `guess_columns`."""
        looked: tuple[Table, Guess] = self.ask("look")
        return looked

    def guess(self, **given: Any) -> Guess:
        """`guess_columns` of the table."""
        guessed: Guess = self.ask("guess", given)
        return guessed

    def keep(
        self, columns: ColumnMapping, options: TableOptions, workspace: Workspace, *, name: str, title: str,
        instruction: str,
    ) -> Path:  # fmt: skip
        """Makes the task and saves it: where; errors as of `task_from_table` and `save_task`."""
        kept: Path = self.ask("keep", columns, options, workspace.root, name, title, instruction)
        return kept

    def preview(self, columns: ColumnMapping, options: TableOptions) -> TablePreview:
        """`preview_table` of the table."""
        previewed: TablePreview = self.ask("preview", columns, options)
        return previewed


class _Elsewhere:
    """Images that are in the file, which is not at hand."""

    def has(self, name: str) -> bool:
        return False

    def read(self, name: str) -> bytes:
        raise BadInput(f"image {name!r} is not at hand")


def outline(table: Table, rows: Sequence[Row | RowProblem] = ()) -> Table:
    """What is known of a table without its images, and without its rows but for some."""
    return replace(table, read=partial(iter, tuple(rows)), images=None if table.images is None else _Elsewhere())


# In the process.


def look(upload: Upload) -> tuple[Table, Guess]:
    """See `Upload.look`."""
    table = upload.open()
    return outline(table), _without_profiles(guess_columns(table))


def guess(upload: Upload, given: dict[str, Any]) -> Guess:
    """See `Upload.guess`."""
    return _without_profiles(guess_columns(upload.open(), **given))


def preview(upload: Upload, columns: ColumnMapping, options: TableOptions) -> TablePreview:
    """See `Upload.preview`."""
    return preview_table(upload.open(), columns, options=options)


def keep(
    upload: Upload, columns: ColumnMapping, options: TableOptions, root: Path, name: str, title: str, instruction: str
) -> Path:
    """See `Upload.keep`."""
    task = task_from_table(
        upload.open(), name=name, title=title, instruction=instruction, columns=columns, options=options
    )
    return save_task(task, Workspace(root))


def _without_profiles(guess: Guess) -> Guess:
    """They hold the values of whole columns, and only the guess needs them."""
    return replace(guess, profiles={})
