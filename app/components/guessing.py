"""What guessing would score: it stands beside every score."""

from __future__ import annotations

import streamlit as st

from app.components import context
from pituning.tasks.base import Task
from pituning.tasks.files import TablePreview
from pituning.tasks.metrics import Guessing, guessing


def words(name: str) -> str:
    """What guessing would score on a task, as a sentence; empty where its examples are not here."""
    if name not in context.tasks():
        return ""
    task = context.task(name)
    found = _guessing(name, task.source, len(task.split("train")), task)
    return "" if found is None else f"To compare: {found}."


def of_counts(preview: TablePreview) -> str:
    """The same of a table that has yet to become a task, from how often each label comes up in all of it."""
    if preview.labels is None or preview.metric != "accuracy" or not preview.counts:
        return ""
    total = sum(preview.counts.values())
    shares = [count / total for count in preview.counts.values()]
    return f"To compare: {Guessing(100 * sum(share * share for share in shares), 100 * max(shares))}."


@st.cache_data(max_entries=256, show_spinner=False)
def _guessing(name: str, source: str, size: int, _task: Task) -> Guessing | None:
    return guessing(_task)
