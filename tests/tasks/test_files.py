"""From table to task: answer spaces, splits, checks by row, and what is saved is what is loaded."""

from __future__ import annotations

import io
import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pituning.errors import ArtefactError, BadInput
from pituning.tasks.base import SPLITS
from pituning.tasks.cards import card_of
from pituning.tasks.files import (
    ColumnMapping,
    TableError,
    TableOptions,
    guess_columns,
    load_saved_task,
    open_table,
    preview_table,
    save_task,
    task_from_table,
)
from pituning.tasks.images import FileImage
from pituning.tasks.registry import damaged_tasks, list_tasks, load_task
from pituning.tasks.splitting import assign_splits
from pituning.workspace.layout import Workspace
from tests.tasks.test_tables import archive, png

COLUMNS = ColumnMapping(text="text", answer="label")


def rows_of(counts: dict[str, int]) -> str:
    lines = [f"sentence {label} {i},{label}" for label, count in counts.items() for i in range(count)]
    return "text,label\n" + "\n".join(lines) + "\n"


def make(
    content: str | bytes, columns: ColumnMapping = COLUMNS, name: str = "t.csv", title: str | None = None, **options
):
    data = content if isinstance(content, bytes) else content.encode()
    table = open_table(data, filename=name)
    if "split" in table.columns:
        columns = replace(columns, split="split")
    return task_from_table(
        table, name="mine", title=title, instruction="Good or bad?", columns=columns, options=TableOptions(**options)
    )


def test_a_labelled_table_becomes_a_task():
    task = make(rows_of({"Good": 40, "bad": 20}), title="My reviews")
    assert (task.modality, task.metric, task.labels) == ("language", "accuracy", ("Good", "bad"))
    assert (task.title, task.instruction, task.source) == ("My reviews", "Good or bad?", "file")
    sizes = {split: len(task.split(split)) for split in SPLITS}
    assert sizes == {"train": 36, "validation": 9, "test": 15}
    for split, size in sizes.items():
        assert Counter(e.answer for e in task.split(split)) == {"Good": size * 2 // 3, "bad": size // 3}
    assert task.prompt(task.split("train")[0]).startswith("Good or bad? sentence Good")
    assert len(task.shots(4, 0)) == 8
    assert make(rows_of({"Good": 40, "bad": 20})) == make(rows_of({"Good": 40, "bad": 20}))


def test_seed_changes_the_split():
    texts = [{e.text for e in make(rows_of({"a": 20, "b": 20}), seed=seed).split("test")} for seed in (0, 0, 1)]
    assert texts[0] == texts[1] != texts[2]


def test_open_answers_and_boxes_are_detected(monkeypatch):
    captions = "text,label\n" + "\n".join(f"x{i},caption number {i}" for i in range(12))
    assert make(captions).metric == "token_f1"
    assert make(captions).labels is None
    boxes = "text,label\n" + "\n".join(f"x{i},<loc_1><loc_2><loc_{30 + i % 2}><loc_40>" for i in range(12))
    assert make(boxes).metric == "box_iou"
    assert make(rows_of({"a": 6, "b": 6}), answers="text").labels is None
    assert make(rows_of({f"l{i}": 2 for i in range(6)})).labels is None
    assert len(make(rows_of({f"l{i}": 2 for i in range(6)}), answers="labels").labels) == 6
    assert len(make(rows_of({f"l{i}": 3 for i in range(120)})).labels) == 120  # closed sets may have any size
    monkeypatch.setattr("pituning.tasks.tallying.MAX_LABELS", 50)
    assert make(rows_of({f"l{i}": 3 for i in range(60)})).labels is None
    with pytest.raises(BadInput, match="different answers, too many for labels"):
        make(rows_of({f"l{i}": 3 for i in range(60)}), answers="labels")


@pytest.mark.parametrize(
    ("content", "columns", "message", "field"),
    [
        (rows_of({"a": 9}), COLUMNS, r"one answer only \('a' in all 9 rows\)", "answer"),
        (rows_of({"a": 1, "b": 1}), COLUMNS, "has 2 rows; give at least 4", "file"),
        (
            rows_of({"a": 5, "b": 5}),
            ColumnMapping(text="txt", answer="label"),
            "no column 'txt'; choose one of",
            "text",
        ),
        (rows_of({"a": 5, "b": 5}), ColumnMapping(text="text", answer="y"), "no column 'y'", "answer"),
        (rows_of({"a": 5, "b": 5}), ColumnMapping(answer="label"), "neither a text nor an image", "text"),
        (rows_of({"a": 5, "b": 5}), ColumnMapping(text="label", answer="label"), "is chosen twice", "answer"),
        (
            rows_of({"a": 5, "b": 5}),
            ColumnMapping(image="text", answer="label"),
            "give a zip or a folder with this table",
            "image",
        ),
    ],
)
def test_unusable_tables(content, columns, message, field):
    with pytest.raises(BadInput, match=message) as caught:
        make(content, columns)
    assert caught.value.field == field


def test_name_and_instruction_are_checked():
    parsed = open_table(rows_of({"a": 5, "b": 5}).encode(), filename="t.csv")
    for name in ("", "../x", "Mine", "-x", "a" * 61, "a/b"):
        with pytest.raises(BadInput) as caught:
            task_from_table(parsed, name=name, instruction="?", columns=COLUMNS)
        assert caught.value.field == "name"
    with pytest.raises(BadInput, match="instruction is empty"):
        task_from_table(parsed, name="x", instruction=" ", columns=COLUMNS)


def test_bad_rows_are_named_all_together():
    content = rows_of({"a": 5, "b": 5}) + f"empty,\n,b\none,two,three\nlong,{'x' * 500}\nlonger {'x' * 100_001},a\n"
    with pytest.raises(TableError) as caught:
        make(content)
    assert [p.row for p in caught.value.problems] == [13, 14, 15, 16]
    assert str(caught.value) == (
        "file 't.csv': 4 rows cannot be used: row 13: 'text' is empty; row 14: has 3 fields, the header has 2; "
        "row 15: 'label' has 500 characters, more than 400; and 1 more; correct or delete them, or leave them out with "
        "--skip-bad-rows"
    )


def test_bad_rows_are_left_out_where_somebody_says_so_and_named_in_the_card():
    rows = rows_of({"a": 9, "b": 9})
    parts = {"train.csv": rows + ",a\nno answer,\n", "test.csv": rows.replace("text ", "other ") + "x,a,b\n"}
    data = archive({name: text.encode() for name, text in parts.items()})
    with pytest.raises(TableError, match=r"row 20 of test\.csv: has 3 fields, .*; row 20 of train\.csv: 'text' is"):
        make(data, name="t.zip")
    task = make(data, name="t.zip", skip_bad_rows=True)
    assert sum(len(examples) for examples in task.splits.values()) == 36
    assert card_of(task)["skipped"] == {
        "rows": 3,
        "named": [
            "row 20 of test.csv: has 3 fields, the header has 2",
            "row 20 of train.csv: 'text' is empty",
            "row 21 of train.csv, column 'label': has no answer",
        ],
    }
    assert task.description.endswith("of t.zip, without 3 that were left out")
    assert make(rows + "x,\n", missing="drop").about["skipped"]["rows"] == 1
    assert "skipped" not in card_of(make(rows))
    words = make(rows + "x,none\n" * 3, missing="keep", skip_bad_rows=True)  # words that are kept are answers
    assert words.labels == ("a", "b", "none")
    with pytest.raises(TableError, match=r"correct or delete them$"):  # there is no task without them
        make("text,label\n" + "".join(f",{'ab'[i % 2]}\n" for i in range(6)), skip_bad_rows=True)


def test_truncated_jsonl_names_its_last_row():
    lines = [json.dumps({"text": f"t{i}", "label": "ab"[i % 2], "unused": [i]}) for i in range(10)]
    content = "\n".join([*lines, '{"text": "t10", "lab'])
    with pytest.raises(
        TableError, match=r"1 row cannot be used: row 11: is not complete JSON \(the file seems cut off\)"
    ):
        make(content, name="t.jsonl")
    assert len(make("\n".join(lines), name="t.jsonl").split("train")) == 6  # a list in an unused column is no problem


def test_a_split_column_is_kept():
    lines = [f"x{i},{'ab'[i % 2]},{split}" for i, split in enumerate(["train"] * 10 + ["dev"] * 4 + ["Test"] * 6)]
    task = make("text,label,split\n" + "\n".join(lines))
    assert {s: [e.text for e in task.split(s)] for s in SPLITS} == {
        "train": [f"x{i}" for i in range(10)],
        "validation": [f"x{i}" for i in range(10, 14)],
        "test": [f"x{i}" for i in range(14, 20)],
    }
    with pytest.raises(TableError, match="row 2, column 'split': split 'holdout' is none of train"):
        make("text,label,split\n" + "\n".join(lines).replace("train", "holdout", 1))
    # Without validation rows, some are cut from train; the test rows stay.
    task = make("text,label,split\n" + "\n".join(line for line in lines if "dev" not in line))
    assert [len(task.split(s)) for s in SPLITS] == [8, 2, 6]
    with pytest.raises(BadInput, match="answer 'c' has no training row"):
        make("text,label,split\n" + "\n".join([*lines, "new,c,test"] * 1) + "\n", answers="labels")


@settings(max_examples=60, deadline=None)
@given(
    keys=st.lists(st.integers(0, 30), min_size=4, max_size=60),
    labels=st.integers(1, 3),
    seed=st.integers(0, 5),
)
def test_no_question_is_on_two_sides(keys, labels, seed):
    strata = [key % labels for key in keys]
    places = assign_splits(np.array(keys), np.array(strata), np.full(len(keys), -1), seed=seed)
    splits = [SPLITS[place] for place in places]
    sides: dict[int, set[str]] = {}
    for key, split in zip(keys, splits, strict=True):
        sides.setdefault(key, set()).add(split)
    assert all(len(side) == 1 for side in sides.values())
    for stratum in set(strata):
        groups = Counter(next(iter(side)) for key, side in sides.items() if key % labels == stratum)
        count = groups.total()
        assert groups["train"] >= 1
        if count >= 4:  # within one of the wanted share
            for split, share in {"train": 0.6, "validation": 0.15, "test": 0.25}.items():
                assert abs(groups[split] - share * count) <= 1.0


def test_preview_shows_balance_and_problems():
    content = rows_of({"good": 30, "bad": 6}) + "sentence bad 0,good\nempty,\n"
    preview = preview_table(open_table(content.encode(), filename="t.csv"), COLUMNS)
    assert preview.counts == {"good": 31, "bad": 6}
    assert preview.labels == ("bad", "good")
    assert (preview.problems, preview.missing) == ((), 1)
    assert "1 of 38 rows have no answer in 'label' (empty; rows 39)" in preview.warnings[0]
    assert sum(preview.sizes.values()) == 37
    assert preview.most_shots == 3  # 6 bad: one validation, two test
    assert any("uneven: 'good' 31 times, 'bad' 6 times" in w for w in preview.warnings)
    assert any("1 question comes with different answers" in w for w in preview.warnings)
    assert preview.examples[0].text == "sentence good 0"


def test_examples_of_a_preview_are_of_all_labels_in_turn():
    content = "text,label\n" + "".join(f"{label} {i},{label}\n" for label in "abc" for i in range(30))
    preview = preview_table(open_table(content.encode(), filename="t.csv"), COLUMNS, examples=5)
    assert [example.text for example in preview.examples] == ["a 0", "b 0", "c 0", "a 1", "b 1"]


def test_columns_are_guessed():
    def guess(header: str, zipped: bool = False) -> ColumnMapping:
        content = f"{header}\n" + ",".join("abcd"[: header.count(",") + 1]) + "\n"
        data = archive({"t.csv": content.encode(), "a.png": png()}) if zipped else content.encode()
        return guess_columns(open_table(data, filename="t.zip" if zipped else "t.csv")).columns

    assert guess("id,Sentence,Label") == ColumnMapping(text="Sentence", answer="Label")
    assert guess("foo,bar") == ColumnMapping(text="foo", answer="bar")
    assert guess("image,label,split", zipped=True) == ColumnMapping(image="image", answer="label", split="split")
    assert guess("image,question,answer", zipped=True) == ColumnMapping(image="image", text="question", answer="answer")
    assert guess("image,label") == ColumnMapping(text="image", answer="label")  # no images came with it


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    return Workspace.open(tmp_path / "ws")


def image_archive(extra: str = "", **files: bytes) -> bytes:
    names = [("a.png", "red"), ("b.png", "blue"), ("c.png", "green"), ("d.png", "white")]
    lines = [f"img/{name},{colour},{k}" for k in range(6) for name, colour in names]
    members = {f"img/{name}": png(colour) for name, colour in names}
    table = "image,label,q\n" + "\n".join(lines) + f"\n{extra}"
    return archive({"t.csv": table.encode(), **members, **files})


def test_images_travel_with_the_task(workspace):
    columns = ColumnMapping(image="image", text="q", answer="label")
    task = make(image_archive(), columns, name="t.zip")
    assert task.modality == "vision-language"
    save_task(task, workspace)
    loaded = load_task("mine", workspace)
    assert loaded == task
    for split in SPLITS:
        for ours, theirs in zip(task.split(split), loaded.split(split), strict=True):
            assert (ours.uid, ours.text, ours.answer) == (theirs.uid, theirs.text, theirs.answer)
            assert isinstance(theirs.image, FileImage)
            assert theirs.image.render(16).tobytes() == Image.new("RGB", (16, 16), ours.answer).tobytes()
    assert len(list((workspace.task_dir("mine") / "images").iterdir())) == 4  # each image is kept once


def test_what_is_no_image_is_named_with_its_row():
    extra = "img/e.png,red,0\nimg/none.png,red,0\n,red,0\nimg/f.png,red,0\n../a.png,red,0\n"
    data = image_archive(extra, **{"img/e.png": b"no image", "img/f.png": png(size=64)[:90]})
    with pytest.raises(TableError) as caught:
        make(data, ColumnMapping(image="image", answer="label"), name="t.zip")
    assert [str(p) for p in caught.value.problems] == [
        "row 26, column 'image': 'img/e.png' is not an image; give one of PNG, JPEG, WEBP, GIF, BMP, TIFF",
        "row 27, column 'image': image 'img/none.png' is not there; add it to the zip",
        "row 28: 'image' is empty",
        "row 29, column 'image': 'img/f.png' is a damaged or truncated image; save it again",
        "row 30, column 'image': image '../a.png' points outside the zip; use a path inside it",
    ]


def test_a_row_that_is_left_out_for_its_image_moves_no_other_row():
    columns, options = ColumnMapping(image="image", text="q", answer="label"), TableOptions(skip_bad_rows=True)
    whole = make(image_archive(), columns, name="t.zip")
    table = open_table(image_archive("img/e.png,red,0\n", **{"img/e.png": png(size=64)[:90]}), filename="t.zip")
    *rows, torn = table.read()
    table = replace(table, read=lambda: iter([torn, *rows]))
    skipped = task_from_table(table, name="mine", instruction="Which?", columns=columns, options=options)
    for split in SPLITS:
        pictures = [
            [(example.answer, example.image.render(8).tobytes()) for example in task.split(split)]
            for task in (skipped, whole)
        ]
        assert pictures[0] == pictures[1]
    assert all(example.image.render(8) for example in preview_table(table, columns, options=options).examples)


def test_an_image_with_too_many_pixels_is_refused():
    stream = io.BytesIO()
    Image.new("1", (8000, 8000)).save(stream, "PNG")  # 64 million pixels in a few kilobytes
    data = image_archive("img/e.png,red,0\n", **{"img/e.png": stream.getvalue()})
    with pytest.raises(TableError, match="8000 x 8000 pixels; make it smaller than 40 million"):
        make(data, ColumnMapping(image="image", answer="label"), name="t.zip")


def test_saving_twice_or_over_the_suite_is_refused(workspace):
    save_task(make(rows_of({"a": 9, "b": 9})), workspace)
    with pytest.raises(BadInput, match="there is a task 'mine' already"):
        save_task(make(rows_of({"a": 9, "b": 9})), workspace)
    parsed = open_table(rows_of({"a": 9, "b": 9}).encode(), filename="t.csv")
    with pytest.raises(BadInput, match="there is a task 'digits' already"):
        save_task(task_from_table(parsed, name="digits", instruction="?", columns=COLUMNS), workspace)


def test_nothing_half_written_stays(workspace, monkeypatch):
    monkeypatch.setattr("pituning.tasks.saved.example_line", lambda *a, **k: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        save_task(make(rows_of({"a": 9, "b": 9})), workspace)
    assert list((workspace.root / "tasks").iterdir()) == []


def test_the_registry_lists_and_finds(workspace):
    save_task(make(rows_of({"a": 9, "b": 9}), title="Mine"), workspace)
    infos = {info.name: info for info in list_tasks(workspace)}
    assert infos["mine"].sizes == {"train": 10, "validation": 2, "test": 4} or sum(infos["mine"].sizes.values()) == 18
    assert infos["mine"].source == "file"
    assert "digits" in infos
    assert load_task("mine", workspace).title == "Mine"
    with pytest.raises(BadInput, match="task 'digit' is unknown; did you mean 'digits'") as caught:
        load_task("digit", workspace)
    assert caught.value.field == "task"


@pytest.mark.parametrize(
    ("file", "damage", "message"),
    [
        ("task.json", lambda path: path.unlink(), "has no"),
        ("task.json", lambda path: path.write_text("{"), "cannot be read"),
        ("task.json", lambda path: path.write_text("[]"), "format version None"),
        ("task.json", lambda path: path.write_text('{"format_version": 1}'), "is not a task card"),
        (
            "task.json",
            lambda path: path.write_text(path.read_text().replace('"families": []', '"families": true')),
            "is not a task card",
        ),
        (
            "task.json",
            lambda path: path.write_text(path.read_text().replace('"dealt": [', '"dealt": [1, ')),
            "is not a task card",
        ),
        ("task.json", lambda path: path.write_text(path.read_text().replace("accuracy", "bleu")), "the metric 'bleu'"),
        ("task.json", lambda path: path.write_text(path.read_text().replace('"mine"', '"his"')), "of task 'his'"),
        ("examples.jsonl", lambda path: path.unlink(), "cannot be read"),
        ("examples.jsonl", lambda path: path.write_text(path.read_text()[:-9]), "does not match the checksum"),
    ],
)
def test_a_damaged_task_is_told_and_left_out(workspace, file, damage, message):
    save_task(make(rows_of({"a": 9, "b": 9})), workspace)
    damage(workspace.task_dir("mine") / file)
    with pytest.raises(ArtefactError, match=message):
        load_saved_task(workspace.task_dir("mine"))
    if file == "task.json":
        assert "mine" not in {info.name for info in list_tasks(workspace)}
        assert list(damaged_tasks(workspace)) == ["mine"]


@pytest.mark.parametrize(
    ("rows", "hint"),
    [
        (["a,Good", "b,good", "c,GOOD", "d,bad"] * 3, "'GOOD' and 'Good' and 'good' are taken as one answer"),
        (["a,label", "b,label", "c,bad"] * 3, "the first row is read as the header, but 'label' is also an answer"),
        (["a,good", "a,good", "b,bad"] * 3, "rows repeat the question of another row"),
    ],
)
def test_what_may_not_be_meant_is_told(rows, hint):
    rows = [f"{row.split(',')[0]}{i // 2},{row.split(',')[1]}" for i, row in enumerate(rows * 2)]
    preview = preview_table(open_table(("text,label\n" + "\n".join(rows)).encode(), filename="t.csv"), COLUMNS)
    assert any(hint in warning for warning in preview.warnings), preview.warnings


def test_rows_that_all_ask_the_same_are_told_as_such():
    with pytest.raises(BadInput, match="no row is left for the test split of 20 rows, which ask 2 different questions"):
        make("text,label\n" + "same,good\nother,bad\n" * 10)


def test_control_characters_go():
    task = make(rows_of({"a": 5, "b": 5}).replace("a 1", "a\x1b[31m \x07 1"))
    texts = [example.text for split in SPLITS for example in task.split(split)]
    assert any("[31m" in text for text in texts)
    assert not any(ord(character) < 32 for text in texts for character in text)


def test_one_column_is_not_enough():
    with pytest.raises(BadInput, match=r"has one column only \('label'\)"):
        guess_columns(open_table(b"label\na\nb\n", filename="t.csv"))


def test_the_answer_can_be_given_and_the_rest_guessed():
    parsed = open_table(b"answer,sentence,mood\n1,x,good\n2,y,bad\n", filename="t.csv")
    assert guess_columns(parsed).columns == ColumnMapping(text="sentence", answer="answer")
    assert guess_columns(parsed, answer="mood").columns == ColumnMapping(text="sentence", answer="mood")
