"""Draws the task graph of a slide: all of it, or step by step what is known of one task or of two."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import networkx as nx
import pandas as pd
import plotly.graph_objects as go

from pituning.errors import PiTuningError
from pituning.figures.graph_plot import graph_figure
from pituning.figures.task_graph import ColourBy
from pituning.graph.build import NEIGHBOURS
from pituning.graph.directed import BEST
from pituning.graph.ego import Arrow, arrows_into
from pituning.graph.export import export_bytes
from pituning.graph.harm import HARM, points, signed
from pituning.graph.newcomers import joined
from pituning.graph.predict import Neighbor, neighbors
from pituning.reports.asked import listed, minus, named, one_of, source_title, task_of
from pituning.reports.crowd import NAMED, Steps, draw_crowd
from pituning.reports.drawn import Drawn, File, Panel, Step, Table
from pituning.reports.headline import verdict_line
from pituning.reports.own_tasks import OwnTask, own_tasks
from pituning.reports.pair import Effect, pair_sentence
from pituning.reports.reader import NearestZoo, Reader, Zoo
from pituning.reports.results import judged
from pituning.reports.usable import Judgement
from pituning.tasks.base import Task
from pituning.tasks.registry import load_task
from pituning.text import shorten

GRAPH_FILES = {
    "graphml": ("GraphML", "application/graphml+xml"),
    "gexf": ("GEXF", "application/gexf+xml"),
    "json": ("JSON", "application/json"),
    "csv": ("CSV", "text/csv"),
}
EXAMPLES = 2
"""Of each of two tasks, among the details."""

MOST_EXAMPLE = 200


@dataclass(frozen=True, kw_only=True)
class _Around:
    """What is known around the chosen tasks.

    Args:
        near: those nearest to the task.
        arrows: what was measured, over the lines.
        own: the task, where it is the user's own.
    """

    zoo: Zoo
    graph: nx.Graph
    task: str
    other: str | None
    near: Sequence[Neighbor]
    arrows: Sequence[Arrow]
    own: OwnTask | None

    def title(self, name: str) -> str:
        return named(str(self.graph.nodes[name]["title"]))


def draw_graph(reader: Reader, settings: Mapping[str, Any]) -> Drawn:
    """The graph, with one task or two picked out where they are asked for."""
    zoo = reader.kept_zoo(settings.get("kind"), settings.get("predictor"))
    if isinstance(zoo, NearestZoo):
        return draw_crowd(reader, zoo, settings)
    k = min(max(int(settings.get("k", NEIGHBOURS)), 1), max(len(zoo.names) - 1, 1))
    own: list[OwnTask] = []
    with suppress(PiTuningError):  # the graph can be told without the runs
        own = own_tasks(reader, zoo.kind, zoo.names)
    graph = joined(reader.graph(zoo, k), own) if own else reader.graph(zoo, k)
    colour_by, steps = one_of(settings, "colour", ColourBy), one_of(settings, "steps", Steps)
    task, other = (task_of(settings, name, list(graph)) for name in ("task", "other"))
    across = sum(data["inter_modal"] for *_, data in graph.edges(data=True))
    stem = f"task-graph-{zoo.kind}-{zoo.predictor}"
    near = "its nearest" if k == 1 else f"its {k} nearest"
    whole = (
        f"{len(graph)} tasks, {graph.number_of_edges()} lines between similar ones, {across} of them across modalities"
    )

    def figure(**options: Any) -> Callable[[bool], go.Figure]:
        return lambda dark: graph_figure(graph, colour_by=colour_by, dark=dark, **options)

    common: dict[str, Any] = {
        "reading": f"{len(graph)} tasks, each joined to {near}: {graph.number_of_edges()} lines, {across} of them "
        f"across modalities; the thicker, the more similar. {source_title(zoo)}.",
        "files": tuple(
            File(label=title, name=f"{stem}.{suffix}", mime=mime, data=export_bytes(graph, suffix))
            for suffix, (title, mime) in GRAPH_FILES.items()
        ),
    }
    alt = f"Graph of {len(graph)} tasks and {graph.number_of_edges()} lines between similar ones"
    if task is None or task == other:
        return Drawn(
            title=_bridge(zoo), sentence=f"{whole}.", panels=(Panel(figure=figure(), alt=alt, stem=stem),), **common
        )
    around = _around(reader, zoo, graph, task, other, own)
    last = figure(selected=task, other=other, arrows=around.arrows)
    told = [
        Step(name="All tasks", figure=figure(), sentence=f"{whole}."),
        Step(name="Its relatives", figure=figure(selected=task, other=other), sentence=_relatives(around)),
    ]
    if around.arrows:
        told.append(Step(name="Measured", figure=last, sentence=_measured(around)))
    elif around.own is not None and around.own.expected.gains:
        told.append(Step(name="Expected", figure=last, sentence=_expected(around, around.own)))
    verdict, line = _verdict(reader, task) if other is None else (None, "")
    if line:
        told.append(Step(name="Verdict", figure=last, sentence=f"{line}."))
    tables: tuple[Table, ...] = ()
    if other is not None:
        first, second = (load_task(name, reader.workspace) for name in (task, other))
        told[-1] = Step(name=told[-1].name, figure=last, sentence=_pair(around, first, second))
        tables = (_examples(first, second),)
    return Drawn(
        title=_headline(around),
        sentence=told[-1].sentence,
        panels=(Panel(figure=last, alt=f"{alt}; {around.title(task)} is picked out", stem=f"{stem}-{task}"),),
        steps=tuple(told) if steps == "yes" else (),
        verdict=verdict,
        tables=tables,
        **common,
    )


def _bridge(zoo: Zoo) -> str:
    """The most similar pair across modalities, else the most similar one."""
    n = len(zoo.infos)
    pairs = [(i, j) for i in range(n) for j in range(i + 1, n)]
    across = [(i, j) for i, j in pairs if zoo.infos[i].modality != zoo.infos[j].modality]
    if not pairs:
        return "Which tasks are alike?"
    i, j = max(across or pairs, key=lambda pair: zoo.matrix[pair])
    how = "nearest across modalities" if across else "nearest"
    a, b = (named(zoo.infos[at].title) for at in (i, j))
    return f"{a} and {b} are {how}: {minus(f'{zoo.matrix[i, j]:.2f}')}"


def _around(reader: Reader, zoo: Zoo, graph: nx.Graph, task: str, other: str | None, own: Sequence[OwnTask]) -> _Around:
    mine = next((one for one in own if one.info.name == task), None)
    if mine is not None:
        near = [one for one in mine.near if one.task in graph]
    else:
        near = list(neighbors(zoo.matrix, zoo.names, task, len(zoo.names) - 1)) if task in zoo.names else []
    arrows: list[Arrow] = []
    with suppress(PiTuningError):  # the graph can be told without a table that is damaged
        arrows = _arrows(reader, zoo, graph, task, other)
    return _Around(zoo=zoo, graph=graph, task=task, other=other, near=near, arrows=arrows, own=mine)


def _arrows(reader: Reader, zoo: Zoo, graph: nx.Graph, task: str, other: str | None) -> list[Arrow]:
    counts = reader.transfer_shots(zoo.kind)
    transfer = reader.transfer(zoo.kind, counts[-1], tuple(zoo.names)) if counts else None
    if transfer is None:
        return []
    wanted = {task: set(graph.adj[task])} if other is None else {task: {other}, other: {task}}
    arrows: list[Arrow] = []
    for target, near in wanted.items():
        if target in transfer.names:
            row = transfer.gains[transfer.names.index(target)]
            gains = {name: float(gain) for name, gain in zip(transfer.names, row, strict=True)}
            halves = reader.gain_intervals(zoo.kind, counts[-1], target)
            arrows += arrows_into(target, gains, near, halves, best=BEST if other is None else 0)
    return arrows


def _headline(around: _Around) -> str:
    if around.other is not None:
        told = max(around.arrows, key=lambda arrow: abs(arrow.gain), default=None)
        a, b = around.title(around.task), around.title(around.other)
        if told is not None:
            donor, target = around.title(told.donor), around.title(told.target)
            did = "helps" if told.gain >= HARM else "harms" if told.gain <= -HARM else "hardly changes"
            return f"{donor} {did} {target}: {points(told.gain)}"
        value = next((one.similarity for one in around.near if one.task == around.other), None)
        return f"{a} and {b}" if value is None else f"{a} and {b}: similarity {minus(f'{value:.2f}')}"
    if not around.near:
        return around.title(around.task)
    first = around.near[0]
    return f"{around.title(first.task)} is nearest to {around.title(around.task)}: {minus(f'{first.similarity:.2f}')}"


def _relatives(around: _Around) -> str:
    near = [f"{around.title(one.task)} ({minus(f'{one.similarity:.2f}')})" for one in around.near[:NAMED]]
    return f"Nearest to {around.title(around.task)}: {listed(near)}." if near else ""


def _measured(around: _Around) -> str:
    largest = sorted(around.arrows, key=lambda arrow: -abs(arrow.gain))[:NAMED]
    told = [f"{around.title(arrow.donor)} {signed(arrow.gain)}" for arrow in sorted(largest, key=lambda one: -one.gain)]
    return f"Measured on {around.title(around.task)}, in points: {listed(told)}; blue helps, orange harms."


def _expected(around: _Around, own: OwnTask) -> str:
    gains = {name: one.gain for name, one in own.expected.gains.items() if name in around.graph}
    best = sorted(gains, key=lambda name: -gains[name])[:NAMED]
    told = [f"{around.title(name)} {signed(gains[name])}" for name in best]
    return f"Expected of its donors, in points: {listed(told)}; nothing of that is measured yet."


def _verdict(reader: Reader, task: str) -> tuple[Judgement | None, str]:
    """Of the newest run on the task that has a result."""
    for run in reader.finished_runs():
        if run.spec.subject == task:
            with suppress(PiTuningError):
                result, judgement = judged(reader, run)
                return judgement, verdict_line(result, judgement)
    return None, ""


def _pair(around: _Around, first: Task, second: Task) -> str:
    """What the two share and what was measured."""
    measured = {(arrow.donor, arrow.target): arrow for arrow in around.arrows}
    effects = []
    for donor, target in ((second, first), (first, second)):
        arrow = measured.get((donor.name, target.name))
        if arrow is not None:
            effects.append(Effect(target=target.title, gain=arrow.gain, half=arrow.half))
    return pair_sentence(first, second, effects)


def _examples(first: Task, second: Task) -> Table:
    """A few examples of each."""
    rows = [
        {"Task": task.title, "Example": shorten(example.text, MOST_EXAMPLE) or "a picture", "Answer": example.answer}
        for task in (first, second)
        for example in task.split("train")[:EXAMPLES]
    ]
    return Table(title="Examples", frame=pd.DataFrame(rows), stem=f"examples-{first.name}-{second.name}")
