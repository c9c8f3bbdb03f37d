"""Names of communities against a count by hand, whatever the order of the tasks."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pituning.graph.names import SOURCES, community_names, ranked_terms, terms_of
from pituning.tasks.mini import TASK_NAMES, mini_task
from tests.graph.test_build import Info

WORDS = ("river", "sentiment", "entailment", "entailed", "digit", "species", "grounding", "box", "the", "Review")


def one(name: str, *, families: str = "", labels: str = "", instruction: str = "", title: str = "") -> Info:
    return Info(name, title, "language", tuple(families.split()), instruction, tuple(labels.split()) or None)


@st.composite
def zoos(draw: st.DrawFn) -> tuple[dict[str, int], list[Info]]:
    some = st.lists(st.sampled_from(WORDS), max_size=4).map(" ".join)
    infos = [
        one(f"task-{i}", families=draw(some), labels=draw(some), instruction=draw(some), title=draw(some))
        for i in range(draw(st.integers(1, 9)))
    ]
    return {info.name: draw(st.integers(0, 3)) for info in infos}, infos


@settings(deadline=None, max_examples=40)
@given(zoo=zoos(), seed=st.integers(0, 99))
def test_what_a_term_counts_is_the_share_within_less_the_share_without(
    zoo: tuple[dict[str, int], list[Info]], seed: int
) -> None:
    groups, infos = zoo
    shuffled = random.Random(seed).sample(infos, len(infos))

    names, ranked = community_names(groups, infos), ranked_terms(groups, infos)

    assert community_names(groups, shuffled) == names
    for group in set(groups.values()):
        own = [terms_of(info) for info in infos if groups[info.name] == group]
        others = [terms_of(info) for info in infos if groups[info.name] != group]
        assert (group in names) == (len(own) > 1)
        for term in ranked[group]:
            having = [terms[term.word] for terms in own if term.word in terms]
            share = sum(term.word in terms for terms in others) / max(len(others), 1)
            assert -term.rank == pytest.approx(sum(having) / len(having) * (len(having) / len(own) - share))
            assert len(having) == -term.of >= 2
        assert ranked[group] == sorted(ranked[group], key=lambda term: (term.rank, term.of, -len(term.word), term.word))
    assert all(names.values())
    assert len(set(names.values())) == len(names)


def test_the_communities_of_the_suite_are_called_what_they_are_about() -> None:
    infos = [mini_task(name) for name in TASK_NAMES]
    about = {"parts": 0, "grounding": 1, "entailment": 2, "attributes": 3}
    groups = {
        info.name: next((number for family, number in about.items() if family in info.families), 4) for info in infos
    }
    names = community_names(groups, infos)
    assert {names[number].split(",")[0] for number in range(4)} == {family.capitalize() for family in about}
    assert names[1] == "Grounding, box"
    assert not any(word in names[2].lower() for word in ("entailed",)), "entailment says that already"


def test_without_families_words_tell_and_without_words_in_common_titles_do() -> None:
    infos = [
        one("a", instruction="Is the film review good?", labels="positive negative", title="Films"),
        one("b", instruction="Is this shop review good?", labels="positive negative", title="Shops"),
        one("c", instruction="Which animal?", title="Animals"),
        one("d", instruction="How many?", title="Counts"),
        one("e", title="One of its kind"),
    ]
    names = community_names({"a": 0, "b": 0, "c": 1, "d": 1, "e": 2}, infos)
    assert names == {0: "Negative, positive", 1: "Animals and Counts"}
    long = [one(name, title=f"{name} " * 20) for name in ("first", "second")]
    assert community_names({"first": 0, "second": 0}, long)[0] == "first first first f… and second second secon…"


def test_two_that_would_be_called_the_same_are_not() -> None:
    pairs = [
        one(f"{group}{i}", families="same", title=f"{group} {i}") for group, i in itertools.product("ab", range(2))
    ]
    names = community_names({info.name: "ab".index(info.name[0]) for info in pairs}, pairs)
    assert len(set(names.values())) == 2


def test_what_somebody_planted_counts_most() -> None:
    assert max(SOURCES, key=SOURCES.__getitem__) == "family"
