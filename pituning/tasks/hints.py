"""What a person should know about a table that can be used but may not be what was meant. Torch-free."""

from __future__ import annotations

from collections import Counter

import numpy as np

MIN_ROWS_PER_CLASS = 3
UNEVEN = 3
"""Answers are uneven when one comes up so many times as often as another."""


def hints(questions: np.ndarray, answers: np.ndarray, splits: np.ndarray, counts: Counter[str], kind: str) -> list[str]:
    """One line each: repeated or leaked questions, contradictions, rare or uneven answers.

    Args:
        questions: (N,) equal numbers where rows ask the same question.
        answers: (N,) equal numbers where rows have the same answer.
        splits: (N,) the number of each row's split; train is 0.
        counts: how often each label comes up.
        kind: of the answers, see `pituning.tasks.answers.ANSWER_KINDS`.
    """
    notes: list[str] = []
    different = len(np.unique(questions))
    closed = kind == "labels"
    if repeats := len(questions) - different:
        rows = "1 row repeats" if repeats == 1 else f"{repeats} rows repeat"
        notes.append(f"{rows} the question of another row")
    if closed and (several := _several(questions, answers)):
        come = "1 question comes" if several == 1 else f"{several} questions come"
        notes.append(f"{come} with different answers; at most one of them can be right")
    trained = np.unique(questions[splits == 0])
    if leaked := int(np.isin(np.unique(questions[splits != 0]), trained).sum()):
        are = "1 question is" if leaked == 1 else f"{leaked} questions are"
        notes.append(f"{are} in the training split and in another one: the score will flatter")
    if closed:
        return notes + _balance(counts)
    if kind == "text":
        number = len(np.unique(answers))
        rare = number > len(answers) / MIN_ROWS_PER_CLASS
        why = f"; labels would need {MIN_ROWS_PER_CLASS} rows each, --answers labels takes them so" if rare else ""
        notes.append(f"answers are taken as open text ({number} different ones{why})")
    return notes


def _several(questions: np.ndarray, answers: np.ndarray) -> int:
    """How many questions come with more than one answer."""
    pairs = np.unique(np.stack([questions, answers]), axis=1)
    return int((np.unique(pairs[0], return_counts=True)[1] > 1).sum())


def _balance(counts: Counter[str]) -> list[str]:
    most, least = counts.most_common(1)[0], counts.most_common()[-1]
    notes: list[str] = []
    if least[1] < MIN_ROWS_PER_CLASS:
        times = "once" if least[1] == 1 else "twice"
        notes.append(f"answer {least[0]!r} comes up {times} only: a typing mistake?")
    if most[1] >= UNEVEN * least[1]:
        share = 100 * most[1] / counts.total()
        notes.append(
            f"answers are uneven: {most[0]!r} {most[1]} times, {least[0]!r} {least[1]} "
            f"{'time' if least[1] == 1 else 'times'}; always answering {most[0]!r} would score {share:.1f}"
        )
    return notes
