"""Draws the world's contents at any size: 48 pixels for the model, crisp for people."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pituning.tasks.mini.parts import Aircraft, Creature, Flower
from pituning.tasks.mini.world import CANVAS, COLOURS, Scene, Thing

OVERSAMPLING = 3
"""Of the model's images; those for people are large enough for less."""

LARGE_OVERSAMPLING = 2
RGB = tuple[int, int, int]


@dataclass(frozen=True)
class Glyphs:
    """A few printed letters: text, a slant, a turn in degrees, ink and paper, and the resolution it was read at."""

    text: str
    size: float
    turn: float
    slant: float
    ink: RGB
    paper: RGB
    resolution: int
    noise: float
    seed: int


@dataclass(frozen=True)
class Tile:
    """A picture filled by one pattern in two colours, as seen from above."""

    pattern: str
    front: RGB
    back: RGB
    scale: float
    turn: float
    noise: float
    seed: int


Content = Scene | Glyphs | Tile | Aircraft | Flower | Creature


@dataclass(frozen=True)
class Drawn:
    """An image source (see `pituning.tasks.base.ImageSource`) that draws ``content`` when asked."""

    content: Content

    def render(self, size: int) -> Image.Image:
        return draw(self.content, size)


def draw(content: Content, size: int) -> Image.Image:
    """An RGB image of ``size`` x ``size`` pixels."""
    scale = size * (OVERSAMPLING if size <= CANVAS else LARGE_OVERSAMPLING) / CANVAS
    painters: dict[type, Callable[..., Image.Image]] = {
        Scene: _scene,
        Glyphs: _glyphs,
        Tile: _tile,
        Aircraft: _aircraft,
        Flower: _flower,
        Creature: _creature,
    }
    canvas = painters[type(content)](content, scale)
    image = canvas.resize((size, size), Image.Resampling.BOX)
    if content.noise <= 0:
        return image
    # The noise is drawn on the model's grid whatever the size, so people see what the model sees.
    grain = np.random.default_rng(content.seed).normal(0.0, content.noise, (CANVAS, CANVAS, 3))
    if size != CANVAS:
        steps = np.minimum(np.arange(size) * CANVAS // size, CANVAS - 1)
        grain = grain[steps][:, steps]
    return Image.fromarray(np.clip(np.asarray(image, dtype=np.float64) + grain, 0, 255).astype(np.uint8))


def _canvas(scale: float, colour: RGB) -> Image.Image:
    side = round(CANVAS * scale)
    return Image.new("RGB", (side, side), colour)


def _clip(colour: RGB, shift: RGB, contrast: float = 1.0, towards: RGB = (128, 128, 128)) -> RGB:
    mixed = [t + (c + s - t) * contrast for c, s, t in zip(colour, shift, towards, strict=True)]
    r, g, b = (int(min(255, max(0, m))) for m in mixed)
    return (r, g, b)


def _polygon(shape: str, x: float, y: float, r: float) -> list[tuple[float, float]]:
    if shape == "square":
        h = r * 0.88
        return [(x - h, y - h), (x + h, y - h), (x + h, y + h), (x - h, y + h)]
    if shape == "triangle":
        return [(x, y - r), (x + r, y + r * 0.85), (x - r, y + r * 0.85)]
    if shape == "diamond":
        return [(x, y - r), (x + r * 0.72, y), (x, y + r), (x - r * 0.72, y)]
    if shape == "star":
        points = []
        for i in range(10):
            radius = r if i % 2 == 0 else r * 0.42
            angle = math.pi * i / 5 - math.pi / 2
            points.append((x + radius * math.cos(angle), y + radius * math.sin(angle)))
        return points
    if shape == "cross":
        a, b = r * 0.34, r * 0.98
        return [
            (x - a, y - b), (x + a, y - b), (x + a, y - a), (x + b, y - a), (x + b, y + a), (x + a, y + a),
            (x + a, y + b), (x - a, y + b), (x - a, y + a), (x - b, y + a), (x - b, y - a), (x - a, y - a),
        ]  # fmt: skip
    points = []  # heart
    for i in range(28):
        t = 2 * math.pi * i / 28
        px = 16 * math.sin(t) ** 3
        py = 13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)
        points.append((x + r * px / 16.5, y - r * (py + 2.5) / 15.5))
    return points


def _outline(draw_: ImageDraw.ImageDraw, thing: Thing, scale: float, fill: int) -> None:
    x, y, r = thing.x * scale, thing.y * scale, thing.radius * scale
    if thing.shape in ("circle", "ring"):
        draw_.ellipse((x - r, y - r, x + r, y + r), fill=fill)
        if thing.shape == "ring":
            hole = r * 0.5
            draw_.ellipse((x - hole, y - hole, x + hole, y + hole), fill=0)
    else:
        draw_.polygon(_polygon(thing.shape, x, y, r), fill=fill)


def _pattern_mask(pattern: str, side: int, scale: float) -> Image.Image:
    mask = Image.new("L", (side, side), 0)
    pen = ImageDraw.Draw(mask)
    step = 4.0 * scale
    count = int(side / step) + 2
    if pattern == "striped":
        for i in range(count):
            pen.rectangle((0, i * step, side, i * step + step * 0.45), fill=255)
    elif pattern == "dotted":
        r = step * 0.27
        for i in range(count):
            for j in range(count):
                cx, cy = (i + 0.5) * step, (j + 0.5) * step
                pen.ellipse((cx - r, cy - r, cx + r, cy + r), fill=255)
    elif pattern == "checked":
        half = step * 0.75
        for i in range(int(side / half) + 2):
            for j in range(i % 2, int(side / half) + 2, 2):
                pen.rectangle((i * half, j * half, (i + 1) * half, (j + 1) * half), fill=255)
    return mask


@lru_cache(maxsize=64)
def _cached_pattern(pattern: str, side: int, scale: float) -> Image.Image:
    return _pattern_mask(pattern, side, scale)


def _scene(scene: Scene, scale: float) -> Image.Image:
    canvas = _canvas(scale, scene.background)
    for thing in scene.things:
        mask = Image.new("L", canvas.size, 0)
        _outline(ImageDraw.Draw(mask), thing, scale, 255)
        colour = _clip(COLOURS[thing.colour], thing.jitter, scene.contrast, scene.background)
        canvas.paste(colour, (0, 0), mask)
        if thing.pattern != "plain":
            light = sum(colour) > 330
            second: RGB = (40, 40, 45) if light else (235, 235, 230)
            second = _clip(second, (0, 0, 0), 0.85 * scene.contrast, colour)
            side = canvas.size[0]
            pattern = _cached_pattern(thing.pattern, side, scale)
            both = Image.new("L", canvas.size, 0)
            both.paste(pattern, (0, 0), mask)
            canvas.paste(second, (0, 0), both)
    return canvas


def _glyphs(glyphs: Glyphs, scale: float) -> Image.Image:
    canvas = _canvas(scale, glyphs.paper)
    side = canvas.size[0]
    ink = Image.new("L", canvas.size, 0)
    font = ImageFont.load_default(size=glyphs.size * scale)
    ImageDraw.Draw(ink).text((side / 2, side / 2), glyphs.text, fill=255, font=font, anchor="mm")
    slanted = ink.transform(
        ink.size,
        Image.Transform.AFFINE,
        (1, glyphs.slant, -glyphs.slant * side / 2, 0, 1, 0),
        Image.Resampling.BILINEAR,
    ).rotate(glyphs.turn, Image.Resampling.BILINEAR)
    coarse = slanted.resize((glyphs.resolution, glyphs.resolution), Image.Resampling.BOX)
    canvas.paste(glyphs.ink, (0, 0), coarse.resize(canvas.size, Image.Resampling.BILINEAR))
    return canvas


def _tile(tile: Tile, scale: float) -> Image.Image:
    canvas = _canvas(scale, tile.back)
    side = canvas.size[0]
    big = round(side * 1.5)  # room to turn without corners
    mask = Image.new("L", (big, big), 0)
    pen = ImageDraw.Draw(mask)
    rng = np.random.default_rng(tile.seed)
    step = tile.scale * scale
    count = int(big / step) + 2
    if tile.pattern == "stripes":
        for i in range(count):
            pen.rectangle((0, i * step, big, i * step + step * 0.5), fill=255)
    elif tile.pattern == "waves":
        xs = np.linspace(0, big, 40)
        for i in range(count):
            ys = i * step + step * 0.35 * np.sin(xs / step * 2.2 + rng.uniform(0, 6))
            pen.line(
                [(float(x), float(y)) for x, y in zip(xs, ys, strict=True)], fill=255, width=max(1, round(step * 0.3))
            )
    elif tile.pattern == "blocks":
        for i in range(count):
            for j in range(count):
                if rng.random() < 0.5:
                    pen.rectangle((i * step, j * step, i * step + step * 0.86, j * step + step * 0.86), fill=255)
    elif tile.pattern == "mesh":
        width = max(1, round(step * 0.2))
        for i in range(count):
            pen.line((i * step, 0, i * step, big), fill=255, width=width)
            pen.line((0, i * step, big, i * step), fill=255, width=width)
    else:  # blobs and specks
        small = tile.pattern == "specks"
        density = 2.2 if small else 0.8
        for _ in range(int(density * (big / step) ** 2)):
            r = step * (rng.uniform(0.12, 0.2) if small else rng.uniform(0.4, 0.75))
            x, y = rng.uniform(0, big, 2)
            pen.ellipse((x - r, y - r, x + r, y + r), fill=255)
    mask = mask.rotate(tile.turn, Image.Resampling.BILINEAR)
    edge = (big - side) // 2
    canvas.paste(tile.front, (0, 0), mask.crop((edge, edge, edge + side, edge + side)))
    return canvas


def _turned(points: list[tuple[float, float]], turn: float, scale: float) -> list[tuple[float, float]]:
    """Points around (0, 0) in canvas units, turned by degrees, moved to the middle and scaled to pixels."""
    c, s = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    middle = CANVAS / 2
    return [((x * c - y * s + middle) * scale, (x * s + y * c + middle) * scale) for x, y in points]


def _aircraft(plane: Aircraft, scale: float) -> Image.Image:
    canvas = _canvas(scale, plane.background)
    pen = ImageDraw.Draw(canvas)
    k = plane.zoom

    def poly(points: list[tuple[float, float]], colour: RGB) -> None:
        pen.polygon(_turned([(x * k, y * k) for x, y in points], plane.turn, scale), fill=colour)

    half = 2.2 if plane.body == "slim" else 3.6
    wings = {
        "straight": [(0, -3), (19, -3), (19, 2), (0, 2)],
        "swept": [(0, -5), (18, 7), (18, 11), (0, 3)],
        "delta": [(0, -9), (16, 11), (0, 11)],
    }[plane.wings]
    for sign in (1, -1):
        poly([(sign * x, y) for x, y in wings], plane.paint)
    twin = [[(-8, 12), (-5, 12), (-5, 20), (-8, 20)], [(5, 12), (8, 12), (8, 20), (5, 20)]]
    tails = {
        "single": [[(-6, 15), (6, 15), (6, 18), (-6, 18)]],
        "twin": [*twin, [(-8, 15), (8, 15), (8, 17), (-8, 17)]],
        "forked": [[(0, 13), (10, 20), (7, 21), (0, 17)], [(0, 13), (-10, 20), (-7, 21), (0, 17)]],
    }[plane.tail]
    for tail in tails:
        poly([(float(x), float(y)) for x, y in tail], plane.paint)
    poly([(-half, -14), (0, -20), (half, -14), (half * 0.8, 18), (-half * 0.8, 18)], plane.paint)
    dark: RGB = (45, 45, 52)
    places = {"zero": [], "two": [8.0, -8.0], "four": [6.5, -6.5, 12.5, -12.5]}[plane.engines]
    for x in places:
        y = {"straight": -2.0, "swept": abs(x) * 0.6 - 1, "delta": abs(x) * 0.6 + 1}[plane.wings]
        poly([(x - 1.7, y - 4.5), (x + 1.7, y - 4.5), (x + 1.7, y + 2), (x - 1.7, y + 2)], dark)
    return canvas


def _flower(flower: Flower, scale: float) -> Image.Image:
    canvas = _canvas(scale, flower.background)
    pen = ImageDraw.Draw(canvas)
    k = flower.zoom
    reach, width = (
        17 * k,
        {"round": 6.5, "pointed": 6.0, "narrow": 2.6}[flower.petal] * k * (5 / max(5, flower.count)) ** 0.6,
    )
    for i in range(flower.count):
        angle = flower.turn + 360 * i / flower.count
        if flower.petal == "pointed":
            shape = [(0.0, 0.0), (-width, -reach * 0.5), (0.0, -reach * 1.1), (width, -reach * 0.5)]
        else:
            shape = [
                (width * math.sin(t), -reach * 0.58 - reach * 0.44 * math.cos(t))
                for t in (2 * math.pi * j / 14 for j in range(14))
            ]
        pen.polygon(_turned(shape, angle, scale), fill=flower.paint)
    r = {"small": 3.0, "large": 6.6}[flower.centre] * k
    dot = [(r * math.cos(2 * math.pi * j / 20), r * math.sin(2 * math.pi * j / 20)) for j in range(20)]
    pen.polygon(_turned(dot, 0, scale), fill=flower.heart)
    return canvas


def _creature(creature: Creature, scale: float) -> Image.Image:
    canvas = _canvas(scale, creature.background)
    pen = ImageDraw.Draw(canvas)
    k, flip = creature.zoom, -1 if creature.facing == "left" else 1

    def at(x: float, y: float) -> tuple[float, float]:
        return ((CANVAS / 2 + flip * x * k) * scale, (CANVAS / 2 + y * k) * scale)

    def oval(x: float, y: float, rx: float, ry: float, colour: RGB) -> None:
        (x1, y1), (x2, y2) = at(x - rx, y - ry), at(x + rx, y + ry)
        pen.ellipse((min(x1, x2), y1, max(x1, x2), y2), fill=colour)

    dark = _clip(creature.paint, (-70, -70, -70))
    legs = {"two": [-3.0, 4.0], "four": [-9.0, -4.5, 3.0, 7.5], "six": [-10.5, -6.8, -3.1, 0.6, 4.3, 8.0]}[
        creature.legs
    ]
    for x in legs:
        pen.line([at(x, 5), at(x, 15)], fill=dark, width=max(1, round(2.0 * k * scale)))
    thick = max(1, round(2.2 * k * scale))
    if creature.tail == "long":
        pen.line([at(-11, 0), at(-20, -8)], fill=dark, width=thick)
    elif creature.tail == "curly":
        loop = [at(-14 + 4 * math.cos(t), -2 + 4 * math.sin(t)) for t in (i * 0.5 for i in range(13))]
        pen.line(loop, fill=dark, width=thick)
    oval(0, 0, 12, 7, creature.paint)
    if creature.coat == "spotted":
        for x, y in ((-7, -2), (-2, 2), (3, -3), (7, 2), (-4, -5)):
            oval(x, y, 1.7, 1.7, dark)
    oval(13, -6, 5.5, 5.5, creature.paint)
    if creature.ears == "round":
        oval(9.5, -12, 3, 3, dark)
        oval(16, -12, 3, 3, dark)
    elif creature.ears == "pointed":
        pen.polygon([at(7.5, -9), at(9, -17), at(12.5, -11)], fill=dark)
        pen.polygon([at(13.5, -11), at(17, -17), at(18.5, -9)], fill=dark)
    else:
        oval(10.5, -15, 1.8, 6.5, dark)
        oval(15, -15, 1.8, 6.5, dark)
    oval(14.5, -7, 1.1, 1.1, (20, 20, 20))
    return canvas
