"""Which settings of runs matter."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pituning.errors import BadInput
from pituning.studies.importance import LEAST_RUNS, importances, varied_settings


def test_what_varies_is_numbers_or_text() -> None:
    configs = [
        {"shots": 4, "kind": "lora", "donors": ("a",), "fast": True, "rate": None, "same": 1},
        {"shots": 16, "kind": "prefix", "donors": (), "fast": False, "rate": 0.5, "same": 1},
    ]
    actual = varied_settings(configs)
    assert actual.to_dict("list") == {
        "shots": [4.0, 16.0], "kind": ["lora", "prefix"], "donors": ["a", "none"], "fast": ["yes", "no"],
        "rate": ["not set", "0.5"],
    }  # fmt: skip


def test_planted_effects_come_first_and_chance_explains_nothing() -> None:
    generator = np.random.default_rng(0)
    count = 40
    settings = pd.DataFrame({
        "seed": generator.integers(0, 3, count).astype(float),
        "kind": generator.choice(["lora", "prefix"], count),
        "shots": generator.choice([4.0, 8.0, 16.0], count),
    })  # fmt: skip
    planted = settings["shots"] + 4 * (settings["kind"] == "lora") + generator.normal(0, 0.3, count)

    actual = importances(settings, planted.tolist())

    assert [one.setting for one in actual.settings] == ["shots", "kind", "seed"]
    assert actual.explained > 0.9
    # Shuffled, a setting of variance v that alone adds to the score costs 2v/var of R².
    kinds = 4 * (settings["kind"] == "lora")
    assert actual.settings[1].share == pytest.approx(2 * kinds.var() / planted.var(), rel=0.35)
    assert abs(actual.settings[2].share) < 0.02
    assert importances(settings, planted.tolist()) == actual
    assert importances(settings, generator.normal(size=count).tolist()).explained <= 0


def test_too_few_runs_are_refused() -> None:
    few = pd.DataFrame({"shots": np.arange(LEAST_RUNS - 1, dtype=float)})
    with pytest.raises(BadInput, match=f"at least {LEAST_RUNS}"):
        importances(few, few["shots"].tolist())
    with pytest.raises(BadInput, match="nothing varies"):
        importances(pd.DataFrame({"shots": np.arange(12.0)}), [1.0] * 12)
