from __future__ import annotations

import csv
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pituning.graph.ranking import grade_targets
from pituning.tasks.metrics import guessing
from pituning.tasks.mini import mini_task
from pituning.workspace.atomic import write_text
from pituning.workspace.layout import Workspace
from pituning.workspace.transfer import load_transfer
from tests.app.conftest import OpenPage, healthy, texts
from tests.app.synthetic import done


def figures(at: Any) -> list[dict[str, Any]]:
    return [json.loads(chart.proto.spec) for chart in at.get("plotly_chart")]


def test_the_matrix_the_scatter_and_the_grades(measured: Workspace, open_page: OpenPage) -> None:
    at = healthy(open_page("transfer"))

    names = measured.zoo().similarity("lora", "probe").names
    transfer = load_transfer(measured.zoo().transfer_path("lora"), 16, names)
    assert transfer is not None
    shown = [value for row in figures(at)[0]["data"][0]["z"] for value in row if value is not None]
    np.testing.assert_allclose(sorted(shown), np.sort(transfer.gains[np.isfinite(transfer.gains)]), atol=0.006)
    assert sum(len(trace["x"]) for trace in figures(at)[1]["data"]) == 20 * 19
    table = at.dataframe[0].value
    assert table["Predictor"].tolist()[0] == "Common probe"
    expected = np.nanmean(grade_targets(measured.zoo().similarity("lora", "probe").matrix, transfer.gains)["spearman"])
    assert table["Spearman"][0].startswith(f"{expected:.2f} (")
    assert "Random order" in table["Predictor"].tolist()
    assert "No pair chosen" in texts(at)
    assert "No low-shot results yet" in texts(at)


def test_a_link_to_a_pair_opens_it(measured: Workspace, open_page: OpenPage) -> None:
    at = healthy(open_page("transfer", task="nli", other="rte", shots="None"))

    names = measured.zoo().similarity("lora", "probe").names
    transfer = load_transfer(measured.zoo().transfer_path("lora"), 0, names)
    assert transfer is not None
    i, j = names.index("nli"), names.index("rte")
    values = {metric.label: metric.value for metric in at.metric}
    assert values["With this donor"] == f"{transfer.scores[i, j]:.1f}"
    assert values["Measured rank"].endswith("of 19")
    assert str(guessing(mini_task("nli"))) in texts(at)
    assert "targets score no better than guessing" in texts(at)
    assert len(figures(at)[1]["data"]) == 3  # the target stands out
    links = {link.proto.label: link.proto.query_string for link in at.get("page_link")}
    assert links["Why these two are alike"] == "task=nli&other=rte"


def test_runs_of_the_workspace_stand_side_by_side(measured: Workspace, open_page: OpenPage) -> None:
    for seed in (0, 1):
        done(measured, "digits", seed=seed)

    at = healthy(open_page("transfer"))

    (table,) = [frame.value for frame in at.dataframe if "Target" in frame.value]
    assert table["Seeds"].tolist() == [2]
    assert {"π-tuning", "Single expert", "Placebo donors"} <= set(table.columns)


def test_nothing_measured_is_told(workspace: Workspace, open_page: OpenPage) -> None:
    at = healthy(open_page("transfer"))
    assert "it has not been measured which donor helps which target" in texts(at)


def test_a_damaged_table_is_told_in_words(workspace: Workspace, open_page: OpenPage) -> None:
    write_text(workspace.zoo().new_transfer_path("lora"), "target\nnli\n")
    at = open_page("transfer")
    assert not at.exception
    assert "is damaged" in texts(at)


def test_an_empty_workspace(bare: Workspace, open_page: OpenPage) -> None:
    at = open_page("transfer")
    assert not at.exception
    assert "pituning zoo build" in texts(at)


def test_what_is_shown_can_be_downloaded(
    measured: Workspace, open_page: OpenPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    files: dict[str, list[list[str]]] = {}

    def download_button(_label: str, data: Callable[[], bytes], *, file_name: str, **_rest: object) -> None:
        files[file_name] = list(csv.reader(data().decode().splitlines()))

    monkeypatch.setattr("streamlit.download_button", download_button)
    healthy(open_page("transfer"))
    rows = files["transfer-lora-16-shots.csv"]
    assert rows[0] == ["target", "donor", "alone", "score", "gain", "similarity", "at_random", "largest_class"]
    assert len(rows) == 1 + 20 * 19
