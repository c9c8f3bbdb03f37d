"""What two tasks have in common and what their experts did for each other, in one sentence that says what is known.

The families of the suite's tasks are known, and what they ask; of other tasks there are the instruction, the answers
and what is read. Nothing is guessed beyond that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pituning.graph.harm import points, signed
from pituning.tasks.base import Task
from pituning.tasks.metrics import METRICS
from pituning.text import one_line, shorten

FAMILIES = {
    "entailment": "ask whether a statement follows from what is given",
    "paraphrase": "ask whether two texts mean the same",
    "grounding": "ask where in a picture something is",
    "attributes": "ask about shapes, colours or numbers of drawn things",
    "depiction": "ask what a drawing shows",
    "surfaces": "ask what kind of surface a picture shows",
    "parts": "ask of which kind a thing is that is drawn from parts",
}
"""What the tasks of each planted family have in common."""

READS = {"vision": "pictures", "language": "text", "vision-language": "pictures with text"}
SHOWN_ANSWERS = 3
MOST_TITLE, MOST_INSTRUCTION, MOST_ANSWER = 60, 80, 24


@dataclass(frozen=True, kw_only=True)
class Effect:
    """What the expert of a donor did for a target, or how similar the two are; None where that is not known.

    Args:
        target: title of the one that learns; the other of the pair is the donor.
        gain: measured, in points.
        half: half of the 95 % interval of the gain over seeds.
        expected: the gain that was predicted, in points.
        rank: of the donor among the ``others`` by similarity to the target, 1 the most similar.
    """

    target: str
    gain: float | None = None
    half: float | None = None
    expected: float | None = None
    rank: int | None = None
    others: int = 0


def pair_sentence(a: Task, b: Task, effects: Sequence[Effect] = ()) -> str:
    """One sentence as plain text: what the two share or not, what similarity expects, and what was measured.

    Args:
        effects: of one as a donor of the other, in the order in which they are to be told.
    """
    parts = [_common(a, b), *_expected(effects), _measured(effects)]
    return one_line("; ".join(parts), most=2_000) + "."


def _common(a: Task, b: Task) -> str:
    """What they share: the most telling thing first."""
    shared = [*_shared_question(a, b), *_shared_answers(a, b)]
    if shared:
        if a.modality != b.modality:
            return f"Both {' and '.join(shared)}, {_title(a.title)} of {_reads(a)}, {_title(b.title)} of {_reads(b)}"
        return f"Both {' and '.join(shared)}"
    if a.modality == b.modality:
        return f"Both read {_reads(a)}, but {_title(a.title)} answers {_answers(a)} and {_title(b.title)} {_answers(b)}"
    return (
        f"{_title(a.title)} reads {_reads(a)} and answers {_answers(a)}, "
        f"{_title(b.title)} reads {_reads(b)} and answers {_answers(b)}"
    )


def _shared_question(a: Task, b: Task) -> list[str]:
    families = [family for family in a.families if family in b.families]
    known = [FAMILIES[family] for family in families if family in FAMILIES]
    if known:
        return known[:1]
    if families:
        return [f"are of the family “{shorten(families[0], MOST_TITLE)}”"]
    first, second = (" ".join(task.instruction.casefold().split()).rstrip(" ?.:!") for task in (a, b))
    return [f"ask “{shorten(a.instruction.strip(), MOST_INSTRUCTION)}”"] if first and first == second else []


def _shared_answers(a: Task, b: Task) -> list[str]:
    if a.labels is None or b.labels is None:
        if a.labels is None and b.labels is None and a.metric == b.metric:
            return [f"answer {_answers(a)}"]
        return []
    theirs = {label.casefold() for label in b.labels}
    common = [label for label in a.labels if label.casefold() in theirs]
    if len(common) < 2:
        return []
    whole = len(common) == len(a.labels) == len(b.labels)
    return [f"answer {_listed(common)}" if whole else f"know the answers {_listed(common, joint='and')}"]


def _expected(effects: Sequence[Effect]) -> list[str]:
    ranks = [
        f"number {one.rank} of {one.others:,} for {_title(one.target)}"
        for one in effects
        if one.rank is not None and one.others > 1
    ]
    return [f"by similarity {' and '.join(ranks)}"] if ranks else []


def _measured(effects: Sequence[Effect]) -> str:
    known = [
        f"{_title(one.target)} {_changed(one.gain, one.half)}"
        + ("" if one.expected is None or not math.isfinite(one.expected) else f" (expected {signed(one.expected)})")
        for one in effects
        if one.gain is not None and math.isfinite(one.gain)
    ]
    if known:
        return f"measured, with the other’s expert, {' and '.join(known)}"
    hoped = [
        f"{points(one.expected)} for {_title(one.target)}"
        for one in effects
        if one.expected is not None and math.isfinite(one.expected)
    ]
    if hoped:
        return f"the other’s expert is expected to be worth {' and '.join(hoped)}, which is not measured"
    return "whether the expert of one helps the other is not measured"


def _changed(gain: float, half: float | None) -> str:
    rounded = round(gain, 1)
    if not rounded:
        return "neither gained nor lost"
    sure = "" if half is None or not math.isfinite(half) else f" ± {half:.1f}"
    return f"{'gained' if rounded > 0 else 'lost'} {abs(rounded):.1f}{sure} points"


def _title(title: str) -> str:
    return shorten(" ".join(title.split()), MOST_TITLE) or "a task without a title"


def _reads(task: Task) -> str:
    return READS.get(task.modality, shorten(task.modality, MOST_TITLE))


def _answers(task: Task) -> str:
    if task.labels is not None:
        return _listed(task.labels)
    record = METRICS.get(task.metric)
    return "with a place in the picture" if record is not None and record.boxes else "in words of its own"


def _listed(labels: Sequence[str], *, joint: str = "or") -> str:
    shown = [f"“{shorten(' '.join(label.split()), MOST_ANSWER)}”" for label in labels]
    if len(shown) > SHOWN_ANSWERS + 1:
        return f"{', '.join(shown[:SHOWN_ANSWERS])} {joint} {len(shown) - SHOWN_ANSWERS} others"
    return f"{', '.join(shown[:-1])} {joint} {shown[-1]}" if len(shown) > 1 else "".join(shown)
