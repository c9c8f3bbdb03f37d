"""Pictures: scenes to describe, mark and question; parts, letters and tiles to name."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from pituning.pretraining.sample import Sample
from pituning.pretraining.sentences import pseudo_word
from pituning.tasks.mini.drawing import Glyphs, Tile
from pituning.tasks.mini.language import (
    NUMBERS,
    VALUES,
    account_of_picture,
    describe_left_to_right,
    question,
    reference,
)
from pituning.tasks.mini.parts import Aircraft, Creature, Flower, random_aircraft, random_creature, random_flower
from pituning.tasks.mini.world import COLOURS, Scene, draw_in_split, phrase

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


def location_box(box: tuple[int, int, int, int]) -> str:
    """``<loc_x1><loc_y1><loc_x2><loc_y2>``."""
    return "".join(f"<loc_{v}>" for v in box)


def caption(scene: Scene, rng: Random, level: float) -> Sample:
    """All things from left to right; late in the curriculum also from top to bottom, in fewer words."""
    if level > 2 and rng.random() < 0.5:
        prompt = rng.choice(("colours and shapes from top to bottom?", "go down the picture: what is there?"))
        listed = [phrase(t, ("colour",)) for t in sorted(scene.things, key=lambda t: t.y)]
        return Sample("caption", prompt, ", then ".join(listed))
    prompt = rng.choice(("describe the picture.", "what is in the picture?", "say what you see from left to right."))
    return Sample("caption", prompt, describe_left_to_right(scene.things))


def detect(scene: Scene, rng: Random, level: float) -> Sample:
    """Names and boxes of all things, or of those that fit a word."""
    if rng.random() < 0.4 or len(scene.things) == 1:
        prompt = rng.choice(("list the things and their places.", "mark everything in the picture."))
        things = sorted(scene.things, key=lambda t: t.x)
    else:  # only some: the words must be looked up in the picture
        name = rng.choice(("shape", "colour", "size"))
        value = rng.choice(scene.things).attribute(name)
        things = [t for t in sorted(scene.things, key=lambda t: t.x) if t.attribute(name) == value]
        prompt = f"mark everything that is {value}." if name != "shape" else f"mark every {value}."
    return Sample("detect", prompt, "".join(f"{t.shape}{location_box(t.box)}" for t in things))


def region(scene: Scene, rng: Random, level: float) -> Sample:
    """What is in a box."""
    thing = rng.choice(scene.things)
    prompt = rng.choice(("what is at {}?", "describe the region {}.")).format(location_box(thing.box))
    return Sample("region", prompt, phrase(thing, ("size", "pattern", "colour")))


def attribute(scene: Scene, rng: Random, level: float) -> Sample:
    """One attribute of one thing."""
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
    return count(scene, rng, level)


def extreme(scene: Scene, rng: Random, level: float) -> Sample:
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


def count(scene: Scene, rng: Random, level: float) -> Sample:
    """How many things fit a word."""
    name = rng.choice(("shape", "colour", "size"))
    value = rng.choice(scene.things).attribute(name) if rng.random() < 0.7 else rng.choice(VALUES[name])
    number = sum(t.attribute(name) == value for t in scene.things)
    what = f"{value}s" if name == "shape" and not value.endswith("s") else f"{value} things"
    if value == "cross":
        what = "crosses"
    return Sample("count", f"how many {what} are there?", NUMBERS[number])


def neighbour(scene: Scene, rng: Random, level: float) -> Sample:
    """What stands left of, above … a thing, or at an end of the picture."""
    account = account_of_picture(scene.things)
    if account.relations:
        a, relation, b = rng.choice(account.relations)
        rivals = [j for j, r, i in account.relations if r == relation and i == b]
        who = reference(account, b, rng)
        if who is not None and len(rivals) == 1:
            return Sample("position", f"what is {relation} the {who}?", phrase(scene.things[a], ("colour",)))
    return extreme(scene, rng, level)


def picture_words(scene: Scene, rng: Random, level: float) -> Sample:
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
