"""Files in, labels out: against the model's own answers, through interruptions, and with what is wrong with them."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pituning.errors import ArtefactError, BadInput
from pituning.experts.card import parse_card
from pituning.labelling import rows as rows_module
from pituning.labelling.answers import Answer, Layout, safe_cell
from pituning.labelling.labeller import Labeller
from pituning.labelling.rows import all_rows, count_rows, open_rows
from pituning.labelling.sources import drop_source, find_source, keep_path, keep_upload
from pituning.progress import Silent
from pituning.runs.configs import PredictRun
from pituning.runs.predicting import predict
from pituning.tasks.base import Example
from pituning.tasks.reading import Row
from pituning.workspace.atomic import removing
from pituning.workspace.bounded import Limits
from pituning.workspace.layout import Workspace
from tests.app.uploads import png

WORDS = ("happy", "sad", "small", "large", "round", "old", "new")


def moods(path: Path, count: int = 11) -> Path:
    """A table with a formula, a phone number, a comma, an empty text and a column that nobody reads."""
    rng = np.random.default_rng(0)
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["id", "review", "note"])
        for number in range(count):
            text = "" if number == 5 else " ".join(rng.choice(WORDS, size=3))
            writer.writerow([number, text, ["=1+1", "-5.5", "a, b", "+49 17"][number % 4]])
    return path


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


class Killed(Silent):
    """Ends the work at the n-th chunk that is done."""

    def __init__(self, after: int):
        self.left = after

    def phase(self, name: str, total: int) -> None:
        self.name = name

    def advance(self, steps: int = 1) -> None:
        if self.name == "label rows":
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt


def run(studio: Workspace, source: str, directory: Path, reporter: Silent | None = None, **settings: object) -> dict:
    config = PredictRun(**{"expert": "moods", "source": source, **settings})
    return predict(config, studio, reporter or Silent(), directory / "checkpoint")


def test_an_interrupted_file_is_in_the_end_the_same(studio, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(rows_module, "CHUNK", 3)
    source = keep_path(moods(tmp_path / "new.csv"), tmp_path / "out" / "answers.csv", studio)
    whole = run(studio, source, tmp_path / "whole")
    expected = (tmp_path / "whole" / "answers.csv").read_bytes()
    assert (tmp_path / "out" / "answers.csv").read_bytes() == expected
    with pytest.raises(KeyboardInterrupt):
        run(studio, source, tmp_path / "twice", Killed(1))
    part = tmp_path / "twice" / "checkpoint" / "answers.csv"
    assert len(part.read_bytes()) < len(expected)
    with part.open("ab") as stream:
        stream.write(b"9,half of a ro")  # what a power cut leaves
    with pytest.raises(KeyboardInterrupt):
        run(studio, source, tmp_path / "twice", Killed(1))
    again = run(studio, source, tmp_path / "twice")
    assert (tmp_path / "twice" / "answers.csv").read_bytes() == expected
    assert again == whole
    # Another setting begins anew.
    run(studio, source, tmp_path / "twice", top=1)
    assert (tmp_path / "twice" / "answers.csv").read_bytes() != expected


def test_answers_are_those_of_the_expert_and_cells_stay(studio, tiny_backbone, tmp_path) -> None:
    from pituning.backbones.certainty import answer_probabilities
    from pituning.experts.store import open_expert
    from pituning.tasks.registry import load_task

    path = moods(tmp_path / "new.csv")
    result = run(studio, keep_path(path, None, studio), tmp_path / "run")
    json.dumps(result, allow_nan=False)
    given, found = table(path), table(tmp_path / "run" / "answers.csv")
    task = load_task("tiny-mood", studio)
    assert task.labels is not None
    assert list(found[0]) == ["id", "review", "note", "answer", "probability", *(f"p({one})" for one in task.labels),
                              "problem"]  # fmt: skip
    assert [row["id"] for row in found] == [row["id"] for row in given]
    assert [row["note"] for row in found[:4]] == ["'=1+1", "-5.5", "a, b", "'+49 17"]
    assert (found[5]["answer"], found[5]["problem"]) == ("", "'review' is empty")
    assert (result["rows"], result["unread"], result["problems"]) == (11, 1, ["row 7: 'review' is empty"])
    expert, model = open_expert(studio.zoo().expert_dir("lora", "moods"), tiny_backbone)
    for row in found[:3]:
        encoded = tiny_backbone.encode(task, [Example(uid="x", text=row["review"], answer="")])
        with model.using(expert.values):
            shares = np.array(answer_probabilities(tiny_backbone, encoded, task, 0, task.labels))
        tempered = np.sqrt(shares) / np.sqrt(shares).sum()  # the card says T = 2
        assert [float(row[f"p({one})"]) for one in task.labels] == pytest.approx(tempered, rel=1e-4)
        assert row["answer"] == task.labels[int(shares.argmax())]
        assert float(row["probability"]) == pytest.approx(tempered.max(), rel=1e-4)
    assert sum(result["counts"].values()) == 10
    assert result["temperature"] == 2.0


def test_three_lines_of_python(studio, tmp_path) -> None:
    labeller = Labeller.open("moods", workspace=studio)
    (one,) = labeller.texts(["happy small"])
    assert math.isclose(sum(one.probabilities.values()), 1.0, abs_tol=1e-9)
    rows = list(labeller.file(moods(tmp_path / "new.csv", count=2)))
    assert [row.cells["id"] for row, _ in rows] == ["0", "1"]
    assert all(answer.probability == max(answer.probabilities.values()) for _, answer in rows)
    with pytest.raises(BadInput, match="a text cannot be used: 'text' is empty"):
        labeller.texts([" "])


def test_images_come_as_a_zip_a_folder_or_beside_a_table(studio, tmp_path) -> None:
    folder = tmp_path / "pictures"
    (folder / "more").mkdir(parents=True)
    (folder / "a.png").write_bytes(png("red"))
    (folder / "more" / "b.png").write_bytes(png("blue"))
    (folder / "broken.png").write_bytes(b"no")
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for path in sorted(folder.rglob("*.png")):
            archive.write(path, path.relative_to(folder))
    upload = keep_upload(stream.getvalue(), "pictures.zip", studio)
    answers = []
    for number, source in enumerate((keep_path(folder, None, studio), upload)):
        result = run(studio, source, tmp_path / str(number), expert="colours")
        assert (result["rows"], result["unread"]) == (3, 1)
        answers.append((tmp_path / str(number) / "answers.csv").read_bytes())
    assert answers[0] == answers[1]
    found = table(tmp_path / "0" / "answers.csv")
    assert [row["image"] for row in found] == ["a.png", "broken.png", "more/b.png"]
    assert "is not an image" in found[1]["problem"]
    (folder / "table.csv").write_text("picture,which\na.png,the red one\nmore/b.png,the blue one\n")
    result = run(studio, keep_path(folder, None, studio), tmp_path / "boxes", expert="boxes", text_columns=("which",))
    assert result["read"] == {"text": ["which"], "image": "picture"}
    assert (result["kind"], result["counts"], result["temperature"]) == ("prefix", {}, None)
    found = table(tmp_path / "boxes" / "answers.csv")
    assert list(found[0]) == ["picture", "which", "answer", "probability", "problem"]
    assert all(0 <= float(row["probability"]) <= 1 for row in found)


@pytest.mark.parametrize(
    ("content", "settings", "message"),
    [
        ("id,text\n1,a\n", {}, "'new.csv' has no column 'review', which task 'tiny-mood' reads; it has 'id', 'text'"),
        ("id,x\n1,a\n", {"text_columns": ("y",)}, "has no column 'y'"),
        ("id,review\n1,a\n", {"image_column": "id"}, "task 'tiny-mood' reads no image"),
        ("id,review\n1,a\n", {"expert": "moodz"}, "did you mean moods"),
        ("id,review\n1,a\n", {"kind": "prefix"}, "'moods' is there as lora, not as prefix"),
        ("id,review\n1,a\n", {"expert": "colours"}, "no column that is known to hold the image"),
        ("image\na.png\n", {"expert": "boxes", "top": 2}, "no column that is known to hold the text"),
        ("image,text\na.png,a\n", {"expert": "boxes", "top": 2}, "has open answers"),
    ],
)
def test_what_is_missing_is_told_with_what_is_there(studio, tmp_path, content, settings, message) -> None:
    path = tmp_path / "new.csv"
    path.write_text(content)
    with pytest.raises(BadInput, match=message) as error:
        run(studio, keep_path(path, None, studio), tmp_path / "run", **settings)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


def test_a_source_is_contained_and_notices_changes(studio, tmp_path) -> None:
    path = moods(tmp_path / "new.csv")
    source = keep_path(path, None, studio)
    assert keep_path(path, None, studio) == source
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    with pytest.raises(BadInput, match="has changed since it was named"):
        run(studio, source, tmp_path / "run")
    for name in ("../../etc/passwd", str(path), "0" * 32):
        with pytest.raises(BadInput, match="is not there; give the path"):
            find_source(name, studio)
    upload = keep_upload(b"review\nhappy\n", "../../evil.csv", studio)
    assert find_source(upload, studio).path.is_relative_to(studio.root / "uploads")
    assert find_source(upload, studio).filename == "evil.csv"
    with removing() as remove:
        drop_source(upload, studio, remove)
    with pytest.raises(BadInput, match="is not there"):
        find_source(upload, studio)


def test_columns_of_ours_make_way_for_those_of_the_file() -> None:
    layout = Layout(inputs=("answer", "text"), labels=("a", "b", "c"), top=2)
    assert layout.columns() == ["answer", "text", "predicted_answer", "probability", "answer_2", "probability_2",
                                "problem"]  # fmt: skip
    shares = {"a": 0.2, "b": 0.7, "c": 0.1}
    row = Row(2, {"answer": "x", "text": "y"})
    assert layout.row(row, Answer("b", 0.7, shares)) == ["x", "y", "b", "0.7", "a", "0.2", ""]
    assert layout.row(row, Answer(problem="is bad")) == ["x", "y", "", "", "", "", "is bad"]
    assert len(replace(layout, top=9).columns()) == len(replace(layout, top=9).row(row, Answer("b", 0.7, shares)))
    assert len(replace(layout, top=9).columns()) == len(replace(layout, top=9).row(row, Answer(problem="is bad")))


@pytest.mark.parametrize(("cell", "safe"), [
    ("=cmd()", False), ("@x", False), ("+1 800", False), ("-", False), ("\tx", False), ("-5", True), ("+3.5e-2", True),
    ("-1,000.5", True), ("-7%", True), ("plain", True), ("", True), ("a=b", True),
])  # fmt: skip
def test_no_cell_is_a_formula(cell: str, safe: bool) -> None:
    assert safe_cell(cell) == (cell if safe else f"'{cell}")


def test_a_bad_temperature_is_a_damaged_card() -> None:
    card = {"format_version": 1, "name": "a", "kind": "lora", "task": "t", "config": {}, "backbone": "b",
            "fingerprint": "", "sha256": ""}  # fmt: skip
    assert parse_card(card | {"temperature": 1.5}, "card.json").temperature == 1.5
    for temperature in (0, -1, "2", True):
        with pytest.raises(ArtefactError, match="card.json is damaged.*temperature"):
            parse_card(card | {"temperature": temperature}, "card.json")


def test_every_form_keeps_its_rows_in_their_place(studio, tmp_path, monkeypatch) -> None:
    path = tmp_path / "new.csv"
    path.write_text("a,b\n1,2\n3\n4,5\n")
    table = open_rows(path)
    assert count_rows(table) == 3
    rows = [row.number if isinstance(row, Row) else str(row) for row in all_rows(table)]
    assert rows == [2, "row 3: has 1 fields, the header has 2", 4]
    lines = tmp_path / "new.jsonl"
    lines.write_text('{"review": "happy \\ud800", "n": 1}\n{"review": null, "n": [2]}\n')
    result = run(studio, keep_path(lines, None, studio), tmp_path / "run", top=1)
    assert (tmp_path / "run" / "answers.csv").read_text().splitlines()[2] == ",[2],,,'review' is empty"
    assert (result["rows"], result["unread"]) == (2, 1)

    # Of an upload the worker, too, reads within bounds, and in another process first.
    upload = keep_upload(lines.read_bytes(), "new.jsonl", studio)
    assert run(studio, upload, tmp_path / "another", top=1)["counts"] == result["counts"]
    monkeypatch.setattr(rows_module, "LIMITS", Limits(seconds=0))
    with pytest.raises(BadInput, match=r"file 'new\.jsonl' takes longer than 0 s to read"):
        run(studio, upload, tmp_path / "third")
    assert not (tmp_path / "third" / "answers.csv").exists()
