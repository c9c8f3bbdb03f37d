"""The stages of a tuning, from what is there of its result."""

from __future__ import annotations

from typing import Any

import pytest

from pituning.reports.stages import Stage, stages

ASKED = ("backbone", "single", "placebo", "full")
ROWS: dict[str, Any] = {"test_examples": 120, "examples": 1}
DONORS: dict[str, Any] = {
    **ROWS,
    "donors": ["nli", "rte", "news", "films"],
    "neighbors": [{"task": name, "similarity": value} for name, value in (("nli", 0.7), ("rte", 0.516), ("x", 0.1))],
    "expected": {"rte": {"gain": -2.04}},
}
SCORED: dict[str, Any] = {**DONORS, "mixture_score": 61.04, "baselines": {"single": 50.0}}
DONE: dict[str, Any] = {
    **SCORED, "score": 61.04, "chosen": "mixture", "guessing": {"chance": 20.0},
    "baselines": dict.fromkeys(ASKED, 50.0), "gains": {"backbone": {"mean": 11.0, "low": 4.0, "high": 18.0}},
}  # fmt: skip


def of(found: dict[str, Any], *, begun: bool = True, ended: bool = False) -> list[Stage]:
    return stages(found, baselines=ASKED, begun=begun, ended=ended, title_of=str.upper)


@pytest.mark.parametrize(
    ("found", "states"),
    [
        ({}, "active waiting waiting waiting waiting"),
        (ROWS, "done active waiting waiting waiting"),
        (DONORS, "done done active active waiting"),
        (SCORED, "done done active active waiting"),
        ({**SCORED, "score": 61.04}, "done done done active done"),
        (DONE, "done done done done done"),
    ],
)
def test_each_stage_follows_from_what_is_there(found: dict[str, Any], states: str) -> None:
    assert " ".join(stage.state for stage in of(found)) == states


def test_what_waits_and_what_was_stopped() -> None:
    assert {stage.state for stage in of({}, begun=False)} == {"waiting"}
    assert [stage.state for stage in of(DONORS, ended=True)] == ["done", "done", "stopped", "stopped", "waiting"]


def test_what_was_found_is_said_in_a_line() -> None:
    rows, relatives, tuned, controls, verdict = (stage.found for stage in of(SCORED))
    assert rows == "1 row to learn from, 120 rows to test on"
    assert of({**ROWS, "crossed": 1})[0].found == f"{rows}, those to learn from by cross-validation"
    assert relatives == "NLI (0.70), RTE (−2.0 points expected), NEWS and 1 more; 3 tasks compared"
    assert tuned == "The mixture: 61.0 points"
    assert controls == "Single expert 50.0; 3 still to come"
    assert verdict == ""
    tuned, _, verdict = (stage.found for stage in of(DONE)[2:])
    assert tuned == "61.0 points; the guard chose the mixture"
    assert verdict == "Use it: clearly better than guessing and the untrained model"


def test_without_donors_only_what_needs_none_is_awaited() -> None:
    alone = of({**ROWS, "donors": [], "score": 50.0, "baselines": {"backbone": 50.0, "single": 50.0, "full": 50.0}})
    assert alone[1].found == "No task is expected to help, so there are no donors"
    assert alone[3].state == "done"
    none = stages(ROWS, baselines=(), begun=True, ended=False, title_of=str)
    assert (none[3].state, none[3].found) == ("skipped", "None were asked for.")
