"""What guessing would score: it stands beside every score."""

from __future__ import annotations

import streamlit as st

from app.components import context
from pituning.tasks.base import Task
from pituning.tasks.metrics import chance, largest_class


def words(name: str) -> str:
    """What guessing at random, and always answering the largest class, would score on a task."""
    task = context.task(name)
    at_random, largest = _points(name, task.source, len(task.split("train")), task)
    guess = f"guessing at random scores {at_random:.1f}"
    return guess if largest is None else f"{guess}, always the largest class {largest:.1f}"


@st.cache_data(max_entries=256, show_spinner=False)
def _points(name: str, source: str, size: int, _task: Task) -> tuple[float, float | None]:
    return chance(_task), largest_class(_task) if _task.labels is not None else None
