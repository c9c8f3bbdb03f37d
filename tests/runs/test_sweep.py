from __future__ import annotations

import pytest

from pituning.errors import BadInput
from pituning.runs.spec import RunSpec
from pituning.runs.sweep import changes_of, sweep


def test_every_combination_once():
    axes = {"target": ["nli", "rte"], "kind": ["lora", "prefix"], "shots": [4], "seed": [0, 1, 2]}
    specs = sweep("tune", {"steps": 20}, axes)
    actual = [(s.config["target"], s.config["kind"], s.config["shots"], s.config["seed"]) for s in specs]
    assert actual == [(t, k, 4, s) for t in ("nli", "rte") for k in ("lora", "prefix") for s in (0, 1, 2)]
    assert {spec.config["steps"] for spec in specs} == {20}
    assert sweep("tune", {"target": "nli"}, {"seed": []}) == [RunSpec(kind="tune", config={"target": "nli"})]


def test_a_sweep_that_cannot_be_used_is_refused():
    with pytest.raises(BadInput, match="seed has a value twice: 1, 1"):
        sweep("tune", {"target": "nli"}, {"seed": [1, 1]})
    with pytest.raises(BadInput, match="the sweep has 1001 runs; queue at most 1000"):
        sweep("tune", {"target": "nli"}, {"seed": list(range(1001))})
    with pytest.raises(BadInput, match="'lorax'"):
        sweep("tune", {"target": "nli"}, {"kind": ["lora", "lorax"]})


def test_changes_from_words():
    words = ["shots=4", "baselines=single,full", "learning-rates=0.1,0.2", "freeze_experts=true"]
    assert changes_of("tune", words) == {
        "shots": 4, "baselines": ["single", "full"], "learning_rates": [0.1, 0.2], "freeze_experts": True,
    }  # fmt: skip
    assert changes_of("train", ["shots=null", "name=mine"]) == {"shots": None, "name": "mine"}
    with pytest.raises(BadInput, match="'shots' is no setting; give NAME=VALUE"):
        changes_of("tune", ["shots"])
    with pytest.raises(BadInput, match="tune has no setting 'shorts'"):
        changes_of("tune", ["shorts=4"])
