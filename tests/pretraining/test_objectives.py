"""The pretraining mixture keeps away from what is tested downstream."""

from __future__ import annotations

import re
from random import Random

from pituning.pretraining.objectives import LAST, mixed_samples, text_samples
from pituning.tasks.mini import TASK_NAMES, mini_task
from pituning.tasks.mini.language import VALUES
from pituning.tasks.mini.world import SPLIT_BUCKETS, bucket


def _samples(n: int):
    rng = Random(5)
    for _ in range(n):
        yield from mixed_samples(rng, 1, 4)


def test_no_label_word_and_no_instruction_of_a_downstream_task_is_used() -> None:
    seen = " ".join(f"{s.prompt} {s.answer}" for s in _samples(1500))
    seen = re.sub(r"<loc_\d+>", " ", seen)
    words = set(re.findall(r"[a-z0-9-]+", seen))
    for name in TASK_NAMES:
        task = mini_task(name)
        assert task.instruction not in seen
        assert not set(task.labels or ()) & words, name


def test_images_come_from_pretraining_buckets_only() -> None:
    for sample in _samples(100):
        if sample.image is not None:
            assert bucket(sample.image) in SPLIT_BUCKETS["pretrain"]


def test_answers_to_counts_are_right() -> None:
    numbers = {"zero": 0, "one": 1, "two": 2, "three": 3, "four": 4}
    checked = 0
    for sample in _samples(800):
        if sample.objective == "count":
            value = sample.prompt.split()[2]
            things = sample.image.things
            exact = sum(value in (t.colour, t.size) for t in things)
            shapes = sum(value in (f"{t.shape}s", f"{t.shape}es") for t in things)
            assert numbers[sample.answer] == exact + shapes
            checked += 1
    assert checked > 20


def test_pairs_are_judged_right() -> None:
    """Judged again from the words alone: relations turned to one end, statements and questions taken apart."""
    rng, verdicts = Random(4), set()
    while len(verdicts) < 12:
        (sample,) = text_samples(rng, 1, LAST)
        if sample.objective != "pair":
            continue
        halves = re.match(
            r"(?:this: (.*[.?]) that: (.*[.?]) alike or unlike\?"
            r"|one says: (.*[.?]) one says: (.*[.?]) so they"
            r"|([^.?]*[.?]) ([^.?]*[.?]) do these two agree\?)$",
            sample.prompt,
        )
        assert halves, sample
        one, two = (_content(half) for half in halves.groups() if half is not None)
        alike = sample.answer in ("alike", "they agree", "match")
        assert alike == (one == two), sample
        verdicts.add((sample.answer, len(one)))


def _content(sentence: str) -> tuple[str, ...]:
    """What is said or asked: (left, right, up, down of a relation), (thing, value), or (attribute, thing, "?")."""
    relation = re.match(r"the (.*) is (left of|right of|above|below) the (.*)\.$", sentence)
    if relation:
        a, said, b = relation.groups()
        return (
            (b, {"right of": "left of", "below": "above"}[said], a) if said in ("right of", "below") else (a, said, b)
        )
    if sentence.endswith("?") or sentence.startswith("tell me"):
        size = re.match(r"how big is the (.*)\?$", sentence)
        if size:
            return ("size", size[1], "?", "")
        name, who = re.match(
            r"(?:what|which|tell me the) (colour|pattern|size) (?:is the|is on the|does the|of the) (.*?)"
            r"(?: have)?[.?]$",
            sentence,
        ).groups()
        return (name, who, "?", "")
    for form in (
        r"it is true of the (\w+) that it is (\w+)\.$",
        r"the (?:colour|pattern|size) of the (\w+) is (\w+)\.$",
        r"the (\w+) is (\w+)\.$",
    ):
        found = re.match(form, sentence)
        if found:
            return found.groups()
    value, who = re.match(r"(\w+) is what the (\w+) is\.$", sentence).groups()
    return (who, value)


def test_what_a_text_tells_is_told_right() -> None:
    rng, checked = Random(6), 0
    while checked < 60:
        (sample,) = text_samples(rng, 1, LAST)
        if sample.objective != "told":
            continue
        text, _, asked = sample.prompt.partition(
            " is this told? " if " is this told? " in sample.prompt else " can one tell? "
        )
        name, shape, *_ = _content(asked)
        described = re.search(rf"\ban? ([a-z ]*?)\b{shape}\b", text.split(". ")[0].replace(" and ", ", "))[1].split(
            ", "
        )[-1]
        holds = bool(set(re.sub(r".*\ban? ", "", described).split()) & set(VALUES[name]))
        assert (sample.answer in ("it is told", "one can")) == holds, sample
        checked += 1


def _facts(text: str) -> set[tuple[str, str, str]]:
    """Relations that a text tells, each from both ends, read with a regular expression."""
    opposite = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
    found = re.findall(r"the (\w+) is (left of|right of|above|below) the (\w+)", text)
    return {(a, r, b) for a, r, b in found} | {(b, opposite[r], a) for a, r, b in found}


def test_verdicts_on_relations_and_their_reasons_are_right() -> None:
    """Judged again from the words alone, whichever end the text tells the relation from."""
    rng, checked, ends = Random(8), 0, set()
    while checked < 150:
        for sample in text_samples(rng, 8):
            premise, _, said = sample.prompt.partition("check and say why: ")
            statement = _facts(said)
            if sample.objective != "text-reason" or not statement:
                continue
            reason, _, verdict = sample.answer.rpartition(": ")
            known = _facts(premise)
            assert verdict == ("true" if statement <= known else "false")
            assert _facts(reason) <= known
            told = re.findall(r"the (\w+) is (?:left of|right of|above|below) the (\w+)", premise)
            asked = re.findall(r"the (\w+) is (?:left of|right of|above|below) the (\w+)", said)[0]
            ends.add(asked in told)
            checked += 1
    assert ends == {True, False}


def test_relations_are_told_and_checked_from_the_same_end_at_first() -> None:
    rng = Random(8)
    for sample in (s for _ in range(200) for s in text_samples(rng, 4, level=0.0)):
        if sample.objective == "text-reason":
            premise, _, said = sample.prompt.partition("check and say why: ")
            pairs = [
                set(re.findall(r"the (\w+) is (?:left of|right of|above|below) the (\w+)", t)) for t in (premise, said)
            ]
            assert pairs[1] <= pairs[0]
