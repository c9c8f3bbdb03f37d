"""`pituning zoo build` and `pituning study` put runs into the queue; nobody works on it here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pituning.commands import experts, follow, queueing
from pituning.runs.queue import RunQueue
from pituning.runs.study_configs import LowshotRun, TransferRun, ZooRun
from pituning.tasks.saved import save_task
from pituning.workspace.atomic import write_json
from pituning.workspace.layout import Workspace
from tests.cli.conftest import Outcome
from tests.conftest import make_text_task

Run = Callable[..., Outcome]


@pytest.fixture
def queued(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace with a backbone `own`, two tasks and an expert's card of each, whose queue nobody works on."""

    def submit(place: Workspace, spec: object) -> str:
        return RunQueue(place).submit(spec)  # type: ignore[arg-type]

    monkeypatch.setattr(queueing, "_wake", lambda _queue: None)
    monkeypatch.setattr(experts, "submit", submit)
    monkeypatch.setattr(follow, "submit", submit)
    (workspace.root / "backbones" / "own").mkdir(parents=True)
    for name in ("mood-a", "mood-b"):
        save_task(replace(make_text_task(), name=name), workspace)
    return workspace


def test_runs_on_a_whole_zoo_are_queued_and_their_commands_queue_them_again(pituning: Run, queued: Workspace) -> None:
    built = pituning("zoo", "build", "--backbone", "own", "--kind", "lora", "--tasks", "mood-a,mood-b", "--steps", "9",
                     "--examples", "64", "--detach", "--json")  # fmt: skip
    (run_id,) = built.json["runs"]
    queue = RunQueue(queued)
    zoo = ZooRun(backbone="own", tasks=("mood-a", "mood-b"), steps=9, fisher_examples=64)
    assert (queue.get(run_id).kind, queue.get(run_id).spec.settings()) == ("zoo", zoo)
    two = pituning(
        "zoo", "build", "--kinds", "lora,prefix", "--tasks", "nli", "--detach", "--backbone", "own", "--json"
    )
    assert [queue.get(one).spec.config["kind"] for one in two.json["runs"]] == ["lora", "prefix"]

    for name in ("mood-a", "mood-b"):
        write_json(queued.zoo("own").new_expert_dir("lora", name) / "card.json", {"task": name})
    transfer = pituning("study", "transfer", "--backbone", "own", "--targets", "mood-a", "--donor-names", "mood-b",
                        "--shots", "0,4", "--seeds", "1,2", "--detach", "--json").json["run"]  # fmt: skip
    assert queue.get(transfer).spec.settings() == TransferRun(
        backbone="own", tasks=("mood-a",), donor_names=("mood-b",), shots=(0, 4), seeds=(1, 2)
    )
    lowshot = pituning("study", "lowshot", "--backbone", "own", "--shots", "0,full", "--methods", "single,mixture",
                       "--learning-rates", "0.01", "--detach", "--json").json["run"]  # fmt: skip
    assert queue.get(lowshot).spec.settings() == LowshotRun(
        backbone="own", shots=(0, -1), methods=("single", "mixture"), learning_rates=(0.01,)
    )
    for one in (run_id, transfer, lowshot):
        words = queue.get(one).spec.command().split()[1:]
        again = pituning(*words, "--detach", "--json").json
        made = again["runs"][0] if "runs" in again else again["run"]
        assert queue.get(made).spec == queue.get(one).spec
    submitted = pituning("runs", "submit", "transfer", "--set", "backbone=own", "--set", "tasks=mood-a,mood-b",
                         "--detach", "--json").json["run"]  # fmt: skip
    assert queue.get(submitted).spec.settings() == TransferRun(backbone="own", tasks=("mood-a", "mood-b"))


def test_what_cannot_be_done_is_told_before_it_is_queued(pituning: Run, queued: Workspace, tmp_path: Path) -> None:
    for words, says in (
        (["study", "transfer", "--backbone", "own"], "the zoo of own has no lora expert of a task whose examples"),
        (["study", "transfer", "--backbone", "own", "--tasks", "mood-a"], "there are no lora experts to measure; make"),
        (["study", "transfer", "--backbone", "onw"], "unknown backbone 'onw'; did you mean own"),
        (["study", "lowshot", "--backbone", "own", "--tasks", "mood-x"], "task 'mood-x' is unknown"),
        (["study", "lowshot", "--shots", "some"], "shots is 'some'; give whole numbers, or full"),
        (["zoo", "build", "--backbone", "own"], "the zoo of own has no lora expert of a task whose examples"),
        (["zoo", "build", "--steps", "0", "--tasks", "nli"], "steps is 0"),
        (["zoo", "build", "--tasks", "nli", "--detach", "--out", tmp_path], "leave out --detach, or --out"),
    ):
        outcome = pituning(*words)
        assert outcome.code == 2
        assert says in outcome.error
    assert RunQueue(queued).list() == []


def test_what_cannot_be_graded_is_null(pituning: Run, workspace: Workspace) -> None:
    """Grades of few pairs are no numbers, which JSON does not know."""
    table = workspace.zoo().new_transfer_path("lora")
    table.parent.mkdir(parents=True)
    table.write_text("target,donor,shots,seed,score,spec\nnli,,16,0,40,a\nnli,rte,16,0,45,b\nnli,shape,16,0,30,c\n")
    rows = pituning("study", "predictors", "--json").json["rows"]
    means = {(row["pairs"], row["predictor"], row["measure"]): row["mean"] for row in rows}
    assert means["all", "random", "regret1"] == pytest.approx(7.5, abs=2)
    assert means["vision alone", "random", "regret1"] is None
