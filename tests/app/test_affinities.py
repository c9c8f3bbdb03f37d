from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from app.components import graph_view
from pituning.workspace.affinities import affinity_names, affinity_path, load_affinity, parse_affinity, save_affinity
from pituning.workspace.layout import Workspace
from tests.app.conftest import OpenPage, healthy, texts
from tests.app.test_task_graph import option

TABLE = """target,nli,edges,depth,normals
nli,,0.9,0.1,-0.2
edges,0.5,,0.7,0.3
depth,0.2,0.6,,
normals,0.1,0.4,,
"""


@pytest.fixture
def imported(workspace: Workspace) -> Workspace:
    save_affinity(workspace, "outside", parse_affinity(TABLE.encode()))
    return workspace


def lines(at: Any) -> set[tuple[str, str]]:
    return {(link["source"], link["target"]) for link in option(at)["series"][0]["links"]}


def test_a_table_is_a_graph_of_its_own(imported: Workspace, open_page: OpenPage) -> None:
    at = healthy(open_page("task_graph", graph="outside", k="3"))

    healthy(at.button(key="pin-graph_chart").click().run())
    assert "edges gives most to Natural language inference" in texts(at)
    at.button(key="pin_open").click().run()
    assert "depth" in next(one for one in healthy(at).selectbox if one.label == "Task").options
    at = healthy(open_page("task_graph", graph="outside", k="3"))
    nodes = {node["id"]: node for node in option(at)["series"][0]["data"]}
    assert set(nodes) == {"nli", "edges", "depth", "normals"}
    assert nodes["nli"]["name"] == graph_view.titles()["nli"], "a task of this workspace is known"
    legend = [entry["name"] for entry in option(at)["legend"]["data"]]
    assert legend == ["Language", "Modality unknown"]
    pairs = {frozenset(pair) for pair in lines(at)}
    assert len(pairs) == 5
    assert frozenset(("depth", "normals")) not in pairs, "nothing is known of these two"


def test_each_way_is_an_arrow(imported: Workspace, open_page: OpenPage) -> None:
    at = healthy(open_page("task_graph", graph="outside", way="Directed", donors_shown="1"))

    assert lines(at) == {("edges", "nli"), ("depth", "edges"), ("edges", "depth"), ("edges", "normals")}
    worst = healthy(open_page("task_graph", graph="outside", way="Directed", donors_shown="1", arrows="Worst"))
    assert ("normals", "nli") in lines(worst)
    assert {"Positive", "Negative"} <= {entry["name"] for entry in option(worst)["legend"]["data"]}


def test_the_panel_of_a_task_and_of_a_pair(imported: Workspace, open_page: OpenPage) -> None:
    at = healthy(open_page("task_graph", graph="outside", task="edges"))
    tables = {frame.value.columns[0]: frame.value for frame in at.dataframe}
    assert tables["Receives most from"]["Value"].tolist() == [0.7, 0.5, 0.3]
    assert tables["Gives most to"]["Value"].tolist() == [0.9, 0.6, 0.4]
    assert "what it works on is not known" in texts(at)

    at = healthy(open_page("task_graph", graph="outside", task="edges", other="nli"))
    table = at.dataframe[0].value
    assert table["Value"].tolist() == [0.9, 0.5]
    assert table["Rank"].tolist() == ["1 of 3", "2 of 3"]
    assert option(at)["series"][0]["data"][0]["value"]


def test_a_table_is_imported(workspace: Workspace, open_page: OpenPage) -> None:
    at = healthy(open_page("task_graph", task="nli"))
    assert "graph" not in [box.key for box in at.selectbox]

    at.file_uploader(key="affinity_file_0").upload("My Table.csv", TABLE.encode(), "text/csv").run()
    assert "4 tasks, 10 of 12 values known, a value for each direction" in texts(healthy(at))
    at.button(key="affinity_import").click().run()

    healthy(at)
    assert affinity_names(workspace) == ["my-table"]
    np.testing.assert_array_equal(load_affinity(workspace, "my-table").values, parse_affinity(TABLE.encode()).values)
    assert at.query_params["graph"] == "my-table"
    assert "task" not in at.query_params
    assert not at.warning
    assert len(option(at)["series"][0]["data"]) == 4


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (",a,b\na,1,oops\nb,2,3\n", "is not a number"),
        (",a,b\nc,1,2\n", "No task has both"),
        (",a,a\na,1,2\nb,3,4\n", "twice"),
    ],
)
def test_a_table_that_cannot_be_used_is_told_beside_the_field(
    text: str, complaint: str, workspace: Workspace, open_page: OpenPage
) -> None:
    at = open_page("task_graph")

    at.file_uploader(key="affinity_file_0").upload("bad.csv", text.encode(), "text/csv").run()

    assert not at.exception
    assert complaint in at.error[0].value
    assert "affinity_import" not in [button.key for button in at.button]
    assert len(option(at)["series"][0]["data"]) == 20, "the graph stays"


def test_a_name_that_is_taken_is_told(imported: Workspace, open_page: OpenPage) -> None:
    at = open_page("task_graph")
    at.file_uploader(key="affinity_file_0").upload("outside.csv", TABLE.encode(), "text/csv").run()

    at.button(key="affinity_import").click().run()

    assert "there is a table 'outside' already" in at.error[0].value.lower()


def test_a_table_is_deleted_after_asking(imported: Workspace, open_page: OpenPage) -> None:
    known = load_affinity(imported, "outside").names
    at = healthy(open_page("task_graph", graph="outside", task="edges"))
    assert "can be restored for 30 days" in texts(at)

    at.button(key="affinity_delete").click().run()

    healthy(at)
    assert affinity_names(imported) == []
    assert not {"graph", "task"} & set(at.query_params)
    assert not at.warning
    assert len(option(at)["series"][0]["data"]) == 20

    at.button(key="deleted_undo").click().run()

    healthy(at)
    assert affinity_names(imported) == ["outside"]
    assert load_affinity(imported, "outside").names == known


def test_a_damaged_table_is_told_and_can_be_deleted(imported: Workspace, open_page: OpenPage) -> None:
    affinity_path(imported, "outside").write_text("target,a\n")

    at = open_page("task_graph", graph="outside")

    assert not at.exception
    assert "is damaged" in texts(at)
    at.button(key="affinity_delete").click().run()
    assert affinity_names(imported) == []


def test_a_workspace_without_a_zoo_shows_a_table(bare: Workspace, open_page: OpenPage) -> None:
    save_affinity(bare, "outside", parse_affinity(b"source,target,value\na,b,1\nb,c,2\n"))

    at = healthy(open_page("task_graph", graph="outside"))

    assert len(option(at)["series"][0]["data"]) == 3
    assert "way" not in [control.key for control in at.segmented_control], "there is one direction only"
