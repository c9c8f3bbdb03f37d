"""Real handwriting: the 1,797 digits of 8 x 8 pixels that come with scikit-learn (UCI Optical Recognition of
Handwritten Digits, Alpaydin and Kaynak 1998)."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

from pituning.errors import BadInput
from pituning.tasks.base import Example

SIZES = (1000, 300, 497)
LABELS = tuple(str(digit) for digit in range(10))


@dataclass(frozen=True)
class Handwriting:
    """One 8 x 8 grey image, drawn smoothly at any size."""

    index: int

    def render(self, size: int) -> Image.Image:
        grey = np.round(255 - _digits()[0][self.index] * (255 / 16)).astype(np.uint8)
        return Image.fromarray(grey).resize((size, size), Image.Resampling.BICUBIC).convert("RGB")


@lru_cache(maxsize=1)
def _digits() -> tuple[np.ndarray, np.ndarray]:
    """Images (1797, 8, 8) and targets, read from scikit-learn's folder: importing the package would take seconds."""
    found = find_spec("sklearn")
    if found is None or found.origin is None:
        raise BadInput("task 'digits' needs scikit-learn, which is not installed; pip install scikit-learn")
    with gzip.open(Path(found.origin).parent / "datasets" / "data" / "digits.csv.gz", "rt") as file:
        table = np.loadtxt(file, delimiter=",")
    return table[:, :-1].reshape(-1, 8, 8), table[:, -1].astype(int)


def split(name: str) -> Sequence[Example]:
    """``train``, ``validation`` or ``test``: 1,000, 300 and 497 images in a fixed shuffled order."""
    order = np.random.default_rng(0).permutation(sum(SIZES))
    starts = np.cumsum((0, *SIZES))
    i = ("train", "validation", "test").index(name)
    chosen = order[starts[i] : starts[i + 1]]
    targets = _digits()[1]
    return [
        Example(uid=f"digits/{name}/{n}", text="", answer=LABELS[targets[j]], image=Handwriting(int(j)))
        for n, j in enumerate(chosen)
    ]
