"""Runs the code blocks of docs/use.md on a small exported expert."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pituning.tasks.base import Task
from pituning.tasks.saved import save_task
from pituning.workspace.layout import DATA_VARIABLE, ENVIRONMENT_VARIABLE, Workspace
from tests.backbones.tiny import TINY

PAGE = Path(__file__).resolve().parent.parent / "docs" / "use.md"
NAME = "reviews-pi-16-shot-0"


def block(name: str) -> str:
    found = re.search(rf"^```python {name}\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory, text_task: Task) -> Path:
    """A directory with a workspace, an exported expert of a task with open answers, and a table."""
    from pituning.backbones.base import Backbone
    from pituning.experts.model import ExpertModel
    from pituning.experts.store import export_expert, make_expert, save_expert

    place = tmp_path_factory.mktemp("use")
    workspace = Workspace(Workspace.open(place / "workspace").root, embedded=None)
    directory = workspace.root / "backbones" / "smollm2"
    make: Callable[[Path], object] = next(tiny.make for tiny in TINY if tiny.id == "llama")
    make(directory)
    reviews = replace(
        text_task, name="reviews", instruction="is this review good or bad?", metric="token_f1", labels=None,
        about={"columns": {"review": "text", "mood": "answer"}},
    )  # fmt: skip
    save_task(reviews, workspace)
    model = ExpertModel(Backbone.load(directory, name="smollm2"), "lora")
    expert = make_expert(model, model.initial(0) + 0.05, name=NAME, task="reviews")
    made = workspace.zoo("smollm2").new_expert_dir("lora", NAME)
    save_expert(expert, model, made)
    export_expert(made, place / "exported")
    (place / "new-reviews.csv").write_text("id,review\n1,cold soup\n2,happy old\n")
    return place


def test_plain_transformers_and_peft_answer_what_the_studio_answers(
    exported: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(exported)
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(exported / "workspace"))
    monkeypatch.setenv(DATA_VARIABLE, "")
    assert len([line for line in block("plain").splitlines() if line]) == 10
    plain: dict[str, object] = {}
    exec(block("plain"), plain)
    studio: dict[str, object] = {}
    capsys.readouterr()
    exec(block("three-lines"), studio)
    printed = capsys.readouterr().out
    assert printed.startswith("cold soup ")
    assert "\nhappy old " in printed
    (found,) = studio["labeller"].texts(["cold soup"])  # type: ignore[attr-defined]
    assert found.answer
    assert plain["answer"] == found.answer
