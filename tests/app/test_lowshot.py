"""The section of the low-shot study on the page of transfer."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from pituning.workspace.atomic import write_text
from pituning.workspace.layout import Workspace
from pituning.workspace.lowshot import COLUMNS
from tests.app import synthetic
from tests.app.conftest import OpenPage, healthy, texts


@pytest.fixture
def studied(measured: Workspace) -> Workspace:
    synthetic.study(measured)
    return measured


def methods(at: object) -> pd.DataFrame:
    (table,) = [frame.value for frame in at.dataframe if "π gains" in frame.value]  # type: ignore[attr-defined]
    return table.set_index("Method")


def test_all_methods_with_what_pi_gains(studied: Workspace, open_page: OpenPage) -> None:
    at = healthy(open_page("transfer"))

    table = methods(at)
    assert table.loc["π-tuning", "Score"] == "62.0 (60.0 to 64.0)"
    assert table.loc["Single expert", "π gains"] == "+10.0 (+10.0 to +10.0)"
    assert table.loc["Placebo donors", "π is better on"] == "2 of 2"
    assert table.loc["π-tuning", ["Targets", "Seeds"]].tolist() == [2, 2]
    assert table.loc["Backbone alone", "Score"].startswith("5.0")
    assert {"At random", "Always the largest class"} <= set(table.index)
    assert "To compare: guessing at random scores" in texts(at)
    assert "2 of 20 targets with 2 seeds" in texts(at)
    assert "π-tuning took, by the loss on held-out shots: the mixture 100 %" in texts(at)


def test_one_begins_with_a_target_whose_relatives_helped(studied: Workspace, open_page: OpenPage) -> None:
    assert "Targets to try" not in texts(healthy(open_page("home"))), "those with many labels take too long"
    path = studied.zoo().lowshot_path("lora")
    write_text(path, path.read_text().replace("vqa,", "rte,"))

    page_text = texts(healthy(open_page("home")))
    assert "Textual entailment" in page_text
    assert "60.0 by π-tuning, 50.0 by a new expert alone" in page_text
    assert healthy(open_page("new_run")).selectbox(key="target").value == "rte"


def test_a_study_of_a_shorter_budget_is_shown_where_there_is_no_other(studied: Workspace, open_page: OpenPage) -> None:
    usual = studied.zoo().lowshot_path("lora")
    usual.rename(studied.zoo().new_lowshot_path("lora", 24))
    page = open_page("transfer")
    assert any("By at most 24 steps of training." in caption.value for caption in page.caption)
    assert any("--steps 24" in code.value for code in page.code)


def test_one_target_and_its_runs(studied: Workspace, open_page: OpenPage) -> None:
    at = open_page("transfer")
    at.selectbox(key="study_target").set_value("digits").run()

    table = methods(healthy(at))
    assert table.loc["π-tuning", "Score"] == "64.0 (64.0 to 64.0)"
    assert table.loc["π-tuning", "Targets"] == 1
    (rows,) = [frame.value for frame in at.dataframe if "Spec" in frame.value]
    assert set(rows["Target"]) == {"digits"}
    guesses = [table.loc[name, "Score"] for name in ("At random", "Always the largest class")]
    assert rows["Guessing"].iloc[0] == " · ".join(guesses)
    assert set(rows["Spec"]) == {"0a1", "1a1"}
    assert len(rows) == 2 * len(synthetic.STUDIED)


def test_what_pi_gains_on_each_target(studied: Workspace, open_page: OpenPage) -> None:
    def drawn(at: AppTest) -> tuple[str, list[dict[str, Any]]]:
        charts = [json.loads(chart.proto.spec) for chart in healthy(at).get("plotly_chart")]
        (figure,) = [c for c in charts if "minus" in c["layout"]["xaxis"].get("title", {}).get("text", "")]
        return figure["layout"]["xaxis"]["title"]["text"], figure["data"]

    at = open_page("transfer")
    title, traces = drawn(at)
    assert title == "π-tuning minus Single expert (points)"
    assert traces[-1]["x"] == [10.0]
    assert "2 seeds of shots" in texts(at)

    at.selectbox(key="study_over").set_value("placebo").run()
    title, traces = drawn(at)
    assert title == "π-tuning minus Placebo donors (points)"
    assert traces[-1]["x"] == [13.0]


def test_the_runs_can_be_downloaded(studied: Workspace, open_page: OpenPage, monkeypatch: pytest.MonkeyPatch) -> None:
    files: dict[str, list[list[str]]] = {}

    def download_button(_label: str, data: Callable[[], bytes], *, file_name: str, **_rest: object) -> None:
        files[file_name] = list(csv.reader(data().decode().splitlines()))

    monkeypatch.setattr("streamlit.download_button", download_button)
    healthy(open_page("transfer"))
    rows = files["lowshot-lora-16-shots.csv"]
    assert rows[0] == list(COLUMNS)
    assert len(rows) == 1 + 4 * len(synthetic.STUDIED)


def test_without_a_study_the_command_is_named(measured: Workspace, open_page: OpenPage) -> None:
    at = healthy(open_page("transfer"))
    assert "pituning study lowshot --kind lora" in texts(at)


def test_a_damaged_table_is_told_and_the_rest_of_the_page_stays(measured: Workspace, open_page: OpenPage) -> None:
    write_text(measured.zoo().new_lowshot_path("lora"), "target\nnli\n")
    at = open_page("transfer")
    assert not at.exception
    assert "is damaged" in texts(at)
    assert "No low-shot results yet" in texts(at)
