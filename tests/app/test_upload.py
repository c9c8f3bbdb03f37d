"""An uploaded file on the page for a new run: its columns, questions, and what becomes of missing answers."""

from __future__ import annotations

import json
import shutil

from streamlit.testing.v1 import AppTest

from pituning.runs.queue import RunQueue
from pituning.tasks.registry import load_task
from pituning.workspace.atomic import write_json
from pituning.workspace.layout import Workspace
from tests.app.conftest import OpenPage
from tests.app.uploads import beside, can_launch, own_table, pictures, upload

PAIRS = "idx\tsentence1\tsentence2\tlabel\n" + "".join(
    f"{i}\tthe first of {i} sentences\tand a second of {i}\t{-1 if i % 6 == 0 else i % 2}\n" for i in range(60)
)


def widget(at: AppTest, kind: str, label: str):
    (found,) = [one for one in getattr(at, kind) if one.label == label]
    return found


def test_every_column_is_accounted_for_and_missing_answers_are_asked_about(
    workspace: Workspace, open_page: OpenPage
) -> None:
    at = upload(own_table(open_page), "pairs.tsv", PAIRS)
    account = at.dataframe[0].value
    assert dict(zip(account["Column"], account["Read as"], strict=True)) == {
        "idx": "ignored", "sentence1": "pair", "sentence2": "pair", "label": "answer",
    }  # fmt: skip
    assert "a running number" in account["Because"][0]
    assert "10 rows have no answer" in beside(at, "Rows without an answer")
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


def test_the_backbone_that_fits_is_recommended_and_asked_as_it_is(workspace: Workspace, open_page: OpenPage) -> None:
    at = upload(own_table(open_page), "pictures.zip", pictures(), instruction="which colour?")
    page_text = "\n".join(one.value for one in [*at.markdown, *at.caption, *at.code])
    assert "**smolvision (pictures and text) fits this better.** mini has only ever seen drawn scenes" in page_text
    assert "pituning backbones add smolvision" in page_text
    queue = RunQueue(workspace)
    assert not queue.list()  # nothing that fits is here, so nobody is asked unbidden

    shutil.copytree(workspace.root / "backbones" / "mini", workspace.root / "backbones" / "mine")
    at.run()
    (run,) = queue.list(kind="answer")
    assert (run.backbone, run.spec.config["example"]) == ("mine", ["test/0", "test/1", "test/2"])
    claimed = queue.claim("test-owner")
    assert claimed is not None
    answers = [{"answer": "red", "probability": 0.8, "score": score, "others": []} for score in (0.0, 100.0, 0.0)]
    path = workspace.run_dir(run.id) / "result.json"
    write_json(path, {"said": [{"expert": None, "method": "backbone", "answers": answers}]})
    queue.finish(claimed.claim, "succeeded", result_path=str(path.relative_to(workspace.root)))
    at.run()
    page_text = "\n".join(one.value for one in at.markdown)
    assert "**mine as it is: 1 of 3 right,** before anything is trained" in page_text
    assert page_text.count("80 % sure") == 3
    at.button(key="fitting_use").click().run()
    assert at.selectbox(key="backbone").value == "mine"
    assert "**mine as it is: 1 of 3 right,**" in "\n".join(one.value for one in at.markdown)  # not asked again
    widget(at, "text_input", "Instruction").set_value("say its colour").run()
    assert len(queue.list()) == 1  # another question, which is asked when somebody wants to know
    at.button(key="fitting_ask").click().run()
    assert len(queue.list()) == 2


def test_where_two_readings_are_plausible_the_page_asks(open_page: OpenPage) -> None:
    rows = [{"title": f"a title of {i}", "notes": f"some notes on {i}", "label": "ab"[i % 2]} for i in range(40)]
    at = upload(own_table(open_page), "notes.json", json.dumps(rows))
    (question,) = [one.value for one in at.warning if "read one after another" in one.value]
    assert "“Columns with the text”" in question

    widget(at, "multiselect", "Columns with the text").set_value(["title"]).run()
    account = at.dataframe[0].value
    assert dict(zip(account["Column"], account["Read as"], strict=True))["notes"] == "ignored"
    assert not [one for one in at.warning if "read one after another" in one.value]  # it is decided
    assert can_launch(at)


def test_a_file_in_another_encoding_can_be_read(open_page: OpenPage) -> None:
    table = "text,label\n" + "".join(f"das Gerät ist {'gut' if i % 2 else 'schlecht'} {i},{i % 2}\n" for i in range(40))
    at = upload(own_table(open_page), "latin.csv", table.encode("cp1252"))
    assert "it looks like windows-1252" in at.error[0].value.replace("\\", "")
    at.text_input(key="upload_encoding").set_value("windows-1252").run()
    assert not at.error
    assert "40 rows" in "".join(caption.value for caption in at.caption)
