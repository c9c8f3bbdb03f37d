"""An uploaded file on the page for a new run: its columns, questions, and what becomes of missing answers."""

from __future__ import annotations

import json
import shutil

from streamlit.testing.v1 import AppTest

from pituning.runs.queue import RunQueue
from pituning.tasks.cards import card_of
from pituning.tasks.registry import load_task
from pituning.workspace.atomic import write_json
from pituning.workspace.layout import Workspace
from tests.app.conftest import OpenPage
from tests.app.uploads import beside, can_launch, own_table, pictures, upload
from tests.tasks.test_tables import workbook

PAIRS = "idx\tsentence1\tsentence2\tlabel\n" + "".join(
    f"{i}\tthe first of {i} sentences\tand a second of {i}\t{-1 if i % 6 == 0 else i % 2}\n" for i in range(60)
)


def widget(at: AppTest, kind: str, label: str):
    (found,) = [one for one in getattr(at, kind) if one.label == label]
    return found


def account_of(at: AppTest):
    return next(one.value for one in at.dataframe if "Read as" in one.value)


def button(at: AppTest, start: str):
    (found,) = [one for one in at.button if one.label.startswith(start)]
    return found


def test_every_column_is_accounted_for_and_missing_answers_are_asked_about(
    workspace: Workspace, open_page: OpenPage
) -> None:
    at = upload(own_table(open_page), "pairs.tsv", PAIRS)
    account = account_of(at)
    assert dict(zip(account["Column"], account["Read as"], strict=True)) == {
        "idx": "ignored", "sentence1": "pair", "sentence2": "pair", "label": "answer",
    }  # fmt: skip
    assert "a running number" in account["Because"][0]
    assert "10 rows have no answer" in beside(at, "Rows without an answer")
    assert not can_launch(at)
    problems = at.dataframe[0].value
    assert problems["Row"].tolist() == [2, 8, 14, 20, 26, 32, 38, 44, 50, 56]
    assert set(problems["Problem"]) == {"has no answer"}
    button(at, "Skip these 10 rows").click().run()
    assert can_launch(at)
    assert "10 rows are left out" in "".join(one.value for one in at.markdown)
    button(at, "Take back").click().run()
    assert not can_launch(at)

    missing = [one for one in at.segmented_control if one.label == "Rows without an answer"]
    missing[0].set_value("Leave out").run()
    widget(at, "text_input", "Names of labels").set_value("0=no,1=yes").run()
    widget(at, "text_input", "Template").set_value("{sentence1}! {sentence2}?").run()
    assert not at.exception
    at.button(key="launch").click().run()

    task = load_task("pairs", workspace)
    assert task.labels == ("no", "yes")
    assert sum(len(examples) for examples in task.splits.values()) == 50
    assert task.split("train")[0].text.startswith("the first of ")
    assert "sentences! and a second" in task.split("train")[0].text
    assert task.about["skipped"]["rows"] == 10


def test_rows_of_a_workbook_that_cannot_be_used_are_named_and_left_out_under_a_free_name(
    workspace: Workspace, open_page: OpenPage
) -> None:
    sheet = [["text", "label"], *([f"visit {i} was fine", "good" if i % 2 else "bad"] for i in range(30))]
    book = workbook({"train": [*sheet, [None, "good"], ["x", "bad", "y"]], "test": [*sheet, ["an end", None]]})
    at = upload(own_table(open_page), "digits.xlsx", book)
    assert widget(at, "text_input", "Name").value == "digits-2"
    assert "There is a task “digits” already" in "".join(one.value for one in at.caption)
    problems = at.dataframe[0].value
    assert problems.values.tolist() == [
        ["sheet 'train'", 32, "text", "'text' is empty"],
        ["sheet 'train'", 33, "", "has 3 cells, the header has 2"],
        ["sheet 'test'", 32, "label", "has no answer"],
    ]
    button(at, "Skip these 3 rows").click().run()
    assert not at.exception
    at.button(key="launch").click().run()
    skipped = card_of(load_task("digits-2", workspace))["skipped"]
    assert skipped["rows"] == 3
    assert skipped["named"][0] == "row 32 of sheet 'train': 'text' is empty"


def test_the_backbone_that_fits_is_recommended_and_asked_as_it_is(workspace: Workspace, open_page: OpenPage) -> None:
    at = upload(own_table(open_page), "pictures.zip", pictures(), instruction="which colour?")
    page_text = "\n".join(one.value for one in [*at.markdown, *at.caption, *at.code])
    assert "**smolvision (pictures and text) fits this better.** mini has only ever seen drawn scenes" in page_text
    assert "pituning backbones add smolvision" in page_text
    queue = RunQueue(workspace)
    assert not queue.list()  # nothing that fits is here, so nobody is asked unbidden
    at.button(key="fitting_ask").click().run()
    (first,) = queue.list(kind="answer")
    assert first.backbone == "mini"  # it can be asked all the same
    queue.cancel(first.id)

    shutil.copytree(workspace.root / "backbones" / "mini", workspace.root / "backbones" / "mine")
    at.run()
    (run,) = queue.list(backbone="mine")
    assert (run.backbone, run.spec.config["example"]) == ("mine", ["test/0", "test/1", "test/2"])
    claimed = queue.claim("test-owner")
    assert claimed is not None
    others = [{"answer": one, "probability": 0.1} for one in ("blue", "green")]
    answers = [{"answer": "red", "probability": 0.8, "score": score, "others": others} for score in (0.0, 100.0, 0.0)]
    path = workspace.run_dir(run.id) / "result.json"
    write_json(path, {"said": [{"expert": None, "method": "backbone", "answers": answers}]})
    queue.finish(claimed.claim, "succeeded", result_path=str(path.relative_to(workspace.root)))
    at.run()
    page_text = "\n".join(one.value for one in at.markdown)
    assert "**mine as it is: 1 of 3 right,** before anything is trained" in page_text
    assert "80 %" not in page_text  # of no untrained backbone is it known what that is worth
    assert "".join(one.value for one in at.caption).count("Then blue · green") == 3
    at.button(key="fitting_use").click().run()
    assert at.selectbox(key="backbone").value == "mine"
    assert "**mine as it is: 1 of 3 right,**" in "\n".join(one.value for one in at.markdown)  # not asked again
    widget(at, "text_input", "Instruction").set_value("say its colour").run()
    assert len(queue.list()) == 2  # another question, which is asked when somebody wants to know
    at.button(key="fitting_ask").click().run()
    assert len(queue.list()) == 3


def test_where_two_readings_are_plausible_the_page_asks(open_page: OpenPage) -> None:
    rows = [{"title": f"a title of {i}", "notes": f"some notes on {i}", "label": "ab"[i % 2]} for i in range(40)]
    at = upload(own_table(open_page), "notes.json", json.dumps(rows))
    (question,) = [one.value for one in at.warning if "read one after another" in one.value]
    assert "“Columns with the text”" in question

    widget(at, "multiselect", "Columns with the text").set_value(["title"]).run()
    account = account_of(at)
    assert dict(zip(account["Column"], account["Read as"], strict=True))["notes"] == "ignored"
    assert not [one for one in at.warning if "read one after another" in one.value]  # it is decided
    assert can_launch(at)


def test_a_file_is_refused_where_the_reason_is_or_read_in_another_encoding(open_page: OpenPage) -> None:
    table = "text,label\n" + "".join(f"das Gerät ist {'gut' if i % 2 else 'schlecht'} {i},{i % 2}\n" for i in range(40))
    at = upload(own_table(open_page), "split.csv", "text,label,split\n" + "".join(
        f"visit {i},{'unsure' if i > 30 else 'ab'[i % 2]},{'test' if i > 20 else 'train'}\n" for i in range(40)
    ))  # fmt: skip
    assert "answer 'unsure' has no training row" in beside(at, "Column with the answer")
    assert not can_launch(at)
    at = upload(at, "latin.csv", table.encode("cp1252"))
    assert "it looks like windows-1252" in at.error[0].value.replace("\\", "")
    at.text_input(key="upload_encoding").set_value("windows-1252").run()
    assert not at.error
    assert "40 rows" in "".join(caption.value for caption in at.caption)
