"""A directory that ``Dataset.save_to_disk`` or ``DatasetDict.save_to_disk`` wrote. Torch-free."""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

from pituning.tasks.reading.arrow import class_labels
from pituning.tasks.reading.base import ReadOptions, Source, Table
from pituning.tasks.reading.layouts import joined
from pituning.tasks.reading.opening import open_source
from pituning.tasks.reading.splits import split_of_path
from pituning.tasks.reading.trees import Tree
from pituning.workspace.documents import parse_json


def read_saved_dataset(tree: Tree, options: ReadOptions) -> Table | None:
    """The table of a saved data set; the files that it counts are those that each split's state.json names."""
    states = [path for path in tree.paths if PurePosixPath(path).name == "state.json"]
    tables: dict[str, Table] = {}
    for state in states:
        folder = PurePosixPath(state).parent
        for entry in _object(tree.source(state)).get("_data_files", ()):
            path = str(folder / str(entry.get("filename")))
            if path in tree.paths:
                table = open_source(tree.source(path), options)
                info = str(folder / "dataset_info.json")
                features = _object(tree.source(info)).get("features", {}) if info in tree.paths else {}
                tables[path] = replace(table, label_names=table.label_names or class_labels(features))
    if not tables:
        return None
    several = len(states) > 1
    splits = {path: split_of_path(path) if several else None for path in tables}
    return replace(joined(tree, tables, splits), form="saved data set")


def _object(source: Source) -> dict[str, Any]:
    with source.open() as stream:
        try:
            document = parse_json(stream.read(16 * 2**20))
        except ValueError:
            return {}
    return document if isinstance(document, dict) else {}
