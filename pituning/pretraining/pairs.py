"""Comparing what two sentences say, and whether a text tells something at all: the skills behind paraphrase and
answerability, in words and formats of pretraining's own."""

from __future__ import annotations

from random import Random

from pituning.pretraining.sample import Sample
from pituning.tasks.mini.language import (
    VALUES,
    Account,
    known_phrase,
    question,
    random_account,
    say_attribute,
    tell,
)
from pituning.tasks.mini.world import OPPOSITE, RELATIONS, SHAPES, random_thing

ATTRIBUTES = ("colour", "pattern", "size")
PAIR_FORMS = (
    ("this: {a} that: {b} alike or unlike?", "alike", "unlike"),
    ("{a} {b} do these two agree?", "they agree", "they do not agree"),
    ("one says: {a} one says: {b} so they", "match", "clash"),
)


def _described(rng: Random, shape: str) -> str:
    """``"big red star"``: one or two attributes and the shape."""
    known = tuple(rng.sample(ATTRIBUTES, rng.choice((0, 1, 1, 2))))
    return known_phrase(Account((random_thing(rng, shape=shape),), (known,), ()), 0)


def _other(rng: Random, who: str) -> str:
    """Another thing, or the same shape described otherwise."""
    shape = who.split()[-1]
    changed = who
    while changed == who:
        changed = who.replace(shape, rng.choice(SHAPES)) if rng.random() < 0.4 else _described(rng, shape)
    return changed


def _questions(rng: Random, same: bool) -> tuple[str, str, str]:
    """Two questions, and what tells them apart."""
    name, who = rng.choice(ATTRIBUTES), _described(rng, rng.choice(SHAPES))
    other_name, other_who = name, who
    if not same:
        if rng.random() < 0.4:
            other_name = rng.choice([n for n in ATTRIBUTES if n != name])
        else:
            other_who = _other(rng, who)
    reason = f"the {name} of the {who}, the {other_name} of the {other_who}"
    return question(rng, name, who), question(rng, other_name, other_who), reason


def _attributes(rng: Random, same: bool) -> tuple[str, str, str]:
    """Two statements of one attribute."""
    name, who = rng.choice(ATTRIBUTES), rng.choice(SHAPES)
    value = rng.choice(VALUES[name])
    other_who, other_value = who, value
    if not same:
        if rng.random() < 0.5:
            other_value = rng.choice([v for v in VALUES[name] if v != value])
        else:
            other_who = rng.choice([s for s in SHAPES if s != who])
    reason = f"the {who} is {value}, the {other_who} is {other_value}"
    return (
        say_attribute(rng, who, name, value) + ".",
        say_attribute(rng, other_who, name, other_value) + ".",
        reason,
    )


def _relations(rng: Random, same: bool) -> tuple[str, str, str]:
    """Two statements of one relation, told from the same end or from the other."""
    one, two = (_described(rng, shape) for shape in rng.sample(SHAPES, 2))
    relation = rng.choice(RELATIONS)
    a, said, b = one, relation, two
    if not same:
        change = rng.choice(("roles", "relation", "detail"))
        if change == "roles":
            a, b = two, one
        elif change == "relation":
            said = rng.choice([r for r in RELATIONS if r != relation])
        elif rng.random() < 0.5:
            a = _other(rng, one)
        else:
            b = _other(rng, two)
    reason = f"the {one} is {relation} the {two}, the {a} is {said} the {b}"
    second = f"the {a} is {said} the {b}." if rng.random() < 0.3 else f"the {b} is {OPPOSITE[said]} the {a}."
    return f"the {one} is {relation} the {two}.", second, reason


def pair(rng: Random, level: float) -> Sample:
    """Do two questions, or two statements, come to the same? In a quarter of the answers the reason comes first."""
    same = rng.random() < 0.5
    first, second, reason = rng.choice((_questions, _questions, _attributes, _relations, _relations))(rng, same)
    if rng.random() < 0.5:
        first, second = second, first
        reason = ", ".join(reversed(reason.split(", ")))
    form, alike, unlike = rng.choice(PAIR_FORMS)
    verdict = alike if same else unlike
    if rng.random() < 0.25:
        return Sample("pair-reason", f"say why. {form.format(a=first, b=second)}", f"{reason}: {verdict}")
    return Sample("pair", form.format(a=first, b=second), verdict)


def told(rng: Random, level: float) -> Sample:
    """Does a text tell what is asked?"""
    while True:
        account = random_account(rng)
        i, known = rng.randrange(len(account.things)), rng.random() < 0.5
        names = [name for name in ATTRIBUTES if (name in account.known[i]) == known]
        if names:
            break
    asked = question(rng, rng.choice(names), account.things[i].shape)
    form, does, does_not = rng.choice(
        (
            ("{text} is this told? {asked}", "it is told", "it is not told"),
            ("{text} can one tell? {asked}", "one can", "one cannot"),
        )
    )
    return Sample("told", form.format(text=tell(account, rng), asked=asked), does if known else does_not)
