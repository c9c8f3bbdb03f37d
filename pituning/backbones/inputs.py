"""Checks of what is brought to a backbone, the same for every family."""

from __future__ import annotations

from collections.abc import Sequence

from pituning.errors import BadInput
from pituning.tasks.base import Example, Task


def all_or_no_images(task: Task, examples: Sequence[Example]) -> bool:
    """Whether the examples have images.

    Raises:
        BadInput: there are no examples, or only some of them have one.
    """
    if not examples:
        raise BadInput(f"task {task.name!r}: there are no examples to encode; add some")
    with_image = sum(example.image is not None for example in examples)
    if with_image not in (0, len(examples)):
        raise BadInput(
            f"task {task.name!r}: {with_image} of {len(examples)} examples have an image; give all one or none"
        )
    return with_image > 0
