"""The mini suite: balanced, versioned, without leakage, and its answers are right by an independent look."""

from __future__ import annotations

import hashlib
import re
from collections import Counter

import numpy as np
import pytest

from pituning.errors import BadInput
from pituning.tasks.mini import TASK_NAMES, mini_task, planted_relatives, split_sizes
from pituning.tasks.mini.language import GOOD, QUESTIONS, VALUES
from pituning.tasks.mini.vision import AIRCRAFT, CREATURES, FLOWERS, FORMS, SHADES
from pituning.tasks.mini.world import COLOURS, PATTERNS, RELATIONS, SHAPES, SIZES, SPLIT_BUCKETS, bucket

HOW_MANY = 60


def first(name: str, split: str = "test", n: int = HOW_MANY):
    return mini_task(name).split(split)[:n]


def test_there_are_twenty_tasks_of_three_modalities() -> None:
    assert len(TASK_NAMES) == 20
    assert Counter(mini_task(n).modality for n in TASK_NAMES) == {"vision": 8, "language": 6, "vision-language": 6}


@pytest.mark.parametrize("name", TASK_NAMES)
def test_splits_are_large_enough_and_examples_fit_the_task(name: str) -> None:
    task, sizes = mini_task(name), split_sizes(name)
    if name != "digits":  # real data: what there is
        assert sizes["train"] >= 2000
        assert sizes["validation"] >= 300
        assert sizes["test"] >= 1000
    for split in ("train", "validation", "test"):
        assert len(task.split(split)) == sizes[split]
        for example in first(name, split, 12):
            assert (example.image is None) == (task.modality == "language")
            assert task.labels is None or example.answer in task.labels


@pytest.mark.parametrize("name", [n for n in TASK_NAMES if n != "digits"])
def test_no_content_can_stand_in_two_splits(name: str) -> None:
    for split in ("train", "validation", "test"):
        for example in first(name, split, 20):
            content = example.image.content if example.image is not None else example.text
            assert bucket(content) in SPLIT_BUCKETS[split]
    buckets = [set(r) for r in SPLIT_BUCKETS.values()]
    assert sum(len(b) for b in buckets) == len(set.union(*buckets))


def test_digits_splits_share_no_image() -> None:
    task = mini_task("digits")
    seen = [example.image.index for split in ("train", "validation", "test") for example in task.split(split)]
    assert len(seen) == len(set(seen)) == 1797


def test_digits_are_scikit_learns() -> None:
    from sklearn.datasets import load_digits

    data = load_digits()
    for example in first("digits", "train", 20):
        assert example.answer == str(data.target[example.image.index])
        drawn = np.asarray(example.image.render(8))[..., 0]
        assert np.abs(drawn.astype(float) - np.round(255 - data.images[example.image.index] * 255 / 16)).max() <= 1


def test_same_version_same_bytes() -> None:
    """Pinned: a change of any example needs a new SUITE_VERSION, and experts of that task trained anew."""
    digest = hashlib.sha256()
    for name in TASK_NAMES:
        for split in ("train", "test"):
            for example in first(name, split, 10):
                digest.update(f"{example.uid}|{example.text}|{example.answer}|{example.image!r}\n".encode())
    assert digest.hexdigest()[:16] == "671e2ae16241d2ca"


@pytest.mark.parametrize(("name", "types"), [("aircraft", AIRCRAFT), ("flowers", FLOWERS), ("creatures", CREATURES)])
def test_parts_need_to_be_seen_together(name: str, types: dict[str, tuple]) -> None:
    """No single part tells the type: every value of every part is shared by several types, every combination by one."""
    assert len(set(types.values())) == len(types)
    for part in zip(*types.values(), strict=True):
        assert min(Counter(part).values()) >= 2
    for example in first(name):
        content = example.image.content
        assert all(str(v) in repr(content) for v in types[example.answer])


def test_grounding_answers_are_the_boxes_of_what_is_meant() -> None:
    """The expression is taken apart again, without the code that made it."""
    for example in first("ground-place"):
        words = example.text.split()
        value = words[1]
        things = [t for t in example.image.content.things if value in (t.shape, t.colour, t.size)]
        axis, sign = {"left": ("x", 1), "right": ("x", -1), "top": ("y", 1), "bottom": ("y", -1)}[words[-1]]
        box = min(things, key=lambda t, axis=axis, sign=sign: sign * getattr(t, axis)).box
        assert example.answer == "".join(f"<loc_{v}>" for v in box)
    for example in first("ground-relation"):
        words = example.text.split(" that stands ")
        things = example.image.content.things
        relation, anchor_words = words[1].split(" the ")
        anchor = [t for t in things if set(anchor_words.split()) <= {t.shape, t.colour}]
        assert len(anchor) == 1
        value = words[0].split()[1]
        axis, sign = {"left of": ("x", -1), "right of": ("x", 1), "above": ("y", -1), "below": ("y", 1)}[relation]
        beside = [t for t in things if sign * (getattr(t, axis) - getattr(anchor[0], axis)) > 0]
        meant = [t for t in beside if t is not anchor[0] and value in (t.shape, t.colour, t.size)]
        assert [example.answer] == ["".join(f"<loc_{v}>" for v in t.box) for t in meant]


def test_vqa_and_caption_say_what_is_there() -> None:
    for example in first("caption"):
        things = sorted(example.image.content.things, key=lambda t: t.y)
        assert example.answer == " over ".join(f"{SHADES[t.colour]} {FORMS[t.shape]}" for t in things)
    for example in first("vqa"):
        things = example.image.content.things
        words = example.text.rstrip("?").split()
        if words[1] == "shade":
            assert {SHADES[t.colour] for t in things if t.shape == words[-1]} == {example.answer}
        elif words[1] == "form":
            assert {FORMS[t.shape] for t in things if t.colour == words[-2]} == {example.answer}
        else:
            count = sum(words[-2] in (t.size, t.colour) for t in things)
            assert ("none", "solo", "duo", "trio")[count] == example.answer


def test_entailment_labels_follow_from_the_premise_by_an_independent_reading() -> None:
    """For claims of the simplest form ("the X is VALUE") the premise is read word by word."""
    values = {"red", "green", "blue", "yellow", "purple", "orange", "black", "white"}
    checked = 0
    for example in first("nli", n=400):
        premise, hypothesis = example.text.split(" hypothesis: ")
        words = hypothesis.rstrip(".").split()
        if len(words) != 4 or words[0] != "the" or words[3] not in values:
            continue
        described = premise.split(".")[0].replace(",", "").split()
        place = described.index(words[1])
        before = []
        for word in reversed(described[:place]):
            if word in ("a", "an"):
                break
            before.append(word)
        colours = values & set(before)
        expected = "neutral" if not colours else "entailed" if words[3] in colours else "contradicted"
        assert example.answer == expected, example.text
        checked += 1
    assert checked >= 20


def _relations(sentence: str) -> frozenset[tuple[str, str, str]]:
    """Each relation told from its left or upper end."""
    facts = set()
    told = r"the ([a-z ]+?) is (left of|right of|above|below) the ([a-z ]+?)(?: and|$)"
    for a, relation, b in re.findall(told, sentence):
        turned = {"right of": "left of", "below": "above"}.get(relation)
        facts.add((b, turned, a) if turned else (a, relation, b))
    return frozenset(facts)


def test_paraphrases_tell_the_same_relations() -> None:
    kinds = set()
    for example in first("same-meaning", n=300):
        one, two = re.match(r"(.*)\. (.*)\.$", example.text).groups()
        assert (_relations(one) == _relations(two)) == (example.answer == "yes"), example.text
        kinds.add((len(_relations(one)), example.answer))
    assert kinds == {(1, "yes"), (1, "no"), (2, "yes"), (2, "no")}


def _typed_right(question: str) -> str:
    """Every word that is none of the language's becomes the one with the same letters."""
    sentences = [
        *COLOURS,
        *SHAPES,
        *PATTERNS,
        *SIZES,
        *RELATIONS,
        "that thing",
        *(q for qs in QUESTIONS.values() for q in qs),
    ]
    known = {word.strip("?.") for sentence in sentences for word in sentence.split()}
    by_letters = {"".join(sorted(word)): word for word in known}
    right = []
    for word in question.split():
        bare = word.strip("?.")
        right.append(word if bare in known else by_letters["".join(sorted(bare))] + word[len(bare) :])
    return " ".join(right)


def _asked(question: str) -> tuple[str, str, str]:
    """The attribute, the thing or the anchor, and where the thing is from the anchor ("" when it is named itself)."""
    turned = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
    name = "size" if question.startswith("how big") else re.search(r"colour|pattern|size", question)[0]
    by_place = re.search(r"thing (left of|right of|above|below) the (.*?)(?: have)?[.?]$", question)
    if by_place:
        return name, by_place[2], by_place[1]
    by_anchor = re.search(r"thing that the (.*) is (left of|right of|above|below)(?: have)?[.?]$", question)
    if by_anchor:
        return name, by_anchor[1], turned[by_anchor[2]]
    return name, re.search(r"(?:is the|on the|does the|of the) (.*?)(?: have)?[.?]$", question)[1], ""


def test_duplicate_questions_ask_the_same() -> None:
    outcomes = set()
    for example in first("same-question", n=300):
        one, two = re.match(r"(.*?[.?]) (.*[.?])$", example.text).groups()
        one, two = _typed_right(one), _typed_right(two)
        assert (_asked(one) == _asked(two)) == (example.answer == "duplicate"), example.text
        assert one != two
        outcomes.add((bool(_asked(one)[2]), example.answer))
    assert len(outcomes) == 4


def test_reviews_are_summed_up_right() -> None:
    for example in first("sentiment", n=200):
        total = 0
        for clause in re.split(r", | and ", example.text.split(": ")[1].rstrip(".")):
            manner, word = re.match(r"the \w+ was (not |very )?(.*)$", clause).groups()
            total += {"not ": -1, "very ": 2, None: 1}[manner] * (1 if word in GOOD else -1)
        assert total != 0
        assert (total > 0) == (example.answer == "positive"), example.text


def test_a_passage_holds_the_answer_or_does_not() -> None:
    """Read again word by word: which thing is meant, and what it is said to be."""
    outcomes = set()
    turned = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
    for example in first("answers", n=300):
        passage, asked = re.match(r"(.*?\.) ([^.]*[.?])$", example.text).groups()
        name = next((n for n in ("colour", "pattern", "size") if n in asked), "size")
        by_place = re.search(r"thing (left of|right of|above|below) the (\w+)", asked)
        about = next(s for s in SHAPES if re.search(rf"\b{s}\b", asked))
        if by_place:
            relation, anchor = by_place.groups()
            told = re.findall(r"the (\w+) is (left of|right of|above|below) the (\w+)", passage)
            facts = {fact for a, r, b in told for fact in ((a, r, b), (b, turned[r], a))}
            (about,) = [a for a, r, b in facts if (r, b) == (relation, anchor)]
        words = re.search(rf"\ban? ((?:(?!an? |and )\w+ )*){about}\b", passage.split(".")[0])[1].split()
        assert any(word in VALUES[name] for word in words) == (example.answer == "yes"), example.text
        outcomes.add((by_place is not None, example.answer))
    assert len(outcomes) == 4


def test_planted_relatives_are_symmetric() -> None:
    for name in TASK_NAMES:
        for other in planted_relatives(name):
            assert name in planted_relatives(other)
    assert set(planted_relatives("nli")) == {"rte", "visual-entailment"}


def test_unknown_task_is_named() -> None:
    with pytest.raises(BadInput, match="'shapes' is not in the mini suite"):
        mini_task("shapes")
