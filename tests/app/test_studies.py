"""Building a zoo and measuring transfer from the app: what the forms say, what they queue, and what comes back."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd

from pituning.runs.queue import RunQueue
from pituning.runs.study_configs import TransferRun, ZooRun
from pituning.runs.study_outline import transfer_left
from pituning.tasks.saved import save_task
from pituning.workspace.atomic import write_text
from pituning.workspace.layout import Workspace
from pituning.workspace.transfer import COLUMNS
from tests.app.conftest import OpenPage, healthy, texts
from tests.app.synthetic import make_expert
from tests.conftest import make_text_task

PAIR = ("nli", "rte")


def metrics(at: Any) -> dict[str, str]:
    return {metric.label: metric.value for metric in at.metric}


def finish(workspace: Workspace, result: dict[str, Any]) -> str:
    """Ends the run that waits with a result; its id."""
    queue = RunQueue(workspace)
    claimed = queue.claim("test-owner")
    assert claimed is not None
    path = workspace.run_dir(claimed.id) / "result.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result), encoding="utf-8")
    queue.finish(claimed.claim, "succeeded", result_path=str(path.relative_to(workspace.root)))
    return claimed.id


def test_transfer_is_measured_from_the_page_that_has_none(
    workspace: Workspace, woken: list[Workspace], open_page: OpenPage
) -> None:
    at = healthy(open_page("transfer"))
    assert "Nothing measured yet" in texts(at)
    assert (
        metrics(at)["Measurements"] == f"{2 * 20 * 20:,}"
    )  # every task alone and with 19 donors, at 0 and at 16 shots

    at.multiselect(key="measure_tasks_lora").set_value(list(PAIR))
    at.number_input(key="measure_seeds").set_value(3)
    at = healthy(at.run())
    # 2 targets, each alone and with the other's expert: once without shots, with 16 shots by three seeds.
    config = TransferRun(tasks=PAIR, donor_names=PAIR, shots=(0, 16), seeds=(0, 1, 2))
    left = transfer_left(config, workspace)
    assert (left.cells, len(left.missing)) == (16, 16)
    assert metrics(at)["Measurements"] == "16"
    assert metrics(at)["Measured already"] == "0"
    assert metrics(at)["Will take about"] != "–"

    at.button(key="measure_start").click().run()
    (run,) = RunQueue(workspace).list()
    assert (run.kind, run.spec.settings()) == ("transfer", config)
    assert "--targets nli,rte" in run.spec.command() or "--tasks nli,rte" in run.spec.command()
    assert woken
    assert "Transfer of 2 tasks" in texts(healthy(open_page("runs", run=run.id)))
    assert "Transfer is being measured" in texts(healthy(open_page("transfer")))

    best = [{"target": "nli", "shots": 16, "alone": 40.0, "donor": "rte", "gain": 6.5}]
    finish(workspace, {"kind": "lora", "backbone": "mini", "targets": list(PAIR), "cells": 16, "best": best})
    at = healthy(open_page("runs", run=run.id))
    assert any("Best donor" in frame.value for frame in at.dataframe)
    assert "All pairs" in [link.proto.label for link in at.get("page_link")]


def test_what_is_measured_is_counted_and_not_offered_again(workspace: Workspace, open_page: OpenPage) -> None:
    config = TransferRun(tasks=PAIR, donor_names=PAIR, shots=(0, 16))
    from pituning.backbones.files import fingerprint
    from pituning.backbones.places import Places
    from pituning.studies.transfer_cells import cell_specs
    from pituning.tasks.registry import TaskSource

    folder, zoo = workspace.backbone_dir(), workspace.zoo()
    specs = cell_specs(
        zoo, config, TaskSource(workspace), fingerprint=fingerprint(folder), factor=Places.read(folder).rate_factor
    )
    rows = [(cell.target, cell.donor, cell.shots, cell.seed, 50.0, spec) for cell, spec in specs.items()]
    rows[0] = (*rows[0][:-1], "of another time")
    write_text(zoo.new_transfer_path("lora"), pd.DataFrame(rows, columns=list(COLUMNS)).to_csv(index=False))
    at = open_page("transfer")
    at.multiselect(key="measure_tasks_lora").set_value(list(PAIR)).run()
    assert (metrics(healthy(at))["Measurements"], metrics(at)["Measured already"]) == ("8", "7")
    at.pills(key="measure_shots").set_value([16]).run()
    assert metrics(healthy(at))["Measured already"] == "4"
    assert at.button(key="measure_start").disabled
    assert "All of this is measured" in texts(at)


def test_too_few_examples_are_told_before_anything_is_queued(workspace: Workspace, open_page: OpenPage) -> None:
    from pituning.backbones.files import fingerprint

    save_task(make_text_task(), workspace)
    make_expert(workspace.zoo().new_expert_dir("lora", "tiny-mood"), "lora", fingerprint(workspace.backbone_dir()))
    at = open_page("transfer")
    at.multiselect(key="measure_tasks_lora").set_value(["nli", "tiny-mood"])
    at.pills(key="measure_shots").set_value([32]).run()
    assert "The rarest answer of Tiny moods has 20 training examples" in texts(healthy(at))
    assert RunQueue(workspace).list() == []


def test_experts_of_ones_own_tasks_are_trained_from_the_app(
    workspace: Workspace, woken: list[Workspace], open_page: OpenPage
) -> None:
    at = open_page("experts")
    at.session_state["build_zoo"] = True
    at = healthy(at.run())
    assert "Every task has its expert" in texts(at)

    save_task(make_text_task(), workspace)
    at = healthy(at.run())
    at.number_input(key="build_steps_lora").set_value(30).run()
    assert metrics(healthy(at))["Will take about"]
    at.button(key="build_start").click().run()
    (run,) = RunQueue(workspace).list()
    assert (run.kind, run.spec.settings()) == ("zoo", ZooRun(tasks=("tiny-mood",), steps=30))
    assert "Zoo of Tiny moods" in texts(healthy(open_page("runs", run=run.id)))

    finish(workspace, {"kind": "lora", "trained": ["tiny-mood"], "tasks": ["nli", "rte", "tiny-mood"],
                       "scores": {"tiny-mood": 80.0}})  # fmt: skip
    at = healthy(open_page("runs", run=run.id))
    assert "The graph of 3 tasks" in [link.proto.label for link in at.get("page_link")]
