from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from PIL import Image
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from pituning.commands.tune import _warn
from pituning.runs.queue import RunQueue
from pituning.runs.spec import RunSpec
from pituning.tasks.mini import TASK_NAMES, mini_task
from pituning.tasks.saved import load_saved_task
from pituning.tuning.config import TuneConfig
from pituning.workspace.layout import Workspace
from tests.cli.conftest import Outcome

Run = Callable[..., Outcome]


def test_list_has_the_mini_suite_then_the_users_tasks(pituning: Run, moods: Path) -> None:
    assert pituning("tasks", "add", moods, "--instruction", "mood?").code == 0
    rows = pituning("tasks", "list", "--json").json["tasks"]
    assert [row["name"] for row in rows] == [*TASK_NAMES, "moods"]
    assert rows[-1]["labels"] == ["bad", "good"]
    assert sum(rows[-1]["sizes"].values()) == 60
    assert "moods" in pituning("tasks", "list").out


def test_a_damaged_task_is_listed_as_such(pituning: Run, workspace: Workspace, moods: Path) -> None:
    pituning("tasks", "add", moods, "--instruction", "mood?")
    (workspace.task_dir("moods") / "task.json").write_text("{")
    outcome = pituning("tasks", "list", "--json")
    assert list(outcome.json["damaged"]) == ["moods"]
    assert pituning("tasks", "show", "moods").code == 1


def test_show_and_preview(pituning: Run) -> None:
    assert pituning("tasks", "show", "nli", "--json").json["chance"] > 30
    assert "premise" in pituning("tasks", "show", "nli").out
    first = mini_task("nli").split("test")[0]
    document = pituning("tasks", "preview", "nli", "--split", "test", "-n", "2", "--json").json
    assert len(document["examples"]) == 2
    assert document["examples"][0]["answer"] == first.answer
    assert first.text in document["examples"][0]["prompt"]


def test_preview_saves_images(pituning: Run, tmp_path: Path) -> None:
    document = pituning("tasks", "preview", "shape", "-n", "2", "--images", tmp_path / "out", "--json").json
    for row in document["examples"]:
        with Image.open(row["image"]) as image:
            assert image.format == "PNG"


def test_what_guessing_scores_and_what_is_cut_are_told_before_anything(
    pituning: Run, workspace: Workspace, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    backbone = workspace.root / "backbones" / "mini"
    backbone.mkdir(parents=True)
    tokenizer = Tokenizer(WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.save(str(backbone / "tokenizer.json"))
    (backbone / "config.json").write_text('{"max_position_embeddings": 96}')
    table = tmp_path / "pairs.csv"
    rows = [f"{'small old ' * 60}{i},large,{'yes' if i % 3 else 'no'}\n" for i in range(48)]
    table.write_text("premise,hypothesis,label\n" + "".join(rows))
    added = pituning("tasks", "add", table, "--instruction", "does it follow?")
    cut = "prompts are longer than the 94 tokens that mini reads and will be cut at the longer of their texts"
    assert f"29 of 29 {cut}" in added.err
    assert "to compare: guessing at random scores 55.6, always answering the largest class 66.7" in added.out
    _warn(workspace, TuneConfig(target="pairs", shots=2), load_saved_task(workspace.task_dir("pairs")))
    assert f"warning: 4 of 4 {cut}" in capfd.readouterr().err


def test_add_twice_is_refused(pituning: Run, moods: Path) -> None:
    assert pituning("tasks", "add", moods, "--instruction", "mood?").code == 0
    outcome = pituning("tasks", "add", moods, "--instruction", "mood?")
    assert outcome.code == 2
    assert "there is a task 'moods' already; choose another name, such as 'moods-2'" in outcome.error


def test_rows_that_cannot_be_used_are_left_out_and_named(pituning: Run, tmp_path: Path) -> None:
    path = tmp_path / "visits.csv"
    path.write_text("text,label\n" + "".join(f"visit {i},{'ab'[i % 2]}\n" for i in range(20)) + ",a\nvisit 99,\n")
    refused = pituning("tasks", "add", path, "--instruction", "which?")
    assert refused.code == 2
    assert "row 22: 'text' is empty; correct or delete it, or leave it out with --skip-bad-rows" in refused.error
    added = pituning("tasks", "add", path, "--instruction", "which?", "--skip-bad-rows")
    assert "left out: 2 rows, named in its card: pituning tasks card visits" in added.out
    assert pituning("tasks", "card", "visits", "--json").json["skipped"] == {
        "rows": 2,
        "named": ["row 22: 'text' is empty", "row 23, column 'label': has no answer"],
    }


def test_check_adds_nothing(pituning: Run, workspace: Workspace, moods: Path) -> None:
    document = pituning("tasks", "add", moods, "--instruction", "mood?", "--check", "--json").json
    assert document["added"] is False
    assert document["columns"] == {"text": ["text"], "answer": ["answer"], "image": None, "split": None, "names": None}
    assert workspace.task_names() == []


def test_columns_may_be_named(pituning: Run, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b,c\n" + "".join(f"x{i},y{i % 2},z{i}\n" for i in range(20)))
    words = ("tasks", "add", path, "--instruction", "which?", "--json", "--check")
    assert pituning(*words, "--answer", "b", "--text", "c").json["labels"] == ["y0", "y1"]
    outcome = pituning(*words, "--answer", "nope")
    assert outcome.code == 2
    assert "no column 'nope'" in outcome.error


def test_export_comes_back_the_same(pituning: Run, moods: Path, tmp_path: Path) -> None:
    pituning("tasks", "add", moods, "--instruction", "mood?")
    assert pituning("tasks", "export", "moods", tmp_path / "out.jsonl", "--json").json["rows"] == 60
    again = pituning("tasks", "add", tmp_path / "out.jsonl", "--name", "again", "--instruction", "mood?", "--json").json
    first = pituning("tasks", "show", "moods", "--json").json
    for key in ("labels", "sizes", "modality", "metric"):
        assert again[key] == first[key]


def test_a_task_comes_back_with_its_card(pituning: Run, moods: Path, tmp_path: Path) -> None:
    pituning("tasks", "add", moods, "--instruction", "mood?", "--title", "Moods of people")
    pituning(
        "tasks", "edit", "moods", "--licence", "CC0", "--label-names", "bad=gloomy", "--instruction", "Which mood?"
    )
    assert pituning("tasks", "export", "moods", tmp_path / "out.zip").code == 0
    assert pituning("tasks", "add", tmp_path / "out.zip", "--name", "again").code == 0
    first, again = (pituning("tasks", "card", name, "--json").json for name in ("moods", "again"))
    assert (first["instruction"], first["labels"], first["licence"]) == ("Which mood?", ["gloomy", "good"], "CC0")
    for key in ("title", "instruction", "answers", "labels", "metric", "splits", "licence"):
        assert again[key] == first[key]
    card = yaml.safe_load(pituning("tasks", "card", "moods").out)
    assert card == first
    (tmp_path / "card.yaml").write_text("instruction: from the card\ncolumns: {text: text, answer: answer}\n")
    words = ("tasks", "add", moods, "--name", "third", "--card", tmp_path / "card.yaml", "--json")
    assert pituning(*words).json["instruction"] == "from the card"


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("moods",), "nothing is to be changed"),
        (("digits", "--title", "x"), "ships with the Studio"),
        (("moods", "--label-names", "sad=x"), "no label 'sad'; it has 'bad', 'good'"),
        (("moods", "--label-names", "bad=good"), "two labels would have one name"),
        (("moods", "--answers", "number"), "is not a number"),
        (("moods", "--metric", "bleu"), "unknown metric 'bleu'"),
    ],
)
def test_what_cannot_be_changed_stays(pituning: Run, moods: Path, words: tuple[str, ...], error: str) -> None:
    pituning("tasks", "add", moods, "--instruction", "mood?")
    before = pituning("tasks", "card", "moods").out
    outcome = pituning("tasks", "edit", *words)
    assert outcome.code == 2
    assert error in outcome.error
    assert pituning("tasks", "card", "moods").out == before


@pytest.mark.slow
def test_a_drawn_task_exports_its_images(pituning: Run, tmp_path: Path) -> None:
    document = pituning("tasks", "export", "digits", tmp_path / "digits.zip", "--json").json
    with zipfile.ZipFile(tmp_path / "digits.zip") as archive:
        assert len(archive.namelist()) == document["rows"] + 2
    again = pituning(
        "tasks", "add", tmp_path / "digits.zip", "--name", "numbers", "--instruction", "which digit?", "--json"
    ).json
    digits = pituning("tasks", "show", "digits", "--json").json
    assert (again["sizes"], again["modality"]) == (digits["sizes"], "vision")
    assert sorted(again["labels"]) == sorted(digits["labels"])


def test_a_task_that_was_added_can_be_removed(
    pituning: Run, workspace: Workspace, moods: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pituning("tasks", "add", moods, "--instruction", "mood?")
    outcome = pituning("tasks", "remove", "moods")
    assert outcome.code == 2
    assert "Remove task moods? Give --yes" in outcome.error
    run = RunQueue(workspace).submit(RunSpec(kind="train", config={"task": "moods"}))
    outcome = pituning("tasks", "remove", "moods", "--yes")
    assert outcome.code == 2
    assert f"task 'moods' is needed by run {run}, which is queued" in outcome.error
    pituning("runs", "cancel", run)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("typer.confirm", lambda *_, **__: False)
    outcome = pituning("tasks", "remove", "moods")
    assert (outcome.code, outcome.error) == (1, "pituning: cancelled; nothing was deleted")
    assert workspace.task_names() == ["moods"]
    monkeypatch.setattr("typer.confirm", lambda *_, **__: True)
    removed = pituning("tasks", "remove", "moods", "--json").json
    assert removed | {"bin": ""} == {"task": "moods", "removed": True, "experts": [], "bin": ""}
    (entry,) = pituning("bin", "list", "--json").json["entries"]
    assert (entry["id"], entry["what"], entry["name"]) == (removed["bin"], "task", "moods")
    assert pituning("bin", "restore", entry["id"]).out.strip() == "restored task moods"
    outcome = pituning("bin", "restore", entry["id"])
    assert (outcome.code, outcome.error) == (2, f"pituning: unknown entry of the bin '{entry['id']}'; known: none")
    assert pituning("tasks", "remove", "moods", "--yes").code == 0
    assert len(pituning("bin", "empty", "--yes", "--json").json["emptied"]) == 1
    assert workspace.task_names() == []
