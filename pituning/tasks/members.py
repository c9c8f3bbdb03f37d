"""Where the texts of a pair stand in a prompt, so that one that is too long loses of the longer text. Torch-free."""

from __future__ import annotations

import re
from collections.abc import Callable

from pituning.tasks.base import Task
from pituning.tasks.mapping import PLACE, ColumnMapping

Spans = tuple[tuple[int, int], ...]
"""(begin, end) of each text within a prompt, in characters."""


def members_of(task: Task) -> Callable[[str], Spans]:
    """`members_in` for the prompts of a task that was made from a table."""
    columns = task.about.get("columns", {})
    texts = tuple(column for column, role in columns.items() if role in ("text", "pair"))
    return members_in(task.instruction, ColumnMapping(text=texts, answer=(), template=task.about.get("template")))


def members_in(instruction: str, columns: ColumnMapping) -> Callable[[str], Spans]:
    """What finds the texts that columns gave in a prompt, where the template, or what stands for it, has put them.

    A prompt in which they are not found has none: that of one column without a template, which has no frame around its
    text, or one of which a column was empty. Case and blanks do not count, which a backbone may have changed.
    """
    frame = columns.frame
    if frame is None:
        return lambda _prompt: ()
    pieces = PLACE.split(f"{instruction} {frame}".strip())
    literals = (r"\s+".join(map(re.escape, piece.split())) for piece in pieces[::2])
    pattern = re.compile(r"\s*" + r"\s*(.*?)\s*".join(literals) + r"\s*", re.DOTALL | re.IGNORECASE)

    def spans(prompt: str) -> Spans:
        match = pattern.fullmatch(prompt)
        return () if match is None else match.regs[1:]

    return spans
