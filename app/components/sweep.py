"""Several runs at once: the settings of the form, for every combination of targets, kinds, shots and seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from app.components import access, context, runs_data
from app.components.guard import say
from app.components.links import to
from app.components.pages import RUNS
from app.components.words import KINDS, label
from pituning.errors import PiTuningError
from pituning.runs.spec import RunSpec
from pituning.runs.sweep import sweep

SHOTS = (1, 2, 4, 8, 16)
MOST_SEEDS = 20


def panel(settings: Mapping[str, Any]) -> None:
    """Asks what varies, and queues the runs as one batch."""
    with access.popover("Run several variants", icon=":material/grid_view:", key="sweep_ask", width="stretch"):
        tasks = context.tasks()
        target, shots = str(settings["target"]), int(settings["shots"])
        targets = st.multiselect(
            "Targets", list(tasks), [target] if target in tasks else [], key="sweep_targets",
            format_func=lambda name: tasks[name].title,
        )  # fmt: skip
        kinds = st.multiselect(
            "Kinds of expert", list(context.available()), [settings["kind"]], key="sweep_kinds",
            format_func=lambda kind: label(KINDS, kind),
        )  # fmt: skip
        choices = sorted({*SHOTS, shots})
        budgets = st.multiselect("Shots", choices, [shots], key="sweep_shots")
        seeds = st.number_input("Seeds", 1, MOST_SEEDS, 3, key="sweep_seeds")
        name = st.text_input("Name of the batch", key="sweep_name", placeholder="generated when left empty",
                             help="a-z, 0-9 and '-'")  # fmt: skip
        first = int(settings.get("seed", 0))
        axes: dict[str, Sequence[Any]] = {
            "target": targets, "kind": kinds, "shots": budgets, "seed": [first + n for n in range(int(seeds))]
        }  # fmt: skip
        if not (targets and kinds and budgets):
            st.caption("Choose at least one target, kind and number of shots.")
            return
        try:
            # Donors by name and learning rates belong to one target and one kind.
            shared = dict(settings)
            if len(targets) > 1:
                shared["donor_names"] = []
            specs = sweep("tune", shared, axes)
        except PiTuningError as error:
            say("Not ready", error)
            return
        if st.button(f"Queue {len(specs)} runs", type="primary", key="sweep_start", width="stretch"):
            _start(specs, name.strip())


def _start(specs: list[RunSpec], name: str) -> None:
    queue = runs_data.queue()
    try:
        ids = queue.submit_all(specs, batch=name or queue.new_batch_name())
        runs_data.wake()
    except PiTuningError as error:
        say("The runs could not be queued", error)
        return
    st.switch_page(RUNS.path, query_params=to(run=ids[0]))
