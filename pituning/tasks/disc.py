"""A picture that is drawn: what models and experts are checked on."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image, ImageDraw

COLOURS = {"red": (210, 40, 40), "green": (40, 170, 60), "blue": (50, 70, 210)}


@dataclass(frozen=True)
class Disc:
    """A disc on a light ground.

    Args:
        colour: one of `COLOURS`.
        place: of its middle, from 0 (left) to 1 (right).
    """

    colour: str
    place: float

    def render(self, size: int) -> Image.Image:
        image = Image.new("RGB", (size, size), (235, 230, 220))
        across, down, radius = self.place * size, 0.5 * size, 0.25 * size
        box = (across - radius, down - radius, across + radius, down + radius)
        ImageDraw.Draw(image).ellipse(box, fill=COLOURS[self.colour])
        return image
