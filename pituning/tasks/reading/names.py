"""The usual names of columns, by what they hold. Torch-free."""

from __future__ import annotations

import re

ANSWER = (
    "gold_label", "label", "labels", "answer", "answers", "target", "targets", "class", "category", "intent",
    "sentiment", "output", "completion", "response", "assistant", "judgment", "entailment_judgment", "caption",
    "captions", "score", "rating", "stars", "similarity", "bbox", "box", "tags", "topics", "emotions", "y",
)  # fmt: skip
"""In the order in which they are preferred."""

TEXT = (
    "text", "sentence", "question", "input", "prompt", "review", "content", "premise", "hypothesis", "sentence1",
    "sentence2", "question1", "question2", "text1", "text2", "text_a", "text_b", "sentence_a", "sentence_b", "context",
    "passage", "query", "document", "utterance", "body", "title", "comment", "message", "user", "system", "tweet",
    "description", "abstract", "headline", "article", "statement", "claim", "expression", "ref", "x",
)  # fmt: skip
IMAGE = ("image", "image_path", "img", "file", "filename", "file_name", "picture", "photo", "image_id", "path")
SPLIT = ("split", "subset", "partition", "set", "fold")
NUMBER = (
    "id",
    "idx",
    "index",
    "uid",
    "guid",
    "qid",
    "pairid",
    "pair_id",
    "question_id",
    "annotation_id",
    "unnamed: 0",
    "row",
)
OTHER = ("width", "height", "xmin", "ymin", "xmax", "ymax", "source", "url", "instruction", "messages", "name", "date")

SEVERAL = ("labels", "tags", "topics", "emotions", "categories", "genres", "classes", "attributes", "keywords")
"""Lists under these names hold labels that are all true at once; under others, answers of which each is right."""

_USUAL = frozenset((*ANSWER, *TEXT, *IMAGE, *SPLIT, *NUMBER, *OTHER, *SEVERAL))


def plain_name(name: str) -> str:
    """A name as it is looked up: without case, outer blanks, and with one sign between words."""
    snake = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name.strip())
    return re.sub(r"[\s\-.]+", "_", snake).lower()


def is_usual_name(name: str) -> bool:
    """Whether columns are often called so."""
    plain = plain_name(name)
    parts = plain.split("_")
    return plain in _USUAL or (len(parts) < 4 and " " not in name and any(part in _USUAL for part in parts if part))
