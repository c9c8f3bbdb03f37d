"""What is said of runs that were not worth it, and of those that were."""

from __future__ import annotations

from typing import Any

from pituning.reports.advice import advice


def result(score: float, single: float, **more: Any) -> dict[str, Any]:
    gain = {"mean": score - single, "low": score - single - 2, "high": score - single + 2}
    return {
        "score": score, "baselines": {"single": single, "placebo": single}, "gains": {"single": gain, "placebo": gain},
        "intervals": {"pi": [score - 3, score + 3]}, "guessing": {"chance": 50.0, "largest": 55.0}, **more,
    }  # fmt: skip


def test_a_good_run_needs_no_advice() -> None:
    assert advice(result(80, 70)) == []


def test_a_run_at_guessing_is_told_what_would_help() -> None:
    shots, backbone, rows = advice(result(56, 50))
    assert "--learning-curve" in shots
    assert "backbones add smollm2" in backbone
    assert "least sure rows" in rows
    other = " ".join(advice(result(56, 50, backbone="smollm2")))
    assert "smollm2" not in other
    assert "backbones families" in other


def test_where_full_fine_tuning_is_better_experts_may_have_to_see() -> None:
    def run(full: float, tower: bool | None) -> list[str]:
        found = result(80, 70, vision_tower=tower)
        found["baselines"]["full"] = full
        found["gains"]["full"] = {"mean": 80 - full, "low": 78 - full, "high": 82 - full}
        return advice(found)

    (line,) = run(88, False)
    assert "8.0 points better" in line
    assert "--vision-tower" in line
    assert run(81, False) == []  # within chance
    assert run(88, True) == []
    assert run(88, None) == []  # there is nothing to see by


def test_the_curve_says_whether_more_shots_help() -> None:
    rising = [{"shots": 8, "score": 60.0, "low": 57, "high": 63}, {"shots": 16, "score": 70.0, "low": 67, "high": 73}]
    flat = [rising[0], {"shots": 16, "score": 61.0, "low": 58, "high": 64}]
    assert "from 8 to 16 shots the score changed by +10.0 points, and it may go on" in advice(
        result(70, 70, learning_curve=rising))[0]  # fmt: skip
    assert "would hardly help" in advice(result(61, 61, learning_curve=flat))[0]


def test_results_from_before_there_was_guessing_are_read() -> None:
    old = result(70, 70)
    del old["guessing"]
    assert len(advice(old)) == 2
