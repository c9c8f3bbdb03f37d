"""What a task is: an instruction, examples in splits, an answer space and a metric. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from PIL import Image

from pituning.errors import BadInput

Modality = Literal["vision", "language", "vision-language"]
SPLITS = ("train", "validation", "test")

OPEN_ANSWER_CLASSES = 4
"""A task with open answers (boxes, captions) has no classes; K shots mean K times this many examples."""


class ImageSource(Protocol):
    """An image that can be drawn at any size: a vector scene, a file, an array."""

    def render(self, size: int) -> Image.Image:
        """An RGB image of ``size`` x ``size`` pixels."""

    def __hash__(self) -> int: ...  # what is drawn once is kept by its source


@dataclass(frozen=True, kw_only=True)
class Example:
    """One labelled example.

    Args:
        uid: stable name, ``task/split/index``.
        text: what follows the instruction in the prompt; may be empty.
        answer: the gold answer as text, which is what is learned.
        image: the image, or None for a language task.
        accepted: all answers that are right, each as often as somebody gave it; empty where ``answer`` is the only one.
    """

    uid: str
    text: str
    answer: str
    image: ImageSource | None = None
    accepted: tuple[str, ...] = ()

    @property
    def gold(self) -> str | tuple[str, ...]:
        """What predictions are scored against: the answer, or all that are right."""
        return self.accepted or self.answer


@dataclass(frozen=True, kw_only=True)
class Task:
    """A task: instruction, examples, answer space, metric, modality, splits.

    Args:
        name: identifier, ``[a-z0-9-]+``.
        title: what people read.
        instruction: opens every prompt.
        metric: how answers are scored, a name of `pituning.tasks.metrics.METRICS`.
        labels: the closed answer space, or None when answers are open (boxes, captions).
        families: names of the planted families; empty for tasks that are not ours.
        splits: ``train``, ``validation`` and ``test``, each a sequence of `Example` (possibly lazy).
        source: ``mini`` (embedded), ``file`` (brought by a user) or ``hub``.
        about: how the task was made, as its card tells: columns, template, licence, origin.
    """

    name: str
    title: str
    instruction: str
    modality: Modality
    metric: str
    labels: tuple[str, ...] | None
    description: str = ""
    families: tuple[str, ...] = ()
    source: str = "mini"
    splits: Mapping[str, Sequence[Example]] = field(repr=False, compare=False)
    about: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def prompt(self, example: Example) -> str:
        """The full text input of an example: instruction, then its own text."""
        return f"{self.instruction} {example.text}".strip()

    @property
    def n_classes(self) -> int:
        return len(self.labels) if self.labels is not None else OPEN_ANSWER_CLASSES

    def split(self, name: str) -> Sequence[Example]:
        if name not in self.splits:
            raise BadInput(f"task {self.name!r} has no split {name!r}; it has {', '.join(self.splits)}")
        return self.splits[name]

    def shots(self, k: int, seed: int) -> list[Example]:
        """K examples per class of the training split, drawn with ``seed`` (open answers: K x 4 in all).

        Raises:
            BadInput: when ``k`` is below 1 or a class has fewer than ``k`` training examples.
        """
        if k < 1:
            raise BadInput(f"shots is {k}; give a whole number of at least 1", field="shots")
        train = self.split("train")
        order = np.random.default_rng([seed, k]).permutation(len(train))
        if self.labels is None:
            wanted = k * OPEN_ANSWER_CLASSES
            if len(train) < wanted:
                raise BadInput(
                    f"task {self.name!r} has {len(train)} training examples, {k} shots need {wanted}; "
                    f"choose at most {len(train) // OPEN_ANSWER_CLASSES} shots",
                    field="shots",
                )
            return [train[int(i)] for i in order[:wanted]]
        chosen: dict[str, list[Example]] = {label: [] for label in self.labels}
        for i in order:
            example = train[int(i)]
            bucket = chosen[example.answer]
            if len(bucket) < k:
                bucket.append(example)
                if all(len(b) == k for b in chosen.values()):
                    break
        short = {label: len(bucket) for label, bucket in chosen.items() if len(bucket) < k}
        if short:
            label, have = min(short.items(), key=lambda item: item[1])
            raise BadInput(
                f"task {self.name!r}: class {label!r} has {have} training examples, fewer than {k} shots; "
                f"choose at most {have} shots or add examples",
                field="shots",
            )
        picked = [example for bucket in chosen.values() for example in bucket]
        return [picked[int(i)] for i in np.random.default_rng([seed, k, 1]).permutation(len(picked))]
