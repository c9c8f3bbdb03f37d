"""Questions about images in one file and their answers in another, as VQA has them. Torch-free."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from pituning.errors import BadInput
from pituning.tasks.reading.base import SPLIT_COLUMN, ReadOptions, Row, RowProblem, Table, read_whole
from pituning.tasks.reading.layouts import table_paths
from pituning.tasks.reading.splits import split_of_path
from pituning.tasks.reading.trees import Tree
from pituning.workspace.documents import parse_json

_PARTS = ("questions", "annotations")


def read_vqa(tree: Tree, options: ReadOptions) -> Table | None:
    """The questions of one or several splits with their answers; None where there is no such pair of files."""
    paths = [path for path in table_paths(tree) if path.lower().endswith(".json") and _speaks(path)]
    parts: dict[str, list[tuple[str, list[dict[str, Any]]]]] = {part: [] for part in _PARTS}
    for path in paths:
        document = _document(tree, path)
        for part in _PARTS:
            rows = document.get(part)
            if isinstance(rows, list) and rows and isinstance(rows[0], dict) and "question_id" in rows[0]:
                parts[part].append((path, rows))
    if not parts["questions"] or not parts["annotations"]:
        return None
    answers = {row["question_id"]: row for _, rows in parts["annotations"] for row in rows}
    several = len(parts["questions"]) > 1
    images = tree.images(parts["questions"][0][0])
    names = _numbers(tree)

    def read() -> Iterator[Row | RowProblem]:
        number = 0
        for path, rows in parts["questions"]:
            for question in rows:
                number += 1
                answer = answers.get(question["question_id"], {})
                image: Any = question.get("image_id")
                cells = {"question": question.get("question"), "image": names.get(image, image)}
                cells["answers"] = answer.get("answers")
                yield Row(number, cells | ({SPLIT_COLUMN: split_of_path(path)} if several else {}))

    columns = ("question", "image", "answers", *([SPLIT_COLUMN] if several else []))
    return Table(filename=tree.name, columns=columns, form="VQA", read=read, images=images or None)


def _speaks(path: str) -> bool:
    return any(part in PurePosixPath(path).stem.lower() for part in _PARTS)


def _document(tree: Tree, path: str) -> dict[str, Any]:
    try:
        document = parse_json(read_whole(tree.source(path)))
    except (ValueError, BadInput):
        return {}
    return document if isinstance(document, dict) else {}


def _numbers(tree: Tree) -> dict[int, str]:
    """Images by the number at the end of their names: COCO_train2014_000000458752.jpg."""
    numbers: dict[int, str] = {}
    for path in tree.paths:
        digits = PurePosixPath(path).stem.rpartition("_")[2]
        if digits.isdigit():
            numbers[int(digits)] = path
    return numbers
