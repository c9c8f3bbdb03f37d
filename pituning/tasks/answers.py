"""Answers as people write them: which are the same, which are missing, and what kind they are of. Torch-free."""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pituning.errors import BadInput
from pituning.registry import Registry
from pituning.tasks.reading import as_text

MISSING = frozenset({"", "nan", "null", "none", "na", "n/a", "<na>", "#n/a", "nil", "-", "–", "—"})
"""What cells say where there is no answer, in lower case; among classes that are whole numbers, -1 says so too."""

NONE_OF_THEM = "none"
"""The answer where several labels can be true and none is."""

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_WHOLE = re.compile(r"[+-]?\d+(?:\.0*)?")


@dataclass(frozen=True, kw_only=True)
class AnswerKind:
    """What answers are, and so how they are scored.

    Args:
        name: what programs and ``--answers`` call it.
        label: what people read.
        help: one sentence for people.
        metric: by which answers of the kind are scored, where no other one is chosen.
    """

    name: str
    label: str
    help: str
    metric: str


ANSWER_KINDS: Registry[AnswerKind] = Registry(
    "kind of answers",
    [
        AnswerKind(
            name="labels", label="Labels", help="One of a closed set: right or wrong.", metric="accuracy"
        ),
        AnswerKind(
            name="text", label="Free text", help="Scored by the words that match, against every right answer.",
            metric="token_f1",
        ),
        AnswerKind(
            name="number", label="Numbers", help="Scored by how well they go up and down with the true ones.",
            metric="pearson",
        ),
        AnswerKind(
            name="several", label="Several labels at once", help="Scored by the F1 of the labels of each example.",
            metric="multilabel_f1",
        ),
        AnswerKind(
            name="votes", label="Answers of several people",
            help="Right in part when few gave an answer, wholly when three did.", metric="vqa_accuracy",
        ),
        AnswerKind(name="box", label="Boxes", help="Scored by whether they overlap the true one.", metric="box_iou"),
    ],
    field="answers",
)  # fmt: skip


def clean_text(text: str) -> str:
    """A text as it stands, without the control characters that a terminal would obey, and without outer blanks."""
    return _CONTROL.sub("", text).strip()


def visible(text: str) -> str:
    """A text without characters that nobody sees: zero-width ones, marks of direction, soft hyphens."""
    return "".join(c for c in text if c.isascii() or unicodedata.category(c) != "Cf")


def _one_blank(text: str) -> str:
    return " ".join(text.split())


def _one_form(text: str) -> str:
    return text if text.isascii() else unicodedata.normalize("NFKC", text)


def _seen(text: str) -> str:
    return text if (seen := visible(text)) == text else _one_blank(seen)


def _one_number(text: str) -> str:
    if _WHOLE.fullmatch(text) and len(text) < 300:
        return str(int(float(text))) if "." in text else str(int(text))
    return text


_STEPS: Mapping[str, Callable[[str], str]] = {
    "blanks": _one_blank, "Unicode form": _one_form, "invisible characters": _seen,
    "the way a number is written": _one_number, "case": str.casefold,
}  # fmt: skip
"""By what they even out: the steps by which spellings of one answer become the same, in their order."""


def _steps(text: str, without: str | None = None) -> Iterable[str]:
    """A text after each of the steps, without one of them."""
    for what, step in _STEPS.items():
        if what != without:
            text = step(text)
            yield text


@lru_cache(maxsize=2**14)
def answer_key(text: str) -> str:
    """What is equal for all spellings of one answer."""
    return list(_steps(text))[-1]


def merge_reasons(spellings: Sequence[str]) -> list[str]:
    """In what spellings of one answer differ: what they would not be the same without."""

    def forms(without: str | None) -> list[tuple[str, ...]]:
        return [tuple(_steps(spelling, without)) for spelling in spellings]

    needed = [what for what in _STEPS if len({steps[-1] for steps in forms(what)}) > 1]
    if needed or len(set(spellings)) == 1:
        return needed
    # Two of the steps do the same to them, as with a blank of another width: the first that does it.
    after = zip(_STEPS, zip(*forms(None), strict=True), strict=True)
    return [next(what for what, spelled in after if len({*spelled}) == 1)]


def shown_label(spellings: Mapping[str, int]) -> str:
    """How the answer of several spellings is written: as it is most often, without what nobody sees."""
    counts: Counter[str] = Counter()
    for spelling, count in spellings.items():
        *_, visible_form, number_form, _key = _steps(clean_text(spelling))
        counts[number_form if _WHOLE.fullmatch(visible_form) else visible_form] += count
    return max(counts, key=lambda form: (counts[form], form.islower()))


def is_missing(key: str) -> bool:
    """Whether the key of an answer says that there is none."""
    return key in MISSING


def several_items(value: Any) -> list[str] | None:
    """The items of a cell that holds a list of answers, as text; None where it holds something else.

    Lists of objects count where these have an ``answer`` or a ``text``, as VQA's and SQuAD's do; an object of lists
    counts where it has a ``text``, as the datasets library keeps SQuAD's.
    """
    if isinstance(value, dict):
        value = value.get("text", value.get("answer"))
    if not isinstance(value, list | tuple):
        return None
    items: list[str] = []
    for item in value:
        if isinstance(item, dict):
            item = item.get("answer", item.get("text", item.get("label")))
        if isinstance(item, list | tuple | dict):
            return None
        if item is not None:
            items.append(as_text(item))
    return items


def parse_label_names(text: str) -> dict[str, str]:
    """The names of coded labels, from ``0=bad,1=good`` or, from 0 on, ``bad,good``.

    Raises:
        BadInput: a name is empty or there twice.
    """
    parts = [part.strip() for part in text.split(",")]
    if all("=" in part for part in parts):
        names = {code.strip(): name.strip() for code, _, name in (part.partition("=") for part in parts)}
    else:
        names = {str(place): part for place, part in enumerate(parts)}
    if not all(names.values()) or len(set(names.values())) < len(parts):
        raise BadInput(f"label names {text!r} are not one name for each label; write 0=bad,1=good", field="label_names")
    return {answer_key(code): name for code, name in names.items()}


def number(text: str) -> float | None:
    """The finite number that a text is, with a decimal comma or point; None where it is none."""
    try:
        value = float(text.strip().replace(",", "."))
    except ValueError:
        return None
    return value if math.isfinite(value) else None
