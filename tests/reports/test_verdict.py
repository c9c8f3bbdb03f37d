from __future__ import annotations

from typing import Any

import pytest

from pituning.reports.verdict import difference, judge, scores


def result(pi: float, *, half: float = 1.0, chosen: str = "mixture", **baselines: float) -> dict[str, Any]:
    gains = {name: {"mean": pi - x, "low": pi - x - half, "high": pi - x + half} for name, x in baselines.items()}
    return {"score": pi, "baselines": baselines, "gains": gains, "chosen": chosen}


def test_scores_leave_out_what_was_not_measured() -> None:
    assert scores({"score": 60, "baselines": {"single": 50.5, "full": None}}) == {"pi": 60.0, "single": 50.5}


def test_one_seed_takes_the_paired_interval_of_the_run() -> None:
    gap = difference([result(60, half=1.5, single=50)], "single")

    assert gap is not None
    assert (gap.mean, gap.low, gap.high, gap.seeds) == (10, 8.5, 11.5, 1)


def test_several_seeds_use_students_t_over_paired_differences() -> None:
    # Differences 4, 6, 8: mean 6, standard error 2/sqrt(3), t(0.975, 2) = 4.302653 by the tables.
    gap = difference([result(54, single=50), result(58, single=52), result(59, single=51)], "single")

    assert gap is not None
    assert gap.mean == pytest.approx(6)
    assert gap.low == pytest.approx(6 - 4.302653 * 2 / 3**0.5, abs=1e-4)
    assert gap.seeds == 3


def test_a_baseline_that_nobody_ran_gives_no_difference() -> None:
    assert difference([result(60, single=50)], "placebo") is None


@pytest.mark.parametrize(
    ("baselines", "outcome"),
    [
        ({"single": 50, "placebo": 51}, "transfer"),
        ({"single": 50, "placebo": 59.5}, "regularisation"),
        ({"single": 59.5, "placebo": 50}, "none"),
        ({"single": 70, "placebo": 50}, "harm"),
        ({"single": 50}, "helped"),
        ({"placebo": 50}, "unknown"),
        ({}, "unknown"),
    ],
)
def test_the_verdict_follows_from_single_and_placebo(baselines: dict[str, float], outcome: str) -> None:
    assert judge([result(60, **baselines)]).outcome == outcome


def test_a_verdict_on_one_seed_says_that_it_is_one() -> None:
    alone = judge([result(60, single=50, placebo=50)])
    assert "(one seed)" in alone.title
    assert "One seed only" in alone.text
    assert "3 seeds" in judge([result(60 + i, single=50, placebo=50) for i in range(3)]).text


def test_when_the_guard_left_the_donors_out_the_verdict_says_so() -> None:
    verdict = judge([result(60, half=0, chosen="single", single=60, placebo=58)])

    assert verdict.outcome == "none"
    assert "left out" in verdict.title
