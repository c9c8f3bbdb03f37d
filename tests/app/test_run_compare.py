from __future__ import annotations

import json
from typing import Any

import pandas as pd

from app.components.compare_answers import disagreements
from app.components.run_compare import class_table, settings_that_differ
from pituning.runs.records import Run
from pituning.tuning.predictions import PREDICTIONS
from pituning.workspace.layout import Workspace
from tests.app import synthetic
from tests.app.conftest import OpenPage, healthy, texts


def table(at: Any, column: str) -> pd.DataFrame:
    (found,) = [frame.value for frame in at.dataframe if column in frame.value.columns]
    return found


def change(workspace: Workspace, run: Run, **changes: Any) -> None:
    path = workspace.run_dir(run.id) / "result.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_two_runs_side_by_side(workspace: Workspace, open_page: OpenPage) -> None:
    first = synthetic.done(workspace, seed=0, shots=16)
    second = synthetic.done(workspace, seed=1, shots=4, gain=-3.0)
    kept = synthetic.result_of(second, -3.0)["predictions"]
    change(workspace, second, per_class={"0": 90.0, "1": 54.0})
    path = workspace.run_dir(second.id) / PREDICTIONS
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    frame.loc[frame["row"] == kept[1]["uid"], ["prediction", "score"]] = ["1", "100"]
    path.write_text(frame.to_csv(index=False), encoding="utf-8")

    at = healthy(open_page("runs", compare=f"{first.id},{second.id}"))

    assert at.toggle(key="runs_compare").value is True
    settings = table(at, "Setting").set_index("Setting")
    assert settings.to_dict("index") == {"Seed": {"A": "0", "B": "1"}, "Shots": {"A": "16", "B": "4"}}
    scores = table(at, "Method").set_index("Method")
    assert scores.loc["π-tuning", "A"] == "67.0 (65.0 to 69.0)"
    assert scores.loc["Guessing", "A"] == table(at, "Metric")["Guessing"][0] == "9.9 · 8.0"
    assert scores.loc["Single expert", "B"] == "61.3 (59.3 to 63.3)"
    classes = table(at, "Spread")
    assert classes["Class"].tolist()[:2] == ["0", "1"]
    assert classes["Spread"].tolist()[:2] == [40, 0]
    assert len(classes) == 10
    curves, marks = (json.loads(chart.proto.spec) for chart in reversed(at.get("plotly_chart")))
    assert [trace["name"] for trace in curves["data"]] == [trace["name"] for trace in marks["data"]] == ["A", "B"]
    page_text = texts(at)
    assert (
        f"Of the {len(kept)} rows that two or more of them answered, they differ on 1. Of those, A is right on 0, B is"
        in page_text
    )
    assert page_text.count("True: ") == 1


def test_runs_of_different_targets_and_without_results(workspace: Workspace, open_page: OpenPage) -> None:
    runs = [
        synthetic.done(workspace, "digits"),
        synthetic.done(workspace, "nli"),
        synthetic.failed(workspace),
        synthetic.cancelled(workspace),
        synthetic.running(workspace, "vqa"),
        synthetic.queued(workspace, "rte"),
    ]

    at = healthy(open_page("runs", compare=",".join(run.id for run in runs)))

    page_text = texts(at)
    assert "different targets" in page_text
    assert "Without a result: C, D, E, F." in page_text
    assert "Not measured by D, F." in page_text
    classes = table(at, "Spread")
    assert classes["Spread"].isna().all(), "classes of different tasks are not compared"
    assert len(classes) == 20
    assert table(at, "Metric")["Letter"].tolist() == list("ABCDEF")
    assert table(at, "Setting").set_index("Setting").loc["Target"].tolist() == [
        "digits", "nli", "nli", "vqa", "vqa", "rte",
    ]  # fmt: skip


def test_nothing_to_compare_is_told_in_words(workspace: Workspace, open_page: OpenPage) -> None:
    first, second = synthetic.queued(workspace, "nli"), synthetic.queued(workspace, "nli")

    at = healthy(open_page("runs", compare=f"{first.id},{second.id}"))

    page_text = texts(at)
    for words in ("same settings", "No scores yet", "No curves yet", "None of these runs has kept answers"):
        assert words in page_text


def test_one_run_alone_and_one_that_is_not_there(workspace: Workspace, open_page: OpenPage) -> None:
    run = synthetic.done(workspace)

    at = healthy(open_page("runs", compare=f"{run.id},tune-digits-000000"))

    assert "Choose two runs or more" in texts(at)
    assert "not in this workspace" in at.warning[0].value


def test_a_result_that_cannot_be_read_leaves_the_others(workspace: Workspace, open_page: OpenPage) -> None:
    first, second = synthetic.done(workspace), synthetic.done(workspace, seed=1)
    (workspace.run_dir(second.id) / "result.json").write_text("{")

    at = healthy(open_page("runs", compare=f"{first.id},{second.id}"))

    assert "The result of run B cannot be read" in texts(at)
    assert table(at, "Method")["A"].notna().all()


def test_the_switch_keeps_the_run_and_forgets_the_others(workspace: Workspace, open_page: OpenPage) -> None:
    first = synthetic.done(workspace)
    synthetic.done(workspace, seed=1)
    at = healthy(open_page("runs", run=first.id))

    at.toggle(key="runs_compare").set_value(True).run()
    assert at.query_params["compare"] == first.id
    assert "Choose two runs or more" in texts(healthy(at))

    at.toggle(key="runs_compare").set_value(False).run()
    assert "compare" not in at.query_params
    assert at.query_params["run"] == first.id


def test_classes_and_answers_by_hand(workspace: Workspace) -> None:
    frame = class_table([("A", {"x": 10, "y": 50}), ("B", {"y": 20, "z": 5, "x": 15})])
    assert frame["Class"].tolist() == ["y", "x", "z"]
    assert frame["Spread"].tolist()[:2] == [30, 5]

    def said(uid: str, prediction: str, score: float) -> dict[str, Any]:
        return {"uid": uid, "prediction": prediction, "score": score}

    actual = disagreements(
        {
            "A": [said("1", "no", 0), said("2", "yes", 100), said("3", "yes", 100)],
            "B": [said("1", "maybe", 0), said("2", "no", 0), said("3", "yes", 100)],
            "C": [],
        }
    )
    assert [(set(one), next(iter(one.values()))["uid"]) for one in actual] == [({"A", "B"}, "2"), ({"A", "B"}, "1")]
    same = [synthetic.queued(workspace, "nli", donors=3), synthetic.queued(workspace, "nli", donors=5)]
    assert settings_that_differ(same) == {"Donors": ["3", "5"]}


def test_settings_of_all_runs_with_their_importance(workspace: Workspace, open_page: OpenPage) -> None:
    for number in range(3):
        synthetic.done(workspace, gain=5.0, shots=(4, 8, 16)[number])
    address = {"compare": "", "compare_view": "Settings of all"}
    at = healthy(open_page("runs", **address))
    (chart,) = at.get("plotly_chart")
    (lines,) = json.loads(chart.proto.spec)["data"]
    assert [axis["label"] for axis in lines["dimensions"]] == ["Shots", "<b>Score</b>"]
    assert "at least 12 runs; there are 3" in texts(at)

    for number in range(9):
        synthetic.done(workspace, gain=(1.0, 9.0)[number % 2], kind=("lora", "prefix")[number % 2], shots=4)
    at = healthy(open_page("runs", **address))
    at.segmented_control(key="settings_score").set_value("gain").run()
    lines, bars = (json.loads(chart.proto.spec)["data"][0] for chart in healthy(at).get("plotly_chart"))
    assert {axis["label"] for axis in lines["dimensions"]} == {"Kind", "Shots", "<b>Gain over single expert</b>"}
    assert bars["y"][-1] == "Kind"
    assert "cross-validated over 12 runs" in texts(at)
