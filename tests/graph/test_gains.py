"""Expected gain: the contract of every predictor, the interval by its closed form, and what a zoo says without it."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from pituning.errors import BadInput
from pituning.graph import calibrated
from pituning.graph.calibrated import LEAST_TARGETS, conformal_bounds, fit
from pituning.graph.donor_gains import DonorGain, DonorGains, expected_from_shots, expected_gain
from pituning.graph.harm import points
from pituning.graph.known import Known
from pituning.graph.predictors.gains import GAIN_PREDICTORS, GainRecord
from pituning.registry import load
from pituning.tasks.registry import list_tasks
from pituning.workspace.layout import embedded_data
from pituning.workspace.zoo import Zoo
from tests.graph.gain_contract import TASKS, GainContract, a_zoo

DATA = embedded_data()
assert DATA is not None
ZOO = Zoo.at(DATA / "zoos" / "mini")
SUITE = {info.name: info for info in list_tasks()}


@pytest.mark.parametrize("record", GAIN_PREDICTORS.values(), ids=list(GAIN_PREDICTORS))
class TestEveryGainPredictor(GainContract):
    """Those that are registered."""


def test_it_is_ridge_regression_with_every_target_counting_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibrated, "PENALTIES", (0.1,))
    record, zoo = GAIN_PREDICTORS["expected"], a_zoo()
    zoo.gains[3, 4:9] = np.nan  # fewer donors, the same weight
    actual = fit(record, zoo)
    features, gains, weights = [], [], []
    for k in range(TASKS):
        mine, measured = load(record.path)(zoo.without(k), zoo.target(k)), np.delete(zoo.gains[k], k)
        seen = np.isfinite(measured)
        features.append(mine[seen])
        gains.append(measured[seen])
        weights.append(np.full(seen.sum(), 1 / seen.sum()))
    x, y, w = (np.concatenate(each) for each in (features, gains, weights))
    mean = np.average(x, axis=0, weights=w)
    scale = np.sqrt(np.average((x - mean) ** 2, axis=0, weights=w))
    peer = Ridge(alpha=0.1 * w.sum()).fit((x - mean) / scale, y, sample_weight=w)
    np.testing.assert_allclose(actual.slope, peer.coef_, atol=1e-6)
    assert actual.level == pytest.approx(peer.intercept_)


@pytest.mark.parametrize("count", [9, 13, 19, 40])
def test_with_one_donor_each_the_interval_is_that_of_split_conformal_prediction(count: int) -> None:
    errors = np.sort(np.random.default_rng(count).normal(size=count))
    low, high = conformal_bounds(errors, np.full(count, 1 / (count + 1)), 0.8)
    assert high == errors[math.ceil((count + 1) * 0.9 - 1e-9) - 1]
    assert low == -np.sort(-errors)[math.ceil((count + 1) * 0.9 - 1e-9) - 1]
    assert conformal_bounds(errors[:8], np.full(8, 1 / 9), 0.8) == (-math.inf, math.inf)
    assert LEAST_TARGETS == 9


def test_targets_count_the_same_however_many_donors_they_have() -> None:
    """Nine targets with an error of 0, one with a hundred errors of 5: the level leaves a tenth above."""
    errors = np.concatenate([np.zeros(18), np.full(100, 5.0)])
    weights = np.concatenate([np.full(18, 1 / 20), np.full(100, 1 / 2000)])
    assert conformal_bounds(errors, weights, 0.8) == (0.0, 0.0)
    assert conformal_bounds(errors, weights, 0.9) == (0.0, 5.0)


def test_the_interval_holds_about_as_often_as_it_says() -> None:
    """Over zoos of pure noise, with one feature and targets that differ in level."""
    record, held = GainRecord(name="x", label="", help="", path=f"{__name__}:of_probe"), []
    for seed in range(40):
        zoo = a_zoo(seed, noise=0)
        rng = np.random.default_rng(seed)
        zoo.gains[:] += rng.normal(scale=5, size=(TASKS, 1)) + rng.normal(scale=3, size=(TASKS, TASKS))
        expected = fit(record, zoo.without(0)).expect(zoo.without(0), zoo.target(0))
        measured = zoo.gains[0, 1:]
        held.append(np.mean((expected.low <= measured) & (measured <= expected.high)))
    assert 0.75 < np.mean(held) < 0.95


def of_probe(_known: Known, target) -> np.ndarray:
    return target.similarities["probe"][:, None]


def test_a_zoo_with_too_few_targets_or_without_measurements_says_so(tmp_path: Path) -> None:
    zoo = a_zoo()
    zoo.gains[8:] = np.nan
    with pytest.raises(BadInput, match="measured on 8 targets; an interval needs 9"):
        fit(GAIN_PREDICTORS["expected"], zoo)
    none = expected_gain(Zoo.at(tmp_path), "rte", tasks=SUITE)
    assert (none.gains, none.helpful()) == ({}, ())
    assert (
        none.reason
        == "transfer of lora was measured not at all in this zoo; run: pituning study transfer --kind lora --shots 16"
    )
    assert "does not know 'mine' yet" in str(expected_gain(ZOO, "mine", tasks=SUITE).reason)


def test_what_the_shipped_zoo_expects_of_donors() -> None:
    expected = expected_gain(ZOO, "shape", tasks=SUITE)
    assert (expected.reason, expected.shots, expected.targets) == (None, 16, 19)
    assert set(expected.gains) == set(SUITE) - {"shape"}
    gains = [each.gain for each in expected.gains.values()]
    assert gains == sorted(gains, reverse=True)
    assert len(expected.helpful()) == 6
    assert DonorGains.from_json(json.loads(json.dumps(asdict(expected)))) == expected
    assert expected_gain(ZOO, "shape", ["vqa"], tasks=SUITE).gains == {"vqa": expected.gains["vqa"]}
    assert expected_gain(ZOO, "shape", tasks=SUITE, shots=2).shots == 4
    # From the shots the same, where they say the same by every similarity; nothing of who was never measured.
    similarities = {}
    for name in ("probe", "paper", "scaled", "weights", "text"):
        stored = ZOO.similarity("lora", name)
        similarities[name] = dict(zip(stored.names, stored.matrix[stored.names.index("shape")], strict=True))
    seen = expected_from_shots(ZOO, "shape", similarities, tasks=SUITE)
    for donor, gain in seen.gains.items():
        assert gain.gain == pytest.approx(expected.gains[donor].gain)
    for name in similarities:
        del similarities[name]["vqa"]
    assert "vqa" not in expected_from_shots(ZOO, "shape", similarities, tasks=SUITE).gains


def test_who_is_expected_to_help_and_how_points_are_written() -> None:
    values = {"a": 9.0, "b": 0.4, "c": 0.0, "d": -3.0}
    gains = {name: DonorGain(gain=each, low=each - 5, high=each + 5, harm=0.5) for name, each in values.items()}
    assert DonorGains(gains=gains).helpful() == ("a", "b")
    assert DonorGains(gains=gains).helpful(1) == ("a",)
    assert [points(value) for value in (2.46, -0.04, -1.0)] == ["+2.5 points", "+0.0 points", "−1.0 points"]
