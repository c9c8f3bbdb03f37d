"""Boxes in XML, one file for each image, as PASCAL VOC has them. Torch-free."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any
from xml.etree import ElementTree

from pituning.tasks.reading.base import ReadOptions, Row, RowProblem, Table, read_whole
from pituning.tasks.reading.trees import Tree

MAX_XML_BYTES = 2**20
COLUMNS = ("filename", "width", "height", "class", "xmin", "ymin", "xmax", "ymax")


def read_voc(tree: Tree, options: ReadOptions) -> Table | None:
    """One row for each object of each image."""
    paths = [path for path in tree.paths if path.lower().endswith(".xml")]
    if not paths:
        return None

    def read() -> Iterator[Row | RowProblem]:
        number = 0
        for path in paths:
            number += 1
            data = read_whole(tree.source(path), MAX_XML_BYTES)
            try:
                if b"<!ENTITY" in data:
                    raise ElementTree.ParseError("entities are not read")
                root = ElementTree.fromstring(data)
            except ElementTree.ParseError as error:
                yield RowProblem(number, f"{path!r} is no readable XML ({error})")
                continue
            for cells in _objects(root, path):
                yield Row(number, cells)
                number += 1

    if not any(isinstance(row, Row) for row in read()):
        return None
    return Table(filename=tree.name, columns=COLUMNS, form="VOC", read=read, images=tree.images(paths[0]) or None)


def _objects(root: ElementTree.Element, path: str) -> Iterator[dict[str, Any]]:
    filename = root.findtext("filename") or PurePosixPath(path).stem
    size = {side: root.findtext(f"size/{side}") for side in ("width", "height")}
    for thing in root.iter("object"):
        corners = {corner: thing.findtext(f"bndbox/{corner}") for corner in COLUMNS[4:]}
        yield {"filename": filename, **size, "class": thing.findtext("name"), **corners}
