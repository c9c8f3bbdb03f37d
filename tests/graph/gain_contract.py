"""What every gain predictor must do; see `pituning.graph.predictors.gains`. One passes by being registered."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pituning.graph.calibrated import Expected, fit
from pituning.graph.known import Known, Target
from pituning.graph.predictors import PREDICTORS
from pituning.graph.predictors.gains import GainRecord

TASKS = 13


def a_zoo(seed: int = 0, *, noise: float = 2.0) -> Known:
    """Twelve donors and a target whose gains are 20 points for each standard deviation of the probe, and noise."""
    rng = np.random.default_rng(seed)
    similarities = {name: rng.normal(size=(TASKS, TASKS)) for name in PREDICTORS}
    gains = np.full((TASKS, TASKS), np.nan)
    for i, row in enumerate(similarities["probe"]):
        others = np.arange(TASKS) != i
        gains[i, others] = 20 * (row[others] - row[others].mean()) / row[others].std()
    gains += rng.normal(scale=noise, size=gains.shape)
    alike = {name: rng.random((TASKS, TASKS)) < 0.5 for name in ("modality", "metric", "answers")}
    return Known(similarities=similarities, alike=alike, gains=gains, room=rng.uniform(40, 60, TASKS))


class GainContract:
    """A subclass gives the fixture ``record``."""

    def expected(self, record: GainRecord, zoo: Known, i: int = 0) -> Expected:
        return fit(record, zoo.without(i)).expect(zoo.without(i), zoo.target(i))

    def test_the_same_twice_and_points_within_their_interval(self, record: GainRecord) -> None:
        one, other = (self.expected(record, a_zoo()) for _ in range(2))
        for name, values in vars(one).items():
            assert values.shape == (TASKS - 1,)
            np.testing.assert_array_equal(values, getattr(other, name))
        assert (one.low <= one.gain).all()
        assert (one.gain <= one.high).all()
        assert ((one.harm >= 0) & (one.harm <= 1)).all()

    def test_it_finds_planted_gains_and_who_harms(self, record: GainRecord) -> None:
        zoo = a_zoo()
        expected, measured = self.expected(record, zoo), zoo.gains[0, 1:]
        assert np.corrcoef(expected.gain, measured)[0, 1] > 0.5
        assert expected.harm[measured.argmin()] > 0.5 > expected.harm[measured.argmax()]

    def test_it_is_blind_to_what_was_measured_of_the_target(self, record: GainRecord) -> None:
        zoo = a_zoo()
        changed = zoo.gains.copy()
        changed[0], changed[:, 0] = -changed[0], 99.0
        np.testing.assert_array_equal(
            self.expected(record, zoo).gain, self.expected(record, replace(zoo, gains=changed)).gain
        )

    def test_the_order_of_the_donors_is_nothing_to_it(self, record: GainRecord) -> None:
        zoo, order = a_zoo(), np.random.default_rng(1).permutation(TASKS - 1)
        others, target = zoo.without(0), zoo.target(0)
        square = np.ix_(order, order)
        shuffled = Known(
            similarities={name: matrix[square] for name, matrix in others.similarities.items()},
            alike={name: matrix[square] for name, matrix in others.alike.items()},
            gains=others.gains[square],
            room=others.room[order],
        )
        seen = Target(
            similarities={name: row[order] for name, row in target.similarities.items()},
            alike={name: row[order] for name, row in target.alike.items()},
        )
        before, after = fit(record, others).expect(others, target), fit(record, shuffled).expect(shuffled, seen)
        np.testing.assert_allclose(after.gain, before.gain[order], atol=1e-9)
        np.testing.assert_allclose(after.harm, before.harm[order], atol=1e-9)

    def test_of_an_unknown_donor_it_says_nothing_and_of_the_others_all(self, record: GainRecord) -> None:
        zoo = a_zoo()
        zoo.similarities["probe"][0, 1] = np.nan
        expected = self.expected(record, zoo)
        for values in vars(expected).values():
            assert np.isnan(values[0])
            assert np.isfinite(values[1:]).all()
