"""The six language tasks."""

from __future__ import annotations

from random import Random

from pituning.tasks.mini.language import (
    ASPECTS,
    BAD,
    GOOD,
    QUESTIONS,
    SUBJECTS,
    VALUES,
    Account,
    draw_statement,
    known_phrase,
    random_account,
    say_relation,
    tell,
)
from pituning.tasks.mini.recipes import MANY, Draft, Recipe
from pituning.tasks.mini.world import OPPOSITE, RELATIONS, SHAPES, random_thing

ENTAILMENT = {"entailed": "true", "neutral": "unknown", "contradicted": "false"}


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


MISTYPED = 0.06
"""Share of the words of five letters or more in question pairs that are mistyped."""
BY_PLACE = 0.2
"""Share of the question pairs that name what they ask about by its place alone."""


def _same_question(rng: Random, label: str | None) -> Draft:
    """Two questions: the same one in other words, or another attribute, thing, place or detail."""
    name, shape = rng.choice(tuple(QUESTIONS)), rng.choice(SHAPES)
    who = _described(rng, shape)
    place = rng.choice(RELATIONS) if rng.random() < BY_PLACE else None
    other_name, other_who, other_place = name, who, place
    if label == "not duplicate":
        change = rng.choice(
            ("attribute", "thing", "detail") if place is None else ("attribute", "detail", "place", "place")
        )
        if change == "attribute":
            other_name = rng.choice([n for n in QUESTIONS if n != name])
        elif change == "thing":
            other_who = who.replace(shape, rng.choice([s for s in SHAPES if s != shape]))
        elif change == "place":
            other_place = rng.choice([r for r in RELATIONS if r != place])
        else:
            while other_who == who:
                other_who = _described(rng, shape)
    asked = [(name, who, place), (other_name, other_who, other_place)]
    ends = rng.choice((("{} the {}", "that the {} is {}"), ("that the {} is {}", "{} the {}")))
    told = []
    for (asked_name, about, at), end, form in zip(asked, ends, rng.sample(range(3), 2), strict=True):
        thing = about
        if at is not None:
            thing = f"thing {end.format(at, about) if end.startswith('{') else end.format(about, OPPOSITE[at])}"
        told.append(QUESTIONS[asked_name][form].format(thing))
    one, two = (_mistyped(rng, question) for question in told)
    return Draft(None, f"{one} {two}", str(label))


def _mistyped(rng: Random, text: str) -> str:
    """The text as people type it: now and then two neighbouring letters inside a word have changed places."""
    words = text.split(" ")
    for n, word in enumerate(words):
        if len(word) > 4 and rng.random() < MISTYPED:
            i = rng.randrange(1, len(word) - 2)
            words[n] = word[:i] + word[i + 1] + word[i] + word[i + 2 :]
    return " ".join(words)


def _same_meaning(rng: Random, label: str | None) -> Draft:
    """Two sentences: the same said from the other end, or with roles, relation or a detail changed."""
    one, two = (
        _two_relations(rng, label == "yes") if rng.random() < TWO_RELATIONS else _one_relation(rng, label == "yes")
    )
    return Draft(None, f"{one}. {two}.", str(label))


TWO_RELATIONS = 0.4
"""Share of the paraphrase examples that tell two relations at once."""


def _one_relation(rng: Random, same: bool) -> tuple[str, str]:
    a, b = rng.sample(SHAPES, 2)
    first_who, second_who = _described(rng, a), _described(rng, b)
    relation = rng.choice(RELATIONS)
    first = say_relation(first_who, relation, second_who)
    if same:
        return first, say_relation(second_who, OPPOSITE[relation], first_who)
    change = rng.choice(("roles", "relation", "detail"))
    if change == "roles":
        return first, say_relation(second_who, relation, first_who)
    if change == "relation":
        other = rng.choice([r for r in RELATIONS if r not in (relation, OPPOSITE[relation])])
        from_the_other_end = rng.random() < 0.5
        return first, (
            say_relation(second_who, OPPOSITE[other], first_who)
            if from_the_other_end
            else say_relation(first_who, other, second_who)
        )
    changed = first_who
    while changed == first_who:
        changed = _described(rng, a)
    return first, say_relation(second_who, OPPOSITE[relation], changed)


def _two_relations(rng: Random, same: bool) -> tuple[str, str]:
    """``a`` stands in one relation to ``b`` and in another to ``c``; the second sentence tells them in any order and
    from any end, or with one of the two turned round or moved."""
    a, b, c = rng.sample(SHAPES, 3)
    facts = [(a, rng.choice(RELATIONS), b), (a, rng.choice(RELATIONS), c)]
    first = " and ".join(say_relation(*fact) for fact in facts)
    if not same:
        i = rng.randrange(2)
        subject, relation, other = facts[i]
        facts[i] = (subject, rng.choice([r for r in RELATIONS if r != relation]), other)
    rng.shuffle(facts)
    told = [
        say_relation(other, OPPOSITE[relation], subject)
        if rng.random() < 0.7
        else say_relation(subject, relation, other)
        for subject, relation, other in facts
    ]
    return first, " and ".join(told)


BY_RELATION = 0.3
"""Share of the answerability examples that ask for a thing by how it stands to another."""


def _answers(rng: Random, label: str | None) -> Draft:
    """A question and a passage: does the passage hold the answer? What is asked for must often be found out first."""
    while True:
        account = random_account(rng, 3)
        i = rng.randrange(len(account.things))
        names = [n for n in VALUES if n != "shape" and (n in account.known[i]) == (label == "yes")]
        who = _by_relation(account, i, rng) if rng.random() < BY_RELATION else account.things[i].shape
        if names and who is not None:
            asked = rng.choice(QUESTIONS[rng.choice(names)]).format(who)
            return Draft(None, f"{tell(account, rng)} {asked}", str(label))


def _by_relation(account: Account, i: int, rng: Random) -> str | None:
    """``"thing left of the star"`` where the account tells so of thing ``i`` alone; None where it does not."""
    fitting = [
        f"thing {relation} the {account.things[b].shape}"
        for a, relation, b in account.relations
        if a == i and sum((r, o) == (relation, b) for _, r, o in account.relations) == 1
    ]
    return rng.choice(fitting) if fitting else None


VERY = 0.4
"""Share of the opinions that are strong: they count twice."""


def _sentiment(rng: Random, label: str | None) -> Draft:
    """Opinions on several sides of a subject, some negated, some strong; their sum decides."""
    while True:
        parts, total = [], 0
        for aspect in rng.sample(ASPECTS, rng.choice((2, 3, 4, 5))):
            good, negated = rng.random() < 0.5, rng.random() < 0.3
            strong = not negated and rng.random() < VERY
            word = rng.choice(GOOD if good != negated else BAD)
            parts.append(f"the {aspect} was {'not ' if negated else 'very ' if strong else ''}{word}")
            total += (1 if good else -1) * (2 if strong else 1)
        if total != 0 and (total > 0) == (label == "positive"):
            told = f"{', '.join(parts[:-1])}{' and ' if len(parts) > 1 else ''}{parts[-1]}"
            return Draft(None, f"review of the {rng.choice(SUBJECTS)}: {told}.", str(label))


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
        name="same-question", title="Duplicate questions", instruction="duplicates?",
        modality="language", metric="accuracy", labels=("duplicate", "not duplicate"), families=("paraphrase",),
        description="Do two differently worded questions, typed in haste, ask the same thing?",
        draw=_same_question, sizes=MANY, since="3",
    ),
    Recipe(
        name="same-meaning", title="Paraphrase", instruction="do these two sentences mean the same?",
        modality="language", metric="accuracy", labels=("yes", "no"), families=("paraphrase",),
        description="Do two sentences say the same of the same things?", draw=_same_meaning, sizes=MANY,
        since="3",
    ),
    Recipe(
        name="answers", title="Answerability", instruction="does the text hold the answer?",
        modality="language", metric="accuracy", labels=("yes", "no"), families=(),
        description="Does the passage hold the answer to a question on a thing, often named by its place alone?",
        draw=_answers, sizes=MANY,
        since="3",
    ),
    Recipe(
        name="sentiment", title="Sentiment", instruction="sentiment:", modality="language",
        metric="accuracy", labels=("positive", "negative"), families=(),
        description="Is a review with mixed, negated and strong opinions favourable on the whole?", draw=_sentiment,
    ),
)  # fmt: skip
