"""What stands first of two tasks: one sentence on what they share and what was measured, and examples of each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import streamlit as st

from app.components import context, pin
from app.components.examples import gallery
from app.components.guard import guarded, plain
from pituning.graph.donor_gains import DonorGain
from pituning.reports.pair import Effect, pair_sentence
from pituning.tasks.base import Task

SHOWN = 2
"""Examples of each task."""


def show(
    kind: str,
    names: Sequence[str],
    pair: tuple[str, str],
    ranks: Mapping[tuple[str, str], int],
    others: int,
    *,
    expected: Mapping[tuple[str, str], DonorGain] | None = None,
    predictor: str | None = None,
) -> None:
    """The sentence and the examples.

    Args:
        names: tasks among which transfer was measured, the two where these are among them.
        ranks: of a donor for a target, by (donor, target), where it is known.
        others: among how many tasks a donor has its rank.
        expected: what donors are expected to do for targets, by (donor, target); by default as the graph says.
        predictor: whose graph a pin sends to the story; by default the usual one.
    """
    with guarded("What they share"):
        first, second = (context.task(name) for name in pair)
        effects = []
        for donor, target in ((second, first), (first, second)):
            gain, half = None, None
            with guarded("The measured transfer"):  # the rest can be told without
                gain, half = _gain(kind, names, donor, target)
            way = (donor.name, target.name)
            hoped = None
            with guarded("The expected gains"):
                hoped = _expected(kind, *way) if expected is None else expected.get(way)
            effects.append(
                Effect(
                    target=target.title, gain=gain, half=half, rank=ranks.get(way), others=others,
                    expected=None if hoped is None else hoped.gain,
                )
            )  # fmt: skip
        shared, *rest = pair_sentence(first, second, effects).split("; ")
        st.markdown("; ".join([f"**{plain(shared)}**", *map(plain, rest)]))
        pin.button(
            "graph", {"kind": kind, "predictor": predictor, "task": first.name, "other": second.name}, key="pair"
        )
        with st.grid(2, min_column_width=200, gap="small"):
            for task in (first, second):
                with st.container(gap="xsmall"):
                    _examples(task)


def _gain(kind: str, names: Sequence[str], donor: Task, target: Task) -> tuple[float | None, float | None]:
    """What one did for the other with half of its interval, where that was measured."""
    counts = context.transfer_shots(kind)
    transfer = context.transfer(kind, counts[-1], tuple(names)) if counts else None
    if transfer is None or not {donor.name, target.name} <= set(transfer.names):
        return None, None
    gain = float(transfer.gains[transfer.names.index(target.name), transfer.names.index(donor.name)])
    if not math.isfinite(gain):
        return None, None
    return gain, context.gain_intervals(kind, counts[-1], target.name).get(donor.name)


def _expected(kind: str, donor: str, target: str) -> DonorGain | None:
    """What one is expected to do for the other at the most shots, without what was measured of that."""
    counts = context.transfer_shots(kind)
    return context.expected_gains(kind, target, counts[-1]).gains.get(donor) if counts and counts[-1] else None


def _examples(task: Task) -> None:
    st.caption(plain(task.title))
    gallery(task.split("validation")[:SHOWN] or task.split("train")[:SHOWN], key=f"pair-{task.name}")
