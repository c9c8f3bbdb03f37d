"""The six language tasks."""

from __future__ import annotations

from random import Random

from pituning.tasks.mini.language import (
    QUESTIONS,
    VALUES,
    Account,
    draw_statement,
    known_phrase,
    opinion,
    random_account,
    say_relation,
    tell,
)
from pituning.tasks.mini.recipes import MANY, Draft, Recipe
from pituning.tasks.mini.world import OPPOSITE, RELATIONS, SHAPES, random_thing

ENTAILMENT = {"yes": "true", "maybe": "unknown", "no": "false"}


def _premise_and_hypothesis(rng: Random, truth: str, count: int | None) -> tuple[str, str]:
    while True:
        account = random_account(rng, count)
        hypothesis = draw_statement(account, rng, truth)
        if hypothesis is not None:
            return tell(account, rng), hypothesis.text


def _nli(rng: Random, label: str | None) -> Draft:
    premise, hypothesis = _premise_and_hypothesis(rng, ENTAILMENT[str(label)], None)
    return Draft(None, f"{premise} hypothesis: {hypothesis}.", str(label))


def _rte(rng: Random, label: str | None) -> Draft:
    truth = "true" if label == "entailed" else rng.choice(("false", "unknown"))
    premise, hypothesis = _premise_and_hypothesis(rng, truth, 3)
    return Draft(None, f"{premise} claim: {hypothesis}.", str(label))


def _described(rng: Random, shape: str) -> str:
    thing = random_thing(rng, shape=shape)
    known = tuple(rng.sample(("colour", "pattern", "size"), rng.choice((1, 2))))
    return known_phrase(Account((thing,), (known,), ()), 0)


def _same_question(rng: Random, label: str | None) -> Draft:
    """Two questions about described things: the same one in other words, or another attribute, thing or detail."""
    name, shape = rng.choice(tuple(QUESTIONS)), rng.choice(SHAPES)
    who = _described(rng, shape)
    one, two = rng.sample(range(3), 2)
    other_name, other_who = name, who
    if label == "different":
        change = rng.choice(("attribute", "thing", "detail"))
        if change == "attribute":
            other_name = rng.choice([n for n in QUESTIONS if n != name])
        elif change == "thing":
            other_who = who.replace(shape, rng.choice([s for s in SHAPES if s != shape]))
        else:
            while other_who == who:
                other_who = _described(rng, shape)
    first, second = QUESTIONS[name][one].format(who), QUESTIONS[other_name][two].format(other_who)
    return Draft(None, f"question 1: {first} question 2: {second}", str(label))


def _same_meaning(rng: Random, label: str | None) -> Draft:
    """Two statements: one said twice, or with the roles, the relation or a detail changed."""
    a, b = rng.sample(SHAPES, 2)
    first_who, second_who = _described(rng, a), _described(rng, b)
    relation = rng.choice(RELATIONS)
    first = f"the {first_who} is {relation} the {second_who}"
    if label == "equivalent":
        second = f"the {second_who} is {OPPOSITE[relation]} the {first_who}"
    else:
        change = rng.choice(("roles", "relation", "detail"))
        if change == "roles":
            second = f"the {second_who} is {relation} the {first_who}"
        elif change == "relation":
            other = rng.choice([r for r in RELATIONS if r not in (relation, OPPOSITE[relation])])
            second = say_relation(first_who, other, second_who)
            if rng.random() < 0.5:
                second = say_relation(second_who, OPPOSITE[other], first_who)
        else:
            changed = first_who
            while changed == first_who:
                changed = _described(rng, a)
            second = f"the {second_who} is {OPPOSITE[relation]} the {changed}"
    return Draft(None, f"sentence 1: {first}. sentence 2: {second}.", str(label))


def _answers(rng: Random, label: str | None) -> Draft:
    """A question and a passage: does the passage hold the answer?"""
    while True:
        account = random_account(rng)
        i = rng.randrange(len(account.things))
        names = [n for n in VALUES if n != "shape" and (n in account.known[i]) == (label == "yes")]
        if names:
            break
    asked = rng.choice(QUESTIONS[rng.choice(names)]).format(account.things[i].shape)
    return Draft(None, f"{tell(account, rng)} question: {asked}", str(label))


def _sentiment(rng: Random, label: str | None) -> Draft:
    while True:
        made = opinion(rng, rng.choice((1, 2, 3, 5)))
        if made.pleased == (label == "positive"):
            return Draft(None, f"review of {made.text}", str(label))


RECIPES = (
    Recipe(
        name="nli", title="Natural language inference", instruction="inference:",
        modality="language", metric="accuracy", labels=tuple(ENTAILMENT), families=("entailment",),
        description="Three-way: does the hypothesis follow from the premise, contradict it, or is it open?",
        draw=_nli, sizes=MANY,
    ),
    Recipe(
        name="rte", title="Textual entailment", instruction="entailed?", modality="language",
        metric="accuracy", labels=("entailed", "not entailed"), families=("entailment",),
        description="Two-way entailment with longer texts: open and contradicted claims count as not entailed.",
        draw=_rte, sizes=MANY,
    ),
    Recipe(
        name="same-question", title="Duplicate questions", instruction="are these two questions duplicates?",
        modality="language", metric="accuracy", labels=("duplicate", "different"), families=("paraphrase",),
        description="Do two differently worded questions ask the same thing?", draw=_same_question, sizes=MANY,
    ),
    Recipe(
        name="same-meaning", title="Paraphrase", instruction="do these two sentences mean the same?",
        modality="language", metric="accuracy", labels=("equivalent", "different"), families=("paraphrase",),
        description="Do two sentences say the same of the same things?", draw=_same_meaning, sizes=MANY,
    ),
    Recipe(
        name="answers", title="Answerability", instruction="answerable?",
        modality="language", metric="accuracy", labels=("yes", "no"), families=(),
        description="Does the passage contain the answer to the question?", draw=_answers, sizes=MANY,
    ),
    Recipe(
        name="sentiment", title="Sentiment", instruction="sentiment:", modality="language", metric="accuracy",
        labels=("positive", "negative"), families=(),
        description="Is a review with mixed and negated opinions favourable on the whole?", draw=_sentiment,
    ),
)  # fmt: skip
