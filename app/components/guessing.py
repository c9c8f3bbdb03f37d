"""What guessing would score: it stands beside every score."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import streamlit as st

from app.components import context
from app.components.stamps import stamp
from pituning.tasks.base import Task
from pituning.tasks.guessing import mean_guess
from pituning.tasks.metrics import Guessing, guessing

COLUMN = "Guessing"
"""The column of tables that `short` fills."""


def of(name: str) -> Guessing | None:
    """What guessing scores on a task; None where that cannot be known."""
    if name not in context.tasks():
        return None
    task = context.task(name)
    changed = stamp(context.workspace().root / "tasks" / name)
    return _guessing(name, task.source, len(task.split("train")), changed, task)


def several(names: Iterable[str]) -> dict[str, Guessing]:
    """The same of several tasks; those of which nothing can be known are left out."""
    every = {name: of(name) for name in dict.fromkeys(names)}
    return {name: guessed for name, guessed in every.items() if guessed is not None}


def mean(names: Iterable[str]) -> Guessing | None:
    """The mean over tasks, None where one of them is not known."""
    wanted = list(names)
    return mean_guess(several(wanted), wanted)


def words(name: str) -> str:
    """What guessing would score on a task, as a sentence; empty where that cannot be known."""
    return sentence(of(name))


def sentence(guessed: Guessing | None) -> str:
    """What guessing would score; empty where that is not known."""
    return "" if guessed is None else f"To compare: {guessed}."


def short(name: str, result: Mapping[str, Any] | None = None) -> str | None:
    """The cell of a table. A run's result says what guessing scored when it ran; else the task as it is now does."""
    kept = (result or {}).get("guessing") or {}
    guessed = Guessing(kept["chance"], kept.get("largest")) if kept.get("chance") is not None else of(name)
    return None if guessed is None else guessed.short()


def column(width: int = 100) -> Any:
    """How tables show what `short` gives."""
    return st.column_config.TextColumn(
        width=width,
        help="What guessing scores, in points: at random · always the largest class. One figure: answers are open. "
        "?: the examples are not here, so the largest class is not known.",
    )


@st.cache_data(max_entries=512, show_spinner=False)
def _guessing(name: str, source: str, size: int, changed: float, _task: Task) -> Guessing | None:
    return guessing(_task)
