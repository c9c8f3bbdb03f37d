"""The queue as a table: one row for each run, newest first."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd
import streamlit as st

from app.components import context, guessing, runs_data, whole_rows
from app.components.words import STATES, duration
from pituning.reports.verdict import difference
from pituning.runs.records import Run

PLAIN_STATES = {"queued": "◌ ", "running": "● ", "succeeded": "✓ ", "failed": "✕ ", "cancelled": "⊘ "}
ROW, MOST_ROWS = 35, 7


def frame(runs: Sequence[Run]) -> pd.DataFrame:
    """What the table shows."""
    tasks = context.tasks()
    lines = []
    for run in runs:
        fraction = run.fraction()
        elapsed = run.elapsed()
        subject, settings = runs_data.about(run, tasks)
        lines.append(
            {
                "State": PLAIN_STATES[run.state] + STATES[run.state][0] if run.damage is None else "⚠ Damaged",
                "Run": subject + runs_data.which(run),
                "Settings": settings,
                "Batch": run.batch,
                "Progress": None if fraction is None or run.state in ("failed", "cancelled") else 100 * fraction,
                "Score": _score(run),
                guessing.COLUMN: _guess(run),
                "Gain": _gain(run),
                "Started": runs_data.when(run.started or run.created),
                "Duration": duration(elapsed) if elapsed is not None else "",
            }
        )
    return pd.DataFrame(
        lines,
        columns=[
            "State",
            "Run",
            "Settings",
            "Batch",
            "Progress",
            "Score",
            guessing.COLUMN,
            "Gain",
            "Started",
            "Duration",
        ],
    )


def table_of_several(
    runs: Sequence[Run], *, chosen: Sequence[str], on_choice: Callable[[list[str]], None], key: str
) -> None:
    """Draws the table; several rows can be chosen, in the order of the table."""
    ids = [run.id for run in runs]
    table_key = f"{key}-{len(ids)}-several"

    def clicked(marked: list[int]) -> None:
        unlisted = [run_id for run_id in chosen if run_id not in ids]
        on_choice([*unlisted, *(ids[row] for row in marked if row < len(ids))])

    _draw(
        runs,
        key=table_key,
        on_select=clicked,
        several=True,
        marked=[ids.index(one) for one in chosen if one in ids],
    )


def table(runs: Sequence[Run], *, chosen: str | None, on_open: Callable[[str], None], key: str) -> None:
    """Draws the table; a click on a row opens its run."""
    ids = [run.id for run in runs]
    table_key = f"{key}-{len(ids)}"

    def clicked(marked: list[int]) -> None:
        if marked and marked[0] < len(ids):
            on_open(ids[marked[0]])

    _draw(runs, key=table_key, on_select=clicked, marked=[ids.index(chosen)] if chosen in ids else [])


def _draw(
    runs: Sequence[Run],
    *,
    key: str,
    on_select: Callable[[list[int]], None],
    several: bool = False,
    marked: list[int],
) -> None:
    shown = frame(runs)
    if not any(run.batch for run in runs):
        shown = shown.drop(columns="Batch")
    whole_rows.draw(
        shown,
        height=ROW * (min(len(runs), MOST_ROWS) + 1) + 3,
        placeholder="–",
        key=key,
        on_select=on_select,
        several=several,
        selection_default={"selection": {"rows": marked}} if marked else None,
        column_config={
            "State": st.column_config.TextColumn(width=105),
            "Run": st.column_config.TextColumn(width=190),
            "Settings": st.column_config.TextColumn(width=165),
            "Batch": st.column_config.TextColumn(width="small", help="Runs that were queued together."),
            "Progress": st.column_config.ProgressColumn(format="%.0f %%", min_value=0, max_value=100, width="small"),
            "Score": st.column_config.NumberColumn(
                format="%.1f", width="small", help="Test score of π-tuning, in points of the task’s metric."
            ),
            guessing.COLUMN: guessing.column(),
            "Gain": st.column_config.NumberColumn(
                format="%+.1f",
                width="small",
                help="π-tuning minus a single expert on the same shots, in points.",
            ),
            "Started": st.column_config.TextColumn(width=115),
            "Duration": st.column_config.TextColumn(width="small"),
        },
        alt="Runs with their state, progress and score",
    )


def _score(run: Run) -> float | None:
    results = runs_data.results([run])
    score = results[0].get("score") if results else None
    return float(score) if isinstance(score, int | float) else None


def _guess(run: Run) -> str | None:
    """Only beside a score: the queue is drawn often, and counting the answers of a large task takes a while."""
    return None if _score(run) is None else guessing.short(run.spec.subject, runs_data.results([run])[0])


def _gain(run: Run) -> float | None:
    gain = difference(runs_data.results([run]), "single")
    return None if gain is None else gain.mean
