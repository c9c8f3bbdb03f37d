"""Opens a table, whatever it lies in: a file, a zip, a folder, or bytes that somebody uploaded. Torch-free."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pituning.errors import BadInput
from pituning.registry import Registry, load
from pituning.tasks.reading.base import (
    MAX_TABLE_BYTES,
    BytesSource,
    FormatRecord,
    PathSource,
    ReadOptions,
    Source,
    Table,
    bad_file,
)
from pituning.tasks.reading.trees import BesideImages, FolderTree, ZipTree

MAX_ARCHIVE_BYTES = 256 * 2**20

FORMATS: Registry[FormatRecord] = Registry(
    "format",
    [
        FormatRecord(
            name="delimited",
            label="CSV or TSV",
            suffixes=(".csv", ".tsv", ".tab", ".txt"),
            path="pituning.tasks.reading.delimited:read_delimited",
        ),
        FormatRecord(
            name="excel",
            label="Excel",
            suffixes=(".xlsx", ".xlsm"),
            path="pituning.tasks.reading.excel:read_excel",
        ),
        FormatRecord(
            name="json",
            label="JSON or JSON lines",
            suffixes=(".json", ".jsonl", ".ndjson"),
            path="pituning.tasks.reading.jsons:read_json",
        ),
        FormatRecord(
            name="parquet",
            label="Parquet",
            suffixes=(".parquet", ".pq"),
            path="pituning.tasks.reading.arrow:read_parquet",
        ),
        FormatRecord(
            name="arrow",
            label="Arrow",
            suffixes=(".arrow", ".feather"),
            path="pituning.tasks.reading.arrow:read_arrow",
        ),
    ],
    group="pituning.formats",
)
"""Forms of single files; `pituning.tasks.reading.layouts` has those of zips and folders."""

READ = ".csv, .tsv, .txt, .xlsx, .json, .jsonl, .parquet, .arrow, .zip or a folder"
_IN_TREES = (".xml", ".yaml", ".yml")


def format_of(name: str) -> FormatRecord | None:
    """The format of a file by how its name ends."""
    suffix = Path(name).suffix.lower()
    return next((record for record in FORMATS.values() if suffix in record.suffixes), None)


def suffixes() -> tuple[str, ...]:
    """How the names of files that are read may end, that of a zip included."""
    return (*(suffix for record in FORMATS.values() for suffix in record.suffixes), ".zip")


def open_table(source: Path | str | bytes, options: ReadOptions | None = None, *, filename: str | None = None) -> Table:
    """A table from a path, or from the bytes of an uploaded file.

    Args:
        source: a file, a zip, a folder, or the content of a file.
        options: what the file does not say itself.
        filename: the name that tells the form and that messages use; needed with bytes.

    Raises:
        BadInput: the file is missing, empty, too large, of another form, wrongly encoded or cut off; what is wrong
            far below may be found only when its rows are read.
    """
    options = options or ReadOptions()
    if isinstance(source, bytes):
        name = Path(filename or "table").name
        if name.lower().endswith(".zip"):
            return _archive(source, name, options)
        return _file(BytesSource(name, source), options)
    path = Path(source)
    name = Path(filename or path).name
    _check_path(path)
    if path.is_dir():
        return _tree(FolderTree(path), options)
    if name.lower().endswith(".zip"):
        if path.stat().st_size > MAX_ARCHIVE_BYTES:
            size, most = path.stat().st_size / 2**20, MAX_ARCHIVE_BYTES // 2**20
            raise bad_file(
                str(path), f"has {size:.0f} MiB; make it smaller than {most} MiB, or unpack it into a folder"
            )
        with PathSource(name, path).open() as stream:
            return _archive(stream.read(), name, options)
    table = _file(PathSource(name, path), options)
    return replace(table, images=BesideImages(path.parent))


def _check_path(path: Path) -> None:
    try:
        if path.is_dir() or path.is_file():
            return
        there = path.exists()
    except (OSError, ValueError) as error:
        raise bad_file(str(path), f"cannot be read ({error}); check its permissions") from error
    if there:
        raise BadInput(f"{str(path)!r} is a pipe or a device; give {READ}", field="file")
    raise bad_file(str(path), "does not exist; check the path")


def _archive(data: bytes, name: str, options: ReadOptions) -> Table:
    if len(data) > MAX_ARCHIVE_BYTES:
        raise bad_file(name, f"has {len(data) / 2**20:.0f} MiB; make it smaller than {MAX_ARCHIVE_BYTES // 2**20} MiB")
    if not data.strip(b"\x00 \t\r\n"):
        raise bad_file(name, "is empty; give a table with a header and at least a few rows")
    return _tree(ZipTree(data, name, (*suffixes(), *_IN_TREES)), options)


def _tree(tree: ZipTree | FolderTree, options: ReadOptions) -> Table:
    from pituning.tasks.reading.layouts import read_tree

    return read_tree(tree, options)


def _file(source: Source, options: ReadOptions) -> Table:
    record = format_of(source.name)
    if record is None:
        raise bad_file(source.name, f": type {Path(source.name).suffix.lower() or '(none)'} is not read; give {READ}")
    if source.size > MAX_TABLE_BYTES:
        most = MAX_TABLE_BYTES // 2**20
        raise bad_file(source.name, f"has {source.size / 2**20:.0f} MiB; make it smaller than {most} MiB")
    if source.size == 0:
        raise bad_file(source.name, "is empty; give a table with a header and at least a few rows")
    table: Table = load(record.path)(source, options)
    if next(table.read(), None) is None:
        raise bad_file(source.name, "has no usable rows; add rows below the header")
    return table


open_source = _file
"""Reads one file of a tree."""
