"""``--backbone``: every command that reads or makes something of a zoo works on the zoo that it names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer

from pituning import cli
from pituning.commands import experts, queueing
from pituning.runs.queue import RunQueue
from pituning.workspace.layout import BACKBONE_VARIABLE, Workspace
from pituning.workspace.similarity import ZooSimilarity, save_similarity
from tests.app.synthetic import make_expert
from tests.cli.conftest import Outcome

Run = Callable[..., Outcome]
NAMES = ("nli", "rte", "shape")
COMMANDS = {
    "experts list": "", "experts train": "nli", "experts import": "DIR --task nli", "experts export": "nli DIR/new",
    "experts answer": "nli --example test/0", "experts remove": "nli --yes", "embed": "--all",
    "graph neighbors": "nli", "graph export": "graph.csv", "graph project": "", "tune": "nli", "study transfer": "",
    "study lowshot": "", "study predictors": "", "study short-probe": "", "study variants": "",
    "study tables": "", "study summary": "",
    "zoo build": "", "zoo maps": "", "zoo measure": "", "zoo tables": "", "report": "story.html",
    "runs list": "", "runs sweep": "nli", "predict": "nli DIR/new.csv --out DIR/out.csv",
    "tasks add": "DIR/new.csv --instruction sort", "study paper": "--tables glue",
}  # fmt: skip
"""What takes ``--backbone``, each with arguments that are right but for it."""


@pytest.fixture
def two(workspace: Workspace) -> Workspace:
    """Two backbones, on one of which ``nli`` is like ``rte``, on the other like ``shape``."""
    for number, backbone in enumerate(("mini", "other")):
        (workspace.root / "backbones" / backbone).mkdir(parents=True)
        zoo = workspace.zoo(backbone)
        matrix = np.eye(3)
        matrix[0, 1 + number] = matrix[1 + number, 0] = 0.9
        similarity = ZooSimilarity(names=NAMES, matrix=matrix, replicates=np.stack([matrix] * 2))
        save_similarity(zoo.new_similarity_path("lora", "probe"), similarity)
        make_expert(zoo.new_expert_dir("lora", ("nli", "rte")[number]), "lora", "f" * 64)
    return workspace


def test_those_are_all_the_commands() -> None:
    def leaves(command: Any, path: str) -> dict[str, Any]:
        if not hasattr(command, "commands"):
            return {path: command}
        actual: dict[str, Any] = {}
        for name, inner in command.commands.items():
            actual |= leaves(inner, f"{path} {name}".strip())
        return actual

    every = leaves(typer.main.get_command(cli.app), "")
    taking = {path for path, command in every.items() if any("--backbone" in each.opts for each in command.params)}
    assert taking == set(COMMANDS)


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_an_unknown_backbone_is_told_with_close_names(
    command: str, pituning: Run, two: Workspace, tmp_path: Path
) -> None:
    (tmp_path / "new.csv").write_text("text,label\n" + "".join(f"soup {n},good\ntea {n},bad\n" for n in range(9)))
    words = [*command.split(), *COMMANDS[command].replace("DIR", str(tmp_path)).split()]
    outcome = pituning(*words, "--backbone", "othr")
    assert outcome.error == "pituning: unknown backbone 'othr'; did you mean other?"
    assert outcome.code == 2
    outcome = pituning(*words, "--backbone", "../mini")
    assert "backbone '../mini' cannot be used" in outcome.error
    assert outcome.code == 2


def test_each_zoo_says_what_it_holds(pituning: Run, two: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    def nearest(*words: str) -> str:
        return str(pituning("graph", "neighbors", "nli", "-k", "1", "--json", *words).json["neighbors"][0]["task"])

    def names(*words: str) -> list[str]:
        return [row["name"] for row in pituning("experts", "list", "--json", *words).json["experts"]]

    assert (nearest(), nearest("--backbone", "other")) == ("rte", "shape")
    assert (names(), names("--backbone", "other")) == (["nli"], ["rte"])
    monkeypatch.setenv(BACKBONE_VARIABLE, "other")
    assert (nearest(), nearest("--backbone", "mini"), names()) == ("shape", "rte", ["rte"])
    outcome = pituning("graph", "neighbors", "nli", "--kind", "prefix")
    assert outcome.error.endswith("make it with: pituning embed --all --kind prefix --backbone other")
    removed = pituning("experts", "remove", "rte", "--yes", "--json")
    assert removed.code == 0
    assert (names(), names("--backbone", "mini")) == ([], ["nli"])


def test_runs_are_queued_on_it(pituning: Run, two: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queueing, "_wake", lambda _queue: None)
    monkeypatch.setattr(experts, "submit", lambda workspace, spec: RunQueue(workspace).submit(spec, name=spec.backbone))
    pituning("runs", "sweep", "nli,rte", "--backbone", "other", "--batch", "both")
    pituning("experts", "train", "nli", "--shots", "4", "--detach")
    monkeypatch.setenv(BACKBONE_VARIABLE, "other")
    pituning("graph", "project", "--detach")
    queue = RunQueue(two)
    assert sorted((run.kind, run.backbone) for run in queue.list()) == [
        ("project", "other"), ("train", "mini"), ("tune", "other"), ("tune", "other"),
    ]  # fmt: skip
    listed = pituning("runs", "list", "--backbone", "mini", "--json").json["runs"]
    assert [(run["kind"], run["backbone"]) for run in listed] == [("train", "mini")]
    assert len(pituning("runs", "list", "--json").json["runs"]) == 4


def test_the_directory_of_a_zoo_names_its_backbone(pituning: Run, two: Workspace) -> None:
    zoo = two.zoo("other")
    table = zoo.new_transfer_path("lora")
    table.parent.mkdir(parents=True)
    table.write_text("target,donor,shots,seed,score,spec\n")
    for words in (("--out", zoo.root), ("--backbone", "other")):
        outcome = pituning("study", "predictors", *words)
        assert "no transfer of lora was measured" in outcome.error
    assert f"{zoo.root} holds no grades" in pituning("study", "tables", "--backbone", "other").error
