"""The page on which rows are labelled: upload, start, watch, sort, download."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from app.components.labelling_result import MOST_CELL, least_sure
from pituning.experts.card import read_card, write_card
from pituning.labelling.answers import Answer, AnswersFile, Layout
from pituning.labelling.calibration import reliability
from pituning.labelling.sources import find_source
from pituning.runs.configs import PredictRun
from pituning.runs.queue import RunQueue
from pituning.runs.records import Run
from pituning.runs.spec import RunSpec
from pituning.tasks.reading import Row
from pituning.workspace.layout import Workspace
from tests.app.conftest import OpenPage, healthy, texts
from tests.app.test_access import roles, visit  # noqa: F401 (a fixture)

LABELS = ("yes", "no", "maybe")
SURE = [0.9, 0.4, 0.7, 0.95, 0.35]


def finished(workspace: Workspace, run_id: str, *, expert: str = "nli", **how_sure: Any) -> Run:
    """The run, done: five rows, the last but three and the last the least sure."""
    queue = RunQueue(workspace)
    claimed = queue.claim("tests")
    assert claimed is not None
    assert claimed.id == run_id
    folder = workspace.run_dir(run_id)
    layout = Layout(inputs=("id", "text"), labels=LABELS)
    answers = AnswersFile(folder, layout, {})
    for number, sure in enumerate(SURE):
        shares = {"yes": sure, "no": (1 - sure) / 2, "maybe": (1 - sure) / 2}
        cells = {"id": f"00{number}", "text": f"row {number}" + " long" * 1000 * (number == 1)}
        answers.add([Row(number + 2, cells)], [Answer("yes", sure, shares)])
    answers.close()
    result = {
        "expert": expert, "file": "new.csv", "answers": "answers.csv", "out": None, "columns": layout.columns(),
        "own_columns": layout.own(), "rows": 5, "unread": 0, "problems": [], "cut": 2, "counts": {"yes": 5},
        "mean_probability": 0.66, "below_half": 2, "temperature": None, "calibration": {}, "kind": "lora",
    } | how_sure  # fmt: skip
    (folder / "result.json").write_text(json.dumps(result), encoding="utf-8")
    queue.finish(claimed.claim, "succeeded", result_path=f"runs/{run_id}/result.json")
    return queue.get(run_id)


def test_a_file_goes_up_is_labelled_and_comes_back_the_least_sure_first(
    workspace: Workspace, open_page: OpenPage, woken: list[Workspace], monkeypatch: pytest.MonkeyPatch
) -> None:
    files: dict[str, bytes] = {}

    def download_button(_label: str, data: Callable[[], bytes] | str, *, file_name: str, **rest: Any) -> None:
        files[file_name] = b"" if rest.get("disabled") or not callable(data) else data()

    monkeypatch.setattr("streamlit.download_button", download_button)
    at = healthy(open_page("label", expert="lora/nli"))
    assert "Not calibrated, so rows are put in order without percentages" in texts(at)
    assert "guessing at random scores" in texts(at)
    assert "always answering the largest class" in texts(at)
    at.file_uploader(key="label_file").upload("new.csv", b"id,note\n001,=1+1\n002,b\n").run()
    assert "which task 'nli' reads; it has 'id', 'note'" in at.warning[0].value.replace("\\", "")
    assert not [button for button in at.button if button.key == "label_start"]
    at.multiselect(key="label_text_lora/nli_new.csv").set_value(["note"]).run()
    assert at.button(key="label_start")
    at.file_uploader(key="label_file").upload("new.csv", b"id,text\n001,a dog\n002,a cat\n").run()
    healthy(at)
    assert at.dataframe[0].value["id"].tolist() == ["001", "002"]
    assert "it reads text; the other column is kept" in texts(at)
    at.button(key="label_start").click().run()

    (run,) = RunQueue(workspace).list(kind="predict")
    assert woken
    config = run.spec.settings()
    assert (config.expert, config.kind, config.text_columns, config.top) == ("nli", "lora", ("text",), None)
    assert find_source(config.source, workspace).path.read_bytes() == b"id,text\n001,a dog\n002,a cat\n"
    assert run.spec.command() == f"pituning predict nli --kind lora --source {config.source} --text-columns text"
    assert at.query_params["run"] == run.id
    assert any(button.key == "label_stop" for button in at.button)

    finished(workspace, run.id)
    at = healthy(open_page("label", expert="lora/nli", run=run.id))
    assert "yes 5" in texts(at)
    shown = at.dataframe[-1].value
    assert shown["id"].tolist() == ["004", "001", "002", "000", "003"]
    assert list(shown)[:3] == ["answer", "id", "text"]  # nobody knows what the probabilities are worth
    assert shown["text"].str.len().max() == MOST_CELL
    assert not [column for column in shown if "p(" in column or "prob" in column]
    assert "Mean probability" not in {metric.label for metric in at.metric}
    at.segmented_control(key="label_order").set_value("file").run()
    assert at.dataframe[-1].value["id"].tolist() == ["000", "001", "002", "003", "004"]
    assert files["new-labelled.csv"] == (workspace.run_dir(run.id) / "answers.csv").read_bytes()
    assert files["new-to-check.csv"].decode().splitlines()[1].startswith("004,row 4,yes,0.35")

    monkeypatch.setattr("app.components.labelling_result.MOST_DOWNLOAD", 100)
    at = healthy(open_page("runs", run=run.id))
    assert files["new-labelled.csv"] == b""  # too large to be held in memory for a browser
    assert "Labels by nli" in texts(at)
    assert at.dataframe[-1].value["id"].tolist()[0] == "004"


def test_the_least_sure_are_found_whatever_the_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.components.labelling_result.CHUNK", 7)
    shares = [((37 * number) % 101) / 101 for number in range(100)]
    path = tmp_path / "answers.csv"
    pd.DataFrame({"id": [f"0{n}" for n in range(100)], "answer": "NA", "probability": shares}).to_csv(path, index=False)
    own = {"answer": "answer", "probability": "probability", "probabilities": ["probability"]}
    found = least_sure(path, own, 9)
    expected = sorted(range(100), key=lambda number: shares[number])[:9]
    assert found["id"].tolist() == [f"0{number}" for number in expected]
    assert set(found["answer"]) == {"NA"}


def test_how_sure_it_is_is_drawn_before_and_after(workspace: Workspace, open_page: OpenPage) -> None:
    directory = workspace.zoo().expert_dir("lora", "nli")
    measured = {name: reliability([0.9] * 20, [True] * right + [False] * (20 - right)).to_json()
                for name, right in (("before", 9), ("after", 18))}  # fmt: skip
    write_card(replace(read_card(directory), temperature=1.7, calibration={"rows": 12, **measured}), directory)
    run_id = RunQueue(workspace).submit(RunSpec.of("predict", PredictRun(expert="nli", kind="lora", source="x")))
    finished(workspace, run_id, temperature=1.7, calibration=measured)
    at = healthy(open_page("label", expert="lora/nli", run=run_id))
    said = texts(at)
    assert {metric.label: metric.value for metric in at.metric}["Mean probability"] == "66 %"
    assert at.dataframe[-1].value["probability"].tolist() == pytest.approx([35, 40, 70, 90, 95])
    assert "Calibrated on 12 held-out examples. On 20 test rows" in said
    assert "ECE" in said
    assert {metric.label: metric.value for metric in at.metric}["Temperature"] == "1.70"
    assert at.get("plotly_chart")


def test_ways_lead_to_it(workspace: Workspace, open_page: OpenPage) -> None:
    at = healthy(open_page("experts", expert="lora/nli"))
    links = {link.proto.label: link.proto.query_string for link in at.get("page_link")}
    assert links["Label more rows with it"] == "expert=lora%2Fnli"


def test_viewers_may_not_upload(workspace: Workspace, roles: Path) -> None:  # noqa: F811
    at = visit("label", "alan@example.org")
    field = at.file_uploader(key="label_file")
    assert "needs the role of runner" in field.help
    field.proto.disabled = False  # what a browser that is not Streamlit's page would do
    field.upload("new.csv", b"text\na\n").run()
    assert not at.exception
    assert not (workspace.root / "uploads").exists()
