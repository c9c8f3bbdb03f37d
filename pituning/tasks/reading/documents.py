"""JSON documents: the usual forms in which one document holds a table. Torch-free.

Each form is a function that gives the rows of a document, or nothing where the document is of another form.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pituning.tasks.reading.base import SPLIT_COLUMN
from pituning.tasks.reading.splits import split_of

Records = Sequence[Any]

_ROWS_UNDER = ("data", "rows", "examples", "instances", "train", "items", "records")


def document_rows(document: Any) -> tuple[Records, str]:
    """The rows of a document and the name of its form; no rows where no form fits."""
    for form, rows_of in FORMS.items():
        records = rows_of(document)
        if records:
            return records, form
    return [], ""


def _array(document: Any) -> Records:
    if not isinstance(document, list) or not document:
        return []
    if all(isinstance(record, list) for record in document):
        width = len(document[0])
        if width < 2 or any(len(record) != width for record in document):
            return []
        return [{f"column {place}": value for place, value in enumerate(record, start=1)} for record in document]
    return document if any(isinstance(record, dict) for record in document) else []


def _splits(document: Any) -> Records:
    """An object whose fields are splits: ``{"train": [...], "test": [...]}``; CLINC150 is kept so."""
    if not isinstance(document, dict) or not document:
        return []
    rows: list[Any] = []
    for name, part in document.items():
        split, records = split_of(name), _array(part) or _columns(part)
        if split is None or not records:
            return []
        rows += [{**record, SPLIT_COLUMN: split} if isinstance(record, dict) else record for record in records]
    return rows


def _columns(document: Any) -> Records:
    """An object of lists, or of objects as pandas writes it: one for each column."""
    if not isinstance(document, dict) or len(document) < 2:
        return []
    columns = list(document.values())
    if all(isinstance(column, dict) for column in columns) and columns[0]:
        keys = list(columns[0])
        if any(list(column) != keys for column in columns):
            return []
        if any(isinstance(value, dict | list) for column in columns for value in column.values()):
            return []
        columns = [list(column.values()) for column in columns]
    elif not all(isinstance(column, list) for column in columns) or len({len(column) for column in columns}) != 1:
        return []
    if len(columns[0]) < 2:  # rather one record whose values are lists
        return []
    return [dict(zip(document, cells, strict=True)) for cells in zip(*columns, strict=True)]


def _squad(document: Any) -> Records:
    """SQuAD and its like: articles, paragraphs, questions with several right answers."""
    articles = document.get("data") if isinstance(document, dict) else None
    if not isinstance(articles, list) or not all(isinstance(a, dict) and "paragraphs" in a for a in articles):
        return []
    rows: list[dict[str, Any]] = []
    for article in articles:
        for paragraph in article["paragraphs"]:
            for question in paragraph.get("qas", ()):
                texts = [answer.get("text", "") for answer in question.get("answers", ())]
                rows.append(
                    {
                        "id": question.get("id"),
                        "title": article.get("title"),
                        "context": paragraph.get("context"),
                        "question": question.get("question"),
                        "answers": texts or None,
                    }
                )
    return rows


def _coco(document: Any) -> Records:
    """COCO: images, and boxes or captions that name them by number."""
    if not isinstance(document, dict) or not all(
        isinstance(document.get(part), list) for part in ("images", "annotations")
    ):
        return []
    images = {image.get("id"): image for image in document["images"] if isinstance(image, dict)}
    kinds = {kind.get("id"): kind.get("name") for kind in document.get("categories", ()) if isinstance(kind, dict)}
    rows: list[dict[str, Any]] = []
    for annotation in document["annotations"]:
        image = images.get(annotation.get("image_id"))
        if image is None or "file_name" not in image:
            continue
        row: dict[str, Any] = {"file_name": image["file_name"]}
        if "bbox" in annotation:
            x, y, width, height = annotation["bbox"]
            row |= {"width": image.get("width"), "height": image.get("height")}
            row |= {"category": kinds.get(annotation.get("category_id"))}
            row |= {"xmin": x, "ymin": y, "xmax": x + width, "ymax": y + height}
        elif "caption" in annotation:
            row["caption"] = annotation["caption"]
        else:
            continue
        rows.append(row)
    return rows


def _vqa(document: Any) -> Records:
    """Questions about images by number, with or without their answers."""
    questions = document.get("questions") if isinstance(document, dict) else None
    return questions if isinstance(questions, list) and all(isinstance(q, dict) for q in questions) else []


def _wrapped(document: Any) -> Records:
    if not isinstance(document, dict):
        return []
    return next((rows for name in _ROWS_UNDER if (rows := _array(document.get(name)))), [])


FORMS: dict[str, Callable[[Any], Records]] = {
    "JSON list": _array,
    "COCO": _coco,
    "SQuAD": _squad,
    "VQA": _vqa,
    "JSON, by split": _splits,
    "JSON, by column": _columns,
    "JSON, rows": _wrapped,
}
