from __future__ import annotations

import subprocess
import sys
from dataclasses import fields

import pytest

from pituning.errors import BadInput
from pituning.tuning.config import BASELINES, TuneConfig, guard, is_trained


def test_torch_free() -> None:
    code = "import sys, pituning.tuning.config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_field_has_a_help() -> None:
    assert all(field.metadata["help"].endswith(".") for field in fields(TuneConfig))


def test_rates() -> None:
    assert TuneConfig(target="digits").rates("single") == pytest.approx((2e-3, 5e-3, 1.25e-2))
    assert TuneConfig(target="digits").rates("full") == pytest.approx((2e-4, 5e-4, 1.25e-3))
    own = TuneConfig(target="digits", kind="prefix", learning_rates=(0.1, 0.03))
    assert own.rates("placebo") == (0.03, 0.1)
    assert own.rates("full") == pytest.approx((1.5e-4, 5e-4))
    assert own.rates("lorahub") == pytest.approx((0.15, 0.5))
    assert TuneConfig(target="digits").rates("bitfit") == pytest.approx((8e-3, 2e-2, 5e-2))


def test_guard() -> None:
    # Of 25 examples a mean of 0.5 has a standard error of 0.1 at most.
    assert guard({"mixture": 0.5, "single": 0.39, "donor": 0.41, "untouched": None}, 25) == "single"
    assert guard({"mixture": 0.5, "single": 0.41, "donor": 0.45}, 25) == "mixture"
    assert guard({"mixture": 0.5, "single": 0.41}, 100) == "single"
    assert guard({"mixture": 0.5, "single": 0.5}, 10**9) == "mixture"
    assert guard({"single": 0.6, "backbone": 0.4, "largest": 0.75}, 48) == "backbone"  # what needs no training can win
    assert guard({"mixture": None, "single": 0.99}, 25) == "single"
    assert guard({"mixture": None, "single": None}, 0) == "mixture"


def test_what_is_trained() -> None:
    untrained = {name for name in BASELINES if not is_trained(name)}
    assert untrained == {"backbone", "untouched", "donor-untouched"}


def test_expert_name_is_a_name_even_for_the_longest_target() -> None:
    assert TuneConfig(target="digits", shots=4, seed=2).expert_name == "digits-pi-4-shot-2"
    assert len(TuneConfig(target="a" * 60, shots=1000, seed=999999).expert_name) <= 60


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("target", "Not A Name"),
        ("kind", "peft"),
        ("shots", 0),
        ("shots", 1.5),
        ("donors", -1),
        ("donors", 33),
        ("steps", -1),
        ("seed", -1),
        ("seed", True),
        ("folds", 11),
        ("batch_size", 0),
        ("predictor", "paper"),
        ("alpha_start", "zero"),
        ("alpha_rate", 0.0),
        ("alpha_rate", float("nan")),
        ("learning_rates", (1e-3, -1.0)),
        ("baselines", ("single", "magic")),
        ("donor_names", ("digits",)),
        ("donor_names", ("shape", "shape")),
        ("test_examples", 0),
    ],
)
def test_bad_values_name_their_field(field: str, value: object) -> None:
    with pytest.raises(BadInput) as caught:
        TuneConfig(**{"target": "digits", field: value})  # type: ignore[arg-type]
    assert caught.value.field == field
    assert "\n" not in str(caught.value)


def test_baselines_default_to_known_ones() -> None:
    assert set(TuneConfig(target="digits").baselines) <= set(BASELINES)
