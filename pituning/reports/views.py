"""Draws the views of the zoo and of measured transfer; those of a run are in `pituning.reports.results`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, get_args

import numpy as np
import pandas as pd

from pituning.errors import ArtefactError
from pituning.figures.graph_plot import graph_figure
from pituning.figures.palette import MODALITIES, in_order, modality_style
from pituning.figures.projection import map_figure
from pituning.figures.similarity import neighbor_bars, similarity_heatmap
from pituning.figures.task_graph import ColourBy
from pituning.figures.transfer import predicted_against_measured, transfer_heatmap
from pituning.figures.words import KINDS, MAPS, PREDICTORS, SCALES, label
from pituning.graph.build import NEIGHBOURS
from pituning.graph.export import export_bytes, matrix_csv
from pituning.graph.matrix import Order, Scale, on_scale, order_tasks
from pituning.graph.predict import neighbors
from pituning.graph.projection import MAP_METHODS, find_projection, load_projection
from pituning.graph.ranking import grade_targets, interval
from pituning.graph.settings import MapSettings
from pituning.registry import unknown
from pituning.reports.drawn import Drawn, File, Panel, Table
from pituning.reports.reader import Reader, Zoo
from pituning.reports.results import draw_result
from pituning.reports.study import draw_study
from pituning.tasks.guessing import document
from pituning.workspace.stories import Slide
from pituning.workspace.transfer import Transfer

MOST_IN_MATRIX = 400
"""Tasks; more cells than those of so many are a burden for a browser, and nobody can read them."""

MOST_NEIGHBOURS = 12
GRAPH_FILES = {
    "graphml": ("GraphML", "application/graphml+xml"),
    "gexf": ("GEXF", "application/gexf+xml"),
    "json": ("JSON", "application/json"),
    "csv": ("CSV", "text/csv"),
}
GRADES = {"spearman": "Spearman", "ndcg": "NDCG", "regret1": "Regret@1", "regret3": "Regret@3"}


def draw(reader: Reader, slide: Slide) -> Drawn:
    """What a slide shows now.

    Raises:
        PiTuningError: something that it shows is not there or is damaged.
    """
    return _VIEWS[slide.view](reader, slide.settings)


def source_title(zoo: Zoo) -> str:
    """Which similarities these are, for people."""
    return f"{label(KINDS, zoo.kind)} experts, {label(PREDICTORS, zoo.predictor).lower()}"


def _zoo(reader: Reader, settings: Mapping[str, Any]) -> Zoo:
    return reader.zoo(settings.get("kind"), settings.get("predictor"))


def _one_of(settings: Mapping[str, Any], name: str, choices: Any) -> Any:
    known = get_args(choices)
    value = settings.get(name, known[0])
    if value not in known:
        raise unknown(name, value, list(known))
    return value


def _words(reader: Reader, settings: Mapping[str, Any]) -> Drawn:
    return Drawn(title="")


def _graph(reader: Reader, settings: Mapping[str, Any]) -> Drawn:
    zoo = _zoo(reader, settings)
    k = min(max(int(settings.get("k", NEIGHBOURS)), 1), max(len(zoo.names) - 1, 1))
    graph = reader.graph(zoo, k)
    task, colour_by = settings.get("task"), _one_of(settings, "colour", ColourBy)
    if task is not None and task not in graph:
        raise unknown("task", task, zoo.names)
    across = sum(data["inter_modal"] for *_, data in graph.edges(data=True))
    stem = f"task-graph-{zoo.kind}-{zoo.predictor}"
    near = "its nearest" if k == 1 else f"its {k} nearest"
    return Drawn(
        title="Which tasks are alike?",
        reading=f"{len(graph)} tasks, each joined to {near}: {graph.number_of_edges()} lines, {across} of them across "
        f"modalities; the thicker, the more similar. {source_title(zoo)}.",
        panels=(
            Panel(
                figure=lambda dark: graph_figure(graph, colour_by=colour_by, selected=task, dark=dark),
                alt=f"Graph of {len(graph)} tasks and {graph.number_of_edges()} lines between similar ones",
                stem=stem,
                grows=True,
            ),
        ),
        files=tuple(
            File(label=title, name=f"{stem}.{suffix}", mime=mime, data=export_bytes(graph, suffix))
            for suffix, (title, mime) in GRAPH_FILES.items()
        ),
    )


def _similarity(reader: Reader, settings: Mapping[str, Any]) -> Drawn:
    zoo, order, scale = _zoo(reader, settings), _one_of(settings, "order", Order), _one_of(settings, "scale", Scale)
    everything = len(zoo.names)
    zoo = zoo.only(zoo.names[:MOST_IN_MATRIX])
    zoo = zoo.only([zoo.names[i] for i in order_tasks(zoo.matrix, zoo.infos, order)])
    shown = f"The first {MOST_IN_MATRIX} of {everything}" if everything > MOST_IN_MATRIX else f"{everything}"
    along = "" if scale == "raw" else " Read it along rows."
    stem = f"similarity-{zoo.kind}-{zoo.predictor}-{scale}"
    return Drawn(
        title="How alike are any two tasks?",
        reading=f"{shown} tasks. {SCALES[scale].help}{along} {source_title(zoo)}.",
        panels=(
            Panel(
                figure=lambda dark: similarity_heatmap(zoo.matrix, zoo.infos, scale=scale, dark=dark),
                alt=f"Heat map of the similarities of {len(zoo.names)} tasks, {SCALES[scale].label.lower()}",
                stem=stem,
                grows=True,
            ),
        ),
        files=(_csv_file(f"{stem}.csv", matrix_csv(zoo.names, on_scale(zoo.matrix, scale))),),
    )


def _map(reader: Reader, settings: Mapping[str, Any]) -> Drawn:
    zoo, method = _zoo(reader, settings), settings.get("method", MAP_METHODS[0])
    if method not in MAP_METHODS:
        raise unknown("method", str(method), list(MAP_METHODS))
    kept_map = find_projection(reader.kept, zoo.kind, zoo.predictor, MapSettings())
    projection = load_projection(kept_map.path) if kept_map is not None else None
    if kept_map is None or projection is None or method not in projection.maps:
        raise ArtefactError(
            f"no {MAPS[method].label} map of {source_title(zoo)} has been computed yet; compute it on the page Map"
        )
    made, known = projection.maps[method], reader.tasks()
    at = [i for i, name in enumerate(projection.names) if name in known]
    infos = [known[projection.names[i]] for i in at]
    points, groups = made.points[at], [modality_style(info.modality).label for info in infos]
    axes = ("First component", "Second component") if method == "pca" else ("", "")
    trust = "" if made.trustworthiness is None else f" Trustworthiness {made.trustworthiness:.2f}, 1 is best."
    older = "" if kept_map.current else " The similarities have changed since; compute the map again."
    stem = f"map-{method}-{zoo.kind}-{zoo.predictor}"
    frame = pd.DataFrame({"task": [info.name for info in infos], "x": points[:, 0], "y": points[:, 1]})
    return Drawn(
        title="Where do the tasks lie?",
        reading=f"{MAPS[method].label}: {MAPS[method].help[:1].lower()}{MAPS[method].help[1:]}{trust}{older} "
        f"{source_title(zoo)}.",
        panels=(
            Panel(
                figure=lambda dark: map_figure(points, infos, groups, axes=axes, dark=dark),
                alt=f"Map of {len(infos)} tasks by {MAPS[method].label}; near points are tasks that are alike",
                stem=stem,
                grows=True,
            ),
        ),
        files=(_csv_file(f"{stem}.csv", frame.to_csv(index=False).encode()),),
    )


def _neighbours(reader: Reader, settings: Mapping[str, Any]) -> Drawn:
    zoo = _zoo(reader, settings)
    task = settings.get("task", zoo.names[0])
    if task not in zoo.names:
        raise unknown("task", task, zoo.names)
    most = min(MOST_NEIGHBOURS, len(zoo.names) - 1)
    near = neighbors(
        zoo.matrix, zoo.names, task, min(max(int(settings.get("k", 5)), 1), most), replicates=zoo.replicates
    )
    titles, modalities = zoo.titles, {info.name: str(info.modality) for info in zoo.infos}
    frame = pd.DataFrame(
        {
            "Task": [f"{modality_style(modalities[item.task]).glyph} {titles[item.task]}" for item in near],
            "Similarity": [f"{item.similarity:.3f}".replace("-", "−") for item in near],
            "Stable rank": ["–" if item.confidence is None else f"{item.confidence:.0%}" for item in near],
        }
    )
    signs = ", ".join(f"{style.glyph} {style.label.lower()}" for style in map(modality_style, in_order(MODALITIES)))
    stem = f"neighbours-{task}-{zoo.kind}-{zoo.predictor}"
    return Drawn(
        title=f"Nearest to {titles[task]}",
        reading=f"{signs}. Stable rank: in how many resamplings of the examples a task is among the {len(near)} "
        f"nearest. {source_title(zoo)}.",
        panels=(
            Panel(
                figure=lambda dark: neighbor_bars(near, titles=titles, modalities=modalities),
                alt=f"Bars of the similarity of the {len(near)} tasks nearest to {titles[task]}, with intervals",
                stem=stem,
            ),
        ),
        tables=(Table(title="Nearest tasks", frame=frame, stem=stem),),
    )


def _measured(reader: Reader, settings: Mapping[str, Any]) -> tuple[Zoo, Transfer]:
    """Similarities and gains of the same tasks, grouped by family."""
    zoo = _zoo(reader, settings)
    counts = reader.transfer_shots(zoo.kind)
    if not counts:
        raise ArtefactError(
            f"no transfer has been measured for {zoo.kind} experts; measure it: pituning study transfer "
            f"--kind {zoo.kind}"
        )
    shots = settings.get("shots", counts[-1])
    zoo = zoo.only([zoo.names[i] for i in order_tasks(zoo.matrix, zoo.infos, "family")])
    transfer = reader.transfer(zoo.kind, shots, tuple(zoo.names)) if shots in counts else None
    if transfer is None:
        known = ", ".join(map(str, counts))
        raise ArtefactError(f"no transfer has been measured at {shots} shots for {zoo.kind} experts; choose {known}")
    return zoo, transfer


def _against(transfer: Transfer) -> str:
    base = "the backbone alone" if transfer.shots == 0 else f"a new expert on the same {transfer.shots} shots per class"
    return f"Points above {base}; {transfer.seeds} seed{'s' if transfer.seeds > 1 else ''}."


def _transfer(reader: Reader, settings: Mapping[str, Any]) -> Drawn:
    zoo, transfer = _measured(reader, settings)
    gains = transfer.gains
    known = gains[np.isfinite(gains)]
    stem = f"transfer-{zoo.kind}-{transfer.shots}-shots"
    return Drawn(
        title="Whose experts helped whom?",
        reading=f"A row is a target, a column the donor whose expert it started from. {_against(transfer)} "
        f"{(known > 1).mean():.0%} of {known.size} pairs gain more than a point, {(known < -1).mean():.0%} lose more "
        f"than one. {label(KINDS, zoo.kind)} experts.",
        panels=(
            Panel(
                figure=lambda dark: transfer_heatmap(gains, zoo.infos, dark=dark),
                alt=f"Heat map of what {len(zoo.names)} donors do for each of as many targets, in points",
                stem=stem,
                grows=True,
            ),
        ),
        files=(_csv_file(f"{stem}.csv", _pairs_csv(reader, zoo, transfer)),),
    )


def _prediction(reader: Reader, settings: Mapping[str, Any]) -> Drawn:
    zoo, transfer = _measured(reader, settings)
    target = settings.get("task")
    if target is not None and target not in zoo.names:
        raise unknown("task", target, zoo.names)
    graded = {name: interval(values) for name, values in grade_targets(zoo.matrix, transfer.gains).items()}
    rows = []
    for name, title in GRADES.items():
        got, digits = graded[name], 1 if name.startswith("regret") else 2
        mean, low, high = (f"{value:.{digits}f}".replace("-", "−") for value in (got.mean, got.low, got.high))
        rows.append({"Measure": title, "Mean": mean, "95 % interval": f"{low} to {high}"})
    stem = f"predicted-{zoo.kind}-{zoo.predictor}-{transfer.shots}-shots"
    return Drawn(
        title="Did the similarity predict it?",
        reading=f"Each point is a pair of target and donor. {_against(transfer)} Measures are means over targets with "
        f"bootstrap intervals; Regret@k counts points lost by following the prediction. {source_title(zoo)}.",
        panels=(
            Panel(
                figure=lambda dark: predicted_against_measured(
                    zoo.matrix, transfer.gains, zoo.infos, target=target, dark=dark
                ),
                alt="Scatter of similarity against measured gain, a point for each target and donor",
                stem=stem,
                grows=True,
            ),
        ),
        tables=(Table(title="How well it predicted", frame=pd.DataFrame(rows), stem=f"{stem}-measures"),),
        files=(_csv_file(f"{stem}.csv", _pairs_csv(reader, zoo, transfer), label="Pairs as CSV"),),
    )


def _pairs_csv(reader: Reader, zoo: Zoo, transfer: Transfer) -> bytes:
    gains, names = transfer.gains, zoo.names
    guesses = reader.guesses(names)
    guessed = {name: tuple(document(guesses.get(name)).values()) for name in names}
    rows = [
        (
            names[i],
            names[j],
            transfer.alone[i],
            transfer.scores[i, j],
            gains[i, j],
            zoo.matrix[i, j],
            *guessed[names[i]],
        )
        for i, j in zip(*np.nonzero(np.isfinite(gains)), strict=True)
    ]
    columns = ["target", "donor", "alone", "score", "gain", "similarity", "at_random", "largest_class"]
    return pd.DataFrame(rows, columns=columns).round(4).to_csv(index=False).encode()


def _csv_file(name: str, data: bytes, *, label: str = "CSV") -> File:
    return File(label=label, name=name, mime="text/csv", data=data)


_VIEWS: Mapping[str, Callable[[Reader, Mapping[str, Any]], Drawn]] = {
    "words": _words,
    "graph": _graph,
    "similarity": _similarity,
    "map": _map,
    "neighbours": _neighbours,
    "transfer": _transfer,
    "prediction": _prediction,
    "study": draw_study,
    "result": draw_result,
}
