"""The mini suite: 20 small tasks with known relations, versioned and procedural. Same version, same examples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from random import Random
from typing import Final, overload

from pituning.errors import BadInput
from pituning.tasks.base import SPLITS, Example, Task
from pituning.tasks.mini import digits, joint, texts, vision
from pituning.tasks.mini.drawing import Drawn
from pituning.tasks.mini.recipes import Draft, Recipe
from pituning.tasks.mini.world import draw_in_split

SUITE_VERSION: Final = "3"
_DIGITS = Recipe(
    name="digits", title="Handwritten digits", instruction="which digit is written here?", modality="vision",
    metric="accuracy", labels=digits.LABELS, families=(), draw=lambda rng, label: Draft(None, "", ""),
    sizes=digits.SIZES, description="Reads real handwritten digits of 8 x 8 pixels.", since="3",
)  # fmt: skip
_RECIPES: Final = {recipe.name: recipe for recipe in (*vision.RECIPES, _DIGITS, *texts.RECIPES, *joint.RECIPES)}
TASK_NAMES: Final = tuple(_RECIPES)


class LazySplit(Sequence[Example]):
    """A split whose example i is a function of (version of the task, its name, split, i), drawn when asked for."""

    def __init__(self, recipe: Recipe, split: str):
        self._recipe, self._split = recipe, split
        self._drawn: dict[int, Example] = {}

    def __len__(self) -> int:
        return self._recipe.sizes[SPLITS.index(self._split)]

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Example]: ...
    def __getitem__(self, index: int | slice) -> Example | Sequence[Example]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        i = range(len(self))[index]
        if i not in self._drawn:
            self._drawn[i] = self._draw(i)
        return self._drawn[i]

    def _draw(self, i: int) -> Example:
        recipe, labels = self._recipe, self._recipe.labels
        name = f"{recipe.name}/{self._split}/{i}"
        rng = Random(f"mini {recipe.since} {name}")
        label = labels[i % len(labels)] if labels else None  # balanced, whatever the first n examples taken
        draft = draw_in_split(lambda r: recipe.draw(r, label), rng, self._split, key=lambda d: d.image or d.text)
        image = None if draft.image is None else Drawn(draft.image)
        return Example(uid=name, text=draft.text, answer=draft.answer, image=image)


class _Splits(Mapping[str, Sequence[Example]]):
    """The three splits of a recipe."""

    def __init__(self, recipe: Recipe):
        self._recipe = recipe

    def __getitem__(self, name: str) -> Sequence[Example]:
        if name not in SPLITS:
            raise KeyError(name)
        return _split(self._recipe.name, name)

    def __iter__(self) -> Iterator[str]:
        return iter(SPLITS)

    def __len__(self) -> int:
        return len(SPLITS)


@cache
def _split(task: str, split: str) -> Sequence[Example]:
    return digits.split(split) if task == "digits" else LazySplit(_RECIPES[task], split)


def mini_task(name: str) -> Task:
    """One of the 20 tasks.

    Raises:
        BadInput: for a name that is not in `TASK_NAMES`.
    """
    if name not in _RECIPES:
        raise BadInput(f"task {name!r} is not in the mini suite; it has {', '.join(TASK_NAMES)}", field="task")
    recipe = _RECIPES[name]
    return Task(
        name=recipe.name,
        title=recipe.title,
        instruction=recipe.instruction,
        modality=recipe.modality,
        metric=recipe.metric,
        labels=recipe.labels,
        families=recipe.families,
        description=recipe.description,
        splits=_Splits(recipe),
    )


def task_version(name: str) -> str:
    """The version of the suite in which a task last changed."""
    return _RECIPES[name].since


def split_sizes(name: str) -> dict[str, int]:
    """Examples per split, without drawing any."""
    return dict(zip(SPLITS, _RECIPES[name].sizes, strict=True))


def planted_relatives(name: str) -> tuple[str, ...]:
    """The tasks that share a planted family with ``name``."""
    families = set(_RECIPES[name].families)
    return tuple(other for other, r in _RECIPES.items() if other != name and families & set(r.families))
