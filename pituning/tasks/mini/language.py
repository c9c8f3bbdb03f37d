"""What can be said and asked about a scene, and whether it is so: statements, questions, descriptions, paraphrases."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from pituning.tasks.mini.world import (
    COLOURS,
    HIDDEN,
    OPPOSITE,
    PATTERNS,
    RELATIONS,
    SHAPES,
    SIZES,
    Thing,
    article,
    holds,
    phrase,
    random_thing,
)

Truth = str  # "true", "false" or "unknown"
VALUES: dict[str, tuple[str, ...]] = {"colour": tuple(COLOURS), "pattern": PATTERNS, "size": SIZES, "shape": SHAPES}
NUMBERS = ("zero", "one", "two", "three", "four")


@dataclass(frozen=True)
class Account:
    """What is known of some things: per thing the attributes that are known, and the relations between pairs.

    A picture makes everything known; a text makes known what it says.
    """

    things: tuple[Thing, ...]
    known: tuple[tuple[str, ...], ...]
    relations: tuple[tuple[int, str, int], ...]


def account_of_picture(things: tuple[Thing, ...], margin: float = 5.0) -> Account:
    """Everything that can be seen: relations only where they are clear by ``margin`` units."""
    relations = tuple(
        (i, relation, j)
        for i, a in enumerate(things)
        for j, b in enumerate(things)
        if i != j
        for relation in RELATIONS
        if holds(relation, a, b, margin)
    )
    return Account(things, tuple(("colour", "pattern", "size") for _ in things), relations)


def random_account(rng: Random, count: int | None = None) -> Account:
    """Two or three things of different shapes, one or two known attributes each, a relation between neighbours."""
    n = count or rng.choice((2, 2, 3))
    shapes = rng.sample(SHAPES, n)
    things = tuple(random_thing(rng, shape=shape) for shape in shapes)
    known = tuple(tuple(sorted(rng.sample(("colour", "pattern", "size"), rng.choice((1, 1, 2))))) for _ in things)
    relations: list[tuple[int, str, int]] = []
    for i in range(n - 1):
        if n == 2 or rng.random() < 0.7:
            relation = rng.choice(RELATIONS)
            relations += [(i, relation, i + 1), (i + 1, OPPOSITE[relation], i)]
    return Account(things, known, tuple(relations))


def known_phrase(account: Account, i: int) -> str:
    """``"plain big red star"``: all known attributes, "plain" included since a text must say it to make it known."""
    thing = account.things[i]
    words = [thing.attribute(name) for name in ("size", "pattern", "colour") if name in account.known[i]]
    return " ".join([*words, thing.shape])


def tell(account: Account, rng: Random) -> str:
    """The account as a text of a few sentences."""
    named = [article(known_phrase(account, i)) for i in range(len(account.things))]
    opening = rng.choice(("there is {}", "we have {}", "someone drew {}"))
    sentences = [opening.format(", ".join(named[:-1]) + " and " + named[-1] if len(named) > 1 else named[0])]
    seen: set[frozenset[int]] = set()
    order = list(account.relations)
    rng.shuffle(order)
    for i, relation, j in order:
        if frozenset((i, j)) not in seen:
            seen.add(frozenset((i, j)))
            sentences.append(f"the {account.things[i].shape} is {relation} the {account.things[j].shape}")
    return ". ".join(sentences) + "."


def reference(account: Account, i: int, rng: Random) -> str | None:
    """A phrase that fits only thing ``i`` among all; None when there is none."""
    thing = account.things[i]
    if all(o.shape != thing.shape for j, o in enumerate(account.things) if j != i):
        return thing.shape
    if all((o.shape, o.colour) != (thing.shape, thing.colour) for j, o in enumerate(account.things) if j != i):
        return f"{thing.colour} {thing.shape}"
    return None


def say_attribute(rng: Random, who: str, name: str, value: str) -> str:
    """One of several ways to say that ``who`` is ``value``."""
    forms = ["the {who} is {value}", "it is true of the {who} that it is {value}", "{value} is what the {who} is"]
    if name in ("colour", "pattern", "size"):
        forms.append("the {name} of the {who} is {value}")
    return rng.choice(forms[:1] * 4 + forms).format(who=who, name=name, value=value)


def say_relation(a: str, relation: str, b: str) -> str:
    """The relation, told from ``a``."""
    return f"the {a} is {relation} the {b}"


def say_exists(rng: Random, what: str) -> str:
    """One of several ways to say that there is such a thing."""
    return rng.choice(("there is {}", "you can find {}", "one of them is {}")).format(article(what))


@dataclass(frozen=True)
class Statement:
    """A statement and what the account holds about it, in a few words."""

    text: str
    evidence: str


NOT_SAID, NOTHING = "that is not said", "nothing is like that"


def statement(account: Account, rng: Random, truth: Truth) -> Statement | None:
    """A statement that is true, false or unknown given the account; None when the draw did not fit (draw again)."""
    i = rng.randrange(len(account.things))
    kind = rng.choice(("attribute", "attribute", "relation", "exists"))
    if truth == "unknown":
        return _unknown(account, rng, i, kind)
    if kind == "relation":
        return _relation(account, rng, truth)
    if not account.known[i]:
        return None
    name = rng.choice(account.known[i])
    return (_attribute if kind == "attribute" else _exists)(account, rng, truth, i, name)


def _unknown(account: Account, rng: Random, i: int, kind: str) -> Statement | None:
    thing, who = account.things[i], reference(account, i, rng)
    unstated = [n for n in ("colour", "pattern", "size") if n not in account.known[i]]
    if who is None:
        return None
    if not unstated or rng.random() < 0.3:
        return Statement(say_attribute(rng, who, "kind", rng.choice(HIDDEN)), NOT_SAID)
    name = rng.choice(unstated)
    value = rng.choice(VALUES[name])
    if kind == "exists":
        return Statement(say_exists(rng, f"{value} {thing.shape}"), NOT_SAID)
    return Statement(say_attribute(rng, who, name, value), NOT_SAID)


def _attribute(account: Account, rng: Random, truth: Truth, i: int, name: str) -> Statement | None:
    thing, who = account.things[i], reference(account, i, rng)
    if who is None or (name == "colour" and who != thing.shape):
        return None
    actual = value = thing.attribute(name)
    if truth == "false":
        value = rng.choice([v for v in VALUES[name] if v != actual])
    return Statement(say_attribute(rng, who, name, value), f"the {who} is {actual}")


def _relation(account: Account, rng: Random, truth: Truth) -> Statement | None:
    if not account.relations:
        return None
    a, relation, b = rng.choice(account.relations)
    first, second = reference(account, a, rng), reference(account, b, rng)
    if first is None or second is None:
        return None
    said = relation if truth == "true" else OPPOSITE[relation]
    return Statement(say_relation(first, said, second), say_relation(first, relation, second))


def _exists(account: Account, rng: Random, truth: Truth, i: int, name: str) -> Statement | None:
    thing = account.things[i]
    actual = value = thing.attribute(name)
    if truth == "true":
        return Statement(say_exists(rng, f"{value} {thing.shape}"), f"the {thing.shape} is {actual}")
    if rng.random() < 0.5:
        absent = rng.choice([s for s in SHAPES if all(s != o.shape for o in account.things)])
        return Statement(say_exists(rng, f"{value} {absent}"), NOTHING)
    value = rng.choice([v for v in VALUES[name] if v != actual])
    same = [(o, account.known[j]) for j, o in enumerate(account.things) if o.shape == thing.shape]
    if any(name not in known or o.attribute(name) == value for o, known in same):
        return None
    return Statement(
        say_exists(rng, f"{value} {thing.shape}"), f"the {thing.shape} is {actual}" if len(same) == 1 else NOTHING
    )


def draw_statement(account: Account, rng: Random, truth: Truth) -> Statement | None:
    """Tries `statement` a few times; None when the account offers none of that truth."""
    for _ in range(8):
        made = statement(account, rng, truth)
        if made is not None:
            return made
    return None


QUESTIONS = {
    "colour": ("what colour is the {}?", "which colour does the {} have?", "tell me the colour of the {}."),
    "pattern": ("what pattern is on the {}?", "which pattern does the {} have?", "tell me the pattern of the {}."),
    "size": ("how big is the {}?", "which size does the {} have?", "tell me the size of the {}."),
}


def question(rng: Random, name: str, who: str) -> str:
    """One of several ways to ask for an attribute."""
    forms = QUESTIONS[name]
    return forms[rng.randrange(len(forms))].format(who)


def describe_left_to_right(things: tuple[Thing, ...]) -> str:
    """The pretraining caption: all things from left to right with size, pattern and colour."""
    return ", ".join(phrase(t, ("size", "pattern", "colour")) for t in sorted(things, key=lambda t: t.x))


# Opinions: what was tried, how its sides were, and the feeling that follows.
SUBJECTS = ("film", "soup", "hotel", "book", "phone", "song", "park", "lesson", "train", "coat")
ASPECTS = ("start", "end", "price", "sound", "look", "service", "taste", "idea", "staff", "pace")
GOOD = ("lovely", "bright", "fresh", "clever", "kind", "smooth", "funny", "superb", "warmly made", "honest")
BAD = ("dull", "rude", "stale", "clumsy", "dirty", "slow", "boring", "awful", "badly made", "fake")


@dataclass(frozen=True)
class Opinion:
    """A review and whether its writer is pleased."""

    text: str
    pleased: bool


def opinion(rng: Random, clauses: int | None = None) -> Opinion:
    """Sides of a subject, each good or bad, some negated; the majority, or what follows "but in the end", decides."""
    subject = rng.choice(SUBJECTS)
    n = clauses or rng.choice((1, 2, 3, 3))
    parts, votes = [], []
    for aspect in rng.sample(ASPECTS, n):
        good = rng.random() < 0.5
        negated = rng.random() < 0.3
        word = rng.choice(GOOD if good != negated else BAD)
        parts.append(f"the {aspect} was {'not ' if negated else ''}{word}")
        votes.append(good)
    if n == 2:
        text = f"the {subject}: {parts[0]}, but in the end {parts[1]}."
        pleased = votes[1]
    else:
        text = f"the {subject}: {', '.join(parts[:-1])}{' and ' if n > 1 else ''}{parts[-1]}."
        pleased = sum(votes) * 2 > n
    return Opinion(text, pleased)
