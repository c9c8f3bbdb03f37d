"""The catalogue and data sets of the hub from the command line."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from pituning.tasks.saved import load_saved_task
from pituning.workspace.layout import Workspace
from tests.cli.conftest import Outcome
from tests.hub_server import COMMIT, serve
from tests.tasks.paper_data import pretend_hub, write_data

Run = Callable[..., Outcome]


def test_data_sets_of_the_paper_are_listed_and_added(
    pituning: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend_hub(monkeypatch, tmp_path / "hub")
    listed = pituning("tasks", "catalogue", "--json").json["data_sets"]
    assert len(listed) == 20
    assert listed[0]["card"]["hub"]["id"] == "ethz/food101"
    assert "hub:nyu-mll/glue:sst2" in pituning("tasks", "catalogue").out
    added = pituning("tasks", "add", "catalogue:sst2", "--limit", "6", "--json").json
    assert (added["name"], added["labels"], added["added"]) == ("sst2", ["negative", "positive"], True)
    assert pituning("tasks", "show", "sst2", "--json").json["sizes"]["test"] == 6
    # What the catalogue prints is a card that adds the same data set under another name.
    (tmp_path / "card.yaml").write_text(pituning("tasks", "catalogue", "sst2").out)
    again = pituning(
        "tasks", "add", "hub:nyu-mll/glue:sst2", "--card", tmp_path / "card.yaml", "--name", "mine", "--json"
    )
    assert again.json["labels"] == added["labels"]
    assert "did you mean sst2" in pituning("tasks", "add", "catalogue:sst3").error
    assert "hub:OWNER/NAME" in pituning("tasks", "add", "some.csv", "--limit", "3").error


@pytest.mark.slow
def test_a_data_set_is_streamed_from_a_hub(tmp_path: Path) -> None:
    """The libraries themselves, against a hub on this machine."""
    served = tmp_path / "served"
    for theirs, file in write_data("eurosat", served).items():
        file.rename(served / f"{theirs}-00000-of-00001.parquet")

    def run(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        places = {"HF_ENDPOINT": url, "HF_HOME": str(tmp_path / "home"), "PITUNING_WORKSPACE": str(tmp_path / "ws"),
                  "HF_HUB_OFFLINE": "0"}  # fmt: skip
        return subprocess.run(
            [sys.executable, "-m", "pituning.cli", "tasks", "add", *arguments, "--instruction", "what is it?"],
            env={**os.environ, **places}, capture_output=True, text=True, timeout=200, check=False,
        )  # fmt: skip

    with serve(served, kind="datasets", repository="tiny/data") as (url, _):
        done = run(url, "hub:tiny/data", "--name", "whole")
        assert done.returncode == 0, done.stderr
        task = load_saved_task(Workspace.open(tmp_path / "ws").task_dir("whole"))
        assert {split: len(task.split(split)) for split in task.splits} == {"train": 12, "validation": 6, "test": 6}
        assert task.labels == ("Annual Crop", "River")
        assert (task.about["hub"]["revision"], task.about["licence"]) == (COMMIT, "mit")
        assert task.split("test")[0].image is not None
        refused = run(url, "hub:tiny/none", "--name", "none")
        assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 1)
        assert "hub data set tiny/none does not exist, or is private" in refused.stderr

        # A loading script is never run; its data files can be named.
        (served / "data.py").write_text("raise SystemExit('run')")
        script = run(url, "hub:tiny/data", "--name", "script")
        assert script.returncode == 2
        assert "scripts of others are never run" in script.stderr
        card = tmp_path / "card.yaml"
        hub = {"id": "tiny/data", "splits": {"train": "train"}, "files": {"train": "train-00000-of-00001.parquet"}}
        card.write_text(yaml.safe_dump({"hub": hub}))
        named = run(url, "hub:tiny/data", "--name", "named", "--card", str(card))
        assert named.returncode == 0, named.stderr
