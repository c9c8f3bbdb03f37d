from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
import streamlit

from app.components import graph_view
from pituning.figures.task_graph import RINGED
from pituning.graph.nearest import nearest_by_rows
from pituning.graph.sparse import arranged
from pituning.runs.queue import RunQueue
from pituning.runs.removal import delete_run
from pituning.tasks.files import ColumnMapping, open_table, save_task, task_from_table
from pituning.tasks.mini import mini_task
from pituning.text import markdown
from pituning.workspace.atomic import write_text
from pituning.workspace.layout import Workspace
from pituning.workspace.similarity import save_nearest
from pituning.workspace.transfer import load_transfer
from tests.app.conftest import OpenPage, healthy, texts
from tests.app.synthetic import done


def option(at) -> dict:  # type: ignore[no-untyped-def, type-arg]
    return json.loads(at.get("echarts_chart")[0].proto.spec)


def test_the_graph_has_every_task_of_the_zoo(workspace: Workspace, open_page: OpenPage) -> None:
    at = healthy(open_page("task_graph"))

    assert len(option(at)["series"][0]["data"]) == 20
    assert "No task chosen" in texts(at)
    (names,) = [series["data"] for series in option(at)["series"] if series["id"] == "communities"]
    assert len({one["name"] for one in names}) == len(names) > 1
    at.toggle(key="outlines").set_value(False).run()
    assert [series["id"] for series in option(healthy(at))["series"]] == ["tasks"]

    at.button(key="community_1").click().run()
    nodes = healthy(at), option(at)["series"][0]["data"]
    clear = {node["id"] for node in nodes[1] if node["itemStyle"]["opacity"] == 1}
    assert set(at.query_params["tasks"].split(",")) == clear
    assert names[1]["name"] in at.button(key="community_1").label
    task = clear.pop()
    assert names[1]["name"] in texts(healthy(open_page("task_graph", task=task)))


def test_a_link_to_a_task_opens_its_panel(workspace: Workspace, open_page: OpenPage) -> None:
    at = healthy(open_page("task_graph", task="nli"))

    page_text = texts(at)
    assert "Natural language inference" in page_text
    assert "Nearest tasks" in page_text
    near = at.dataframe[0].value
    matrix, names = (s := workspace.zoo().similarity("lora", "probe")).matrix, list(s.names)
    row = matrix[names.index("nli")].copy()
    row[names.index("nli")] = -np.inf
    assert near["Task"][0] == graph_view.titles()[names[int(row.argmax())]]
    assert near["Similarity"].is_monotonic_decreasing
    assert near["Stable rank"].between(0, 100).all()


def test_a_link_to_nonsense_falls_back(workspace: Workspace, open_page: OpenPage) -> None:
    at = healthy(open_page("task_graph", task="<script>", kind="Nope", k="-4", predictor="x", lines="y"))

    assert "No task chosen" in texts(at)


def test_a_click_on_a_point_opens_that_task(workspace: Workspace, open_page: OpenPage) -> None:
    at = open_page("task_graph")
    names = list(workspace.zoo().similarity("lora", "probe").names)
    at.session_state[graph_view.CHART_KEY] = {
        "selection": {"selected": [{"data_type": "node", "data_indices": [names.index("vqa")]}], "areas": []}
    }
    at.session_state["task"] = None

    at.session_state["task"] = names[names.index("vqa")]
    at.run()

    healthy(at)
    assert at.header[0].value == "Visual question answering"
    assert at.query_params["task"] == "vqa"
    chosen = [node for node in option(at)["series"][0]["data"] if node["itemStyle"]["borderWidth"] == 3]
    assert [node["id"] for node in chosen] == ["vqa"]


def test_a_quick_second_choice_wins_over_the_address_from_before_the_first(
    workspace: Workspace, open_page: OpenPage
) -> None:
    at = healthy(open_page("task_graph", task="nli"))
    at.selectbox(key="task").select("vqa").run()
    assert at.query_params["task"] == "vqa"

    at.query_params["task"] = "nli"  # what a browser still shows, and sends, that has not drawn the first choice yet
    at.selectbox(key="task").select("digits").run()

    assert at.session_state["task"] == "digits"
    assert at.query_params["task"] == "digits"
    at.query_params["task"] = "nli"  # without a choice it is a way back
    assert healthy(at.run()).session_state["task"] == "nli"


def test_a_threshold_draws_exactly_the_pairs_above_it(workspace: Workspace, open_page: OpenPage) -> None:
    at = healthy(open_page("task_graph", lines="Above", threshold="0.5"))

    matrix = workspace.zoo().similarity("lora", "probe").matrix
    above = int((np.triu(matrix, k=1) >= 0.5).sum())
    assert len(option(at)["series"][0]["links"]) == above


def keep_parity(workspace: Workspace) -> None:
    """A task of the user's own."""
    table = "text,label\n" + "".join(f"item {i},{'odd' if i % 2 else 'even'}\n" for i in range(40))
    parsed = open_table(table.encode(), filename="parity.csv")
    columns = ColumnMapping(text="text", answer="label")
    save_task(task_from_table(parsed, name="parity", instruction="odd or even?", columns=columns), workspace)


def test_an_own_task_can_be_looked_at_and_lands_on_the_graph_with_a_run(
    workspace: Workspace, open_page: OpenPage
) -> None:
    keep_parity(workspace)

    at = healthy(open_page("task_graph", task="parity"))

    assert "has no expert in the zoo yet" in texts(at)
    assert "odd or even?" in texts(at)
    before = option(at)["series"][0]

    run = done(workspace, "parity")
    other = done(workspace, "parity", kind="prefix")

    at = healthy(at.run())
    after = option(at)["series"][0]
    assert [(node["id"], node["value"]) for node in after["data"][:-1]] == [
        (node["id"], node["value"]) for node in before["data"]
    ]
    own = after["data"][-1]
    assert (own["id"], own["symbol"]) == ("parity", RINGED["rect"])
    lines = [link for link in after["links"] if "parity" in (link["source"], link["target"])]
    assert {link["source"] for link in lines} == {"shape", "texture", "creatures"}
    titles = graph_view.titles()
    assert list(at.dataframe[0].value["Task"])[:3] == [titles[name] for name in ("shape", "texture", "creatures")]
    assert at.dataframe[0].value["Stable rank"][0] == pytest.approx(90)
    assert "Placed from its shots alone" in texts(at)
    assert at.button(key="use_as_target")
    links = {link.proto.label: link.proto.query_string for link in at.get("page_link")}
    assert run.id in links["Its run"]
    assert links["Its expert pi-parity"] == "expert=lora%2Fpi-parity"
    index = next(i for i, link in enumerate(after["links"]) if {link["source"], link["target"]} == {"parity", "shape"})
    click(at, "edge", index)
    assert (at.query_params["task"], at.query_params["other"]) == ("parity", "shape")
    words = (
        "**parity reads text and answers “even” or “odd”, Shape reads pictures and answers “disc”, “box”, “wedge” or"
    )
    assert f"{words} 5 others**; by similarity number 1 of 4 for parity; whether the expert" in texts(at)
    assert {metric.label: metric.value for metric in at.metric} == {"Similarity": "0.600", "Stable rank": "90 %"}
    at = healthy(open_page("task_graph", task="parity", kind="Prefix", view="Measured transfer"))
    assert other.id in str([link.proto.query_string for link in at.get("page_link")])
    assert "parity" not in str(option(healthy(open_page("task_graph", kind="Bottleneck"))))
    delete_run(RunQueue(workspace), other.id)
    assert "parity" not in str(option(healthy(open_page("task_graph", kind="Prefix"))))  # it goes with its run


def test_the_door_to_a_run_keeps_the_task(workspace: Workspace, open_page: OpenPage) -> None:
    at = open_page("task_graph", task="sentiment")

    at.button(key="use_as_target").click().run()

    healthy(at)
    assert at.title[0].value == "New run"
    assert at.selectbox(key="target").value == "sentiment"


def test_every_kind_and_predictor_can_be_drawn(workspace: Workspace, open_page: OpenPage) -> None:
    at = open_page("task_graph")
    for kind in ("Bottleneck", "Prefix"):
        healthy(open_page("task_graph", kind=kind, predictor="Own experts", colour="Community"))
    assert Path(workspace.root).is_dir()
    healthy(at)


def test_the_graph_as_it_is_drawn_can_be_downloaded(
    workspace: Workspace, open_page: OpenPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    files: dict[str, bytes] = {}

    def download_button(_label: str, data: Callable[[], bytes], *, file_name: str, **_rest: object) -> None:
        files[file_name] = data()

    assert [button.proto.label for button in open_page("task_graph").get("download_button")] == [
        "GraphML", "JSON", "CSV", "GEXF",
    ]  # fmt: skip
    monkeypatch.setattr("streamlit.download_button", download_button)

    at = healthy(open_page("task_graph", kind="Prefix", predictor="Own experts", k="2"))

    series = option(at)["series"][0]
    drawn = {frozenset((link["source"], link["target"])) for link in series["links"]}
    stem = "task-graph-prefix-paper"
    assert list(files) == [f"{stem}.{suffix}" for suffix in ("graphml", "json", "csv", "gexf")]
    rows = list(csv.DictReader(files[f"{stem}.csv"].decode().splitlines()))
    read = {
        "graphml": nx.parse_graphml(files[f"{stem}.graphml"].decode()),
        "json": nx.node_link_graph(json.loads(files[f"{stem}.json"]), edges="edges"),
        "csv": nx.Graph([(row["source"], row["target"]) for row in rows]),
        "gexf": nx.read_gexf(io.BytesIO(files[f"{stem}.gexf"])),
    }
    for graph in read.values():
        assert {frozenset(edge) for edge in graph.edges} == drawn
        assert set(graph.nodes) == {node["id"] for node in series["data"]}


def places(at: Any) -> list[tuple[str, list[float]]]:
    return [(node["id"], node["value"]) for node in option(at)["series"][0]["data"]]


def click(at: Any, data_type: str, index: int) -> None:
    """A click in the chart. AppTest has no such, so the callback of the page is called as Streamlit would."""
    kept: dict[str, Any] = {}
    real = streamlit.echarts_chart

    def echarts_chart(*arguments: Any, **options: Any) -> Any:
        kept.update(options)
        return real(*arguments, **options)

    selected = [{"data_type": data_type, "data_indices": [index]}]
    state = {graph_view.CHART_KEY: {"selection": {"selected": selected}}, "task": at.session_state["task"]}
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("streamlit.echarts_chart", echarts_chart)
        at.run()
        patched.setattr("streamlit.session_state", state)
        kept["on_select"]()
    for name in ("task", "other"):
        at.session_state[name] = state.get(name)
    at.run()


def test_a_click_on_a_line_tells_why_two_are_alike_and_nothing_moves(workspace: Workspace, open_page: OpenPage) -> None:
    at = healthy(open_page("task_graph", task="nli"))
    before, links = places(at), option(at)["series"][0]["links"]
    index = next(i for i, link in enumerate(links) if {link["source"], link["target"]} == {"nli", "rte"})

    click(at, "edge", index)

    healthy(at)
    assert at.query_params["task"] == "nli"  # it was chosen, and stays the first
    assert at.query_params["other"] == "rte"
    assert "Natural language inference – Textual entailment" in texts(at)
    names = list((zoo := workspace.zoo().similarity("lora", "probe")).names)
    values = {metric.label: metric.value for metric in at.metric}
    assert values["Similarity"] == f"{zoo.matrix[names.index('nli'), names.index('rte')]:.3f}"
    assert "**Both ask whether a statement follows from what is given**; by similarity number" in texts(at)
    shown = [example for name in ("nli", "rte") for example in mini_task(name).split("validation")[:2]]
    assert all(markdown(example.text).replace("\n", "  \n") in texts(at) for example in shown)
    assert "It has not been measured yet" in texts(at)
    assert places(at) == before

    click(at, "node", names.index("vqa"))

    assert at.query_params["task"] == "vqa"
    assert "other" not in at.query_params
    assert places(at) == before


def test_arrows_of_measured_transfer_at_the_same_places(measured: Workspace, open_page: OpenPage) -> None:
    similar = healthy(open_page("task_graph"))
    at = healthy(open_page("task_graph", view="Measured transfer", donors_shown="1", shots="None"))

    names = measured.zoo().similarity("lora", "probe").names
    transfer = load_transfer(measured.zoo().transfer_path("lora"), 0, names)
    assert transfer is not None
    best = {names[int(np.nanargmax(row))] + " > " + target for target, row in zip(names, transfer.gains, strict=True)}
    series = option(at)["series"][0]
    assert {f"{link['source']} > {link['target']}" for link in series["links"]} == best
    assert series["edgeSymbol"] == ["none", "arrow"]
    assert places(at) == places(similar)


def test_the_panel_tells_measured_transfer_in_and_out(measured: Workspace, open_page: OpenPage) -> None:
    at = healthy(open_page("task_graph", task="nli"))

    names = measured.zoo().similarity("lora", "probe").names
    gains = load_transfer(measured.zoo().transfer_path("lora"), 16, names).gains  # type: ignore[union-attr]
    tables = {frame.value.columns[0]: frame.value for frame in at.dataframe}
    i = names.index("nli")
    for title, values in (("Its best donors", gains[i]), ("Whom it helps most", gains[:, i])):
        assert tables[title]["Gain"].tolist() == pytest.approx(np.sort(values[np.isfinite(values)])[::-1][:3])
        assert tables[title].iloc[0, 0] == graph_view.titles()[names[int(np.nanargmax(values))]]
    assert f"{int((gains[i] <= -1).sum())} of 19 cost a point or more" in texts(at)

    arrows = [link for link in option(at)["series"][0]["links"] if "symbol" in link]
    assert {link["target"] for link in arrows} == {"nli"}
    assert arrows[0]["source"] == names[int(np.nanargmax(gains[i]))]
    assert "Arrows: what donors did as measured (16 shots)" in texts(at)
    click(at, "edge", len(option(at)["series"][0]["links"]) - 1)
    assert (at.query_params["task"], at.query_params["other"]) == ("nli", arrows[-1]["source"])
    between = [link for link in option(healthy(at))["series"][0]["links"] if "symbol" in link]
    assert {link["source"] for link in between} == {"nli", arrows[-1]["source"]}  # both ways


def test_a_pair_is_told_both_ways(measured: Workspace, open_page: OpenPage) -> None:
    at = healthy(open_page("task_graph", task="nli", other="rte"))

    names = measured.zoo().similarity("lora", "probe").names
    gains = load_transfer(measured.zoo().transfer_path("lora"), 16, names).gains  # type: ignore[union-attr]
    (table,) = [frame.value for frame in at.dataframe if "Donor → target" in frame.value]
    i, j = names.index("nli"), names.index("rte")
    assert table["Gain"].tolist() == pytest.approx([gains[j, i], gains[i, j]])
    assert table["Measured"].str.endswith(" of 19").all()


def test_where_nothing_was_measured_there_are_no_arrows(workspace: Workspace, open_page: OpenPage) -> None:
    at = healthy(open_page("task_graph", view="Measured transfer", task="nli"))

    assert "Nothing measured yet" in texts(at)
    assert "pituning study transfer --kind lora" in texts(at)
    assert "It has not been measured yet whom LoRA experts help" in texts(at)
    assert not at.get("echarts_chart")


def test_a_damaged_table_of_transfer_leaves_the_graph(workspace: Workspace, open_page: OpenPage) -> None:
    write_text(workspace.zoo().new_transfer_path("lora"), "target\nnli\n")

    at = open_page("task_graph", task="nli")

    assert not at.exception
    assert "is damaged" in texts(at)
    assert len(option(at)["series"][0]["data"]) == 20


def test_size_tells_data_or_degree(workspace: Workspace, open_page: OpenPage) -> None:
    data, degree = (option(healthy(open_page("task_graph", size=size))) for size in ("Data", "Degree"))

    by_data = {node["id"]: node["symbolSize"] for node in data["series"][0]["data"]}
    assert by_data["digits"] < by_data["shape"], "1,000 against 3,000 examples, both circles"
    links = degree["series"][0]["links"]
    lines = {task: sum(task in (link["source"], link["target"]) for link in links) for task in by_data}
    circles = {node["id"]: node["symbolSize"] for node in degree["series"][0]["data"] if node["symbol"] == "circle"}
    assert max(circles, key=circles.__getitem__) in {t for t in circles if lines[t] == max(lines[c] for c in circles)}


def test_a_large_zoo_of_which_only_the_most_similar_are_kept(
    workspace: Workspace, open_page: OpenPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = workspace.zoo().similarity("lora", "probe")
    nearest = nearest_by_rows(lambda at: whole.matrix[at], 20, 4)
    few = arranged(nearest, whole.matrix[:8], whole.names, recall=0.97)
    save_nearest(workspace.zoo().new_similarity_path("lora", "probe"), few)
    monkeypatch.setattr(graph_view, "CROWD", 10)

    at = healthy(open_page("task_graph"))
    points = [series for series in option(at)["series"] if series["id"].startswith("tasks ")]
    assert sum(len(series["data"]) for series in points) == 20
    assert "Of each task the 4 most similar are kept" in texts(at)
    assert "97.0 % of the nearest are the right ones" in texts(at)

    i = whole.names.index("nli")
    near, far = (whole.names[int(j)] for j in (few.tasks[i, 0], np.argmin(whole.matrix[i])))
    shown = healthy(open_page("task_graph", task="nli"))
    assert shown.dataframe[0].value["Task"][0] == graph_view.titles()[near]
    healthy(shown.button(key="pin-graph_chart").click().run())
    title = graph_view.titles()
    assert f"{title[near]} is nearest to Natural language inference" in texts(shown)
    pair = healthy(open_page("task_graph", task="nli", other=near))
    assert [one.value for one in pair.metric][:2] == [f"{whole.matrix[i].copy()[few.tasks[i, 0]]:.3f}", "1 of 19"]
    assert "Neither is among the 4 tasks most similar" in texts(healthy(open_page("task_graph", task="nli", other=far)))

    keep_parity(workspace)
    run = done(workspace, "parity")
    at = healthy(open_page("task_graph", task="parity"))
    points = {series["id"]: series["data"] for series in option(at)["series"]}
    assert points["tasks Language"][-1]["symbol"] == RINGED["rect"]
    assert run.id in str([link.proto.query_string for link in at.get("page_link")])
    home = option(healthy(open_page("home")))
    assert "path://" in str([series["data"][-1] for series in home["series"] if series["id"] == "tasks Language"])
