"""The benchmarks run and say what scripts rely on; neither speed nor memory is judged on a small model."""

from __future__ import annotations

import sys

import pytest

from benchmarks import fisher, gpu, interpolate, memory, widths
from benchmarks import tune as whole
from pituning.experts.kinds import mixable_kinds
from pituning.tuning.config import TuneConfig
from pituning.tuning.units import VERDICT_PHASE

pytestmark = pytest.mark.slow


def test_fisher() -> None:
    actual = fisher.run(examples=6, batch_size=3, rounds=1, d_model=32, layers=1)
    assert actual["examples"] == 6
    assert actual["rel_error"] <= 1e-3
    assert actual["ratio_vs_backward"] > 0
    assert actual["speedup_vs_single"] > 0


def test_interpolate() -> None:
    actual = interpolate.run(batch_size=3, rounds=1, d_model=32, layers=1)
    assert set(actual["experts"]) == {"1", "2", "4", "8"}
    assert set(actual["kinds"]) == set(mixable_kinds())
    assert actual["peer_ratio"]


def test_widths() -> None:
    """Seconds are not judged; bytes are counted, so they are, where the model is not so small that experts fill it."""
    actual = widths.run([512], kinds=["lora", "prefix"], batch_size=3, rounds=1)
    assert set(actual["widths"]["512"]) == {"lora", "prefix"}
    assert 0.9 < actual["worst"]["memory"] < widths.MAY_TAKE["memory"]


def test_tune() -> None:
    config = TuneConfig(
        target="digits", shots=1, steps=1, test_examples=2, baselines=("single",), donor_names=("shape",), processes=1
    )
    actual = whole.run(config)
    assert VERDICT_PHASE in actual["stages"]
    assert actual["cpu_s"] == pytest.approx(sum(stage["cpu_s"] for stage in actual["stages"].values()), abs=0.1)
    assert actual["flops"] > 1e8
    assert 0 < actual["floor_share"] < 1


def test_gpu_is_ready_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """All but compilation, which takes long; on a GPU nobody has tried it."""
    monkeypatch.setattr(gpu, "_compiled", lambda mixture, batch, mode: gpu.mixture_step(mixture, gpu.EXPERTS, batch))
    for model in ("tiny", "tiny-decoder"):
        actual = gpu.run(model=model, device="cpu", dtype="float32", steps=4)
        assert set(actual["step"]) == {"peft", "pi", "autocast", "compiled", "cuda graphs"}
        assert all(step["seconds"] > 0 for step in (*actual["step"].values(), actual["fisher"]))
        assert 0 < actual["run"]["steps"] <= 4


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="peaks are read from /proc")
def test_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "STEP_VARIANTS", ("pi", "pi checkpointed", "peft"))
    actual = memory.run(shapes=("small",))
    model = actual["models"]["small"]
    assert 20e6 < model["parameters"] < 30e6
    assert set(model["steps"]) == {"pi", "pi checkpointed", "peft"}
    assert all(step["peak"] > step["loaded"] > step["step"] > 0 for step in model["steps"].values())
    assert actual["ratio"] == model["ratio"] > 0
    # Of what a step needs beside the model, where other work on the machine does not count.
    assert model["checkpointed_step_ratio"] < actual["step_ratio"] < 1.25
