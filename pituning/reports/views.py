"""Draws slides: those of similarities and maps here, others where the record of their view says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from pituning.errors import ArtefactError, BadInput
from pituning.figures.palette import MODALITIES, in_order, modality_style
from pituning.figures.projection import map_figure
from pituning.figures.similarity import neighbor_bars, part_bars, part_label, similarity_heatmap
from pituning.figures.words import MAPS, SCALES
from pituning.graph.export import matrix_csv
from pituning.graph.matrix import Order, Scale, on_scale, order_tasks
from pituning.graph.predict import neighbors
from pituning.graph.projection import MAP_METHODS, find_projection, load_projection
from pituning.graph.settings import MapSettings
from pituning.graph.sparse import sparse_neighbors
from pituning.graph.zoo_parts import Part
from pituning.registry import load, unknown
from pituning.reports.asked import COLUMN, csv_file, listed, minus, named, one_of, source_title, task_of, zoo_of
from pituning.reports.drawn import Drawn, Panel, Table
from pituning.reports.reader import NearestZoo, Reader, Zoo
from pituning.workspace.stories import Slide
from pituning.workspace.story_views import VIEWS

MOST_IN_MATRIX = 400
"""Tasks; more cells than those of so many are a burden for a browser, and nobody can read them."""

MOST_NEIGHBOURS = 12
MAP_WORDS = {"n_neighbors": "neighbours", "min_dist": "least distance", "metric": "distance by", "seed": "seed"}
"""What people read for the settings of a map."""


def draw(reader: Reader, slide: Slide) -> Drawn:
    """What a slide shows now.

    Raises:
        PiTuningError: something that it shows is not there or is damaged.
    """
    drawn: Drawn = load(VIEWS[slide.view].path)(reader, slide.settings)
    return drawn


def draw_words(reader: Reader, settings: Mapping[str, Any]) -> Drawn:
    """Nothing but what somebody writes."""
    return Drawn(title="")


def draw_similarity(reader: Reader, settings: Mapping[str, Any]) -> Drawn:
    """The matrix."""
    zoo, order, scale = zoo_of(reader, settings), one_of(settings, "order", Order), one_of(settings, "scale", Scale)
    everything = len(zoo.names)
    zoo = zoo.only(zoo.names[:MOST_IN_MATRIX])
    zoo = zoo.only([zoo.names[i] for i in order_tasks(zoo.matrix, zoo.infos, order)])
    shown = f"The first {MOST_IN_MATRIX} of {everything}" if everything > MOST_IN_MATRIX else f"{everything}"
    along = "" if scale == "raw" else " Read it along rows."
    stem = f"similarity-{zoo.kind}-{zoo.predictor}-{scale}"
    title, sentence = _extremes(zoo)
    return Drawn(
        title=title,
        sentence=sentence,
        reading=f"{shown} tasks. {SCALES[scale].help}{along} {source_title(zoo)}.",
        panels=(
            Panel(
                figure=lambda dark: similarity_heatmap(zoo.matrix, zoo.infos, scale=scale, letters=COLUMN, dark=dark),
                alt=f"Heat map of the similarities of {len(zoo.names)} tasks, {SCALES[scale].label.lower()}",
                stem=stem,
            ),
        ),
        files=(csv_file(f"{stem}.csv", matrix_csv(zoo.names, on_scale(zoo.matrix, scale))),),
    )


def _extremes(zoo: Zoo) -> tuple[str, str]:
    """Which pairs are the most and the least similar: a headline and a sentence."""
    titles = [named(info.title) for info in zoo.infos]
    pairs = sorted(zip(*np.triu_indices(len(titles), 1), strict=True), key=lambda pair: -zoo.matrix[pair])
    words = [(f"{titles[i]} and {titles[j]}", minus(f"{zoo.matrix[i, j]:.2f}")) for i, j in (*pairs[:2], *pairs[-1:])]
    if not words:
        return "How alike are any two tasks?", ""
    title = "{} are nearest: {}".format(*words[0])
    if len(pairs) < 3:
        return title, ""
    return title, "Then come {} ({}); least alike are {} ({}).".format(*words[1], *words[2])


def draw_map(reader: Reader, settings: Mapping[str, Any]) -> Drawn:
    """A map that was computed."""
    zoo = reader.kept_zoo(settings.get("kind"), settings.get("predictor"))
    method = settings.get("method", MAP_METHODS[0])
    if method not in MAP_METHODS:
        raise unknown("method", str(method), list(MAP_METHODS))
    asked = MapSettings(**{one.name: settings[one.name] for one in fields(MapSettings) if one.name in settings})
    kept_map = find_projection(reader.kept, zoo.kind, zoo.predictor, asked)
    projection = load_projection(kept_map.path) if kept_map is not None else None
    if kept_map is None or projection is None or method not in projection.maps:
        raise ArtefactError(
            f"no {MAPS[method].label} map of {source_title(zoo)} has been computed yet{_unusual(asked)}; compute it on "
            "the page Map"
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
    title = f"Where {len(infos)} tasks lie"
    if len(infos) > 1:
        away, nearest = cKDTree(points).query(points, k=2)
        i = int(away[:, 1].argmin())
        j = next(int(one) for one in nearest[i] if one != i)
        title = f"{named(infos[i].title)} and {named(infos[j].title)} lie side by side"
    return Drawn(
        title=title,
        sentence=f"{MAPS[method].label}: {MAPS[method].help[:1].lower()}{MAPS[method].help[1:]}{trust}",
        reading=f"{MAPS[method].label}: {MAPS[method].help[:1].lower()}{MAPS[method].help[1:]}{trust}{older} "
        f"{source_title(zoo)}{_unusual(asked)}.",
        panels=(
            Panel(
                figure=lambda dark: map_figure(points, infos, groups, axes=axes, dark=dark),
                alt=f"Map of {len(infos)} tasks by {MAPS[method].label}; near points are tasks that are alike",
                stem=stem,
            ),
        ),
        files=(csv_file(f"{stem}.csv", frame.to_csv(index=False).encode()),),
    )


def _unusual(asked: MapSettings) -> str:
    """Those settings of a map that are not the usual ones."""
    usual = MapSettings()
    words = [
        f"{word} {value}" for name, word in MAP_WORDS.items() if (value := getattr(asked, name)) != getattr(usual, name)
    ]
    return f", with {listed(words)}" if words else ""


def draw_neighbours(reader: Reader, settings: Mapping[str, Any]) -> Drawn:
    """The tasks nearest to one."""
    zoo = reader.kept_zoo(settings.get("kind"), settings.get("predictor"))
    task = task_of(settings, "task", zoo.names) or zoo.names[0]
    count = max(int(settings.get("k", 5)), 1)
    if isinstance(zoo, NearestZoo):
        near = sparse_neighbors(zoo.kept, task, min(count, zoo.kept.tasks.shape[1]))
    else:
        most = min(MOST_NEIGHBOURS, len(zoo.names) - 1)
        near = neighbors(zoo.matrix, zoo.names, task, min(count, most), replicates=zoo.replicates)
    titles, modalities = zoo.titles, {info.name: str(info.modality) for info in zoo.infos}
    frame = pd.DataFrame(
        {
            "Task": [f"{modality_style(modalities[item.task]).glyph} {titles[item.task]}" for item in near],
            "Similarity": [minus(f"{item.similarity:.3f}") for item in near],
            "Stable rank": ["–" if item.confidence is None else f"{item.confidence:.0%}" for item in near],
        }
    )
    signs = ", ".join(f"{style.glyph} {style.label.lower()}" for style in map(modality_style, in_order(MODALITIES)))
    stem = f"neighbours-{task}-{zoo.kind}-{zoo.predictor}"
    then = [f"{named(titles[item.task])} ({minus(f'{item.similarity:.2f}')})" for item in near[1:3]]
    return Drawn(
        title=f"{named(titles[near[0].task])} is nearest to {named(titles[task])}: "
        f"{minus(f'{near[0].similarity:.2f}')}",
        sentence=f"Then come {listed(then)}." if then else "",
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


def draw_parts(reader: Reader, settings: Mapping[str, Any]) -> Drawn:
    """How alike two tasks are in each layer or module."""
    zoo, part = zoo_of(reader, settings), one_of(settings, "part", Part)
    task, other = (task_of(settings, name, zoo.names) for name in ("task", "other"))
    if task is None or other is None or task == other:
        raise BadInput("the slide needs two tasks that differ; choose them", field="other")
    parts = reader.parts(zoo.kind, zoo.predictor, part)
    if not parts:
        raise ArtefactError(
            f"{source_title(zoo)} cannot be told by {part}: that takes Fisher embeddings that are kept; choose another "
            "similarity"
        )
    names = reader.similarity(zoo.kind, zoo.predictor).names
    i, j, off = names.index(task), names.index(other), ~np.eye(len(names), dtype=bool)
    values = {name: float(matrix[i, j]) for name, matrix in parts.items()}
    usual = {name: float(matrix[off].mean()) for name, matrix in parts.items()}
    most = max(values, key=lambda name: values[name] - usual[name])
    first, second = named(zoo.titles[task]), named(zoo.titles[other])
    stem = f"{part}s-{task}-{other}-{zoo.kind}-{zoo.predictor}"
    frame = pd.DataFrame(
        {part.capitalize(): list(values), "Similarity": list(values.values()), "Mean pair": list(usual.values())}
    )
    return Drawn(
        title=f"{first} and {second} are alike most in {part_label(most)}: {minus(f'{values[most]:.2f}')}",
        sentence=f"There the mean pair of tasks has {minus(f'{usual[most]:.2f}')}; marks show the mean pair.",
        reading=f"Similarity of the two tasks in each {part} alone, beside that of the mean pair. {source_title(zoo)}.",
        panels=(
            Panel(
                figure=lambda dark: part_bars(values, usual, unit=f"Similarity in the {part}", dark=dark),
                alt=f"Similarity of the two tasks in each of {len(values)} {part}s",
                stem=stem,
            ),
        ),
        files=(csv_file(f"{stem}.csv", frame.to_csv(index=False).encode()),),
    )
