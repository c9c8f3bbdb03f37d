"""A target made ready, as the low-shot study uses it, against a whole tuning."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from pituning.progress import Silent
from pituning.studies.lowshot import measure
from pituning.studies.lowshot_scores import PI, lowshot_scores
from pituning.tuning.config import CANDIDATES, TuneConfig
from pituning.tuning.evaluation import Scores
from pituning.tuning.run import tune
from pituning.tuning.stages import Stages
from pituning.tuning.trial import prepare
from pituning.workspace.layout import Workspace


@pytest.mark.parametrize("name", [pytest.param("tiny-colour", marks=pytest.mark.slow), "tiny-mood"])
def test_pi_of_the_rows_is_that_of_a_tuning(name: str, make_workspace: Callable[..., Workspace]) -> None:
    workspace = make_workspace("w", "lora")
    few = {"shots": 4, "steps": 4, "donors": 2, "test_examples": 12, "folds": 1}
    tuned = tune(TuneConfig(target=name, baselines=("uniform", "bitfit", "lorahub", "distant"), **few), workspace)

    trial = prepare(TuneConfig(target=name, baselines=(), **few), workspace, Silent())
    scores = Scores(trial.task, trial.test)
    rows = [
        {"target": name, "kind": "lora", "shots": 4, "seed": 0, "spec": "", **measure(trial, method, scores)}
        for method in (*CANDIDATES, "uniform", "bitfit", "lorahub", "distant")
    ]
    actual = lowshot_scores(pd.DataFrame(rows), 4).set_index("method")
    assert actual.loc[PI, "chosen"] == tuned["chosen"]
    assert actual.loc[PI, "score"] == tuned["score"]
    assert actual.loc["mixture", "score"] == tuned["mixture_score"]
    for method, score in tuned["baselines"].items():
        assert actual.loc[method, "score"] == score
    losses = {row["method"]: round(row["held_out_loss"], 6) for row in rows}
    assert {m: losses[m] for m in CANDIDATES} == {m: c["held_out_loss"] for m, c in tuned["candidates"].items()}


def identity_of(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def test_stages_of_before_there_was_a_choice_of_backbones_are_used(
    make_workspace: Callable[..., Workspace], tmp_path: Path
) -> None:
    """A run that an earlier version left unfinished goes on: the identity had the fingerprint, no name, and all
    baselines."""
    workspace = make_workspace("w", "lora")
    settings = {"target": "tiny-mood", "shots": 4, "donor_names": ("tiny-colour",), "donors": 1}
    trial = prepare(TuneConfig(**settings), workspace, Silent())
    later = ("backbone", "dtype", "quantize", "accumulate", "checkpointing", "processes", "own_rank", "vision_tower")
    told = {name: value for name, value in asdict(trial.config).items() if name not in later}
    told |= {"format": 1, "backbone": trial.backbone.fingerprint}
    kept = {"identity": identity_of(told), "value": {"loss": 1}, "sha256": identity_of({"loss": 1})}
    (tmp_path / "choice-single.json").write_text(json.dumps(kept))
    found = prepare(TuneConfig(**settings), workspace, Silent(), checkpoint=tmp_path).stages.load("choice-single")
    assert found == {"loss": 1}
    assert trial.backbone.name == "mini"
    shutil.move(workspace.root / "zoos" / "mini", workspace.root / "zoos" / "again")
    shutil.move(workspace.root / "backbones" / "mini", workspace.root / "backbones" / "again")
    again = prepare(TuneConfig(**settings, backbone="again"), workspace, Silent())
    assert (again.stages.identity, again.backbone.name) == (trial.stages.identity, "again")


def test_what_was_kept_counts_for_the_same_task_and_zoo(
    make_workspace: Callable[..., Workspace], tmp_path: Path
) -> None:
    """Baselines may differ; the instruction, an expert of the zoo and the size of the mixed experts may not."""
    workspace = make_workspace("w", "lora")
    config = TuneConfig(target="tiny-mood", shots=4, donor_names=("tiny-colour",), donors=1, baselines=("single",))
    kept = prepare(config, workspace, Silent(), checkpoint=tmp_path).stages
    kept.save("choice-single", {"loss": 1})

    def found(config: TuneConfig) -> Any:
        return prepare(config, workspace, Silent(), checkpoint=tmp_path).stages.load("choice-single")

    assert found(replace(config, baselines=("single", "uniform"))) == {"loss": 1}
    assert found(replace(config, seed=1)) is None
    card = workspace.task_dir("tiny-mood") / "task.json"
    before = card.read_text()
    card.write_text(before.replace("how is the mood?", "what is the mood?"))
    assert found(config) is None
    card.write_text(before)
    assert found(config) == {"loss": 1}
    other = next(name for name in workspace.zoo().expert_dirs("lora") if name not in ("tiny-mood", "tiny-colour"))
    shutil.rmtree(workspace.zoo().expert_dirs("lora")[other])
    assert found(config) is None


@pytest.mark.parametrize("identity", [5, None, "x/../../y", "x\0"])
def test_a_damaged_stage_is_done_again(identity: Any, tmp_path: Path) -> None:
    stages = Stages(tmp_path, {"a": 1})
    stages.save_tensors("state", {"x": torch.ones(2)})
    assert stages.load_tensors("state") is not None
    document = json.loads((tmp_path / "state-tensors.json").read_text())
    (tmp_path / "state-tensors.json").write_text(json.dumps({**document, "identity": identity}))
    assert stages.load_tensors("state") is None
    assert stages.load("state-tensors") is None
