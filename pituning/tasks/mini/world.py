"""The world behind the suite and the pretraining mixture: things with attributes, on a canvas of 48 x 48 units."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import TypeVar

CANVAS = 48
SHAPES = ("circle", "square", "triangle", "star", "cross", "ring", "diamond", "heart")
COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (208, 38, 40),
    "green": (40, 150, 60),
    "blue": (40, 80, 205),
    "yellow": (240, 215, 50),
    "purple": (140, 50, 160),
    "orange": (240, 130, 30),
    "black": (25, 25, 28),
    "white": (250, 250, 248),
}
PATTERNS = ("plain", "striped", "dotted", "checked")
SIZES = ("small", "big")
HIDDEN = ("heavy", "warm", "old", "soft", "loud", "cheap", "clean", "new")
"""Properties that no picture and no description shows: what is said of them is never known."""

PLACES = ("left", "right", "top", "bottom")
RELATIONS = ("left of", "right of", "above", "below")
OPPOSITE = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}

T = TypeVar("T")


@dataclass(frozen=True)
class Thing:
    """One thing: four attributes, a centre and a radius in canvas units, and how far its colour strays."""

    shape: str
    colour: str
    pattern: str
    size: str
    x: float
    y: float
    radius: float
    jitter: tuple[int, int, int] = (0, 0, 0)

    @property
    def box(self) -> tuple[int, int, int, int]:
        """x1, y1, x2, y2 on the grid of 48 lines."""
        return (
            max(0, round(self.x - self.radius)),
            max(0, round(self.y - self.radius)),
            min(CANVAS - 1, round(self.x + self.radius)),
            min(CANVAS - 1, round(self.y + self.radius)),
        )

    def attribute(self, name: str) -> str:
        return str(getattr(self, name))


@dataclass(frozen=True)
class Scene:
    """Things on a background; ``noise`` is the standard deviation of the pixel noise in grey levels."""

    things: tuple[Thing, ...]
    background: tuple[int, int, int]
    noise: float = 0.0
    contrast: float = 1.0
    seed: int = 0


BUCKETS = 20
SPLIT_BUCKETS = {
    "pretrain": range(0, 9),
    "heldout": range(9, 10),
    "train": range(10, 15),
    "validation": range(15, 16),
    "test": range(16, 20),
}
"""What an example shows decides, by a hash, which split may hold it: no scene can stand in two splits."""


def bucket(content: object) -> int:
    """The bucket, 0 to 19, of anything with a canonical ``repr``."""
    return int.from_bytes(hashlib.blake2b(repr(content).encode(), digest_size=4).digest(), "big") % BUCKETS


def draw_in_split(
    make: Callable[[Random], T], rng: Random, split: str, key: Callable[[T], object] = lambda content: content
) -> T:
    """Draws from ``make`` until the content (its ``key``) falls into ``split``."""
    allowed = SPLIT_BUCKETS[split]
    while True:
        drawn = make(rng)
        if bucket(key(drawn)) in allowed:
            return drawn


def random_thing(rng: Random, **fixed: str) -> Thing:
    """A thing with random attributes (``fixed`` ones given), not placed yet."""
    size = fixed.get("size") or rng.choice(SIZES)
    return Thing(
        shape=fixed.get("shape") or rng.choice(SHAPES),
        colour=fixed.get("colour") or rng.choice(list(COLOURS)),
        pattern=fixed.get("pattern") or (rng.choice(PATTERNS) if rng.random() < 0.6 else "plain"),
        size=size,
        x=0.0,
        y=0.0,
        radius=round(rng.uniform(8.5, 10.5) if size == "big" else rng.uniform(5.0, 6.2), 1),
        jitter=(rng.randint(-18, 18), rng.randint(-18, 18), rng.randint(-18, 18)),
    )


def place(things: list[Thing], rng: Random) -> tuple[Thing, ...] | None:
    """Puts things where they do not touch; None when they do not fit."""
    placed: list[Thing] = []
    for thing in things:
        for _ in range(30):
            x = round(rng.uniform(thing.radius + 1, CANVAS - 1 - thing.radius), 1)
            y = round(rng.uniform(thing.radius + 1, CANVAS - 1 - thing.radius), 1)
            if all((x - o.x) ** 2 + (y - o.y) ** 2 > (thing.radius + o.radius + 1.5) ** 2 for o in placed):
                placed.append(replace(thing, x=x, y=y))
                break
        else:
            return None
    return tuple(placed)


def random_background(rng: Random) -> tuple[int, int, int]:
    """A greyish colour."""
    grey = rng.randint(135, 205)
    return (grey + rng.randint(-14, 14), grey + rng.randint(-14, 14), grey + rng.randint(-14, 14))


def random_scene(rng: Random, count: int | None = None, *, noise: float | None = None) -> Scene:
    """A scene of ``count`` (default 1 to 4) things; two things never share shape, colour and pattern."""
    while True:
        n = count or rng.choice((1, 2, 2, 3, 3, 4))
        things: list[Thing] = []
        while len(things) < n:
            thing = random_thing(rng)
            if things and rng.random() < 0.4:  # shared attributes make references and counts worth asking for
                shared = rng.choice(("shape", "colour"))
                other = rng.choice(things)
                thing = replace(thing, shape=other.shape) if shared == "shape" else replace(thing, colour=other.colour)
            if all((thing.shape, thing.colour) != (o.shape, o.colour) for o in things):
                things.append(thing)
        placed = place(things, rng)
        if placed is not None:
            return Scene(
                things=placed,
                background=random_background(rng),
                noise=round(rng.uniform(0, 14), 1) if noise is None else noise,
                seed=rng.getrandbits(30),
            )


def holds(relation: str, a: Thing, b: Thing, margin: float = 0.0) -> bool:
    """Whether ``a`` is e.g. left of ``b`` by more than ``margin`` units."""
    difference = {"left of": b.x - a.x, "right of": a.x - b.x, "above": b.y - a.y, "below": a.y - b.y}[relation]
    return difference > margin


def article(noun: str) -> str:
    """The noun behind "a" or "an"."""
    return f"an {noun}" if noun[0] in "aeio" else f"a {noun}"


def phrase(thing: Thing, attributes: tuple[str, ...]) -> str:
    """``"big striped red star"`` from the attributes to mention; "plain" is never said."""
    words = [thing.attribute(a) for a in ("size", "pattern", "colour") if a in attributes]
    return " ".join([w for w in words if w != "plain"] + [thing.shape])


def distinguishing(thing: Thing, others: tuple[Thing, ...], rng: Random | None = None) -> str:
    """The shortest phrase that fits only ``thing`` among ``others``."""
    rivals = [o for o in others if o is not thing]
    if all(o.shape != thing.shape for o in rivals) and (rng is None or rng.random() < 0.6):
        return thing.shape
    return f"{thing.colour} {thing.shape}"
