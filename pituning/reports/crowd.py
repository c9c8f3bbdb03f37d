"""The graph of a slide where tasks are so many that not all pairs are kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Literal

import networkx as nx
import plotly.graph_objects as go

from pituning.errors import PiTuningError
from pituning.figures.graph_plot import graph_figure
from pituning.figures.task_graph import ColourBy
from pituning.graph.build import NEIGHBOURS
from pituning.graph.export import export_bytes
from pituning.graph.newcomers import joined
from pituning.graph.predict import Neighbor
from pituning.graph.sparse import sparse_graph, sparse_neighbors
from pituning.reports.asked import csv_file, listed, minus, named, one_of, source_title, task_of
from pituning.reports.drawn import Drawn, Panel, Step
from pituning.reports.own_tasks import OwnTask, own_tasks
from pituning.reports.reader import NearestZoo, Reader

Steps = Literal["yes", "no"]
NAMED = 3
"""Tasks that a sentence names."""


def draw_crowd(reader: Reader, zoo: NearestZoo, settings: Mapping[str, Any]) -> Drawn:
    """The graph, with one task or two picked out where they are asked for."""
    kept = zoo.kept
    k = min(max(int(settings.get("k", NEIGHBOURS)), 1), kept.tasks.shape[1])
    own: list[OwnTask] = []
    with suppress(PiTuningError):  # the graph can be told without the runs
        own = own_tasks(reader, zoo.kind, zoo.names)
    graph = sparse_graph(kept, zoo.infos, k=k)
    graph = joined(graph, own) if own else graph
    colour_by = one_of(settings, "colour", ColourBy)
    task, other = (task_of(settings, name, list(graph)) for name in ("task", "other"))
    other = None if task is None or other == task else other
    count, lines = graph.number_of_nodes(), graph.number_of_edges()
    across = sum(data["inter_modal"] for *_, data in graph.edges(data=True))
    whole = f"{count:,} tasks, {lines:,} lines between similar ones, {across:,} of them across modalities."
    stem = f"task-graph-{zoo.kind}-{zoo.predictor}"

    def figure(**options: Any) -> Callable[[bool], go.Figure]:
        return lambda dark: graph_figure(graph, colour_by=colour_by, dark=dark, **options)

    last = figure(selected=task, other=other)
    near = [] if task is None else _near(zoo, own, task)
    title, sentence = _nearest_pair(graph), whole
    steps: tuple[Step, ...] = ()
    if task is not None:
        titles = {name: named(str(data["title"])) for name, data in graph.nodes(data=True)}
        title = _of_task(graph, titles, near, task, other)
        told = [f"{titles[one.task]} ({minus(f'{one.similarity:.2f}')})" for one in near[:NAMED]]
        sentence = f"Nearest to {titles[task]}: {listed(told)}." if told else ""
        steps = (
            Step(name="All tasks", figure=figure(), sentence=whole),
            Step(name="Its relatives", figure=last, sentence=sentence),
        )
    return Drawn(
        title=title,
        sentence=sentence,
        reading=f"{whole} Each is joined to its {k} most similar; of each task the {kept.tasks.shape[1]} most similar "
        f"are kept, not all pairs. {source_title(zoo)}.",
        panels=(
            Panel(figure=last, alt=f"Graph of {count:,} tasks and {lines:,} lines between similar ones", stem=stem),
        ),
        steps=steps if one_of(settings, "steps", Steps) == "yes" else (),
        files=(csv_file(f"{stem}.csv", export_bytes(graph, "csv")),),
    )


def _near(zoo: NearestZoo, own: Sequence[OwnTask], task: str) -> Sequence[Neighbor]:
    """The tasks nearest to one, the nearest first."""
    mine = next((one for one in own if one.info.name == task), None)
    if mine is not None:
        return [one for one in mine.near if one.task in zoo.titles]
    return sparse_neighbors(zoo.kept, task, zoo.kept.tasks.shape[1])


def _nearest_pair(graph: nx.Graph) -> str:
    """The most similar pair across modalities that is drawn, else the most similar one."""
    pairs = [(a, b, data) for a, b, data in graph.edges(data=True) if not data.get("predicted")]
    across = [pair for pair in pairs if pair[2]["inter_modal"]]
    if not pairs:
        return "Which tasks are alike?"
    a, b, data = max(across or pairs, key=lambda pair: pair[2]["similarity"])
    first, second = (named(str(graph.nodes[task]["title"])) for task in (a, b))
    how = "nearest across modalities" if across else "nearest"
    return f"{first} and {second} are {how}: {minus(format(data['similarity'], '.2f'))}"


def _of_task(graph: nx.Graph, titles: Mapping[str, str], near: Sequence[Neighbor], task: str, other: str | None) -> str:
    if other is not None:
        value = next((one.similarity for one in near if one.task == other), None)
        if value is None and graph.has_edge(task, other):
            value = graph.edges[task, other]["similarity"]
        if value is None:
            return f"Neither of {titles[task]} and {titles[other]} is among the nearest of the other"
        return f"{titles[task]} and {titles[other]}: similarity {minus(f'{value:.2f}')}"
    if not near:
        return titles[task]
    return f"{titles[near[0].task]} is nearest to {titles[task]}: {minus(f'{near[0].similarity:.2f}')}"
