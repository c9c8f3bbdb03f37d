"""What guessing would score: it stands beside every score."""

from __future__ import annotations

import streamlit as st

from app.components import context
from pituning.tasks.base import Task
from pituning.tasks.metrics import Guessing, guessing


def words(name: str) -> str:
    """What guessing would score on a task, as a sentence; empty where its examples are not here."""
    if name not in context.tasks():
        return ""
    task = context.task(name)
    found = _guessing(name, task.source, len(task.split("train")), task)
    return "" if found is None else f"To compare: {found}."


@st.cache_data(max_entries=256, show_spinner=False)
def _guessing(name: str, source: str, size: int, _task: Task) -> Guessing | None:
    return guessing(_task)
