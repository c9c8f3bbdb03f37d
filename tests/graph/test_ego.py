"""Arrows of measured effects: which are drawn, and of which of them 0 is no part of the interval."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from pituning.graph.ego import Arrow, arrows_into
from pituning.workspace.transfer import COLUMNS, NO_DONOR, gain_intervals, load_transfer


def test_neighbours_and_the_best_donors() -> None:
    gains = {"a": 1.0, "b": 9.0, "c": -4.0, "d": 2.0, "e": float("nan"), "me": float("nan")}
    arrows = arrows_into("me", gains, {"c", "e", "own"}, {"b": 3.0, "c": 4.0}, best=2)
    assert arrows == [
        Arrow(donor="b", target="me", gain=9.0, half=3.0),
        Arrow(donor="d", target="me", gain=2.0),
        Arrow(donor="c", target="me", gain=-4.0, half=4.0),
    ]
    assert [arrow.certain for arrow in arrows] == [True, False, False]
    assert [arrow.donor for arrow in arrows_into("me", gains, {"c"}, {}, best=0)] == ["c"]


def test_intervals_over_seeds_are_those_of_scipy_and_about_the_gain_of_the_table(tmp_path: Path) -> None:
    path, generator = tmp_path / "transfer.csv", np.random.default_rng(0)
    scores = {(donor, seed): float(generator.normal(50, 5)) for donor in ("", "b", "c") for seed in range(3)}
    rows = [("a", donor, 16, seed, score, "x") for (donor, seed), score in scores.items() if (donor, seed) < ("c", 1)]
    rows += [("a", "b", 4, 0, 1.0, "x"), ("d", "b", 16, 0, 1.0, "x"), ("d", NO_DONOR, 16, 0, 1.0, "x")]
    pd.DataFrame(rows, columns=list(COLUMNS)).to_csv(path, index=False)

    halves = gain_intervals(path, 16, "a")

    gains = [scores["b", seed] - scores["", seed] for seed in range(3)]
    low, high = stats.t.interval(0.95, 2, loc=np.mean(gains), scale=stats.sem(gains))
    assert halves == {"b": pytest.approx((high - low) / 2)}  # c has one seed
    transfer = load_transfer(path, 16, ["a", "b", "c"])
    assert transfer is not None
    assert transfer.gains[0, 1] == pytest.approx((high + low) / 2)
    assert (
        gain_intervals(path, 16, "d") == gain_intervals(path, 4, "a") == gain_intervals(tmp_path / "no", 4, "a") == {}
    )
