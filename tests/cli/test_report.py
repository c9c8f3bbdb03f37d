from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pituning.workspace.layout import Workspace
from pituning.workspace.similarity import ZooSimilarity, save_similarity
from pituning.workspace.stories import Slide, Story, save_story, story_path
from tests.cli.conftest import Outcome

Run = Callable[..., Outcome]


@pytest.fixture
def zoo(workspace: Workspace) -> Workspace:
    matrix = np.array([[1, 0.9, 0.1], [0.9, 1, 0.2], [0.1, 0.2, 1]])
    similarity = ZooSimilarity(names=("nli", "rte", "digits"), matrix=matrix, replicates=np.empty((0, 3, 3)))
    save_similarity(workspace.zoo().similarity_path("lora", "probe"), similarity)
    return workspace


def test_a_report_is_written(pituning: Run, zoo: Workspace, tmp_path: Path) -> None:
    document = pituning("report", tmp_path / "r.html", "--json").json
    assert (document["story"], document["slides"], document["problems"]) == ("overview", 4, [])
    assert (tmp_path / "r.html").stat().st_size == document["bytes"]

    slides = (Slide(view="words", caption="Hello"), Slide(view="result"))
    save_story(zoo, Story(name="mine", title="My own", slides=slides))
    outcome = pituning("report", tmp_path / "r.html", "--story", "mine")
    assert outcome.code == 0
    assert "2 slides of 'My own'" in outcome.out
    assert "slide 2 could not be drawn: no low-shot run" in outcome.err
    assert "<p>Hello</p>" in (tmp_path / "r.html").read_text()


def test_what_stands_in_the_way_is_told(
    pituning: Run, zoo: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "r.html"
    for arguments, code, said in (
        ((tmp_path / "r.pdf",), 2, "must end in .html"),
        ((tmp_path / "none" / "r.html",), 2, f"directory {tmp_path / 'none'} does not exist"),
        ((out, "--story", "nope"), 2, "unknown story 'nope'"),
        ((out, "--story", "../x"), 2, "cannot be used"),
    ):
        outcome = pituning("report", *arguments)
        assert (outcome.code, said in outcome.error) == (code, True), outcome.err
    (tmp_path / "folder.html").mkdir()
    assert "is a directory" in pituning("report", tmp_path / "folder.html").error
    save_story(zoo, Story(name="mine", title="Mine"))
    story_path(zoo, "mine").write_text("{")
    outcome = pituning("report", out, "--story", "mine")
    assert (outcome.code, "mine.json is not a JSON document" in outcome.error) == (1, True)
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert "cannot be written" in pituning("report", out).error
    assert not out.exists()


def test_an_empty_workspace_says_what_to_do(pituning: Run, tmp_path: Path) -> None:
    outcome = pituning("report", tmp_path / "r.html")
    assert outcome.code == 1
    assert "pituning zoo build" in outcome.error


@pytest.mark.slow  # a process of its own
def test_a_report_needs_no_torch(zoo: Workspace, tmp_path: Path) -> None:
    code = (
        "import sys; from pituning.cli import run; "
        f"assert run(['report', {str(tmp_path / 'r.html')!r}]) == 0; "
        "assert not {'torch', 'transformers', 'peft', 'streamlit'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
