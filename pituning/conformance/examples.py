"""The examples that a backbone is checked on: a few short texts, and a few drawn pictures."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image, ImageDraw

from pituning.tasks.base import Example, Task

COLOURS = {"red": (210, 40, 40), "green": (40, 170, 60), "blue": (50, 70, 210)}
LONG_TEXT = "It is big and old. " * 8
"""Several times as long as any other text."""


@dataclass(frozen=True)
class Disc:
    """A disc on a light ground.

    Args:
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


def text_task() -> Task:
    """Six short texts of different lengths, one of them empty; two of the three labels begin alike."""
    rows = (
        ("It works.", "very good"),
        ("It broke after two days.", "very bad"),
        ("Lovely!", "very good"),
        ("Never again: too late, too loud.", "very bad"),
        ("", "unsure"),
        ("In a box.", "unsure"),
    )
    examples = [Example(uid=f"text/{i}", text=text, answer=answer) for i, (text, answer) in enumerate(rows)]
    return Task(
        name="check-text", title="Check: texts", instruction="Good or bad?", modality="language", metric="accuracy",
        labels=("very good", "very bad", "unsure"), splits={"train": examples},
    )  # fmt: skip


def picture_task() -> Task:
    """A disc of each of three colours, drawn."""
    texts = ("", "Say it in one word.", "Of the disc.")
    examples = [
        Example(uid=f"picture/{i}", text=texts[i], answer=colour, image=Disc(colour, 0.3 + 0.2 * i))
        for i, colour in enumerate(COLOURS)
    ]
    return Task(
        name="check-pictures", title="Check: pictures", instruction="Which colour is it?", modality="vision-language",
        metric="accuracy", labels=tuple(COLOURS), splits={"train": examples},
    )  # fmt: skip
