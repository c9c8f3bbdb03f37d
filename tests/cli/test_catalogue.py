"""The catalogue and data sets of the hub from the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Outcome
from tests.tasks.paper_data import pretend_hub

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
