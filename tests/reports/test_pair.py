"""One sentence on two tasks: it says what is known, and nothing else."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pituning.reports.pair import FAMILIES, Effect, pair_sentence
from pituning.tasks.base import Task
from pituning.tasks.mini import TASK_NAMES, mini_task
from pituning.text import visible

NLI, RTE, SENTIMENT = (mini_task(name) for name in ("nli", "rte", "sentiment"))
TEXT = st.text(max_size=40)
NUMBERS = st.none() | st.floats()


def test_what_two_tasks_share_and_what_was_measured() -> None:
    effects = [
        Effect(target=NLI.title, gain=3.04, half=1.96, expected=4.0, rank=1, others=19),
        Effect(target=RTE.title, gain=-6.0, rank=2, others=19),
    ]
    assert pair_sentence(NLI, RTE, effects) == (
        "Both ask whether a statement follows from what is given; by similarity number 1 of 19 for Natural language "
        "inference and number 2 of 19 for Textual entailment; measured, with the other’s expert, Natural language "
        "inference gained 3.0 ± 2.0 points (expected +4.0) and Textual entailment lost 6.0 points."
    )
    assert "neither gained nor lost" in pair_sentence(NLI, RTE, [replace(effects[0], gain=-0.04)])
    alone = pair_sentence(NLI, RTE, [replace(effects[0], gain=None)])
    assert "is expected to be worth +4.0 points for Natural language inference, which is not measured" in alone
    assert "is not measured" in pair_sentence(NLI, RTE, [replace(effects[0], gain=math.nan, expected=None)])


@pytest.mark.parametrize(
    ("a", "b", "words"),
    [
        ("same-meaning", "answers", "Both answer “yes” or “no”; "),
        ("nli", "visual-entailment", "given and answer “entailed”, “neutral” or “contradicted”, "
         "Natural language inference of text, Visual entailment of pictures with text; "),
        ("digits", "sentiment", "Handwritten digits reads pictures and answers “0”, “1”, “2” or 7 others, "
         "Sentiment reads text and answers “positive” or “negative”; "),
        ("rte", "sentiment", "Both read text, but Textual entailment answers “entailed” or “not entailed” "
         "and Sentiment “positive” or “negative”; "),
        ("ground-place", "ground-look", "something is and answer with a place in the picture; "),
    ],
)  # fmt: skip
def test_tasks_of_the_suite(a: str, b: str, words: str) -> None:
    assert words in pair_sentence(mini_task(a), mini_task(b))


def test_every_family_of_the_suite_has_words() -> None:
    assert {family for name in TASK_NAMES for family in mini_task(name).families} == set(FAMILIES)


@st.composite
def tasks(draw: st.DrawFn) -> Task:
    labels = draw(st.none() | st.lists(TEXT, min_size=1, max_size=6, unique=True).map(tuple))
    families = draw(st.lists(st.sampled_from([*FAMILIES, "unknown"]) | TEXT, max_size=2).map(tuple))
    return replace(
        SENTIMENT, title=draw(TEXT), instruction=draw(TEXT), labels=labels, families=families,
        modality=draw(st.sampled_from(["vision", "language", "odd"])),  # type: ignore[arg-type]
        metric=draw(st.sampled_from(["accuracy", "box_iou", "x"])),
    )  # fmt: skip


@settings(deadline=None, max_examples=60)
@given(a=tasks(), b=tasks(), gain=NUMBERS, half=NUMBERS, expected=NUMBERS, rank=st.none() | st.integers(1, 9))
def test_whatever_the_tasks_it_is_one_plain_line(
    a: Task, b: Task, gain: float | None, half: float | None, expected: float | None, rank: int | None
) -> None:
    sentence = pair_sentence(
        a, b, [Effect(target=a.title, gain=gain, half=half, expected=expected, rank=rank, others=9)]
    )
    assert len(sentence.splitlines()) == 1
    assert visible(sentence) == sentence
    assert sentence.endswith(".")
    assert sentence.startswith("Both ") or all(task.title in sentence for task in (a, b) if task.title.isalnum())
    assert ("is not measured" in sentence) == (gain is None or not math.isfinite(gain))
    assert ("by similarity" in sentence) == (rank is not None)
    assert pair_sentence(b, a).startswith("Both ") == pair_sentence(a, b).startswith("Both ")
