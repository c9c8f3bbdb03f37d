"""One reader for every form in which people keep tables: rows with their numbers, in bounded memory. Torch-free.

    table = open_table(Path("reviews.parquet"))
    table.columns            # ("text", "label")
    for row in table.rows():  # as often as it is wanted; each time the file is read again
        row.number, row.cells  # 2, {"text": "…", "label": 1}

A form is a `FormatRecord` of `FORMATS`; adding one is one file.
"""

from __future__ import annotations

from pituning.tasks.reading.base import FormatRecord, ReadOptions, Row, RowProblem, Table, as_text
from pituning.tasks.reading.opening import FORMATS, open_table

__all__ = ["FORMATS", "FormatRecord", "ReadOptions", "Row", "RowProblem", "Table", "as_text", "open_table"]
