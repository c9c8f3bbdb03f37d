"""Comparing: statements to judge against a picture or a text, alone, several at once, or with the reason first.

The reason comes first in some answers ("the star is blue: false") because a verdict alone teaches slowly: looking the
fact up and comparing are learned one after the other.
"""

from __future__ import annotations

from random import Random

from pituning.pretraining.sample import Sample
from pituning.tasks.mini.language import (
    Account,
    account_of_picture,
    draw_statement,
    random_account,
    reference,
    say_attribute,
    say_relation,
    tell,
)
from pituning.tasks.mini.world import OPPOSITE, Scene

TRUTHS = ("true", "false", "unknown")
VERDICTS: tuple[tuple[tuple[str, ...], tuple[str, str, str]], ...] = (
    (("check: {}.", "is this so? {}.", "judge: {}."), TRUTHS),
    (("verify: {}.", "does this hold? {}."), ("right", "wrong", "open")),
    (("fact or fiction? {}.",), ("fact", "fiction", "nobody knows")),
)
"""Ways to ask for a verdict, each with its words for true, false and unknown. All but the first come last in the
curriculum: a verdict that has several names is easier to give another."""
WORDED = 2.0
"""Above this level verdicts come in several words."""
AXES = (("left of", "right of"), ("above", "below"))


def judge(
    account: Account, rng: Random, opening: str, objective: str, several: float, *, worded: bool = False
) -> Sample:
    """One statement, or with probability ``several`` three at once, each to be called true, false or unknown.

    ``worded`` draws from all of `VERDICTS` for a single statement.
    """
    n = 3 if rng.random() < several else 1
    statements: list[str] = []
    truths: list[str] = []
    while len(statements) < n:
        truth = rng.choice(TRUTHS)
        made = draw_statement(account, rng, truth)
        if made is not None:
            statements.append(made.text)
            truths.append(truth)
    if n == 1:
        forms, words = rng.choice(VERDICTS) if worded else VERDICTS[0]
        verdict = words[TRUTHS.index(truths[0])]
        return Sample(objective, opening + rng.choice(forms).format(statements[0]), verdict)
    return Sample(objective, f"{opening}check each: {'; '.join(statements)}.", " ".join(truths))


def _several(level: float) -> float:
    """How often three statements are judged at once."""
    return 0.1 + 0.3 * min(level, 1.0)


def reason(account: Account, rng: Random, opening: str, objective: str) -> Sample:
    """One statement; the answer says what is the case, then the verdict."""
    while True:
        truth = rng.choice(TRUTHS)
        made = draw_statement(account, rng, truth)
        if made is not None:
            return Sample(objective, f"{opening}check and say why: {made.text}.", f"{made.evidence}: {truth}")


def relate(account: Account, rng: Random, opening: str, objective: str) -> Sample | None:
    """How two things stand to each other; None when nothing is known of two that can be told apart."""
    if not account.relations:
        return None
    a, relation, b = rng.choice(account.relations)
    first, second = reference(account, a, rng), reference(account, b, rng)
    if first is None or second is None:
        return None
    axis = next(pair for pair in AXES if relation in pair)
    one, other = rng.sample(axis, 2)
    form = rng.choice(("is the {a} {one} or {other} the {b}?", "how does the {a} stand to the {b}, {one} or {other}?"))
    return Sample(objective, opening + form.format(a=first, one=one, other=other, b=second), relation)


def _told_one_way(account: Account) -> Account:
    """Only one of each pair of opposite relations: statements then say it from the end that the text does."""
    kept = [r for n, r in enumerate(account.relations) if r[0] < r[2]]
    return Account(account.things, account.known, tuple(kept))


def text_account(rng: Random, level: float) -> Account:
    """An account whose relations are told and checked from the same end at first, from any end as ``level`` rises."""
    account = random_account(rng)
    return account if rng.random() < level else _told_one_way(account)


def picture_check(scene: Scene, rng: Random, level: float) -> Sample:
    """Statements to judge against a picture."""
    return judge(
        account_of_picture(scene.things), rng, "", "picture-check", several=_several(level), worded=level > WORDED
    )


def picture_reason(scene: Scene, rng: Random, level: float) -> Sample:
    """One statement on a picture, the reason before the verdict."""
    return reason(account_of_picture(scene.things), rng, "", "picture-reason")


def picture_relation(scene: Scene, rng: Random, level: float) -> Sample | None:
    """How two things in a picture stand to each other."""
    return relate(account_of_picture(scene.things), rng, "", "relation")


def text_check(rng: Random, level: float) -> Sample:
    """Statements to judge against a text."""
    account = text_account(rng, level)
    opening = tell(account, rng) + " "
    return judge(account, rng, opening, "text-check", several=_several(level), worded=level > WORDED)


def text_reason(rng: Random, level: float) -> Sample:
    """One statement on a text, the reason before the verdict."""
    account = text_account(rng, level)
    return reason(account, rng, tell(account, rng) + " ", "text-reason")


def text_relation(rng: Random, level: float) -> Sample | None:
    """How two things of a text stand to each other."""
    account = text_account(rng, level)
    return relate(account, rng, tell(account, rng) + " ", "text-relation")


def statement_check(rng: Random, level: float) -> Sample:
    """One statement against another: the least premise there is."""
    account = random_account(rng, 2)
    if rng.random() < 0.5:
        thing, name = account.things[0], rng.choice(account.known[0])
        premise = say_attribute(rng, thing.shape, name, thing.attribute(name))
        account = Account((thing,), ((name,),), ())
    else:
        a, relation, b = rng.choice(account.relations)
        premise = say_relation(account.things[a].shape, relation, account.things[b].shape)
        known = ((a, relation, b), (b, OPPOSITE[relation], a)) if rng.random() < level else ((a, relation, b),)
        account = Account(account.things, ((), ()), known)
    while True:
        truth = rng.choice(TRUTHS)
        made = draw_statement(account, rng, truth)
        if made is not None:
            forms, words = rng.choice(VERDICTS) if level > WORDED else (("check: {}.",), TRUTHS)
            asked = rng.choice(forms).format(made.text)
            return Sample("text-check", f"{premise}. {asked}", words[TRUTHS.index(truth)])
