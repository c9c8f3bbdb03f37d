"""Names of communities, from what their tasks are about: planted families, instructions, answers and titles.

A term is of a community as far as its tasks have it and the others do not: the share of its tasks that have the term
minus the share of all others that do (the rule's *leverage* per task; 1 says that exactly these tasks have it).
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pituning.graph.info import NodeInfo
from pituning.text import shorten

SOURCES = {"family": 1.0, "label": 0.9, "instruction": 0.85, "title": 0.8}
"""Where terms come from, with how much each counts: what somebody planted or answers says more than how it is asked."""

LEAST = 0.3
"""Of what a term must count to stand in a name."""

SECOND = 0.5
"""The second term of a name counts at least this share of the first."""

MOST_LABELS = 60
"""Of a task whose words are read: a thousand classes are no theme."""

MOST_LETTERS = 48
"""Of a name."""

SHORTEST = 3
STEM = 5
"""Letters in which two words that begin alike are one: entailment, entailed."""

STOP_WORDS = frozenset(
    # As text, since a list would have a line for each.
    """and any are but can does for from has have here how its not one other our out same than that the their them then
    there these they this two type use what when where which who whose why will with yes you your main item given none
    true false unknown task text choose answer following both about""".split()  # noqa: SIM905
)
"""Words that say nothing of what a task is about."""

_WORD = re.compile(r"[^\W\d_]+(?:[-'’][^\W\d_]+)*")


@dataclass(frozen=True, order=True)
class Term:
    """A term of a community; the one that sorts first says the most.

    Args:
        rank: minus what it counts, for the order.
        of: minus how many tasks of the community have it.
        short: minus its letters: the longer of two words says more.
        word: as it is compared and shown.
    """

    rank: float
    of: int
    short: int
    word: str


def terms_of(info: NodeInfo) -> dict[str, float]:
    """The terms of a task, each with how much its best source counts."""
    terms: dict[str, float] = {}
    texts = {
        "family": [name.replace("-", " ").lower() for name in info.families],
        "label": _words(" ".join((info.labels or ())[:MOST_LABELS])),
        "instruction": _words(info.instruction),
        "title": _words(info.title),
    }
    for source, words in texts.items():
        for word in words:
            terms[word] = max(terms.get(word, 0.0), SOURCES[source])
    return terms


def _words(text: str) -> list[str]:
    return [word for word in _WORD.findall(text.lower()) if len(word) >= SHORTEST and word not in STOP_WORDS]


def ranked_terms(groups: Mapping[str, int], infos: Sequence[NodeInfo]) -> dict[int, list[Term]]:
    """The terms that at least two tasks of each community share, what says the most first.

    Args:
        groups: the community of each task.
        infos: the tasks, in any order.
    """
    sizes = Counter(groups[info.name] for info in infos)
    everywhere: Counter[str] = Counter()
    inside: dict[int, Counter[str]] = defaultdict(Counter)
    weights: dict[int, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for info in infos:
        group = groups[info.name]
        for word, weight in terms_of(info).items():
            everywhere[word] += 1
            inside[group][word] += 1
            weights[group][word] += weight
    ranked = {}
    for group, size in sizes.items():
        others = len(infos) - size
        terms = []
        for word, count in inside[group].items():
            leverage = count / size - (everywhere[word] - count) / max(others, 1)
            if count > 1:
                terms.append(
                    Term(
                        rank=-round(weights[group][word] / count * leverage, 9), of=-count, short=-len(word), word=word
                    )
                )
        ranked[group] = sorted(terms)
    return ranked


def community_names(groups: Mapping[str, int], infos: Sequence[NodeInfo]) -> dict[int, str]:
    """What each community of at least two tasks is called; no two are called the same.

    One or two of the terms that say the most, as "Grounding, box". Where its tasks share nothing that others have not,
    the first two of their titles.

    Args:
        groups: the community of each task, 0 the largest.
        infos: the tasks, in any order.
    """
    members: dict[int, list[NodeInfo]] = defaultdict(list)
    for info in sorted(infos, key=lambda one: one.name):
        members[groups[info.name]].append(info)
    ranked = ranked_terms(groups, infos)
    names: dict[int, str] = {}
    for group in sorted(members):
        if len(members[group]) < 2:
            continue
        terms = [term for term in ranked[group] if -term.rank >= LEAST]
        name = shorten(_from_terms(terms) or _from_titles(members[group]), MOST_LETTERS)
        names[group] = _unlike(name, set(names.values()), terms)
    return names


def _from_terms(terms: Sequence[Term]) -> str:
    if not terms:
        return ""
    first = terms[0]
    second = next((term for term in terms[1:] if not _alike(term.word, first.word)), None)
    words = [first.word]
    if second is not None and second.rank <= SECOND * first.rank:
        words.append(second.word)
    return _capital(", ".join(words))


def _from_titles(members: Sequence[NodeInfo]) -> str:
    titles = [shorten(" ".join((info.title or info.name).split()), MOST_LETTERS // 2 - 4) for info in members]
    return f"{titles[0]} and {titles[1]}" if len(titles) == 2 else f"{titles[0]} and {len(titles) - 1} more"


def _unlike(name: str, taken: set[str], terms: Sequence[Term]) -> str:
    """The name, with a further term where another community has it already, or a number."""
    for term in terms:
        if name in taken and term.word not in name.lower():
            name = f"{name}, {term.word}"
    number = 2
    plain = name
    while name in taken:
        name, number = f"{plain} {number}", number + 1
    return name


def _alike(a: str, b: str) -> bool:
    """Whether two words say the same: they begin alike, or one is part of the other."""
    return a[:STEM] == b[:STEM] or a in b or b in a


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
