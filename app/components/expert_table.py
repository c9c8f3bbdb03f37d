"""The experts as a table with filters; the chosen one is in the address as ``expert=KIND/NAME``."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime

import pandas as pd
import streamlit as st

from app.components import context, guessing, reveal, whole_rows
from app.components.guard import empty, plain
from app.components.links import linked_select
from app.components.words import KINDS, METRICS, ORIGINS, label
from pituning.experts.catalogue import ExpertEntry

PARAM = "expert"
CARD = "expert_card"
"""The container of what is shown of the chosen one."""
ROW, MOST_ROWS = 35, 9
KIB = 1024
SHORT = 8
"""Digits of a fingerprint that tell backbones apart for people."""


def title(entry: ExpertEntry) -> str:
    """What people read for the task of an expert."""
    name = entry.task or entry.name
    known = context.tasks().get(name)
    return known.title if known else name


def choose(entries: Sequence[ExpertEntry]) -> ExpertEntry | None:
    """The filters and the table; the chosen expert, or None."""
    wanted = st.query_params.get(PARAM)
    linked = next((entry for entry in entries if entry.id == wanted), None)
    if wanted is not None and linked is None:
        st.warning(f"The address names the expert “{plain(wanted)}”, which is not in this workspace.")
    shown = _ordered(_filtered(entries))
    if len(shown) < len(entries):
        st.caption(f"{len(shown):,} of {len(entries):,} experts")
    if shown:
        _table(shown, linked)
    else:
        empty("No matches", "No expert matches; remove a filter.", icon=":material/filter_alt_off:")
    return linked


def _filtered(entries: Sequence[ExpertEntry]) -> list[ExpertEntry]:
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        words = st.text_input("Find", type="search", placeholder="Task or name", key="find", bind="query-params",
                              width=200)  # fmt: skip
        kinds = [kind for kind in KINDS if any(entry.kind == kind for entry in entries)]
        kind = st.segmented_control(
            "Kind", kinds, format_func=lambda name: label(KINDS, name), key="expert_kind", bind="query-params",
            help="  \n".join(f"**{KINDS[name].label}**: {KINDS[name].help}" for name in kinds),
        )  # fmt: skip
        origins = [name for name in ORIGINS if any(entry.origin == name for entry in entries)]
        origin = st.selectbox(
            "Origin", origins, index=None, placeholder="All", format_func=lambda name: label(ORIGINS, name),
            key="origin", bind="query-params", width=170,
            help="  \n".join(f"**{ORIGINS[name].label}**: {ORIGINS[name].help}" for name in origins),
        )  # fmt: skip
        with st.container(width=240):
            tasks = {entry.task: title(entry) for entry in entries if entry.task is not None}
            task = linked_select(
                "Of task", sorted(tasks, key=lambda name: tasks[name].lower()), param="of", placeholder="All",
                format_func=lambda name: tasks.get(name, name),
            )  # fmt: skip
    looked_for = (words or "").casefold().split()
    return [
        entry
        for entry in entries
        if (kind is None or entry.kind == kind)
        and (origin is None or entry.origin == origin)
        and (task is None or entry.task == task)
        and all(word in f"{title(entry)} {entry.name} {entry.kind}".casefold() for word in looked_for)
    ]


def _ordered(entries: Sequence[ExpertEntry]) -> list[ExpertEntry]:
    """Those of the workspace first, the newest at the top; then the shipped ones by task."""
    return sorted(entries, key=lambda one: (-(one.made or 0.0), title(one).lower(), list(KINDS).index(one.kind)))


def frame(entries: Sequence[ExpertEntry]) -> pd.DataFrame:
    """What the table shows."""
    tasks = context.tasks()
    guesses = {name: guessed.short() for name, guessed in guessing.several(e.task for e in entries if e.task).items()}
    rows = []
    for entry in entries:
        info = tasks.get(entry.task or "")
        rows.append(
            {
                "Task": title(entry),
                "Kind": label(KINDS, entry.kind),
                "Score": entry.score,
                guessing.COLUMN: guesses.get(entry.task or ""),
                "Metric": METRICS[info.metric].label if info else None,
                "Usable": _usable(entry),
                "Origin": label(ORIGINS, entry.origin),
                "Name": entry.name,
                "Parameters": entry.parameters,
                "KiB": None if entry.size is None else entry.size / KIB,
                "Created": None if entry.made is None else datetime.fromtimestamp(entry.made),
                "Backbone": None if entry.card is None else entry.card.fingerprint[:SHORT],
            }
        )
    return pd.DataFrame(rows)


def _usable(entry: ExpertEntry) -> str:
    """One or two words; the whole reason stands on the expert's own card."""
    if entry.problem is None:
        return "✓"
    damaged = entry.card is None or entry.parameters is None
    return "✕ damaged" if damaged else "✕ other backbone" if context.backbone_ready() else "✕ no backbone"


def _table(entries: Sequence[ExpertEntry], chosen: ExpertEntry | None) -> None:
    ids = [entry.id for entry in entries]
    at = ids.index(chosen.id) if chosen is not None and chosen.id in ids else None
    # The rows that are there and the one that is chosen make the key: a click elsewhere, or a link, moves the mark.
    key = f"experts-{hashlib.sha256(chr(10).join(ids).encode()).hexdigest()[:12]}"

    def clicked(marked: list[int]) -> None:
        if marked and marked[0] < len(ids):
            st.query_params[PARAM] = ids[marked[0]]
            reveal.ask(CARD)
        else:
            st.query_params.pop(PARAM, None)

    whole_rows.draw(
        frame(entries),
        height=ROW * (min(len(ids), MOST_ROWS) + 1) + 3,
        placeholder="–",
        key=key,
        on_select=clicked,
        selection_default=None if at is None else {"selection": {"rows": [at]}},
        column_config={
            "Task": st.column_config.TextColumn(width=160),
            "Kind": st.column_config.TextColumn(width=82),
            "Score": st.column_config.NumberColumn(
                format="%.1f", width=62, help="On the test split of its task, in points of the metric (0 to 100)."
            ),
            guessing.COLUMN: guessing.column(),
            "Metric": st.column_config.TextColumn(width=78),
            "Usable": st.column_config.TextColumn(
                width=112, help="Whether its files are whole and made on this backbone. Choose it to "
                "read why not, and to compare its checksum.",
            ),
            "Origin": st.column_config.TextColumn(width=100),
            "Name": st.column_config.TextColumn(width=185),
            "Parameters": st.column_config.NumberColumn(format="localized", width=88, help="Number of parameters."),
            "KiB": st.column_config.NumberColumn(format="%.0f", width=52, help="Size of its tensors on disk."),
            "Created": st.column_config.DatetimeColumn(
                format="DD MMM YY", width=84, help="When it was added to this workspace; unknown for shipped experts."
            ),
            "Backbone": st.column_config.TextColumn(
                width=82, help="The first digits of the fingerprint of the foundation model that it belongs to."
            ),
        },
        alt="Experts with task, kind, score, origin and size",
    )  # fmt: skip
