"""Pictures and what is asked of them: a function of seed and step, so that a run that was stopped goes on the same."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from PIL import Image

from pituning.pretraining.objectives import image_samples
from pituning.pretraining.projector.words import PictureWords
from pituning.tasks.boxes import FINE_GRID, Box
from pituning.tasks.mini.drawing import draw
from pituning.tasks.mini.world import CANVAS, Scene, Thing

DRAWN = 0.5
"""Part of the images that are drawn by us, where there are others."""
LATE = 1.0
"""The level of the drawn objectives: all of them, comparing among them."""
MOST_THINGS = 2
"""That a sample may mark with their boxes, whose numbers are spelt in many tokens."""

_BOX = re.compile(r"<loc_(\d+)><loc_(\d+)><loc_(\d+)><loc_(\d+)>")


@dataclass(frozen=True)
class Question:
    """What is asked of a picture; ``objective`` names the skill."""

    objective: str
    prompt: str
    answer: str


@dataclass(frozen=True)
class Lesson:
    """A picture that is drawn at the size of an encoder, and what is asked of it."""

    draw: Callable[[int], Image.Image]
    questions: tuple[Question, ...]


def lessons_of(seed: int, step: int, images: int, questions: int, words: PictureWords | None) -> list[Lesson]:
    """The lessons of a step."""
    rng = Random(f"{seed}/{step}")
    return [lesson(rng, "pretrain", questions, words) for _ in range(images)]


def heldout_lessons(seed: int, images: int, questions: int, words: PictureWords | None) -> list[Lesson]:
    """Lessons on scenes and pictures that pretraining never shows."""
    rng = Random(f"{seed}/heldout")
    return [lesson(rng, "heldout", questions, words) for _ in range(images)]


def lesson(rng: Random, split: str, questions: int, words: PictureWords | None) -> Lesson:
    """One picture of a split with some questions."""
    if words is not None and rng.random() >= DRAWN:
        made, questioned = words.lesson(rng, split, questions)
        return Lesson(made, tuple(Question(*each) for each in questioned))
    samples = image_samples(rng, split, questions, LATE)
    content = samples[0].image
    assert content is not None
    asked = [Question(one.objective, plain(one.prompt), plain(one.answer)) for one in samples
             if len(_BOX.findall(one.answer)) <= MOST_THINGS]  # fmt: skip
    if isinstance(content, Scene):
        asked = [where(content, rng), *asked]
    return Lesson(lambda size: draw(content, size), tuple(asked[:questions]))


def plain(text: str) -> str:
    """A text whose boxes are numbers from 0 to 999, as language models without location tokens write them."""
    spelled = _BOX.sub(lambda cells: f" {_numbers(tuple(map(int, cells.groups())))}, ", text)
    return re.sub(r",? +([.?]|$)", r"\1", re.sub(r" {2,}", " ", spelled)).strip()


def where(scene: Scene, rng: Random) -> Question:
    """The box of a thing that shape and colour single out; no two things share both."""
    thing: Thing = rng.choice(scene.things)
    form = rng.choice(("where is the {}?", "give the corners of the {}.", "mark the {}."))
    return Question("box", form.format(f"{thing.colour} {thing.shape}"), _numbers(thing.box))


def _numbers(cells: tuple[int, ...]) -> str:
    return " ".join(map(str, Box.from_grid(cells, CANVAS).on_grid(FINE_GRID)))
