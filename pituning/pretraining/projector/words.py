"""Pictures with words: emoji, clip art and the like, on backgrounds of our own, from a directory with a list of them.

``pictures.jsonl`` has a line for each picture: ``file``, its path in the directory; ``name``; ``words``, what else fits
it; ``key``, by which what shows the same thing shares a split.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image

from pituning.errors import ArtefactError
from pituning.tasks.mini.world import COLOURS, article, bucket

LIST = "pictures.jsonl"
SPLITS = {"pretrain": frozenset((*range(9), *range(10, 15))), "heldout": frozenset((9,))}
"""Buckets of keys; those that are left are for tasks whose test pictures pretraining must not have shown."""

Asked = tuple[str, str, str]
"""Objective, prompt and answer."""


@dataclass(frozen=True)
class Picture:
    """A picture and its words."""

    file: str
    name: str
    words: tuple[str, ...]
    key: str


class PictureWords:
    """The pictures in a directory.

    Raises:
        ArtefactError: the list or a file that it names is missing, or the list is damaged.
    """

    def __init__(self, directory: Path):
        self.directory = directory
        path = directory / LIST
        pictures: list[Picture] = []
        try:
            for line in path.read_text(encoding="utf-8").splitlines():
                row = json.loads(line)
                pictures.append(Picture(str(row["file"]), str(row["name"]), tuple(row["words"]), str(row["key"])))
        except OSError as error:
            raise ArtefactError(
                f"cannot read {path}: {error.strerror or error}; make it with benchmarks.picture_words"
            ) from error
        except (ValueError, KeyError, TypeError) as error:
            raise ArtefactError(f"{path} is damaged at line {len(pictures) + 1}; make it again") from error
        for picture in pictures:
            place = (directory / picture.file).resolve()
            if not place.is_relative_to(directory.resolve()) or not place.is_file():
                raise ArtefactError(f"{path} names {picture.file!r}, which is not in its directory; make it again")
        self.of_split = {
            split: [picture for picture in pictures if bucket(picture.key) in buckets]
            for split, buckets in SPLITS.items()
        }
        if not all(self.of_split.values()):
            raise ArtefactError(f"{path} lists {len(pictures)} pictures, too few for what is held out; add some")
        self._open = lru_cache(maxsize=512)(self._read)

    def lesson(self, rng: Random, split: str, questions: int) -> tuple[Callable[[int], Image.Image], list[Asked]]:
        """A picture with one or two of the things on a background, and what is asked of it."""
        pool = self.of_split[split]
        ground_name = rng.choice(list(COLOURS))
        ground = tuple(min(255, max(0, value + rng.randint(-25, 25))) for value in COLOURS[ground_name])
        grain, seed = rng.choice((0.0, 0.0, 6.0, 14.0)), rng.getrandbits(30)
        pair = rng.random() < 0.3
        shown = rng.sample(pool, 2) if pair else [rng.choice(pool)]
        places: list[tuple[float, float, float]] = []
        for number in range(len(shown)):
            side = rng.uniform(0.34, 0.46) if pair else rng.uniform(0.4, 0.9)
            left = number * 0.5 if pair else 0.0
            width = 0.5 if pair else 1.0
            places.append((left + rng.uniform(0, max(0.0, width - side)), rng.uniform(0, 1 - side), side))
        mirrored = [rng.random() < 0.3 for _ in shown]

        def make(size: int) -> Image.Image:
            canvas = Image.new("RGB", (size, size), ground)
            for picture, (x, y, side), turn in zip(shown, places, mirrored, strict=True):
                thing = self._open(picture.file)
                thing = thing.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if turn else thing
                thing = thing.resize((max(1, round(side * size)),) * 2, Image.Resampling.BICUBIC)
                canvas.paste(thing, (round(x * size), round(y * size)), thing)
            if not grain:
                return canvas
            noise = np.random.default_rng(seed).normal(0.0, grain, (size, size, 1))
            return Image.fromarray(np.clip(np.asarray(canvas, dtype=np.float64) + noise, 0, 255).astype(np.uint8))

        asked = _of_two(rng, shown, pool) if pair else _of_one(rng, shown[0], places[0], pool)
        asked.append(
            ("background", rng.choice(("which colour is behind it?", "what is the background colour?")), ground_name)
        )
        first, rest = asked[0], asked[1:]
        return make, [first, *rng.sample(rest, min(len(rest), questions - 1))]

    def _read(self, file: str) -> Image.Image:
        with Image.open(self.directory / file) as image:
            made = image.convert("RGBA")
        side = max(made.size)
        square = Image.new("RGBA", (side, side))
        square.paste(made, ((side - made.width) // 2, (side - made.height) // 2))
        return square.resize((160, 160), Image.Resampling.BICUBIC) if side > 160 else square


def _of_one(rng: Random, picture: Picture, place: tuple[float, float, float], pool: Sequence[Picture]) -> list[Asked]:
    other = rng.choice(pool)
    claimed, verdict = (picture, "yes") if rng.random() < 0.5 or other.name == picture.name else (other, "no")
    x, y, side = place
    middle = (x + side / 2 - 0.5, y + side / 2 - 0.5)
    asked: list[Asked] = [
        (
            "name",
            rng.choice(("what is this?", "name the thing in the picture.", "what does the picture show?")),
            picture.name,
        ),
        ("is-it", f"is this {article(claimed.name)}?", verdict),
        ("size", "is the thing large or small?", "large" if side > 0.65 else "small"),
    ]
    if picture.words:
        fitting = rng.sample(picture.words, min(3, len(picture.words)))
        asked.append(("words", rng.choice(("which words fit the picture?", "tag the picture.")), ", ".join(fitting)))
        word = rng.choice(picture.words if rng.random() < 0.5 else (other.words or picture.words))
        asked.append(("fits", f"does the word {word!r} fit the picture?", "yes" if word in picture.words else "no"))
    if max(map(abs, middle)) > 0.08:
        across = abs(middle[0]) > abs(middle[1])
        side_word = ("right" if middle[0] > 0 else "left") if across else ("bottom" if middle[1] > 0 else "top")
        asked.append(("place", "to which side has the thing moved from the middle?", side_word))
    return asked


def _of_two(rng: Random, shown: Sequence[Picture], pool: Sequence[Picture]) -> list[Asked]:
    left, right = (picture.name for picture in shown)
    other = rng.choice([*(picture.name for picture in shown), rng.choice(pool).name])
    return [
        ("pair", rng.choice(("what is in the picture?", "name both things from left to right.")), f"{left}, {right}"),
        ("left", rng.choice(("what is on the left?", "name the thing on the left.")), left),
        ("right", rng.choice(("what is on the right?", "name the thing on the right.")), right),
        ("is-there", f"is there {article(other)}?", "yes" if other in (left, right) else "no"),
        ("side", f"on which side is the {left}?", "left"),
        ("side", f"on which side is the {right}?", "right"),
    ]
