"""One expert: what its card says, who was mixed into it, and what can be done with it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

from app.components import access, context, deleted, expert_table, guessing, runs_data
from app.components.guard import plain, say, sentence
from app.components.labelling import calibration_words
from app.components.links import to
from app.components.pages import GRAPH, LABEL, RUNS
from app.components.run_results import donors_table
from app.components.words import KINDS, METRICS, ORIGINS, label, shots_label
from pituning.errors import PiTuningError
from pituning.experts.card import IMPORTED, ExpertCard
from pituning.experts.catalogue import ExpertEntry
from pituning.experts.keeping import pack_expert
from pituning.runs.records import Run
from pituning.runs.removal import check_removable, expert_made, remove_expert
from pituning.runs.roles import Role
from pituning.text import MOST_IN_MESSAGE

SETTINGS = ("shots", "steps", "batch_size", "learning_rate", "data", "suite", "chosen", "alpha_start", IMPORTED)
"""What of a card's spec is told, in this order; the whole of it is in the file."""

ICONS = {"shipped": ":material/package_2:", "trained": ":material/model_training:", "tuned": ":material/merge:",
         "imported": ":material/upload_file:"}  # fmt: skip


def show(entry: ExpertEntry) -> None:
    """The card with its doors."""
    st.header(plain(expert_table.title(entry)), anchor=False)
    with st.container(horizontal=True, gap="xsmall"):
        st.badge(label(KINDS, entry.kind), color="blue", help=KINDS[entry.kind].help)
        st.badge(label(ORIGINS, entry.origin), icon=ICONS[entry.origin], color="gray", help=ORIGINS[entry.origin].help)
        if entry.shots is not None:
            st.badge(shots_label(entry.shots), color="gray")
    if entry.name != entry.task:
        st.caption(plain(entry.name))
    problem = entry.problem or context.damage(entry)
    if problem is not None:
        st.error(sentence(problem), title="It cannot be used", icon=":material/broken_image:")
    made = maker(entry)
    _doors(entry, made, usable=problem is None)
    if entry.card is not None:
        _scores(entry, entry.card)
        _donors(entry.card, made)
        st.markdown("**Provenance**")
        st.table(pd.DataFrame(provenance(entry), columns=["What", "Value"]), border="horizontal", hide_index=True,
                 hide_header=True, alt="Where this expert comes from")  # fmt: skip


def maker(entry: ExpertEntry) -> Run | None:
    """The newest run of this workspace that made an expert; None where that is not known."""
    if entry.origin not in ("trained", "tuned"):
        return None
    backbone = context.backbone()
    runs = runs_data.queue().list(states=["succeeded"], backbone=backbone)
    return next((run for run in runs if expert_made(run) == (backbone, entry.kind, entry.name)), None)


def _doors(entry: ExpertEntry, made: Run | None, *, usable: bool) -> None:
    with st.container(horizontal=True, gap="small"):
        st.download_button(
            "Download", lambda: pack_expert(entry.directory), file_name=f"{entry.name}-{entry.kind}.zip",
            mime="application/zip", icon=":material/download:", key="expert_download", on_click="ignore",
            disabled=not usable or entry.card is None,
            help="A zip of the PEFT checkpoint: adapter_config.json, adapter_model.safetensors and card.json."
            + " README.md has the lines that load it.",
        )  # fmt: skip
        if entry.origin != "shipped":
            _delete(entry)
    with st.container(gap="small"):
        if entry.task in context.tasks() and usable:
            st.page_link(
                LABEL.path, label="Label more rows with it", icon=LABEL.icon,
                query_params=to(**{expert_table.PARAM: entry.id}),
            )  # fmt: skip
        if entry.task in context.tasks():
            st.page_link(
                GRAPH.path, label="Its neighbours in the task graph", icon=GRAPH.icon,
                query_params=to(task=str(entry.task)),
            )  # fmt: skip
        if made is not None:
            st.page_link(RUNS.path, label="The run that made it", icon=RUNS.icon, query_params=to(run=made.id))


def _delete(entry: ExpertEntry) -> None:
    """A button that asks once more."""
    with access.popover("Delete", role=Role.ADMIN, icon=":material/delete:", key=f"expert_delete_ask_{entry.id}"):
        queue = runs_data.queue()
        try:
            check_removable(queue, entry.kind, entry.name, backbone=context.backbone())
        except PiTuningError as error:
            st.caption(f":material/lock: {sentence(error)}")
            return
        zoo = entry.task == entry.name
        also = " With it goes its place in the task graph; it can no longer be a donor." if zoo else ""
        st.markdown(
            f"This expert goes into the bin and can be restored for {deleted.days()}. Runs that made it keep their "
            f"results.{also}"
        )
        st.button("Delete it", icon=":material/delete:", type="primary", key="expert_delete",
                  on_click=_delete_now, args=(entry.kind, entry.name, context.backbone()))  # fmt: skip


def _delete_now(kind: str, name: str, backbone: str) -> None:
    try:
        deleted.remember(remove_expert(runs_data.queue(), kind, name, backbone=backbone).entry)
        st.query_params.pop(expert_table.PARAM, None)
    except PiTuningError as error:
        say("That did not work", error)


def _scores(entry: ExpertEntry, card: ExpertCard) -> None:
    info = context.tasks().get(card.task)
    metric = METRICS[info.metric].label if info else "Score"
    with st.container(horizontal=True, gap="large"):
        for split, value in card.scores.items():
            st.metric(f"{metric}, {plain(split)} split", f"{value:.1f}", help="Points of the metric, 0 to 100.")
        if entry.parameters is not None and entry.size is not None:
            st.metric("Parameters", f"{entry.parameters:,}", help=f"{entry.size / expert_table.KIB:,.0f} KiB on disk.")
    if card.scores:
        st.caption(guessing.words(card.task))
    st.caption(calibration_words(card))


def _donors(card: ExpertCard, made: Run | None) -> None:
    """Who was mixed into a π-expert and how much each counts, from the run where it is known."""
    result: Mapping[str, Any] | None = runs_data.result(made) if made is not None else None
    weights = card.spec.get("weights")
    if not (result and result.get("weights")):
        told = weights if isinstance(weights, Mapping) else {}
        result = {"weights": told if all(type(value) in (int, float) for value in told.values()) else {}}
    table = donors_table(result)
    if table.empty:
        return
    st.markdown("**Whose experts were mixed, and how much each counts**")
    st.dataframe(
        table.dropna(axis="columns", how="all"), hide_index=True, placeholder="–",
        column_config={
            "Weight": st.column_config.ProgressColumn(
                format="%.0f %%", min_value=0, max_value=100, help="Mean over all places where experts are mixed."
            ),
            "Similarity": st.column_config.NumberColumn(format="%.3f", help="Of the task embeddings."),
            "Stable rank": st.column_config.NumberColumn(format="%.0f %%"),
        },
        alt="Experts that were mixed, with their weights",
    )  # fmt: skip


def provenance(entry: ExpertEntry) -> list[tuple[str, str]]:
    """Where an expert comes from, as rows of a name and a value in Markdown."""
    card = entry.card
    if card is None:
        return []
    shape = ", ".join(f"{name} {value:g}" for name, value in card.config.items())
    rows = [("Settings", plain(shape)), ("Seed", "" if card.seed is None else str(card.seed))]
    for name in SETTINGS:
        if card.spec.get(name) not in (None, "", [], {}):
            rows.append((name.replace("_", " ").capitalize(), plain(str(card.spec[name]), MOST_IN_MESSAGE)))
    rows += [
        ("Backbone", f"{plain(card.backbone)} {_code(card.fingerprint[:16])}"),
        ("SHA-256", _code(card.sha256[:16])),
        ("Commit", _code(card.commit[:12]) if card.commit else ""),
        ("Versions", plain(", ".join(f"{name} {version}" for name, version in card.versions.items()))),
    ]
    return [(name, value) for name, value in rows if value]


def _code(digits: str) -> str:
    """The start of a checksum; whatever else a card has in its place is no code but text."""
    return f"`{digits}…`" if re.fullmatch("[0-9a-f]+", digits) else plain(f"{digits}…")
