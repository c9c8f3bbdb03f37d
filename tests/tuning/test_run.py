"""The whole run on a tiny workspace."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from pituning.backbones.base import Backbone
from pituning.backbones.certainty import answer_probabilities
from pituning.errors import BadInput, RunCancelled, RunFailed
from pituning.experts.card import read_card
from pituning.experts.model import ExpertModel
from pituning.experts.store import make_expert, open_expert, save_expert
from pituning.graph.donor_gains import DonorGain, DonorGains
from pituning.progress import Silent
from pituning.reports.stages import stages
from pituning.reports.verdict import judge
from pituning.runs.configs import RelativesRun
from pituning.runs.relatives import relatives
from pituning.tasks.base import Example, Task
from pituning.tasks.metrics import score
from pituning.tasks.registry import load_task
from pituning.training.config import TrainConfig
from pituning.training.single import train_expert
from pituning.tuning import evaluation, export
from pituning.tuning import run as run_module
from pituning.tuning.config import BASELINES, TuneConfig
from pituning.tuning.interpolation import TOLERANCE, Collapsed, Mixture, collapse
from pituning.tuning.learning_curve import first_of_each
from pituning.tuning.predictions import PREDICTIONS, read_predictions
from pituning.tuning.run import tune
from pituning.tuning.search_curves import searched
from pituning.tuning.short_probe import halves
from pituning.workspace.layout import Workspace

MakeWorkspace = Callable[..., Workspace]

FEW = {"shots": 4, "steps": 4, "donors": 2, "test_examples": 12, "folds": 1}


class Notes(Silent):
    """Writes down what it is told and cancels after a number of steps."""

    def __init__(self, cancel_after: int | None = None):
        self.phases: list[list[Any]] = []
        self.alphas: list[tuple[int, list[str], list[str], list[list[float]]]] = []
        self.metrics: dict[str, set[str]] = {}
        self.left = cancel_after
        self.lines: list[str] = []

    def log(self, message: str) -> None:
        self.lines.append(message)

    def phase(self, name: str, total: int) -> None:
        self.phases.append([name, total, 0])

    def advance(self, steps: int = 1) -> None:
        self.phases[-1][2] += steps
        if self.left is not None:
            self.left -= steps
            if self.left < 0:
                raise RunCancelled("asked to stop")

    def curve(self, series: str, step: int, values: Mapping[str, float]) -> None:
        self.metrics.setdefault(series, set()).update(values)

    def alpha(
        self, step: int, sites: Sequence[str], experts: Sequence[str], weights: Sequence[Sequence[float]]
    ) -> None:
        self.alphas.append((step, list(sites), list(experts), [list(row) for row in weights]))


def test_result_and_exported_expert(make_workspace: MakeWorkspace, tiny_backbone: Backbone, vision_task: Task) -> None:
    workspace = make_workspace("w", "lora")
    notes = Notes()
    config = TuneConfig(target=vision_task.name, baselines=BASELINES, **FEW)
    result = tune(config, workspace, notes)

    assert json.loads(json.dumps(result, allow_nan=False)) == result
    assert result["donors"][0] == "other-colour"  # the same images and labels under another name
    assert len(result["donors"]) == 2
    assert vision_task.name not in [n["task"] for n in result["neighbors"]]
    same = {name: getattr(config, name) for name in ("target", "kind", "shots", "donors", "seed")}
    before = relatives(RelativesRun(**same), workspace, Silent(), Path())  # nothing has to be trained for that
    assert before["neighbors"] == result["neighbors"]
    assert before["donors"] == result["donors"]
    assert set(result["baselines"]) == set(BASELINES) == set(result["gains"])
    assert sum(result["weights"].values()) == pytest.approx(1, abs=1e-3)
    assert {"own", *result["donors"]} == set(result["weights"])
    # One fold holds out one of the four shots of each of three labels.
    losses = {name: candidate["held_out_loss"] for name, candidate in result["candidates"].items()}
    error = (losses["mixture"] * (1 - losses["mixture"]) / 3) ** 0.5
    better = min(losses.values()) < losses["mixture"] - error
    assert result["chosen"] == (min(losses, key=losses.__getitem__) if better else "mixture")
    # The labels are equally frequent: guessing is wrong in two thirds of the cases.
    errors = dict(result["held_out_errors"])
    mine = errors.pop(result["chosen"])
    assert (errors["largest"], errors["chance"]) == pytest.approx((2 / 3, 2 / 3), abs=1e-4)
    assert {round(3 * error, 3) for error in (mine, errors["backbone"])} <= {0, 1, 2, 3}
    better = min(errors.values()) < mine - (mine * (1 - mine) / 3) ** 0.5
    assert result["recommended"] == (min(errors, key=errors.__getitem__) if better else result["chosen"])
    for name in ("pi", *BASELINES):
        low, high = result["intervals"][name]
        assert low <= {**result["baselines"], "pi": result["score"]}[name] <= high
    assert [(name, done) for name, total, done in notes.phases if done != total] == []
    _step, sites, experts, weights = notes.alphas[-1]
    assert experts == ["own", *result["donors"]]
    assert len(sites) == len(weights)
    assert all(sum(row) == pytest.approx(1, abs=1e-5) for row in weights)
    assert {"loss", "score"} <= notes.metrics["single"]
    assert "score" in notes.metrics["pi"]

    # The expert on disk, run by PEFT's layers, scores what the result says.
    expert, model = open_expert(workspace.zoo().expert_dir("lora", result["expert"]), tiny_backbone)
    task = load_task(vision_task.name, workspace)
    examples = evaluation.scored_examples(task, 12)
    answers = model.predict(expert.values, tiny_backbone.encode(task, examples), task)
    assert score(task.metric, answers, [example.answer for example in examples]) == pytest.approx(result["score"])
    assert expert.card.spec["chosen"] == result["chosen"]
    assert result["expert"] not in workspace.zoo().expert_dirs("lora")  # it never becomes a donor


def test_whoever_waits_sees_stage_after_stage(
    make_workspace: MakeWorkspace, vision_task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[dict[str, Any]] = []
    monkeypatch.setattr(run_module, "write_json", lambda path, document: kept.append(json.loads(json.dumps(document))))
    names, notes = ("backbone", "single", "placebo", "uniform"), Notes()
    config = TuneConfig(target=vision_task.name, baselines=names, processes=1, **FEW)

    result = tune(config, workspace := make_workspace("w", "lora"), notes, tmp_path / "checkpoint")

    for earlier, later in pairwise(kept):
        assert set(earlier) <= set(later)
        assert set(earlier.get("baselines", ())) <= set(later.get("baselines", ()))
    scored = [frozenset(document.get("baselines", ())) for document in kept]
    assert set(map(len, scored)) == {0, 1, 2, 3, 4}, "each score is there as soon as it is measured"
    assert {name: value for name, value in kept[-1].items() if name != "intervals"}.items() <= result.items()
    done = [
        [stage.state for stage in stages(found, baselines=names, begun=True, ended=False, title_of=str)].count("done")
        for found in kept
    ]
    assert done[:2] == [1, 2], "the rows first, then the relatives, before anything is trained"
    assert done == sorted(done)
    assert done[-1] == 5
    assert notes.alphas[0][0] == 0
    assert all(share == pytest.approx(1 / 3) for row in notes.alphas[0][3] for share in row)
    rates = {searched(name) for name in notes.metrics["pi"]} - {None}
    assert {fold for _, fold in rates} == {1}
    assert result["methods"]["mixture"]["learning_rate"] in {rate for rate, _ in rates}

    # Every row that was scored is kept, with what each method predicted and the calibrated probabilities.
    frame = read_predictions(tmp_path / PREDICTIONS)
    assert len(frame) == result["test_examples"]
    assert frame["score"].mean() == pytest.approx(result["score"], abs=1e-3)
    for method in names:
        right = 100 * (frame["answer"] == frame[f"{method}_prediction"]).mean()
        assert right == pytest.approx(result["baselines"][method], abs=1e-3)
    shares = frame[[f"p({label})" for label in load_task(vision_task.name, workspace).labels or ()]]
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-4)
    np.testing.assert_allclose(shares.max(axis=1), frame["probability"], atol=1e-5)
    assert list(shares.columns[shares.to_numpy().argmax(axis=1)]) == [f"p({one})" for one in frame["prediction"]]
    kept_rows = {row["uid"]: row for row in result["predictions"]}
    for _, row in frame[frame["row"].isin(list(kept_rows))].iterrows():
        assert row["prediction"] == kept_rows[row["row"]]["prediction"]
        assert row["loss"] == pytest.approx(kept_rows[row["row"]]["loss"], abs=1e-3)


def test_a_shortlist_is_put_in_order_by_a_few_steps(
    make_workspace: MakeWorkspace, vision_task: Task, tiny_backbone: Backbone, tmp_path: Path
) -> None:
    workspace, notes = make_workspace("w", "lora"), Notes()
    few = {**FEW, "donors": 1, "steps": 2, "baselines": ("single",)}
    config = TuneConfig(target=vision_task.name, shortlist=2, **few)

    result = tune(config, workspace, notes, tmp_path)

    probed = result["short_probe"]
    assert set(probed) == {near["task"] for near in result["neighbors"][:2]}
    assert result["donors"] == [min(probed, key=probed.__getitem__)]
    # By hand: eight steps on half of each class from the donor, then the loss of the other half.
    task = load_task(vision_task.name, workspace)
    shots = task.shots(4, 0)
    trained, held = halves([shot.answer for shot in shots], closed=True, seed=0)
    assert sorted([*trained, *held]) == list(range(12))
    assert Counter(shots[i].answer for i in held) == dict.fromkeys(task.labels or (), 2)
    expert, model = open_expert(workspace.zoo().expert_dir("lora", result["donors"][0]), tiny_backbone)
    rate = config.rates("donor", tiny_backbone.rate_factor)[1]
    settings = TrainConfig(steps=8, batch_size=16, learning_rate=rate, warmup=1, seed=0)
    encoded = tiny_backbone.encode(task, shots)
    values = train_expert(model, encoded.subset(trained), settings, start=expert.values).values
    losses = []
    for row in held:
        batch = encoded.batch([row])
        losses.append(float(model.loss(values, batch)) / float(batch.lengths) ** 0.5)
    assert probed[result["donors"][0]] == pytest.approx(np.mean(losses), abs=1e-3)
    assert [done for name, total, done in notes.phases if name == "probe 2 donors"] == [16]
    assert tune(config, workspace, Notes(), tmp_path)["short_probe"] == probed  # it goes on from what was kept
    with pytest.raises(BadInput, match="shortlist puts a given number"):
        TuneConfig(target=vision_task.name, shortlist=2, **{**few, "donors": 0})


def test_an_imported_expert_lends_whatever_its_size_and_modules(
    make_workspace: MakeWorkspace, tiny_backbone: Backbone
) -> None:
    workspace = make_workspace("w", "lora")
    usual = ExpertModel(tiny_backbone, "lora")
    names = [block.module for block in tiny_backbone.blocks if block.role in ("query", "key")]
    wide = usual.method.read_space(
        tiny_backbone,
        {"rank": 6, "scale": 0.5},
        usual.method.config_for(tiny_backbone, {"rank": 6, "scale": 0.5}, names),
    )
    model = ExpertModel(tiny_backbone, "lora", space=wide)
    values = model.initial(3) + 0.1
    expert = make_expert(model, values, name="theirs", task="far-away", spec={"imported": "x"})
    save_expert(expert, model, workspace.zoo().new_expert_dir("lora", "theirs"))
    config = TuneConfig(
        target="tiny-mood", donor_names=("theirs", "other-mood"), baselines=("single", "donor", "placebo"), **FEW
    )
    notes = Notes()
    result = tune(config, workspace, notes)
    assert result["donors"] == ["theirs", "other-mood"]
    assert max(result["identity"].values()) < 1e-4
    assert "checked" in read_card(workspace.zoo().expert_dir("lora", "theirs")).spec  # at its first use
    actual, made = open_expert(workspace.zoo().expert_dir("lora", result["expert"]), tiny_backbone)
    assert set(made.space.modules) <= {*usual.space.modules, *names}
    assert actual.card.spec["donors_used"] == ["theirs", "other-mood"]


@dataclass(frozen=True)
class Spoilt:
    """An image of noise."""

    seed: int

    def render(self, size: int) -> Image.Image:
        noise = np.random.default_rng(self.seed).integers(0, 255, (size, size, 3))
        return Image.fromarray(noise.astype(np.uint8))


def spoil(task: Task, kept: set[str]) -> Task:
    """Another image and text in every training and validation example but those kept; the shots are drawn as before."""

    def spoilt(number: int, example: Example) -> Example:
        image = None if example.image is None else Spoilt(number)
        return example if example.uid in kept else replace(example, text="sad old new", image=image)

    splits = {name: [spoilt(i, e) for i, e in enumerate(task.split(name))] for name in ("train", "validation")}
    return replace(task, splits={**splits, "test": task.split("test")})


@pytest.mark.slow
def test_a_learning_curve_ends_with_the_run(make_workspace: MakeWorkspace, text_task: Task) -> None:
    config = TuneConfig(target=text_task.name, donor_names=("other-mood",), baselines=(), learning_curve=True,
                        **{**FEW, "donors": 1})  # fmt: skip
    result = tune(config, make_workspace("w", "lora"), notes := Notes())
    curve = result["learning_curve"]
    if result["chosen"] == "untouched":
        assert curve == []
    else:
        assert [point["shots"] for point in curve] == [1, 2, 4]
        assert curve[-1]["score"] == result["score"]
        assert all(point["low"] <= point["score"] <= point["high"] for point in curve)
        assert {"curve-1", "curve-2"} <= set(notes.metrics)
    answers = ["a", "b", "a", "a", "b", "c"]
    assert first_of_each(answers, 1, closed=True) == [0, 1, 5]
    assert first_of_each(answers, 2, closed=True) == [0, 1, 2, 4, 5]
    assert first_of_each(answers, 1, closed=False) == [0, 1, 2, 3]


def test_how_sure_it_is_is_measured_where_nothing_was_fitted(
    make_workspace: MakeWorkspace, tiny_backbone: Backbone, text_task: Task
) -> None:
    workspace = make_workspace("w", "lora")
    config = TuneConfig(target=text_task.name, donor_names=("other-mood",), baselines=(), **{**FEW, "donors": 1})
    result = tune(config, workspace)
    found = result["calibration"]
    directory = workspace.zoo().expert_dir("lora", result["expert"])
    assert (found["rows"], found["before"]["rows"], found["after"]["rows"]) == (3, 12, 12)
    assert read_card(directory).temperature == found["temperature"]
    assert read_card(directory).calibration == {key: found[key] for key in ("rows", "before", "after")}
    task = load_task(text_task.name, workspace)
    test = evaluation.scored_examples(task, 12)
    encoded = tiny_backbone.encode(task, test)
    expert, model = open_expert(directory, tiny_backbone)
    pairs = []
    with model.using(expert.values):
        for row, example in enumerate(test):
            shares = answer_probabilities(tiny_backbone, encoded, task, row, task.labels)
            pairs.append((max(shares), task.labels[int(np.argmax(shares))] == example.answer))
    gaps = 0.0
    for place in range(10):
        members = [(sure, right) for sure, right in pairs if place <= sure * 10 < place + 1]
        gaps += abs(sum(sure for sure, _ in members) - sum(right for _, right in members))
    assert found["before"]["ece"] == pytest.approx(gaps / 12, abs=1e-3)


@pytest.mark.parametrize("name", ["tiny-colour", "tiny-mood"])
def test_nothing_of_the_target_but_its_shots_gets_in(
    name: str, make_workspace: MakeWorkspace, tiny_tasks: list[Task]
) -> None:
    """Spoiling the target's own expert and all its other examples changes no number."""
    config = TuneConfig(target=name, baselines=("single", "random"), **FEW)
    honest = tune(config, make_workspace("honest", "lora"))
    task = next(task for task in tiny_tasks if task.name == name)
    kept = {example.uid for example in task.shots(4, 0)}
    tasks = [spoil(other, kept) if other.name == name else other for other in tiny_tasks]
    workspace = make_workspace("spoilt", "lora", tasks)
    (workspace.zoo().expert_dir("lora", name) / "adapter_model.safetensors").write_bytes(b"not an expert")
    assert tune(config, workspace) == honest


@pytest.mark.slow
def test_same_seed_same_numbers_and_a_stopped_run_goes_on(make_workspace: MakeWorkspace, tmp_path: Path) -> None:
    workspace = make_workspace("w", "bottleneck")
    config = TuneConfig(target="tiny-mood", kind="bottleneck", baselines=("single", "full", "uniform"), **FEW)
    first = tune(config, workspace)
    stages = tmp_path / "stages"
    notes = Notes(cancel_after=90)
    with pytest.raises(RunCancelled):
        tune(config, workspace, notes, stages)
    assert any(stages.iterdir())
    again = Notes()
    assert tune(config, workspace, again, stages) == first
    assert any("chosen for pi" in line for line in again.lines)  # the run went on from there
    assert [(name, done) for name, total, done in again.phases if done != total] == []
    # In two processes, and with what was kept of one: the same.
    assert tune(replace(config, processes=2), workspace, both := Notes(), tmp_path / "two") == first
    assert {"loss", "score"} <= both.metrics["full"]
    assert both.phases[-1][1:] == [again.phases[-1][1]] * 2
    # Where processes are free, folds and rates are trained side by side, too.
    assert tune(replace(config, processes=9), workspace, many := Notes()) == first
    assert many.metrics == both.metrics
    assert [(name, done) for name, total, done in many.phases if done != total] == []
    assert tune(replace(config, seed=1), workspace) != first
    # More baselines later: what there is is not done again, and all is as if they had been there from the start.
    more = replace(config, baselines=(*config.baselines, "placebo"))
    assert tune(more, workspace, later := Notes(), stages) == tune(more, workspace)
    assert [name for name, values in later.metrics.items() if "loss" in values] == ["placebo"]


@pytest.mark.slow
def test_prefix_with_named_donors(make_workspace: MakeWorkspace) -> None:
    workspace = make_workspace("w", "prefix")
    config = TuneConfig(
        target="tiny-box",
        kind="prefix",
        donor_names=("other-mood", "tiny-colour"),
        baselines=("backbone", "placebo", "full"),
        freeze_experts=True,
        **FEW,
    )
    result = tune(config, workspace)
    assert result["donors"] == ["other-mood", "tiny-colour"]
    assert result["neighbors"] == []
    assert result["per_class"] == {}
    assert max(result["identity"].values()) < 1e-4


@pytest.mark.parametrize("kind", ["lora", "prefix"])
def test_where_half_precision_leaves_a_doubt_float32_decides(
    kind: str, make_workspace: MakeWorkspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TOLERANCE, torch.bfloat16, 0.0)  # no rounding passes
    workspace = make_workspace("w", kind)
    before = set(workspace.zoo().all_expert_dirs(kind))
    config = TuneConfig(
        target="tiny-colour", kind=kind, donor_names=("other-mood",), baselines=(), dtype="bfloat16", **FEW
    )
    result = tune(config, workspace)
    assert max(result["identity"].values()) < 1e-4

    def twice(mixture: Mixture, experts: Tensor, weights: Tensor) -> Collapsed:
        right = collapse(mixture, experts, weights)
        return replace(right, values=2 * right.values)

    monkeypatch.setattr(export, "collapse", twice)
    with pytest.raises(RunFailed, match="the collapsed expert differs"):
        tune(replace(config, seed=1), workspace)
    assert set(workspace.zoo().all_expert_dirs(kind)) == before | {result["expert"]}


def test_one_shot_cannot_hold_any_out(make_workspace: MakeWorkspace) -> None:
    config = TuneConfig(target="tiny-mood", shots=1, steps=4, donors=2, baselines=("single",), predictor="text")
    result = tune(config, make_workspace("w", "lora"))
    assert result["chosen"] == "mixture"
    assert result["donors"][0] == "other-mood"
    assert result["methods"]["single"] == {
        "learning_rate": 5e-3, "steps": 2, "held_out_loss": None, "curve": {}
    }  # fmt: skip
    assert result["confidence"]["other-mood"] is None


def test_bad_input(make_workspace: MakeWorkspace) -> None:
    workspace = make_workspace("w", "lora")
    with pytest.raises(BadInput, match="donors is 9, but 4 lora experts can lend; choose at most 4"):
        tune(TuneConfig(target="tiny-mood", donors=9), workspace)
    with pytest.raises(BadInput, match="unknown donor 'other-mod'; did you mean other-mood"):
        tune(TuneConfig(target="tiny-mood", donor_names=("other-mod",)), workspace)
    with pytest.raises(BadInput, match="fewer than 30 shots"):
        tune(TuneConfig(target="tiny-mood", shots=30), workspace)
    with pytest.raises(BadInput, match="there are no prefix experts to lend"):
        tune(TuneConfig(target="tiny-mood", kind="prefix"), workspace)


def test_how_many_lend_is_chosen_by_what_is_expected_of_them(
    make_workspace: MakeWorkspace, vision_task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, notes = make_workspace("w", "lora"), Notes()
    config = TuneConfig(
        target=vision_task.name, baselines=("single", "random"), **{**FEW, "donors": 0, "steps": 2, "test_examples": 6}
    )

    # Nothing was measured here: the usual number, and the run says so.
    unmeasured = tune(config, workspace, notes)
    assert len(unmeasured["donors"]) == 3
    assert unmeasured["expected"] == {}
    assert any(
        line.startswith("no gain is predicted (transfer of lora was measured not at all") for line in notes.lines
    )

    def expect(**gains: float) -> Callable[..., DonorGains]:
        ranked = {
            name.replace("_", "-"): DonorGain(gain=g, low=g - 5, high=g + 5, harm=0.3) for name, g in gains.items()
        }
        return lambda *_args, **_more: DonorGains(gains=ranked, shots=4, targets=12)

    monkeypatch.setattr("pituning.tuning.donors.expected_from_shots", expect(other_mood=3.0, tiny_box=-2.0))
    some = tune(config, workspace, notes)
    assert some["donors"] == ["other-mood"]
    assert some["expected"]["tiny-box"] == {"gain": -2.0, "low": -7.0, "high": 3.0, "harm": 0.3}

    # Nobody is expected to help: a single expert, and nothing that needs donors.
    monkeypatch.setattr("pituning.tuning.donors.expected_from_shots", expect(other_mood=-0.5, tiny_box=-2.0))
    notes = Notes()
    nobody = tune(config, workspace, notes)
    assert (nobody["donors"], nobody["chosen"], nobody["mixture_score"]) == ([], "single", None)
    assert list(nobody["candidates"]) == list(nobody["baselines"]) == ["single"]
    assert nobody["score"] == nobody["baselines"]["single"] == some["baselines"]["single"]
    assert nobody["weights"] == {"own": 1.0}
    assert any("none of 2 tasks is expected to help: a single expert is tuned" in line for line in notes.lines)
    assert [(name, done) for name, total, done in notes.phases if done != total] == []
    assert judge([nobody]).title == "No donor was expected to help"
    assert json.loads(json.dumps(nobody, allow_nan=False)) == nobody
