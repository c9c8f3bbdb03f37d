from __future__ import annotations

import subprocess
import sys

import pytest

from pituning.errors import BadInput
from pituning.runs.configs import EmbedRun, TrainRun
from pituning.runs.spec import RunSpec
from pituning.tuning.config import TuneConfig


def test_a_spec_is_what_it_was_made_from():
    spec = RunSpec.of("train", TrainRun(task="digits", shots=16))
    assert spec.settings() == TrainRun(task="digits", shots=16)
    assert RunSpec.from_json(spec.to_json()) == spec
    embed = RunSpec.of("embed", EmbedRun(tasks=("nli", "rte")))
    assert embed.settings().tasks == ("nli", "rte")
    assert (spec.subject, embed.subject) == ("digits", "nli")


def test_a_spec_cannot_change():
    config = {"task": "digits", "shots": 4}
    spec = RunSpec(kind="train", config=config)
    config["shots"] = 8
    assert spec.config["shots"] == 4
    with pytest.raises(TypeError):
        spec.config["shots"] = 8  # type: ignore[index]


def test_the_command_does_the_same():
    spec = RunSpec(kind="train", config={"task": "digits", "shots": 16, "learning_rate": None, "name": "my one"})
    assert spec.command() == "pituning experts train digits --shots 16 --name 'my one'"
    whole = RunSpec.of("train", TrainRun(task="digits", shots=16, steps=40))
    assert whole.command() == "pituning experts train digits --kind lora --shots 16 --seed 0 --steps 40"
    tune = RunSpec.of("tune", TuneConfig(target="digits", baselines=("single", "full"), freeze_experts=True))
    assert tune.command() == (
        "pituning tune digits --kind lora --shots 16 --seed 0 --donors 3 --baselines single,full --freeze-experts"
    )
    assert tune.settings() == TuneConfig(target="digits", baselines=("single", "full"), freeze_experts=True)
    assert RunSpec(kind="embed", config={"tasks": ["nli", "rte"]}).command() == "pituning embed nli rte"


@pytest.mark.parametrize(
    ("kind", "config", "field", "message"),
    [
        ("bake", {}, "kind", "unknown run kind 'bake'; known: tune, train, embed, project, zoo, transfer, lowshot"),
        ("train", {"task": "digits", "rank": 3}, "rank", "train has no setting 'rank'"),
        ("train", {}, "task", "train needs the setting 'task'"),
        ("train", {"task": "../x"}, "task", "'../x' cannot be used"),
        ("train", {"task": "digits", "shots": 0}, "shots", "shots is 0"),
        ("train", {"task": "digits", "steps": 0}, "steps", "steps is 0"),
        ("train", {"task": "digits", "kind": "lorax"}, "kind", "'lorax'"),
        ("train", {"task": "digits", "shots": "many"}, "shots", "shots is 'many'; give a whole number or nothing"),
        ("tune", {"target": "digits", "donors": -1}, "donors", "donors is -1"),
        ("relatives", {"target": "digits", "donors": 0}, "donors", "donors is 0"),
        ("embed", {"tasks": ["a b"]}, "task", "'a b' cannot be used"),
    ],
)
def test_bad_settings_name_their_field(kind, config, field, message):
    with pytest.raises(BadInput, match=message) as caught:
        RunSpec(kind=kind, config=config).validate()
    assert caught.value.field == field


def test_what_json_cannot_hold_is_refused():
    for value in (float("nan"), object()):
        with pytest.raises(BadInput, match="not plain JSON"):
            RunSpec(kind="train", config={"task": value})
    with pytest.raises(BadInput, match="schema version 9"):
        RunSpec.from_json({"kind": "train", "config": {}, "schema_version": 9})
    with pytest.raises(BadInput, match="damaged"):
        RunSpec.from_json({"kind": "train"})


def test_queue_and_supervisor_need_no_torch():
    code = (
        "import sys, pituning.runs.supervisor, pituning.runs.worker, pituning.runs.configs, pituning.tasks.registry;"
        "print([m for m in ('torch', 'transformers', 'peft', 'streamlit') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_spec_names_its_backbone(monkeypatch):
    old = RunSpec.from_json({"kind": "tune", "config": {"target": "digits"}, "schema_version": 1})
    assert (old.backbone, old.config["backbone"], old.settings().backbone) == ("mini", "mini", "mini")
    assert old.command() == "pituning tune digits"
    other = RunSpec.of("tune", TuneConfig(target="digits", backbone="other"))
    assert other.backbone == "other"
    assert other.command().endswith(" --backbone other")
    count = RunSpec(kind="count", config={})
    assert (count.backbone, dict(count.config)) == ("mini", {})
    monkeypatch.setenv("PITUNING_BACKBONE", "other")
    assert old.command() == "pituning tune digits --backbone mini"
    with pytest.raises(BadInput, match="backbone 'No' cannot be used") as told:
        RunSpec(kind="project", config={"backbone": "No"}).validate()
    assert told.value.field == "backbone"
