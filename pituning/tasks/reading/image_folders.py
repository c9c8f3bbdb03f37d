"""Images in folders that are named for their labels, as torchvision and the datasets library read them. Torch-free."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from pituning.tasks.reading.base import SPLIT_COLUMN, ReadOptions, Row, RowProblem, Table
from pituning.tasks.reading.splits import split_of
from pituning.tasks.reading.trees import Tree, is_image


def read_image_folder(tree: Tree, options: ReadOptions) -> Table | None:
    """A table with the columns image, label and, where folders above are named for splits, split."""
    paths = [path for path in tree.paths if is_image(path)]
    labels = {PurePosixPath(path).parent.name for path in paths}
    if len(labels - {""}) < 2:
        return None
    splits = {path: _split(path) for path in paths}
    split = all(splits.values()) and bool(paths)
    # A folder for each split and nothing below says nothing of labels.
    if all(split_of(label) for label in labels):
        return None

    def read() -> Iterator[Row | RowProblem]:
        for number, path in enumerate(paths, start=1):
            label = PurePosixPath(path).parent.name
            if not label:
                yield RowProblem(number, f"image {path!r} lies in no folder that names its label")
                continue
            cells = {"image": path, "label": label}
            yield Row(number, cells | ({SPLIT_COLUMN: splits[path]} if split else {}))

    columns = ("image", "label", SPLIT_COLUMN) if split else ("image", "label")
    return Table(filename=tree.name, columns=columns, form="folders of images", read=read, images=tree.images("table"))


def _split(path: str) -> str | None:
    above = PurePosixPath(path).parent.parent
    return next((split for name in (above.name, *(p.name for p in above.parents)) if (split := split_of(name))), None)
