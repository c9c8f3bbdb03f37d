"""The pretraining mixture: scenes, glyphs, tiles and parts to describe, texts to fill, rewrite, question and check.

None of it uses the label words or the formats of the 20 downstream tasks (a test holds the two vocabularies apart).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from pituning.tasks.mini.drawing import Content, Glyphs, Tile
from pituning.tasks.mini.language import (
    GOOD,
    NUMBERS,
    QUESTIONS,
    VALUES,
    Account,
    account_of_picture,
    describe_left_to_right,
    draw_statement,
    known_phrase,
    opinion,
    question,
    random_account,
    reference,
    say_attribute,
    tell,
)
from pituning.tasks.mini.parts import Aircraft, Creature, Flower, random_aircraft, random_creature, random_flower
from pituning.tasks.mini.world import (
    COLOURS,
    OPPOSITE,
    SHAPES,
    Scene,
    draw_in_split,
    phrase,
    random_scene,
)

TRUTHS = ("true", "false", "unknown")
LETTERS = "abcdefghijklmnopqrstuvwxyz"
TILE_PATTERNS = ("stripes", "waves", "blocks", "mesh", "blobs", "specks")
TILE_WORDS = {
    "stripes": "bands",
    "waves": "ripples",
    "blocks": "bricks",
    "mesh": "netting",
    "blobs": "patches",
    "specks": "crumbs",
}
FORM_WORDS = ("first", "second", "third")
CONSONANTS, ENDINGS = (
    "bdfghjklmnprstvwz",
    ("a", "e", "i", "o", "u", "al", "en", "ir", "os", "ud", "ant", "est", "ing", "orm"),
)
SYLLABLES = tuple(consonant + ending for consonant in CONSONANTS for ending in ENDINGS)


@dataclass(frozen=True)
class Sample:
    """One pretraining example; ``objective`` names the skill it exercises."""

    objective: str
    prompt: str
    answer: str
    image: Content | None = None


def location_box(box: tuple[int, int, int, int]) -> str:
    """``<loc_x1><loc_y1><loc_x2><loc_y2>``."""
    return "".join(f"<loc_{v}>" for v in box)


def _caption(scene: Scene, rng: Random) -> Sample:
    prompt = rng.choice(("describe the picture.", "what is in the picture?", "say what you see from left to right."))
    return Sample("caption", prompt, describe_left_to_right(scene.things))


def _detect(scene: Scene, rng: Random) -> Sample:
    if rng.random() < 0.4 or len(scene.things) == 1:
        prompt = rng.choice(("list the things and their places.", "mark everything in the picture."))
        things = sorted(scene.things, key=lambda t: t.x)
    else:  # only some: the words must be looked up in the picture
        name = rng.choice(("shape", "colour", "size"))
        value = rng.choice(scene.things).attribute(name)
        things = [t for t in sorted(scene.things, key=lambda t: t.x) if t.attribute(name) == value]
        prompt = f"mark everything that is {value}." if name != "shape" else f"mark every {value}."
    return Sample("detect", prompt, "".join(f"{t.shape}{location_box(t.box)}" for t in things))


def _region(scene: Scene, rng: Random) -> Sample:
    thing = rng.choice(scene.things)
    prompt = rng.choice(("what is at {}?", "describe the region {}.")).format(location_box(thing.box))
    return Sample("region", prompt, phrase(thing, ("size", "pattern", "colour")))


def _attribute(scene: Scene, rng: Random) -> Sample:
    account = account_of_picture(scene.things)
    for _ in range(10):
        i = rng.randrange(len(scene.things))
        name = rng.choice(("colour", "pattern", "size", "shape"))
        thing = scene.things[i]
        if name == "shape":
            if sum(t.colour == thing.colour for t in scene.things) == 1:
                form = rng.choice(("what shape is the {} thing?", "which shape has the colour {}?"))
                return Sample("attribute", form.format(thing.colour), thing.shape)
            continue
        who = reference(account, i, rng)
        if who is not None and not (name == "colour" and who != thing.shape):
            return Sample("attribute", question(rng, name, who), thing.attribute(name))
    return _count(scene, rng)


def _extreme(scene: Scene, rng: Random) -> Sample:
    """The biggest, leftmost, topmost … thing's colour, pattern or shape."""
    key, word = rng.choice(
        (
            (lambda t: t.x, "first from the left"),
            (lambda t: -t.x, "first from the right"),
            (lambda t: t.y, "highest"),
            (lambda t: -t.y, "lowest"),
            (lambda t: -t.radius, "largest"),
        )
    )
    thing = min(scene.things, key=key)
    name = rng.choice(("colour", "shape", "pattern"))
    return Sample("position", f"which {name} has the {word} thing?", thing.attribute(name))


def _count(scene: Scene, rng: Random) -> Sample:
    name = rng.choice(("shape", "colour", "size"))
    value = rng.choice(scene.things).attribute(name) if rng.random() < 0.7 else rng.choice(VALUES[name])
    number = sum(t.attribute(name) == value for t in scene.things)
    what = f"{value}s" if name == "shape" and not value.endswith("s") else f"{value} things"
    if value == "cross":
        what = "crosses"
    return Sample("count", f"how many {what} are there?", NUMBERS[number])


def _neighbour(scene: Scene, rng: Random) -> Sample:
    account = account_of_picture(scene.things)
    if account.relations:
        a, relation, b = rng.choice(account.relations)
        rivals = [j for j, r, i in account.relations if r == relation and i == b]
        who = reference(account, b, rng)
        if who is not None and len(rivals) == 1:
            return Sample("position", f"what is {relation} the {who}?", phrase(scene.things[a], ("colour",)))
    return _extreme(scene, rng)


def _checks(account: Account, rng: Random, opening: str, objective: str) -> Sample:
    n = rng.choice((1, 1, 3))
    statements: list[str] = []
    truths: list[str] = []
    while len(statements) < n:
        truth = rng.choice(TRUTHS)
        made = draw_statement(account, rng, truth)
        if made is not None:
            statements.append(made)
            truths.append(truth)
    if n == 1:
        form = rng.choice(("check: {}.", "is this so? {}.", "judge: {}."))
        return Sample(objective, opening + form.format(statements[0]), truths[0])
    return Sample(objective, f"{opening}check each: {'; '.join(statements)}.", " ".join(truths))


def _picture_check(scene: Scene, rng: Random) -> Sample:
    return _checks(account_of_picture(scene.things), rng, "", "picture-check")


def _text_check(rng: Random) -> Sample:
    account = random_account(rng)
    return _checks(account, rng, tell(account, rng) + " ", "text-check")


def _statement_check(rng: Random) -> Sample:
    """One statement against another: the least premise there is."""
    account = random_account(rng, 2)
    if rng.random() < 0.5:
        thing, name = account.things[0], rng.choice(account.known[0])
        premise = say_attribute(rng, thing.shape, name, thing.attribute(name))
        account = Account((thing,), ((name,),), ())
    else:
        a, relation, b = rng.choice(account.relations)
        premise = f"the {account.things[a].shape} is {relation} the {account.things[b].shape}"
        account = Account(account.things, ((), ()), account.relations)
    truth = rng.choice(TRUTHS)
    made = draw_statement(account, rng, truth)
    if made is None:
        return _text_check(rng)
    return Sample("text-check", f"{premise}. check: {made}.", truth)


def _text_question(rng: Random) -> Sample:
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


def _rewrite(rng: Random) -> Sample:
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


def _infill(rng: Random) -> Sample:
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


def _picture_words(scene: Scene, rng: Random) -> Sample:
    """The same with a picture: the made-up name of what is seen."""
    thing = max(scene.things, key=lambda t: t.radius)
    name = rng.choice(("shape", "colour"))
    values = rng.sample(VALUES[name], 3)
    if thing.attribute(name) not in values:
        values[rng.randrange(3)] = thing.attribute(name)
    words = {value: pseudo_word(rng) for value in values}
    listing = ", ".join(f"{value} is {word}" for value, word in words.items())
    return Sample(
        "picture-words", f"new words: {listing}. name the {name} of the largest thing.", words[thing.attribute(name)]
    )


def _feeling(rng: Random) -> Sample:
    made = opinion(rng)
    if rng.random() < 0.75:
        form = rng.choice(("{} how did they feel?", "{} so they were"))
        return Sample("feeling", form.format(made.text), "happy" if made.pleased else "unhappy")
    if rng.random() < 0.5:
        sides = made.text.split(": ")[1].strip(".")
        return Sample("feeling", f"what does it say about each? {made.text}", sides)
    word, negated = rng.choice(GOOD), rng.random() < 0.5
    said = f"they said it was {'not ' if negated else ''}{word}."
    return Sample("feeling", f"{said} how did they feel?", "unhappy" if negated else "happy")


SCENE_OBJECTIVES: tuple[tuple[float, Callable[[Scene, Random], Sample]], ...] = (
    (1.6, _caption),
    (1.4, _detect),
    (1.0, _region),
    (1.2, _attribute),
    (0.8, _extreme),
    (0.8, _count),
    (1.0, _neighbour),
    (2.2, _picture_check),
    (0.15, _picture_words),
)
TEXT_OBJECTIVES: tuple[tuple[float, Callable[[Random], Sample]], ...] = (
    (3.4, _text_check),
    (1.6, _statement_check),
    (1.2, _text_question),
    (0.9, _rewrite),
    (0.7, _infill),
    (0.9, _feeling),
)


def scene_samples(rng: Random, split: str, prompts: int) -> list[Sample]:
    """One scene of the split's own buckets and ``prompts`` different things to do with it."""
    scene = draw_in_split(random_scene, rng, split)
    weights = [w for w, _ in SCENE_OBJECTIVES]
    chosen = rng.choices([f for _, f in SCENE_OBJECTIVES], weights, k=prompts)
    return [Sample(s.objective, s.prompt, s.answer, scene) for s in (f(scene, rng) for f in chosen)]


def parts_samples(rng: Random, split: str, prompts: int) -> list[Sample]:
    """An aircraft, flower or creature: its parts, all or one."""
    makers: tuple[Callable[[Random], Aircraft | Flower | Creature], ...] = (
        random_aircraft,
        random_flower,
        random_creature,
    )
    make = rng.choice(makers)
    content = draw_in_split(make, rng, split)
    parts = content.parts()
    samples = [Sample("parts", rng.choice(("name the parts.", "describe the parts.")), ", ".join(parts), content)]
    while len(samples) < prompts:
        part = rng.choice(parts)
        noun = part.rpartition(" ")[2]
        kinds = [p.rpartition(" ")[0] for p in parts if p.endswith(noun)]
        samples.append(Sample("parts", f"what kind of {noun}?", " and ".join(kinds), content))
    return samples


def glyph_samples(rng: Random, split: str) -> list[Sample]:
    """Letters to read (no digits: those are a downstream task)."""

    def make(r: Random) -> Glyphs:
        dark, light = r.randint(0, 90), r.randint(150, 255)
        ink, paper = (dark, light) if r.random() < 0.5 else (light, dark)
        count = r.choice((1, 1, 1, 2))
        return Glyphs(
            text="".join(r.choice(LETTERS + LETTERS.upper()) for _ in range(count)),
            size=round(r.uniform(26, 44) if count == 1 else r.uniform(20, 27), 1),
            turn=round(r.uniform(-18, 18), 1),
            slant=round(r.uniform(-0.35, 0.35), 2),
            ink=(ink, ink, ink),
            paper=(paper, paper, paper),
            resolution=r.choice((8, 10, 12, 16, 24)),
            noise=round(r.uniform(0, 12), 1),
            seed=r.getrandbits(30),
        )

    content = draw_in_split(make, rng, split)
    return [Sample("letters", rng.choice(("read the letters.", "which letters?")), " ".join(content.text), content)]


def tile_samples(rng: Random, split: str, prompts: int) -> list[Sample]:
    """Patterns as seen from above: what covers the ground, in which colours."""
    front, back = rng.sample(list(COLOURS), 2)

    def shade(r: Random, name: str) -> tuple[int, int, int]:
        red, green, blue = (min(255, max(0, v + r.randint(-25, 25))) for v in COLOURS[name])
        return (red, green, blue)

    def make(r: Random) -> Tile:
        return Tile(
            pattern=r.choice(TILE_PATTERNS),
            front=shade(r, front),
            back=shade(r, back),
            scale=round(r.uniform(5, 9), 1),
            turn=round(r.uniform(0, 180), 1),
            noise=round(r.uniform(0, 14), 1),
            seed=r.getrandbits(30),
        )

    content = draw_in_split(make, rng, split)
    word = TILE_WORDS[content.pattern]
    choices = [
        Sample("tiles", "what covers the ground?", f"{front} {word} on {back}", content),
        Sample("tiles", "which cover?", word, content),
        Sample("tiles", "which ground colour?", back, content),
    ]
    return choices[:1] + rng.sample(choices[1:], max(0, min(2, prompts - 1)))


def text_samples(rng: Random, count: int) -> list[Sample]:
    """Samples without an image."""
    weights = [w for w, _ in TEXT_OBJECTIVES]
    return [f(rng) for f in rng.choices([f for _, f in TEXT_OBJECTIVES], weights, k=count)]


def image_samples(rng: Random, split: str, prompts: int = 2) -> list[Sample]:
    """Samples that share one image."""
    kind = rng.random()
    if kind < 0.68:
        return scene_samples(rng, split, prompts)
    if kind < 0.84:
        return parts_samples(rng, split, 2)
    if kind < 0.93:
        return glyph_samples(rng, split)
    return tile_samples(rng, split, 2)
