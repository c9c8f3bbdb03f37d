"""The answers that a run gives: is it usable, what can its test tell, what did the guard's choice cost?"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pituning.reports.usable import after_words, before_words, guard_words, is_usable, judge_run, smallest_visible
from pituning.reports.verdict import judge


def result(pi: float, backbone: float | None = None, *, half: float = 5.0, rows: int = 200, **more: Any) -> Any:
    baselines = {"single": pi} | ({} if backbone is None else {"backbone": backbone})
    gains = {name: {"mean": pi - x, "low": pi - x - half, "high": pi - x + half} for name, x in baselines.items()}
    return {
        "score": pi, "baselines": baselines, "gains": gains, "intervals": {"pi": [pi - half, pi + half]},
        "guessing": {"chance": 25.0, "largest": 30.0}, "test_examples": rows, "metric": "accuracy", **more,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("one", "answer", "title"),
    [
        (result(80, 60), "use", "Use it: clearly better than guessing and the untrained model"),
        (result(80), "use", "Use it: clearly better than guessing"),
        (result(80, 60, guessing=None), "use", "Use it: clearly better than the untrained model"),
        (result(80, 78), "care", "You can use it, but the untrained model may do as well"),
        (result(80, 60, recommended="backbone"), "care", "Use it with care: on held-out shots the untrained model did"),
        (result(33, 31), "not", "Do not use it yet: it is not clearly better than guessing"),
        (result(100, 0, half=0, rows=200), "use", "Use it: clearly better than guessing and the untrained model"),
        (result(100, 0, half=0, rows=1), "not", "Do not use it yet: it is not clearly better than guessing"),
        (result(60, 70), "not", "Do not use it: the untrained model is better"),
        (result(37.5, 43.8, half=30), "not", "Do not use it: the untrained model does at least as well"),
        (result(37.5, 43.8, half=30, recommended="backbone"), "not", "Do not use it: the untrained model is better"),
        (result(100, 100), "not", "Do not use it: the untrained model does at least as well"),
        (result(20, 22), "not", "Do not use it: always answering the largest class is better"),
        (result(28, 22), "not", "Do not use it: always answering the largest class does at least as well"),
        (result(50, guessing=None), "unknown", "Whether it is usable is open"),
        ({}, "unknown", "Not known yet"),
    ],
)
def test_it_is_usable_where_it_beats_what_needs_no_training(one: Any, answer: str, title: str) -> None:
    usable = is_usable(one)
    assert (usable.answer, usable.title[: len(title)]) == (answer, title)


def test_the_expert_is_that_of_the_run_the_donors_are_judged_over_seeds_and_the_guess_is_the_tasks() -> None:
    seeds = [result(60 + i, 50, guessing=None, chosen="mixture") for i in (0, 1, 2)]
    judgement = judge_run(seeds, {"chance": 25.0, "largest": None})
    assert judgement.usable.text == "It scores 60.0; the untrained model 50.0, guessing at random 25.0."
    assert judgement.usable.answer == "use"
    assert judgement.donors == judge(seeds)


@pytest.mark.parametrize("rows", [16, 100, 1000])
def test_what_cannot_be_seen_is_the_interval_of_a_simulated_paired_difference(rows: int) -> None:
    """Two methods that are as good as each other, right on three quarters of the rows each, independently."""
    right = np.random.default_rng(rows).random((4000, 2, rows)) < 0.75
    differences = 100 * (right[:, 0].mean(axis=1) - right[:, 1].mean(axis=1))
    assert np.mean(np.abs(differences) <= smallest_visible(rows)) == pytest.approx(0.95, abs=0.02)
    assert smallest_visible(rows) == pytest.approx(1.96 * differences.std(), rel=0.05)


def test_what_a_test_can_tell_before_and_after() -> None:
    assert before_words(16, "accuracy").startswith("16 test rows: differences under about 30 points cannot be seen.")
    assert "3.8 points" in before_words(1000, "token_f1")
    assert before_words(0, "accuracy") == before_words(1000, "cider") == before_words(1000, "unheard-of") == ""
    assert after_words(result(60, half=3.2, rows=1)).startswith("1 test row: differences under about 3.2 points")
    assert after_words(result(60, half=0, rows=16)) == before_words(16, "accuracy")
    assert "too easy" in after_words(result(100, 100))


def test_the_guard_tells_its_choice_and_what_that_cost() -> None:
    candidates = {name: {"held_out_loss": loss} for name, loss in (("mixture", 0.61), ("single", 0.4), ("donor", None))}
    run = result(31.2, 20, candidates=candidates, chosen="single", mixture_score=56.2, recommended="single")
    assert guard_words(run) == (
        "The guard chose its own expert alone. On the test rows that cost 25.0 points: the mixture scores 56.2, not "
        "31.2. Loss on held-out shots, by which it chose: the mixture 0.61; its own expert alone 0.40."
    )
    errors = {"single": 0.5, "backbone": 0.1}
    words = guard_words({**run, "recommended": "backbone", "held_out_errors": errors, "mixture_score": 30.0})
    assert "the untrained model does better on held-out shots: 10 % wrong, not 50 %." in words
    assert "that cost nothing: the best of the rejected, the mixture, scores 30.0." in words
    assert "unguarded" in guard_words({"score": 50, "chosen": "mixture"})
    assert "nothing to choose" in guard_words({**run, "donors": []})
    assert guard_words({"score": 50}) == ""
