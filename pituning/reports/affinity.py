"""Tables of affinity from elsewhere as graphs: what is known of their tasks, and the slide of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pituning.figures.graph_plot import graph_figure
from pituning.figures.task_graph import ColourBy
from pituning.graph.build import NEIGHBOURS, UNKNOWN_MODALITY, task_graph
from pituning.graph.info import NodeInfo
from pituning.registry import unknown
from pituning.reports.asked import csv_file, listed, minus, named, one_of, task_of
from pituning.reports.drawn import Drawn, Panel, Table
from pituning.reports.reader import Reader
from pituning.tasks.registry import TaskInfo
from pituning.workspace.affinities import Affinity, affinity_csv, affinity_names, load_affinity

MOST_DRAWN = 2000
"""Tasks; to find places for more takes longer than somebody waits."""

LARGEST = 10
"""Values in the table of a slide."""


@dataclass(frozen=True, kw_only=True)
class Outsider:
    """A task that only a table names."""

    name: str
    title: str
    modality: str
    families: tuple[str, ...] = ()
    instruction: str = ""
    labels: tuple[str, ...] | None = None


def infos_of(names: Sequence[str], tasks: Mapping[str, TaskInfo]) -> list[NodeInfo]:
    """What is known of the tasks of a table by their names.

    Args:
        tasks: those of the workspace.
    """
    return [tasks.get(name) or Outsider(name=name, title=name, modality=UNKNOWN_MODALITY) for name in names]


def strongest(whole: Affinity) -> Affinity:
    """The table of the tasks that are drawn: of very many those whose strongest ties are the strongest."""
    if len(whole.names) <= MOST_DRAWN:
        return whole
    mean = whole.mean.copy()
    np.fill_diagonal(mean, np.nan)
    ties = np.nan_to_num(np.nanmax(np.where(np.isnan(mean), -np.inf, mean), axis=1), neginf=-1e300)
    at = sorted(np.argsort(-ties, kind="stable")[:MOST_DRAWN])
    return Affinity(names=tuple(whole.names[i] for i in at), values=whole.values[np.ix_(at, at)])


def similarity_of(shown: Affinity) -> tuple[np.ndarray, np.ndarray]:
    """What the tasks of a table are placed and joined by, (N, N), and of which pairs it is known, (N, N)."""
    mean = shown.mean
    known = np.isfinite(mean) & ~np.eye(len(mean), dtype=bool)
    matrix = np.where(known, mean, mean[known].min())  # what is not known attracts nobody
    np.fill_diagonal(matrix, max(1.0, float(matrix.max())))
    return matrix, known


def draw_affinity(reader: Reader, settings: Mapping[str, Any]) -> Drawn:
    """The graph of a table, with one task or two picked out where they are asked for.

    Raises:
        BadInput: there is no such table, or no such task in it.
        ArtefactError: the table is damaged.
    """
    there = affinity_names(reader.workspace)
    name = settings.get("table", there[0] if there else "")
    if name not in there:
        raise unknown("table", str(name), there)
    whole = load_affinity(reader.workspace, name)
    shown, colour_by = strongest(whole), one_of(settings, "colour", ColourBy)
    infos = infos_of(shown.names, reader.tasks())
    matrix, known = similarity_of(shown)
    k = min(max(int(settings.get("k", NEIGHBOURS)), 1), len(infos) - 1)
    graph = task_graph(matrix, infos, k=k, known=known)
    first, second = (task_of(settings, one, list(shown.names)) for one in ("first", "second"))
    second = None if first is None or second == first else second
    told = _Told(shown, {info.name: named(info.title) for info in infos})
    count, lines = len(infos), graph.number_of_edges()
    every = "" if count == len(whole.names) else f" of all {len(whole.names):,}, those with the strongest ties"
    largest = told.largest(LARGEST)
    return Drawn(
        title=told.headline(first, second),
        sentence=told.sentence(first, second),
        reading=f"{count} tasks of the table {name!r}{every}, each joined to the {k} with the largest values: {lines} "
        f"lines; the thicker, the larger{'' if shown.symmetric else ' the mean of both directions'}.",
        panels=(
            Panel(
                figure=lambda dark: graph_figure(
                    graph, colour_by=colour_by, selected=first, other=second, measure="Value", dark=dark
                ),
                alt=f"Graph of {count} tasks of an imported table and {lines} lines between those with large values",
                stem=f"affinity-{name}",
            ),
        ),
        tables=(
            Table(
                title="The largest values",
                frame=pd.DataFrame(
                    [
                        {"Source": told.titles[a], "Target": told.titles[b], "Value": minus(f"{value:.4g}")}
                        for a, b, value in largest
                    ]
                ),
                stem=f"affinity-{name}-largest",
            ),
        ),
        files=(csv_file(f"affinity-{name}.csv", affinity_csv(whole)),),
    )


@dataclass(frozen=True)
class _Told:
    """A table in words.

    Args:
        titles: of its tasks, by name, as they stand in a sentence.
    """

    table: Affinity
    titles: Mapping[str, str]

    def value(self, source: str, target: str) -> float:
        at = self.table.names.index
        return float(self.table.values[at(target), at(source)])

    def largest(self, most: int, target: str | None = None) -> list[tuple[str, str, float]]:
        """Source, target and value of the largest that are known; of a symmetric table each pair once."""
        values = (self.table.mean if self.table.symmetric else self.table.values).copy()
        np.fill_diagonal(values, np.nan)
        if target is not None:
            values[np.arange(len(values)) != self.table.names.index(target)] = np.nan
        elif self.table.symmetric:
            values[np.tril_indices(len(values))] = np.nan
        order = np.argsort(np.where(np.isnan(values), np.inf, -values), axis=None, kind="stable")[:most]
        pairs = [(int(at // len(values)), int(at % len(values))) for at in order]
        if self.table.symmetric and target is None:
            values, pairs = values.T, [(j, i) for i, j in pairs]  # in the order of the table
        names = self.table.names
        return [(names[j], names[i], float(values[i, j])) for i, j in pairs if np.isfinite(values[i, j])]

    def headline(self, first: str | None, second: str | None) -> str:
        if first is not None and second is not None:
            there, back = self.value(first, second), self.value(second, first)
            a, b = self.titles[first], self.titles[second]
            if self.table.symmetric:
                either = there if np.isfinite(there) else back
                return f"{a} and {b}: {_number(either)}"
            return f"{a} gives {b} {_number(there)} and receives {_number(back)}"
        best = self.largest(1, first)
        if not best:
            return self.titles[first] if first else "Which tasks belong together?"
        a, b, value = self.titles[best[0][0]], self.titles[best[0][1]], _number(best[0][2])
        if self.table.symmetric:
            return f"{a} is nearest to {b}: {value}" if first else f"{a} and {b} belong together most: {value}"
        return f"{b} receives most from {a}: {value}" if first else f"{a} gives most to {b}: {value}"

    def sentence(self, first: str | None, second: str | None) -> str:
        """What comes next."""
        if second is not None:
            return ""
        ways = ("{0} ({2})" if first else "{0} and {1} ({2})" if self.table.symmetric else "{0} to {1} ({2})").format
        best = self.largest(3, first)[1:]
        then = [ways(self.titles[a], self.titles[b], _number(value)) for a, b, value in best]
        return f"Then come {listed(then)}." if then else ""


def _number(value: float) -> str:
    return minus(f"{value:.3g}") if np.isfinite(value) else "what is not known"
