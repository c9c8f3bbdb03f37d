"""What a run measures while it works: curves of every method, and the donors' weights at every site."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from app.components import charts, runs_data
from app.components.guard import empty
from app.components.run_results import expert_title
from app.components.words import METHODS
from pituning.figures.results import alpha_heatmap
from pituning.figures.results import curves as curves_figure
from pituning.runs.records import Run

NAMES = {
    "loss": "Loss on the shots",
    "held_out_loss": "Loss on held-out shots, by which steps and rates are chosen",
    "validation_score": "Score on validation examples",
}
MORE = {
    "learning_rate": "Learning rate",
    "examples_per_second": "Examples per second",
    "memory_mib": "Memory of the worker in MiB, by seconds of this attempt",
}
"""Curves that tell how a run works rather than what it finds."""


def curves(run: Run) -> None:
    """One chart for each thing that was measured, one line for each method."""
    measured = runs_data.queue().curves_of(run.id)
    titles = dict(NAMES)
    if any(point.name in MORE for point in measured) and st.toggle("Speed, memory and learning rate", key="run_more"):
        titles |= MORE
    points = [point for point in measured if point.name in titles]
    if not points:
        empty(
            "No curves yet" if run.active else "This run measured no curves",
            "They are drawn as soon as the first steps are done." if run.active else "It ended before its first step.",
            icon=":material/show_chart:",
        )
        return
    # In one order everywhere, so that a method has the same colour in both charts.
    order = {name: place for place, name in enumerate(METHODS)}
    points.sort(key=lambda point: order.get(point.series, len(order)))
    frame = pd.DataFrame([vars(point) for point in points])
    names = [name for name in titles if name in set(frame["name"])]
    with st.grid(min(len(names), 3), min_column_width=380, gap="medium"):
        for name in names:
            with st.container():
                st.markdown(f"**{titles[name]}**")
                charts.draw(
                    curves_figure(frame[frame["name"] == name]),
                    key=f"curves-{name}",
                    alt=f"{titles[name]} by step, one line for each method",
                    pinned=("result", {"run": run.id, "show": "curves"}) if name in NAMES else None,
                )


def weights(run: Run) -> None:
    """How much each expert counts at each site, now and as it came about."""
    points = runs_data.queue().alphas_of(run.id)
    if not points:
        empty(
            "No weights yet" if run.active else "This run learned no weights",
            "The heat map forms once the mixture is being trained."
            if run.active
            else "It ended before π-tuning began.",
            icon=":material/grid_on:",
        )
        return
    last = points[-1]
    st.caption(
        f"Step {last.step}. Each row is a place in the network where experts are mixed; a row’s weights sum to one. "
        "Dark means that this expert counts much there."
    )
    charts.draw(
        alpha_heatmap(
            list(last.sites), [expert_title(name) for name in last.experts], [list(row) for row in last.weights]
        ),
        key="alpha",
        alt="Weight of each expert at each site",
        pinned=("result", {"run": run.id, "show": "weights"}),
    )
