"""The vision tasks: seven drawn ones here, the handwritten digits in `digits`."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from pituning.tasks.mini.drawing import Tile
from pituning.tasks.mini.parts import random_aircraft, random_creature, random_flower
from pituning.tasks.mini.recipes import Draft, Recipe
from pituning.tasks.mini.world import COLOURS, SHAPES, Scene, Thing, place, random_background, random_thing

FORMS = dict(zip(SHAPES, ("disc", "box", "wedge", "spark", "plus", "hoop", "kite", "valentine"), strict=True))
"""What the suite calls the shapes: words that pretraining never used."""
SHADES = dict(zip(COLOURS, ("crimson", "emerald", "navy", "golden", "violet", "amber", "jet", "ivory"), strict=True))
AIRCRAFT = {
    "kestrel": ("straight", "single", "zero"),
    "harrier": ("straight", "twin", "two"),
    "osprey": ("straight", "forked", "four"),
    "merlin": ("swept", "single", "two"),
    "condor": ("swept", "twin", "four"),
    "heron": ("swept", "forked", "zero"),
    "falcon": ("delta", "single", "four"),
    "raven": ("delta", "twin", "zero"),
}
FLOWERS = {
    "primrose": (5, "round", "small"),
    "daisy": (8, "narrow", "large"),
    "aster": (8, "pointed", "small"),
    "poppy": (4, "round", "large"),
    "lily": (6, "pointed", "large"),
    "jasmine": (5, "narrow", "small"),
    "crocus": (6, "round", "small"),
    "clematis": (4, "pointed", "small"),
}
CREATURES = {
    "mouse": ("round", "long", "four", "plain"),
    "piglet": ("pointed", "curly", "four", "plain"),
    "rabbit": ("long", "zero", "four", "spotted"),
    "fox": ("pointed", "long", "two", "plain"),
    "beetle": ("long", "curly", "six", "spotted"),
    "bear": ("round", "zero", "two", "spotted"),
    "ant": ("pointed", "zero", "six", "plain"),
    "lemur": ("round", "curly", "two", "plain"),
}
RGB = tuple[int, int, int]
COVERS: dict[str, tuple[str, RGB, RGB]] = {
    "forest": ("blobs", (30, 95, 45), (70, 125, 60)),
    "marsh": ("blobs", (60, 110, 120), (100, 125, 75)),
    "farmland": ("stripes", (105, 140, 70), (165, 150, 85)),
    "river": ("waves", (120, 150, 165), (60, 105, 140)),
    "town": ("blocks", (150, 105, 95), (125, 130, 120)),
    "orchard": ("specks", (45, 100, 50), (150, 140, 90)),
}
PARTS_NOISE = 110
"""Most pixel noise, in grey levels, of the part-based tasks; pretraining stays below 14."""
SURFACES = {
    "banded": "stripes",
    "rippled": "waves",
    "tessellated": "blocks",
    "netted": "mesh",
    "mottled": "blobs",
    "flecked": "specks",
}


def _inverse(words: dict[str, str], word: str | None) -> str:
    return next(key for key, value in words.items() if value == word)


def crowded_scene(rng: Random, main: Thing, *, noise: tuple[float, float], contrast: tuple[float, float]) -> Scene:
    """``main`` is the largest thing; up to three smaller ones stand around it."""
    while True:
        others = [random_thing(rng, size="small") for _ in range(rng.choice((1, 2, 3)))]
        placed = place([main, *others], rng)
        if placed is not None:
            return Scene(
                things=placed,
                background=random_background(rng),
                noise=round(rng.uniform(*noise), 1),
                contrast=round(rng.uniform(*contrast), 2),
                seed=rng.getrandbits(30),
            )


def _shape(rng: Random, label: str | None) -> Draft:
    main = random_thing(rng, shape=_inverse(FORMS, label), size="big")
    main = replace(main, radius=round(rng.uniform(7.0, 9.0), 1))
    return Draft(crowded_scene(rng, main, noise=(14, 30), contrast=(0.4, 0.8)), "", str(label))


def _colour(rng: Random, label: str | None) -> Draft:
    main = random_thing(rng, colour=_inverse(SHADES, label), size="big")
    main = replace(main, jitter=(rng.randint(-38, 38), rng.randint(-38, 38), rng.randint(-38, 38)))
    return Draft(crowded_scene(rng, main, noise=(14, 30), contrast=(0.45, 0.8)), "", str(label))


def _near(rng: Random, colour: RGB, spread: int) -> RGB:
    r, g, b = (min(255, max(0, c + rng.randint(-spread, spread))) for c in colour)
    return (r, g, b)


def _texture(rng: Random, label: str | None) -> Draft:
    back = (rng.randint(60, 190), rng.randint(60, 190), rng.randint(60, 190))
    shift = rng.choice((-1, 1)) * rng.randint(40, 75)
    front = _near(rng, (back[0] + shift, back[1] + shift, back[2] + shift), 12)
    return Draft(
        Tile(SURFACES[str(label)], front, back, round(rng.uniform(5.0, 9.0), 1), round(rng.uniform(0, 180), 1),
             round(rng.uniform(4, 18), 1), rng.getrandbits(30)),
        "",
        str(label),
    )  # fmt: skip


def _landcover(rng: Random, label: str | None) -> Draft:
    pattern, front, back = COVERS[str(label)]
    light = rng.randint(-55, 55)
    front = _near(rng, (front[0] + light, front[1] + light, front[2] + light), 44)
    back = _near(rng, (back[0] + light, back[1] + light, back[2] + light), 44)
    return Draft(
        Tile(pattern, front, back, round(rng.uniform(4.5, 9.0), 1), round(rng.uniform(0, 180), 1),
             round(rng.uniform(10, 44), 1), rng.getrandbits(30)),
        "",
        str(label),
    )  # fmt: skip


def _aircraft(rng: Random, label: str | None) -> Draft:
    return Draft(random_aircraft(rng, *AIRCRAFT[str(label)], noise=PARTS_NOISE), "", str(label))


def _flowers(rng: Random, label: str | None) -> Draft:
    return Draft(random_flower(rng, *FLOWERS[str(label)], noise=PARTS_NOISE), "", str(label))


def _creatures(rng: Random, label: str | None) -> Draft:
    return Draft(random_creature(rng, *CREATURES[str(label)], noise=PARTS_NOISE), "", str(label))


RECIPES = (
    Recipe(
        name="shape", title="Shape", instruction="outline of the main item:", modality="vision", metric="accuracy",
        labels=tuple(FORMS.values()), families=("attributes", "depiction"),
        description="Names the outline of the largest thing among smaller ones, faint and noisy.", draw=_shape,
    ),
    Recipe(
        name="colour", title="Colour", instruction="shade of the main item:", modality="vision", metric="accuracy",
        labels=tuple(SHADES.values()), families=("attributes", "depiction"),
        description="Names the shade of the largest thing; shades stray and overlap.", draw=_colour,
    ),
    Recipe(
        name="texture", title="Texture", instruction="surface type:", modality="vision", metric="accuracy",
        labels=tuple(SURFACES), families=("surfaces",),
        description="Names the texture of a surface of low contrast, any colours, any angle.", draw=_texture,
    ),
    Recipe(
        name="landcover", title="Land cover", instruction="land use on this satellite tile:", modality="vision",
        metric="accuracy", labels=tuple(COVERS), families=("surfaces",),
        description="Classifies a tile seen from above by its texture and colours together.", draw=_landcover,
    ),
    Recipe(
        name="aircraft", title="Aircraft", instruction="aircraft type:", modality="vision", metric="accuracy",
        labels=tuple(AIRCRAFT), families=("parts",),
        description="Eight types told apart by wings, tail and engines together.", draw=_aircraft,
    ),
    Recipe(
        name="flowers", title="Flowers", instruction="flower species:", modality="vision", metric="accuracy",
        labels=tuple(FLOWERS), families=("parts",),
        description="Eight species told apart by the number and form of petals and the middle.", draw=_flowers,
    ),
    Recipe(
        name="creatures", title="Creatures", instruction="animal species:", modality="vision", metric="accuracy",
        labels=tuple(CREATURES), families=("parts",),
        description="Eight species told apart by ears, tail, legs and coat.", draw=_creatures,
    ),
)  # fmt: skip
