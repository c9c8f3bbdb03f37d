"""Text alone: questions on descriptions, rewriting, gaps to fill, made-up words to look up, feelings."""

from __future__ import annotations

from random import Random

from pituning.pretraining.sample import Sample
from pituning.tasks.mini.language import (
    GOOD,
    QUESTIONS,
    known_phrase,
    opinion,
    question,
    random_account,
    tell,
)
from pituning.tasks.mini.world import COLOURS, OPPOSITE, SHAPES

FORM_WORDS = ("first", "second", "third")
CONSONANTS, ENDINGS = (
    "bdfghjklmnprstvwz",
    ("a", "e", "i", "o", "u", "al", "en", "ir", "os", "ud", "ant", "est", "ing", "orm"),
)
SYLLABLES = tuple(consonant + ending for consonant in CONSONANTS for ending in ENDINGS)


def text_question(rng: Random, level: float) -> Sample:
    """A question on a description; "not said" is an answer too."""
    account = random_account(rng)
    i = rng.randrange(len(account.things))
    kind = rng.random()
    text = tell(account, rng)
    if kind < 0.6:
        name = rng.choice(("colour", "pattern", "size"))
        answer = account.things[i].attribute(name) if name in account.known[i] else "not said"
        return Sample("text-question", f"{text} {question(rng, name, account.things[i].shape)}", answer)
    if kind < 0.8 and account.relations:
        a, relation, b = rng.choice(account.relations)
        rivals = [j for j, r, t in account.relations if r == relation and t == b]
        if len(rivals) == 1:
            return Sample(
                "text-question", f"{text} what is {relation} the {account.things[b].shape}?", account.things[a].shape
            )
    return Sample("text-question", f"{text} name the things in order.", ", ".join(t.shape for t in account.things))


def said_of(rng: Random, level: float) -> Sample:
    """All that a text says of one of its things."""
    account = random_account(rng)
    i = rng.randrange(len(account.things))
    form = rng.choice(("what is said of the {}?", "all about the {}?"))
    prompt = f"{tell(account, rng)} {form.format(account.things[i].shape)}"
    return Sample("text-region", prompt, known_phrase(account, i))


def rewrite(rng: Random, level: float) -> Sample:
    """The same from the other end, or in another form."""
    account = random_account(rng, 2)
    kind = rng.random()
    opening = rng.choice(("say it another way: ", "rewrite: "))
    if kind < 0.35:
        a, relation, b = rng.choice(account.relations)
        first, second = account.things[a].shape, account.things[b].shape
        return Sample(
            "rewrite",
            f"{opening}the {first} is {relation} the {second}.",
            f"the {second} is {OPPOSITE[relation]} the {first}",
        )
    name = rng.choice(("colour", "pattern", "size"))
    thing = account.things[0]
    if kind < 0.7:
        one, two = rng.sample(range(3), 2)
        return Sample(
            "rewrite",
            f"{opening}{QUESTIONS[name][one].format(thing.shape)} {FORM_WORDS[two]} form.",
            QUESTIONS[name][two].format(thing.shape),
        )
    return Sample(
        "rewrite",
        f"{opening}the {name} of the {thing.shape} is {thing.attribute(name)}.",
        f"the {thing.shape} is {thing.attribute(name)}",
    )


def pseudo_word(rng: Random) -> str:
    """A made-up word of at least three letters (two could make a downstream label by chance: "no")."""
    word = ""
    while len(word) < 3:
        word = "".join(rng.choice(SYLLABLES) for _ in range(rng.choice((1, 2, 2, 3))))
    return word


def infill(rng: Random, level: float) -> Sample:
    """Spans of a description, or of made-up words, replaced by ``<mask>``: the answer spells what is missing."""
    if rng.random() < 0.5:
        account = random_account(rng)
        words = f"{tell(account, rng)} {known_phrase(account, rng.randrange(len(account.things)))}".split()
        start = rng.randrange(len(words))
        masked = [*words[:start], "<mask>", *words[start + 1 :]]
        return Sample("infill", f"fill the gap: {' '.join(masked)}", words[start].strip("."))
    made = [pseudo_word(rng) for _ in range(rng.choice((3, 4, 5)))]
    if rng.random() < 0.5:
        gap = rng.randrange(len(made))
        masked = [*made[:gap], "<mask>", *made[gap + 1 :]]
        return Sample(
            "infill", f"fill the gap: {' '.join(masked)}. all: {' '.join(rng.sample(made, len(made)))}", made[gap]
        )
    # A made-up vocabulary: the name of a thing is looked up, which is what learning a new label word asks for.
    keys = rng.sample(SHAPES + tuple(COLOURS), len(made))
    asked = rng.randrange(len(made))
    listing = ", ".join(f"{key} is {word}" for key, word in zip(keys, made, strict=True))
    return Sample("infill", f"new words: {listing}. what is {keys[asked]}?", made[asked])


def feeling(rng: Random, level: float) -> Sample:
    """How someone felt who wrote a review."""
    made = opinion(rng)
    if rng.random() < 0.75:
        forms = ("{} how did they feel?", "{} so they were", "feelings about {}", "how does the writer feel? {}")
        form = rng.choice(forms if level > 2 else forms[:2])
        return Sample("feeling", form.format(made.text), "happy" if made.pleased else "unhappy")
    if rng.random() < 0.5:
        sides = made.text.split(": ")[1].strip(".")
        return Sample("feeling", f"what does it say about each? {made.text}", sides)
    word, negated = rng.choice(GOOD), rng.random() < 0.5
    said = f"they said it was {'not ' if negated else ''}{word}."
    return Sample("feeling", f"{said} how did they feel?", "unhappy" if negated else "happy")
