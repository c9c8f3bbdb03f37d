"""What a person should know about a table that can be used but may not be what was meant. Torch-free."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence

MIN_ROWS_PER_CLASS = 3
UNEVEN = 3
"""Answers are uneven when one comes up so many times as often as another."""


def hints(
    keys: Sequence[Hashable],
    answers: Sequence[str],
    splits: Sequence[str],
    *,
    written: Sequence[str],
    header: str,
    closed: bool,
) -> list[str]:
    """One line each: a header that is missing, merged spellings, repeated or leaked questions, rare or uneven answers.

    Args:
        keys: rows with equal keys ask the same question.
        answers: the cleaned answer of each row.
        splits: the split of each row.
        written: the answers as the file has them.
        header: the name of the column with the answers.
        closed: whether the answers are labels.
    """
    found: list[str] = []
    counts = Counter(answers)
    if closed and header.lower() in counts:
        found.append(f"the first row is read as the header, but {header!r} is also an answer: is a header missing?")
    spellings: dict[str, set[str]] = {}
    for answer, spelling in zip(answers, written, strict=True):
        spellings.setdefault(answer, set()).add(spelling)
    merged = next((sorted(several) for several in spellings.values() if len(several) > 1), None)
    if closed and merged is not None:
        found.append(f"{' and '.join(map(repr, merged[:3]))} are taken as one answer: all is read in lower case")
    by_question: dict[Hashable, set[str]] = {}
    places: dict[Hashable, set[str]] = {}
    for key, answer, split in zip(keys, answers, splits, strict=True):
        by_question.setdefault(key, set()).add(answer)
        places.setdefault(key, set()).add(split)
    if len(by_question) < len(answers):
        found.append(f"{len(answers) - len(by_question)} rows repeat the question of another row")
    if closed and (several := sum(len(a) > 1 for a in by_question.values())):
        found.append(f"{several} questions come with different answers; at most one of them can be right")
    if leaked := sum("train" in p and len(p) > 1 for p in places.values()):
        found.append(f"{leaked} questions are in the training split and in another one: the score will flatter")
    if not closed:
        found.append(f"answers are taken as open text ({len(counts)} different ones)")
        return found
    most, least = counts.most_common(1)[0], counts.most_common()[-1]
    if least[1] < MIN_ROWS_PER_CLASS:
        times = "once" if least[1] == 1 else "twice"
        found.append(f"answer {least[0]!r} comes up {times} only: a slip of the pen?")
    elif most[1] >= UNEVEN * least[1]:
        found.append(f"answers are uneven: {most[0]!r} {most[1]} times, {least[0]!r} {least[1]} times")
    return found
