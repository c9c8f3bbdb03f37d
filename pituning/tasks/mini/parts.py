"""Things known by their parts: aircraft from above, flowers, creatures from the side."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

RGB = tuple[int, int, int]
WINGS, TAILS, ENGINES, BODIES = (
    ("straight", "swept", "delta"),
    ("single", "twin", "forked"),
    ("zero", "two", "four"),
    ("slim", "wide"),
)
PETAL_COUNTS, PETALS, CENTRES = (4, 5, 6, 8), ("round", "pointed", "narrow"), ("small", "large")
EARS, CREATURE_TAILS, LEGS, COATS = (
    ("round", "pointed", "long"),
    ("zero", "long", "curly"),
    ("two", "four", "six"),
    ("plain", "spotted"),
)
NUMBER = {4: "four", 5: "five", 6: "six", 8: "eight"}


@dataclass(frozen=True)
class Aircraft:
    """An aircraft from above; wings, tail and engines tell its type, all else varies freely."""

    wings: str
    tail: str
    engines: str
    body: str
    turn: float
    zoom: float
    paint: RGB
    background: RGB
    noise: float
    seed: int

    def parts(self) -> tuple[str, ...]:
        return (f"{self.wings} wings", f"{self.tail} tail", f"{self.engines} engines")


@dataclass(frozen=True)
class Flower:
    """A flower from above; number and form of the petals and the centre tell its type."""

    count: int
    petal: str
    centre: str
    turn: float
    zoom: float
    paint: RGB
    heart: RGB
    background: RGB
    noise: float
    seed: int

    def parts(self) -> tuple[str, ...]:
        return (f"{NUMBER[self.count]} petals", f"{self.petal} petals", f"{self.centre} middle")


@dataclass(frozen=True)
class Creature:
    """A creature from the side; ears, tail, legs and coat tell its type."""

    ears: str
    tail: str
    legs: str
    coat: str
    facing: str
    zoom: float
    paint: RGB
    background: RGB
    noise: float
    seed: int

    def parts(self) -> tuple[str, ...]:
        return (f"{self.ears} ears", f"{self.tail} tail", f"{self.legs} legs", f"{self.coat} coat")


def _colour(rng: Random, low: int, high: int) -> RGB:
    return (rng.randint(low, high), rng.randint(low, high), rng.randint(low, high))


def _noise(rng: Random, most: float) -> float:
    return round(rng.uniform(0, most), 1)


def random_aircraft(rng: Random, wings: str = "", tail: str = "", engines: str = "", *, noise: float = 14) -> Aircraft:
    """An aircraft with the given parts, the others random."""
    return Aircraft(
        wings=wings or rng.choice(WINGS),
        tail=tail or rng.choice(TAILS),
        engines=engines or rng.choice(ENGINES),
        body=rng.choice(BODIES),
        turn=round(rng.uniform(-40, 40), 1),
        zoom=round(rng.uniform(0.85, 1.1), 2),
        paint=_colour(rng, 175, 255),
        background=(rng.randint(60, 120), rng.randint(90, 140), rng.randint(110, 190)),
        noise=_noise(rng, noise),
        seed=rng.getrandbits(30),
    )


def random_flower(rng: Random, count: int = 0, petal: str = "", centre: str = "", *, noise: float = 14) -> Flower:
    """A flower with the given parts, the others random."""
    return Flower(
        count=count or rng.choice(PETAL_COUNTS),
        petal=petal or rng.choice(PETALS),
        centre=centre or rng.choice(CENTRES),
        turn=round(rng.uniform(0, 90), 1),
        zoom=round(rng.uniform(0.9, 1.25), 2),
        paint=_colour(rng, 120, 255),
        heart=_colour(rng, 20, 110),
        background=(rng.randint(20, 70), rng.randint(80, 140), rng.randint(20, 70)),
        noise=_noise(rng, noise),
        seed=rng.getrandbits(30),
    )


def random_creature(
    rng: Random, ears: str = "", tail: str = "", legs: str = "", coat: str = "", *, noise: float = 14
) -> Creature:
    """A creature with the given parts, the others random."""
    return Creature(
        ears=ears or rng.choice(EARS),
        tail=tail or rng.choice(CREATURE_TAILS),
        legs=legs or rng.choice(LEGS),
        coat=coat or rng.choice(COATS),
        facing=rng.choice(("left", "right")),
        zoom=round(rng.uniform(0.9, 1.12), 2),
        paint=_colour(rng, 90, 200),
        background=_colour(rng, 205, 250),
        noise=_noise(rng, noise),
        seed=rng.getrandbits(30),
    )
