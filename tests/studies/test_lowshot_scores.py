"""Guarded methods and paired gains, against sums done by hand and a slow loop."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pituning.studies.lowshot_scores import (
    FEWER,
    PI,
    comparable,
    lowshot_scores,
    mean_score,
    paired_gain,
    two_level_bootstrap,
)
from pituning.workspace.lowshot import COLUMNS


def rows(*given: tuple[str, int, str, float, float | None], shots: int = 16) -> pd.DataFrame:
    """Of ``target, seed, method, score, held-out loss``."""
    made = [
        {"target": t, "kind": "lora", "shots": shots, "seed": s, "method": m, "score": score, "held_out_loss": loss,
         "held_out": 0 if loss is None else 25, "learning_rate": 0.0, "steps": 0, "donors": "", "test_examples": 10,
         "spec": ""}
        for t, s, m, score, loss in given
    ]  # fmt: skip
    return pd.DataFrame(made, columns=list(COLUMNS)).astype({"held_out_loss": float})


def one(scores: pd.DataFrame, target: str, seed: int, method: str) -> tuple[float, str]:
    (row,) = scores[(scores["target"] == target) & (scores["seed"] == seed) & (scores["method"] == method)].itertuples()
    return row.score, row.chosen


def test_pi_is_the_candidate_that_the_guard_chooses() -> None:
    measured = {
        ("a", 0): ((60, 0.3), (50, 0.4), (70, 0.31), (9, 0.9)),
        ("a", 1): ((61, 0.5), (51, 0.5), (71, 0.1), (9, 0.9)),
        ("b", 0): ((62, None), (52, None), (72, None), (9, None)),
    }
    given = [
        (target, seed, name, score, loss)
        for (target, seed), actual in measured.items()
        for name, (score, loss) in zip(("mixture", "single", "donor", "untouched"), actual, strict=True)
    ]
    without_donor = [("b", 1, "mixture", 63, 0.2), ("b", 1, "single", 53, 0.3), ("b", 1, "untouched", 9, 0.9)]
    control = [("a", 0, "random", 40, 0.6), ("a", 0, "random-untouched", 5, 0.2)]
    frame = rows(*given, *without_donor, *control)
    scores = lowshot_scores(frame, 16)
    assert one(scores, "a", 0, PI) == (60, "mixture")
    assert one(scores, "a", 1, PI) == (71, "donor")
    assert one(scores, "a", 1, FEWER) == (61, "mixture")  # the first of equals
    assert one(scores, "b", 0, PI) == (62, "mixture")  # nothing could be held out
    assert one(scores, "a", 0, "pi-random") == (5, "random-untouched")
    assert one(scores, "b", 1, FEWER) == (63, "mixture")
    here = {(row.target, row.seed) for row in scores[scores["method"] == PI].itertuples()}
    assert here == {("a", 0), ("a", 1), ("b", 0)}  # b has no donor with seed 1


def test_a_method_is_averaged_where_pi_is() -> None:
    """A seed that only the control has leaves its mean alone; where π is nowhere, nothing is left out."""
    candidates = [("a", 0, name, 60, 0.3) for name in ("mixture", "single", "donor", "untouched")]
    frame = rows(*candidates, ("a", 0, "placebo", 50, 0.4), ("a", 1, "placebo", 10, 0.4))
    scores = lowshot_scores(frame, 16)
    assert mean_score(scores, "placebo").mean == 30  # type: ignore[union-attr]
    assert mean_score(comparable(scores, scores), "placebo").mean == 50  # type: ignore[union-attr]
    assert list(comparable(frame, scores)["seed"]) == [0] * 5
    alone = lowshot_scores(rows(("a", 0, "placebo", 50, 0.4)), 16)
    assert len(comparable(alone, alone)) == 1


def test_the_backbone_alone_stands_for_every_seed() -> None:
    frame = pd.concat(
        [
            rows(("a", 0, "backbone", 10, None), ("a", 0, "untouched", 25, None), shots=0),
            rows(("a", 0, "single", 50, 0.1), ("a", 3, "single", 60, 0.1)),
        ]
    )
    actual = paired_gain(lowshot_scores(frame, 16), "single", "backbone")
    assert actual is not None
    assert actual.by_target == {"a": 45}
    zero = paired_gain(lowshot_scores(frame, 0), "untouched", "backbone")
    assert zero is not None
    assert zero.mean == 15


def test_gains_are_paired_over_what_both_methods_have() -> None:
    frame = rows(
        ("a", 0, "full", 50, 0.1), ("a", 1, "full", 60, 0.1), ("a", 2, "full", 99, 0.1),
        ("a", 0, "single", 40, 0.1), ("a", 1, "single", 54, 0.1),
        ("b", 0, "full", 10, 0.1), ("b", 0, "single", 13, 0.1),
        ("c", 0, "full", 10, 0.1),
        ("d", 0, "full", 20, 0.1), ("d", 0, "single", 20.5, 0.1),
    )  # fmt: skip
    actual = paired_gain(lowshot_scores(frame, 16), "full", "single")
    assert actual is not None
    assert actual.by_target == pytest.approx({"a": 8, "b": -3, "d": -0.5})
    assert actual.mean == pytest.approx((8 - 3 - 0.5) / 3)
    assert (actual.wins, actual.harmless, actual.worst, actual.seeds) == (1, 2, ("b", -3), 1)
    assert actual.low <= actual.mean <= actual.high
    assert paired_gain(lowshot_scores(frame, 16), "full", "bitfit") is None
    assert mean_score(lowshot_scores(frame, 16), "bitfit") is None


def test_the_interval_is_that_of_a_slow_loop() -> None:
    rng = np.random.default_rng(3)
    values = [rng.normal(loc, 2, size) for loc, size in ((0, 5), (4, 3), (-2, 5), (9, 1), (3, 4), (1, 5))]
    slow = []
    for _ in range(4000):
        targets = rng.integers(0, len(values), len(values))
        slow.append(np.mean([rng.choice(values[t], len(values[t])).mean() for t in targets]))
    low, high = two_level_bootstrap(values)
    assert [low, high] == pytest.approx(np.percentile(slow, [2.5, 97.5]), abs=0.25)
    assert two_level_bootstrap([np.array([2.0, 2.0])]) == (2.0, 2.0)
