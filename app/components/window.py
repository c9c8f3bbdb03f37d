"""What the browser's window says of the Studio: its title, and a notice when a run ends."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from app.components import context, runs_data
from pituning.runs.records import Run

STUDIO = "π-Tuning Studio"
SUBJECTS = ("target", "task")
"""Parameters of addresses that name what a page is about."""

_CSS = """
button { font: .875rem var(--st-font); color: var(--st-text-color); background: none; cursor: pointer;
  border: 1px solid var(--st-border-color); border-radius: var(--st-button-radius, .5rem); padding: .4rem .75rem; }
button:hover, button:focus-visible { color: var(--st-link-color); border-color: var(--st-link-color); }
"""
_NOTICE = st.components.v2.component(
    "run_notice",
    html='<button type="button" hidden></button>',
    css=_CSS,
    js=(Path(__file__).resolve().parent.parent / "assets" / "run_notice.js").read_text("utf-8"),
)


def title(page: str, subject: str | None = None) -> None:
    """Names what is open, and what is running: of several tabs each can be told.

    Args:
        subject: what the page is about; by default the task that the address names.
    """
    if subject is None:
        name = next((st.query_params[key] for key in SUBJECTS if key in st.query_params), None)
        info = context.tasks().get(name) if name is not None else None
        subject = None if info is None else info.title
    running = runs_data.queue().counts().get("running", 0)
    parts = (f"● {running} running" if running else None, subject, page, STUDIO)
    st.set_page_config(page_title=" · ".join(part for part in parts if part))


def notices(runs: Sequence[Run]) -> None:
    """A button by which the browser tells when a run ends, where that is possible; it asks before it does."""
    tasks = context.tasks()
    _NOTICE(
        key="run_notice",
        data={"studio": STUDIO, "runs": {run.id: [run.state, runs_data.title(run, tasks)] for run in runs}},
    )
