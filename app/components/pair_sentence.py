"""What stands first of two tasks: one sentence on what they share and what was measured, and examples of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import streamlit as st

from app.components import context
from app.components.examples import gallery
from app.components.guard import guarded, plain
from pituning.reports.pair import Effect, pair_sentence
from pituning.tasks.base import Task

SHOWN = 2
"""Examples of each task."""


def show(
    kind: str, names: Sequence[str], pair: tuple[str, str], ranks: Mapping[tuple[str, str], int], others: int
) -> None:
    """The sentence and the examples.

    Args:
        names: tasks among which transfer was measured, the two where these are among them.
        ranks: of a donor for a target, by (donor, target), where it is known.
        others: among how many tasks a donor has its rank.
    """
    with guarded("What they share"):
        first, second = (context.task(name) for name in pair)
        gains: Mapping[tuple[str, str], float] = {}
        with guarded("The measured transfer"):  # the rest can be told without
            gains = _gains(kind, names)
        effects = [
            Effect(target=target.title, gain=gains.get(way), rank=ranks.get(way), others=others)
            for donor, target in ((second, first), (first, second))
            for way in [(donor.name, target.name)]
        ]
        shared, *rest = pair_sentence(first, second, effects).split("; ")
        st.markdown("; ".join([f"**{plain(shared)}**", *map(plain, rest)]))
        with st.grid(2, min_column_width=200, gap="small"):
            for task in (first, second):
                with st.container(gap="xsmall"):
                    _examples(task)


def _gains(kind: str, names: Sequence[str]) -> dict[tuple[str, str], float]:
    """What donors did for targets, where it was measured, by (donor, target)."""
    counts = context.transfer_shots(kind)
    transfer = context.transfer(kind, counts[-1], tuple(names)) if counts else None
    if transfer is None:
        return {}
    at, gains = transfer.names, transfer.gains
    return {(at[j], at[i]): float(gains[i, j]) for i, j in zip(*np.nonzero(np.isfinite(gains)), strict=True)}


def _examples(task: Task) -> None:
    st.caption(plain(task.title))
    gallery(task.split("validation")[:SHOWN] or task.split("train")[:SHOWN], key=f"pair-{task.name}")
