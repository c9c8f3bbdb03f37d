from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from app.components import map_view
from pituning.graph.projection import Projection, TaskMap, save_projection
from pituning.graph.settings import MapSettings
from pituning.runs.configs import ProjectRun
from pituning.runs.queue import RunQueue
from pituning.workspace.layout import Workspace
from pituning.workspace.similarity import similarity_digest
from pituning.workspace.stories import load_story, story_names
from tests.app.conftest import OpenPage, healthy, texts
from tests.app.test_task_graph import option


def keep_map(
    workspace: Workspace,
    *,
    methods: tuple[str, ...] = ("umap", "mds", "pca"),
    digest: str = "",
    settings: MapSettings = MapSettings(),
) -> Projection:
    """A map as a run would have made it, without the wait."""
    names = workspace.zoo().similarity("lora", "probe").names
    generator = np.random.default_rng(0)
    details: dict[str, dict[str, Any]] = {"mds": {"stress": 0.31}, "pca": {"variance": [0.4, 0.2]}}
    made = Projection(
        kind="lora", predictor="probe", settings=settings, names=names, layers=("encoder.0", "decoder.1"),
        similarity=digest or similarity_digest(workspace.zoo().similarity_path("lora", "probe")), neighbours=5,
        maps={
            name: TaskMap(
                points=generator.normal(size=(20, 2)), trustworthiness=0.9, detail=details.get(name, {}),
                resampled=generator.normal(size=(3, 20, 2)), layers=generator.normal(size=(2, 20, 2)),
            )
            for name in methods
        },
    )  # fmt: skip
    save_projection(workspace.zoo(), made)
    return made


def figures(at: Any) -> list[dict[str, Any]]:
    return [json.loads(chart.proto.spec) for chart in at.get("plotly_chart")]


def trace(figure: dict[str, Any], name: str) -> dict[str, Any]:
    return next(each for each in figure["data"] if each.get("name") == name)


def test_three_maps_with_how_far_to_trust_them(workspace: Workspace, open_page: OpenPage) -> None:
    keep_map(workspace)

    at = healthy(open_page("task_map"))

    assert len(figures(at)) == 3
    assert len(trace(figures(at)[0], "tasks")["customdata"]) == 20
    page_text = texts(at)
    for words in ("**UMAP** :gray[· trustworthiness 0.90]", "Stress 0.31", "They hold 60 % of the variance"):
        assert words in page_text


@pytest.mark.parametrize("colour", ["Family", "Metric", "Community"])
def test_colours_clouds_and_which_map_is_large(colour: str, workspace: Workspace, open_page: OpenPage) -> None:
    keep_map(workspace)

    at = healthy(open_page("task_map", colour=colour, around="Layers", large="PCA", tasks="nli,rte"))

    large = figures(at)[0]
    assert large["layout"]["xaxis"]["title"]["text"] == "First axis (40 % of the variance)"
    assert len(trace(large, "cloud")["x"]) == 40
    assert sorted(set(trace(large, "tasks")["marker"]["opacity"])) == [0.22, 1]

    at = healthy(open_page("task_map", colour=colour, large="Task graph"))
    drawn = trace(figures(at)[0], "tasks")
    nodes = option(healthy(open_page("task_graph")))["series"][0]["data"]
    places = {node["id"]: node["value"] for node in nodes}
    assert dict(zip(drawn["customdata"], zip(drawn["x"], drawn["y"], strict=True), strict=True)) == {
        name: (x, -y) for name, (x, y) in places.items()
    }
    assert len(figures(at)) == 4
    queries = [link.proto.query_string for link in at.get("page_link")]
    assert all("tasks=nli%2Crte" in query or "tasks=nli,rte" in query for query in queries)


def test_a_map_with_settings_of_its_own_can_be_pinned(workspace: Workspace, open_page: OpenPage) -> None:
    keep_map(workspace, settings=MapSettings(n_neighbors=9, min_dist=0.1))
    at = healthy(open_page("task_map", n_neighbors="9", min_dist="0.1"))
    healthy(at.button(key="pin-map_umap").click().run())
    assert "lie side by side**" in texts(at)
    (name,) = story_names(workspace)
    (slide,) = load_story(workspace, name).slides
    assert slide.settings == {"kind": "lora", "predictor": "probe", "method": "umap", "n_neighbors": 9, "min_dist": 0.1}


def test_a_lasso_picks_tasks_out_and_an_empty_one_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[list[str]] = []
    monkeypatch.setattr(map_view, "choose_tasks", chosen.append)
    map_view._lassoed([{"customdata": "nli"}, {"x": 1.0}, {"customdata": "rte"}, {"customdata": "nli"}])
    map_view._lassoed([{"x": 1.0}])
    assert chosen == [["nli", "rte"]]


def test_a_map_that_is_missing_is_computed_by_a_run(
    workspace: Workspace, woken: list[Workspace], open_page: OpenPage
) -> None:
    at = healthy(open_page("task_map", n_neighbors="7", seed="2"))
    assert "Not computed yet" in texts(at)
    assert figures(at) == []

    at.button(key="map_compute").click().run()

    (run,) = RunQueue(workspace).list()
    assert run.kind == "project"
    assert run.spec.settings() == ProjectRun(n_neighbors=7, seed=2)
    assert run.spec.command().startswith("pituning graph project --n-neighbors 7 --seed 2")
    assert len(woken) >= 1
    assert "The map is being computed" in texts(healthy(at))
    healthy(open_page("runs", run=run.id))


def test_a_map_of_older_similarities_is_shown_as_such(workspace: Workspace, open_page: OpenPage) -> None:
    keep_map(workspace, digest="of another time")

    at = healthy(open_page("task_map"))

    assert "out of date" in texts(at)
    assert len(figures(at)) == 3
    assert at.button(key="map_compute") is not None


def test_without_umap_the_page_says_why(workspace: Workspace, open_page: OpenPage) -> None:
    keep_map(workspace, methods=("mds", "pca"))

    at = healthy(open_page("task_map", large="UMAP"))

    assert "UMAP says nothing about" in texts(at)
    assert len(figures(at)) == 2


def test_a_damaged_map_is_told_and_can_be_made_again(workspace: Workspace, open_page: OpenPage) -> None:
    keep_map(workspace)
    (path,) = (path for path in workspace.zoo().projection_files("lora"))
    path.write_text(path.read_text()[:-50])

    at = open_page("task_map")

    assert not at.exception
    assert [alert.proto.title for alert in at.error] == ["The map that is kept cannot be shown"]
    assert at.button(key="map_compute") is not None


def test_a_failed_run_is_told_beside_the_button(workspace: Workspace, open_page: OpenPage) -> None:
    at = open_page("task_map", seed="4")
    at.button(key="map_compute").click().run()
    queue = RunQueue(workspace)
    claimed = queue.claim("test-owner")
    assert claimed is not None
    queue.finish(claimed.claim, "failed", error="the disk was full")

    at = open_page("task_map", seed="4")

    assert "the disk was full" in texts(at)
    assert not at.exception
