"""What lies in a zip or a folder: a saved data set, boxes in XML, tables, or images in folders. Torch-free."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

from pituning.errors import BadInput
from pituning.registry import Registry, load
from pituning.tasks.reading.base import SPLIT_COLUMN, ReadOptions, Row, RowProblem, Table, bad_file
from pituning.tasks.reading.opening import READ, format_of, open_source
from pituning.tasks.reading.splits import split_of_path
from pituning.tasks.reading.trees import Tree

_NO_TABLES = (
    "readme", "licence", "license", "copying", "notice", "changelog", "changes", "citation", "sources", "authors",
    "requirements", "contributing", "dataset_info", "dataset_infos", "dataset_dict", "state", "config", "package",
)  # fmt: skip
CARD_NAMES = ("card.yaml", "card.yml")


@dataclass(frozen=True, kw_only=True)
class LayoutRecord:
    """A way in which a zip or a folder holds a table.

    Args:
        name: what programs call it.
        path: of its function ``(tree, options) -> Table | None``; None where the tree is laid out otherwise.
    """

    name: str
    path: str


LAYOUTS: Registry[LayoutRecord] = Registry(
    "layout",
    [
        LayoutRecord(name="saved-dataset", path="pituning.tasks.reading.saved_datasets:read_saved_dataset"),
        LayoutRecord(name="voc", path="pituning.tasks.reading.voc:read_voc"),
        LayoutRecord(name="vqa", path="pituning.tasks.reading.vqa:read_vqa"),
        LayoutRecord(name="tables", path="pituning.tasks.reading.layouts:read_tables"),
        LayoutRecord(name="image-folder", path="pituning.tasks.reading.image_folders:read_image_folder"),
    ],
    group="pituning.layouts",
)
"""In the order in which they are tried."""


def read_tree(tree: Tree, options: ReadOptions) -> Table:
    """The table of a zip or a folder.

    Raises:
        BadInput: there is none, or several of which nobody knows which is meant.
    """
    for record in LAYOUTS.values():
        table: Table | None = load(record.path)(tree, options)
        if table is not None:
            return replace(table, card=_card(tree))
    raise bad_file(
        tree.name, f"has no table ({READ}), no images in folders named for their labels, and no boxes in XML"
    )


def table_paths(tree: Tree) -> list[str]:
    """The files of a tree that may be tables: not READMEs, licences, or lists beside a real table."""
    paths = [path for path in tree.paths if format_of(path) is not None and not _is_notes(path)]
    real = [path for path in paths if not path.lower().endswith(".txt")]
    return real or paths


def _is_notes(path: str) -> bool:
    return PurePosixPath(path).stem.lower().split(".")[0] in _NO_TABLES


def read_tables(tree: Tree, options: ReadOptions) -> Table | None:
    """One table, or one for each split.

    Raises:
        BadInput: there are several that are no splits of one.
    """
    paths = table_paths(tree)
    if options.table is not None:
        if options.table not in tree.paths:
            raise BadInput(
                f"{tree.name!r} holds no table {options.table!r}; it has {', '.join(paths[:5]) or 'none'}",
                field="table",
            )
        paths, options = [options.table], replace(options, table=None)
    if not paths:
        return None
    if len(paths) == 1:
        table = open_source(tree.source(paths[0]), options)
        return replace(table, images=tree.images(paths[0]) or None)
    splits = {path: split_of_path(path) for path in paths}
    if None in splits.values():
        named = ", ".join(paths[:3]) + (", …" if len(paths) > 3 else "")
        raise bad_file(
            tree.name,
            f"has {len(paths)} tables ({named}); choose one with --table, or name them train, validation, test",
        )
    return joined(tree, {path: open_source(tree.source(path), options) for path in paths}, splits)


def joined(tree: Tree, tables: Mapping[str, Table], splits: Mapping[str, str | None]) -> Table:
    """The tables of the splits as one, whose images are looked for beside each.

    Raises:
        BadInput: their columns differ.
    """
    first_path, first = next(iter(tables.items()))
    columns: dict[str, None] = {}
    for path, table in tables.items():
        if not set(table.columns) & set(first.columns):
            raise bad_file(
                tree.name, f"has the tables {first_path!r} and {path!r}, which share no column; choose one with --table"
            )
        columns |= dict.fromkeys(table.columns)
    images = tree.images(first_path) or None
    nested = len({PurePosixPath(path).parent for path in tables}) > 1

    def read() -> Iterator[Row | RowProblem]:
        for path, table in tables.items():
            folder = PurePosixPath(path).parent
            for row in table.read():
                if isinstance(row, RowProblem):
                    yield replace(row, file=path)
                    continue
                cells: dict[str, Any] = {**dict.fromkeys(columns), **row.cells}
                if splits[path] is not None:
                    cells.setdefault(SPLIT_COLUMN, splits[path])
                if nested and images is not None:
                    cells = {key: _below(value, folder, images.has) for key, value in cells.items()}
                yield Row(row.number, cells, path)

    split = any(splits.values()) and SPLIT_COLUMN not in columns
    return replace(
        first,
        filename=tree.name,
        columns=(*columns, SPLIT_COLUMN) if split else tuple(columns),
        form=f"{first.form}, {len(tables)} files",
        read=read,
        images=images,
        notes=tuple(dict.fromkeys(note for table in tables.values() for note in table.notes)),
    )


def _below(value: Any, folder: PurePosixPath, has: Callable[[str], bool]) -> Any:
    """The name of an image beside its own table as a path in the tree."""
    if isinstance(value, str) and value and len(value) < 500 and "." in value and "://" not in value:
        path = str(folder / value)
        return path if has(path) else value
    return value


def _card(tree: Tree) -> Mapping[str, Any]:
    from pituning.tasks.cards import parse_card

    path = next((path for path in tree.paths if PurePosixPath(path).name in CARD_NAMES), None)
    if path is None:
        return {}
    source = tree.source(path)
    with source.open() as stream:
        return parse_card(stream.read(2**20), source.name)
