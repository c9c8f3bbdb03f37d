"""The speed benchmarks run and say what scripts rely on; speed itself is not judged on a small model."""

from __future__ import annotations

import pytest

from benchmarks import fisher, interpolate
from pituning.experts.kinds import mixable_kinds

pytestmark = pytest.mark.slow


def test_fisher() -> None:
    found = fisher.run(examples=6, batch_size=3, rounds=1, d_model=32, layers=1)
    assert found["examples"] == 6
    assert found["rel_error"] <= 1e-3
    assert found["ratio_vs_backward"] > 0
    assert found["speedup_vs_single"] > 0


def test_interpolate() -> None:
    found = interpolate.run(batch_size=3, rounds=1, d_model=32, layers=1)
    assert set(found["experts"]) == {"1", "2", "4", "8"}
    assert set(found["kinds"]) == set(mixable_kinds())
    assert found["peer_ratio"]
