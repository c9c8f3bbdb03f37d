"""What a run measures while it works: curves of every method, and the donors' weights at every site."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

import pandas as pd
import streamlit as st

from app.components import charts, runs_data
from app.components.guard import empty, plain
from app.components.run_results import expert_title
from app.components.words import METHODS
from pituning.figures.palette import method_label
from pituning.figures.results import alpha_heatmap
from pituning.figures.results import curves as curves_figure
from pituning.figures.ribbon import ribbon_words, weight_ribbon
from pituning.figures.search import search_curves
from pituning.runs.records import CurvePoint, Run
from pituning.tuning.config import MIXTURE
from pituning.tuning.search_curves import searched

NAMES = {
    "loss": "Loss on all shots",
    "held_out_loss": "Loss on held-out shots, mean over folds, by which steps and rates are chosen",
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
    rates = rates_of(run)
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
                    curves_figure(frame[frame["name"] == name], {} if name in MORE else labels(rates)),
                    key=f"curves-{name}",
                    alt=f"{titles[name]} by step, one line for each method",
                    pinned=("result", {"run": run.id, "show": "curves"}) if name in NAMES else None,
                )
    _search(run, measured, rates)


def rates_of(run: Run) -> dict[str, float]:
    """The learning rate that was chosen for each series, where it is known by now."""
    kept = runs_data.result(run) if run.state == "succeeded" else runs_data.queue().partial_of(run.id)
    methods = (kept or {}).get("methods") or {}
    return {"pi" if name == MIXTURE else name: choice["learning_rate"] for name, choice in methods.items()}


def labels(rates: Mapping[str, float]) -> dict[str, str]:
    """What the lines of a chart are called: method and learning rate."""
    return {series: f"{method_label(series)} (rate {rate:g})" for series, rate in rates.items() if rate}


def _search(run: Run, measured: Sequence[CurvePoint], rates: Mapping[str, float]) -> None:
    """How the rate of a method was chosen: each training of its cross-validation."""
    losses: dict[str, dict[tuple[float, int], dict[int, float]]] = {}
    for point in measured:
        key = searched(point.name)
        if key is not None:
            losses.setdefault(point.series, {}).setdefault(key, {})[point.step] = point.value
    if not losses:
        return
    order = [*METHODS, *losses]

    def place(series: str) -> int:
        return order.index(series)

    st.markdown("**How learning rate and steps were chosen: loss on held-out shots of each training**")
    series = st.segmented_control(
        "Method", sorted(losses, key=place), default=min(losses, key=place), required=True,
        format_func=method_label, key="run_search", label_visibility="collapsed",
    )  # fmt: skip
    if series in losses:
        charts.draw(
            search_curves(losses[series], chosen=rates.get(series), dark=charts.dark()),
            key="search",
            alt=f"Held-out loss of {method_label(series)} by step, a line for each learning rate and fold",
            pinned=("result", {"run": run.id, "show": "search"}) if series == "pi" else None,
        )
        st.caption("Colours are learning rates, dashes are folds. Thick: the rate that was chosen.")


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
    experts = [expert_title(name) for name in last.experts]
    shares = [[fmean(column) for column in zip(*point.weights, strict=True)] for point in points]
    st.markdown(f"**{plain(ribbon_words(experts, shares[-1]))}**")
    charts.draw(
        weight_ribbon([point.step for point in points], experts, shares, dark=charts.dark()),
        key="ribbon",
        alt="Mean weight of each expert by step, coloured by how far it is from an equal share",
        pinned=("result", {"run": run.id, "show": "ribbon"}),
    )
    st.caption(
        f"Step {last.step}. Each row is a place in the network where experts are mixed; a row’s weights sum to one. "
        "Dark means that this expert counts much there."
    )
    charts.draw(
        alpha_heatmap(list(last.sites), experts, [list(row) for row in last.weights]),
        key="alpha",
        alt="Weight of each expert at each site",
        pinned=("result", {"run": run.id, "show": "weights"}),
    )
