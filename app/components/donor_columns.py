"""The columns that tables of possible donors share: similarity, how stable their rank is, what they may add or cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from pituning.graph.donor_gains import DonorGain
from pituning.graph.predict import Neighbor

NO_HELP = "It says nothing about whether it helps."


def columns(near: Sequence[Neighbor], gains: Mapping[str, DonorGain] | None) -> dict[str, list[Any]]:
    """Values for `config`; without any ``gains`` those columns are left out."""
    shown: dict[str, list[Any]] = {
        "Similarity": [float(one.similarity) for one in near],
        "Stable rank": [None if one.confidence is None else 100 * one.confidence for one in near],
    }
    if gains:
        mine = [gains.get(one.task) for one in near]
        shown["Expected gain"] = [None if one is None else one.text for one in mine]
        shown["Risk of harm"] = [None if one is None else 100 * one.harm for one in mine]
    return shown


def config(*, similarity: str, stable: str, gain: str) -> dict[str, Any]:
    """How they are shown.

    Args:
        similarity: what it is of.
        stable: in how many of what a task is among which.
        gain: over what, and learned from what.
    """
    return {
        "Similarity": st.column_config.NumberColumn(format="%.3f", width=78, help=similarity),
        "Stable rank": st.column_config.NumberColumn(format="%.0f %%", width=88, help=f"{stable} {NO_HELP}"),
        "Expected gain": st.column_config.TextColumn(help=gain),
        "Risk of harm": st.column_config.ProgressColumn(
            format="%.0f %%", min_value=0, max_value=100, width=100, help="How likely it is to cost a point or more."
        ),
    }
