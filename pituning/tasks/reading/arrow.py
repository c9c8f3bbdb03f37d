"""Parquet, and Arrow as the datasets library saves it. Torch-free."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet

from pituning.tasks.reading.base import (
    BytesSource,
    PathSource,
    ReadOptions,
    Row,
    RowProblem,
    Source,
    Table,
    bad_file,
    check_columns,
    counted,
)
from pituning.workspace.documents import parse_json

BATCH = 1024


def read_parquet(source: Source, options: ReadOptions) -> Table:
    """A Parquet table.

    Raises:
        BadInput: it is damaged or no Parquet.
    """
    with _reading(source.name, "Parquet"):
        schema = pyarrow.parquet.ParquetFile(_open(source)).schema_arrow

    def batches() -> Iterator[pa.RecordBatch]:
        with _reading(source.name, "Parquet"):
            yield from pyarrow.parquet.ParquetFile(_open(source)).iter_batches(batch_size=BATCH)

    return arrow_table(source.name, schema, batches, "Parquet")


def read_arrow(source: Source, options: ReadOptions) -> Table:
    """An Arrow file or stream.

    Raises:
        BadInput: it is damaged or no Arrow.
    """
    with _reading(source.name, "Arrow"):
        schema = _ipc(source)[0]

    def batches() -> Iterator[pa.RecordBatch]:
        with _reading(source.name, "Arrow"):
            yield from _ipc(source)[1]

    return arrow_table(source.name, schema, batches, "Arrow")


def arrow_table(name: str, schema: pa.Schema, batches: Any, form: str) -> Table:
    """The table of record batches, with the names of coded labels where the schema's metadata has them.

    Raises:
        BadInput: the schema is damaged, or has too many columns.
    """
    with _reading(name, form):
        names, labels = schema.names, class_labels(_features(schema))
    columns = check_columns(names, name)

    def rows() -> Iterator[Row | RowProblem]:
        number = 0
        for batch in batches():
            with _reading(name, form):
                batch.validate(full=True)  # Arrow trusts offsets; wrong ones would be read from anywhere
                read = batch.to_pylist()
            for cells in read:
                number += 1
                yield Row(number, cells)

    return Table(
        filename=name,
        columns=columns,
        form=form,
        read=lambda: counted(rows(), name),
        label_names=labels,
    )


def class_labels(features: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """The names of the labels of each column that the datasets library calls a ClassLabel."""
    names: dict[str, tuple[str, ...]] = {}
    for column, feature in features.items():
        inner = feature.get("feature", feature) if isinstance(feature, dict) else {}
        if isinstance(inner, dict) and inner.get("_type") == "ClassLabel":
            names[column] = tuple(map(str, inner.get("names", ())))
    return names


def _features(schema: pa.Schema) -> dict[str, Any]:
    try:
        document = parse_json((schema.metadata or {}).get(b"huggingface", b"{}"))
        return dict(document["info"]["features"])
    except (ValueError, KeyError, TypeError):
        return {}


def _open(source: Source) -> Any:
    if isinstance(source, PathSource):
        return pa.memory_map(str(source.path))
    if isinstance(source, BytesSource):
        return pa.BufferReader(source.data)
    return source.open()


def _ipc(source: Source) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    try:
        file = pyarrow.ipc.open_file(_open(source))
    except pa.ArrowInvalid:
        stream = pyarrow.ipc.open_stream(_open(source))
        return stream.schema, iter(stream)
    return file.schema, (file.get_batch(number) for number in range(file.num_record_batches))


@contextmanager
def _reading(name: str, form: str) -> Iterator[None]:
    """Whatever Arrow hands out is decoded only here: names and texts of other encodings, times beyond Python's."""
    try:
        yield
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise bad_file(name, f"is not {form}, or it is damaged or cut off; save it again") from error
