"""The maps of the tasks: their controls, the maps themselves, and the run that makes them when they are not there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

from app.components import access, charts, context, graph_view, runs_data, source
from app.components.graph_shown import of_source
from app.components.guard import empty, guarded, plain, say
from app.components.links import choose_tasks, linked_tasks, to
from app.components.pages import GRAPH, RUNS, SIMILARITY
from app.components.source import Source, SparseSource
from app.components.words import KINDS, MAPS, METRICS, PREDICTORS, Word, duration, label
from pituning.errors import PiTuningError
from pituning.figures.graph_hulls import hull_colours
from pituning.figures.palette import modality_style
from pituning.figures.projection import Cloud, map_figure
from pituning.figures.similarity import layer_words
from pituning.graph import projection
from pituning.graph.build import communities
from pituning.graph.names import community_names
from pituning.graph.projection import KeptProjection, Projection, TaskMap
from pituning.graph.settings import MapSettings
from pituning.runs.configs import ProjectRun
from pituning.runs.plans import forecast
from pituning.runs.records import Run
from pituning.runs.spec import RunSpec
from pituning.text import MOST_IN_MESSAGE

EVERY_SECONDS = 2
COLOURS = {
    "modality": Word("Modality", "What a task works on."),
    "family": Word("Family", "The first planted family of a task; grey for none."),
    "metric": Word("Metric", "How answers are scored."),
    "community": Word(
        "Community", "Groups with more similarity inside than outside (Louvain), named by what their tasks share."
    ),
}
AROUND = {
    "nothing": Word("None", "Only the tasks."),
    "resamplings": Word("Resamplings", "The examples behind the embeddings drawn anew: how sure a task’s place is."),
    "layers": Word("Layers", "Where a task would lie if only one layer of the network counted."),
}
GRAPH_PLACES = "graph"
LENSES = MAPS | {
    GRAPH_PLACES: Word("Task graph", "The places of the task graph: neighbours together, no name over another.")
}
"""The maps, and the places of the graph beside them."""

DISTANCES = {"similarity": "1 − similarity", "profile": "Similarity of profiles"}


@dataclass(frozen=True, kw_only=True)
class MapView:
    """What the controls ask for, and the tasks that it is about."""

    whole: Source | SparseSource
    settings: MapSettings
    colour_by: str
    around: str

    @property
    def run(self) -> ProjectRun:
        """The run that makes this map."""
        return ProjectRun(
            kind=self.whole.kind, predictor=self.whole.predictor, n_neighbors=self.settings.n_neighbors,
            min_dist=self.settings.min_dist, metric=self.settings.metric, seed=self.settings.seed,
            backbone=context.backbone(),
        )  # fmt: skip


def controls(available: Mapping[str, Sequence[str]]) -> MapView:
    """The rows above the maps."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        kind, predictor = source.choose(available)
        whole = source.load_kept(kind, predictor)
        sparse = isinstance(whole, SparseSource)
        settings = _settings(["similarity"] if sparse else list(DISTANCES))
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        colour_by = _one_of("Colour", COLOURS, key="colour")
        # Of very many tasks nothing is resampled or compared layer by layer.
        around = "nothing" if sparse else _one_of("Point clouds", AROUND, key="around")
    return MapView(whole=whole, settings=settings, colour_by=colour_by, around=around)


def _one_of(title: str, words: Mapping[str, Word], *, key: str) -> str:
    first = next(iter(words))
    chosen = st.segmented_control(
        title, list(words), format_func=lambda name: words[name].label, required=True, default=first, key=key,
        bind="query-params", help="  \n".join(f"**{word.label}**: {word.help}" for word in words.values()),
    )  # fmt: skip
    return chosen or first


def _settings(distances: Sequence[str]) -> MapSettings:
    """The parameters of the maps, in a popover; each is in the address.

    Args:
        distances: that there can be.
    """
    helps = {field.name: str(field.metadata["help"]) for field in fields(MapSettings)}
    usual = MapSettings()
    with st.popover("Map settings", icon=":material/tune:", key="map_parameters"):
        neighbours = st.number_input(
            "Neighbours", 2, 200, usual.n_neighbors, key="n_neighbors", bind="query-params", help=helps["n_neighbors"]
        )
        min_dist = st.number_input(
            "Least distance", 0.0, 0.99, usual.min_dist, 0.05, key="min_dist", bind="query-params",
            help=helps["min_dist"],
        )  # fmt: skip
        metric = st.selectbox(
            "Distance", distances, format_func=DISTANCES.__getitem__, key="metric", bind="query-params",
            help=helps["metric"],
        )  # fmt: skip
        seed = st.number_input("Seed", 0, 9999, usual.seed, key="seed", bind="query-params", help=helps["seed"])
        st.caption("Other parameters are another map: it is computed once and kept.")
    return MapSettings(n_neighbors=int(neighbours), min_dist=round(float(min_dist), 2), metric=metric, seed=int(seed))


def find(view: MapView) -> Projection | None:
    """The projection, or None after a word on why there is none and a button that makes it."""
    kept = projection.find_projection(context.zoo(), view.whole.kind, view.whole.predictor, view.settings)
    loaded = None
    with guarded("The map that is kept"):
        loaded = None if kept is None else _load(kept)
    if kept is None or not kept.current or loaded is None:
        _offer(view, stale=loaded is not None)
    return loaded


def _load(kept: KeptProjection) -> Projection:
    return _projection(str(kept.path), kept.path.stat().st_mtime)


@st.cache_resource(max_entries=32, show_spinner=False)
def _projection(path: str, stamp: float) -> Projection:
    return projection.load_projection(Path(path))


def _offer(view: MapView, *, stale: bool) -> None:
    """Says that the map is missing or old, and offers to compute it; while that runs, how far it is."""
    spec = RunSpec.of("project", view.run)
    maps = runs_data.queue().list(kind="project", backbone=view.run.backbone)
    same = [run for run in maps if run.understood and run.spec.settings() == view.run]
    active = next((run for run in same if run.active), None)
    if active is not None:
        st.fragment(partial(_watch, active.id), run_every=EVERY_SECONDS)()
        return
    if stale:
        st.warning(
            "This map is of older similarities than those of today: the experts have been embedded anew since.",
            title="The map is out of date", icon=":material/history:",
        )  # fmt: skip
    else:
        of = f"{label(KINDS, view.whole.kind)}, {label(PREDICTORS, view.whole.predictor).lower()}"
        empty("Not computed yet", f"There is no map of these similarities ({of}) with these parameters.",
              icon=":material/scatter_plot:")  # fmt: skip
    if same and same[0].state == "failed":
        st.error(
            plain(same[0].error or "It ended without a reason.", MOST_IN_MESSAGE),
            title="The last try failed",
            icon=":material/error:",
        )
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="left" if stale else "center"):
        access.button("Compute the map", icon=":material/rocket_launch:", type="primary", key="map_compute",
                      on_click=_compute, args=(spec,))  # fmt: skip
        seconds = forecast(runs_data.queue(), spec).seconds
        st.caption(f"Takes about {duration(seconds)}, in the background.", width="content")


def _compute(spec: RunSpec) -> None:
    try:
        runs_data.queue().submit(spec)
        runs_data.wake()
    except PiTuningError as error:
        say("The map could not be queued", error)


def _watch(run_id: str) -> None:
    """How far the run is; when it has ended, the whole page once more."""
    with guarded("The run that computes this map"):
        run: Run = runs_data.queue().get(run_id)
        if not run.active:
            st.rerun()
        fraction = run.fraction()
        with st.container(border=True):
            st.markdown("**The map is being computed**")
            st.progress(0.0 if fraction is None else min(1.0, fraction), text=plain(runs_data.progress_text(run)))
            st.page_link(RUNS.path, label="Watch the run", icon=RUNS.icon, query_params=to(run=run_id))


def draw(view: MapView, made: Projection) -> None:
    """The maps: one large, the others beside it, all with the same tasks picked out."""
    place = {name: i for i, name in enumerate(made.names)}
    infos = [info for info in view.whole.infos if info.name in place]
    at = [place[info.name] for info in infos]
    if not infos:
        empty(
            "Nothing to show",
            "None of its tasks is in this workspace any more.",
            icon=":material/search_off:",
        )
        return
    methods = [name for name in projection.MAP_METHODS if name in made.maps]
    if isinstance(view.whole, SparseSource):
        st.info(
            f"{graph_view.kept_words(view.whole.kept)} UMAP is made of these; MDS and PCA need all pairs.",
            icon=":material/info:",
        )
    elif "umap" not in methods:
        st.info(
            f"UMAP says nothing about {len(made.names)} tasks: with so few, any picture satisfies it. MDS and PCA do.",
            icon=":material/info:",
        )
    titles = {info.name: info.title for info in infos}
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        largest = st.segmented_control(
            "Main map", [*methods, GRAPH_PLACES], format_func=lambda name: LENSES[name].label, required=True,
            default=methods[0],
            key="large", bind="query-params",
        )  # fmt: skip
        with st.container(width="stretch"):
            chosen = linked_tasks(
                "Tasks", list(titles), format_func=titles.__getitem__,
                help_text="Shown on all pages. Select some in the map with the lasso, or choose them here.",
            )  # fmt: skip
    with st.container(horizontal=True, vertical_alignment="center"):
        _doors(view, chosen)
    if largest == GRAPH_PLACES:
        made = replace(made, maps={**made.maps, GRAPH_PLACES: _places(view, made)})
    elif largest not in methods:
        largest = methods[0]
    groups = _groups(view, infos)
    if methods == [largest]:
        _one(view, made, largest, infos, at, groups, chosen, large=True)
        return
    page = st.grid(3, min_column_width=300, gap="small")
    with page.cell(column_span=2):
        _one(view, made, largest, infos, at, groups, chosen, large=True)
    with page.cell():
        for name in methods:
            if name != largest:
                _one(view, made, name, infos, at, groups, chosen, large=False)


def _places(view: MapView, made: Projection) -> TaskMap:
    """Where the task graph has its tasks, as a map."""
    nodes = of_source(view.whole).places().nodes
    none = np.zeros((0, len(made.names), 2))
    points = np.array([(nodes[name]["x"], -nodes[name]["y"]) if name in nodes else (0, 0) for name in made.names])
    return TaskMap(points=points, trustworthiness=None, resampled=none, layers=none)


def _groups(view: MapView, infos: Sequence[Any]) -> list[str]:
    """What each task is coloured by, as people read it."""
    if view.colour_by == "family":
        return [info.families[0].replace("-", " ").capitalize() if info.families else "" for info in infos]
    if view.colour_by == "metric":
        return [METRICS[info.metric].label if info.metric in METRICS else info.metric for info in infos]
    if view.colour_by == "community":
        if isinstance(view.whole, SparseSource):
            of_task = dict(zip(view.whole.names, view.whole.kept.communities.tolist(), strict=True))
        else:
            of_task = communities(view.whole.matrix, view.whole.names)
        called = community_names(of_task, view.whole.infos)
        return [called.get(of_task[info.name], "") for info in infos]
    return [modality_style(info.modality).label for info in infos]


def _one(
    view: MapView,
    made: Projection,
    name: str,
    infos: Sequence[Any],
    at: Sequence[int],
    groups: Sequence[str],
    chosen: Sequence[str],
    *,
    large: bool,
) -> None:
    one = made.maps[name]
    trust = "" if one.trustworthiness is None else f" :gray[· trustworthiness {one.trustworthiness:.2f}]"
    st.markdown(f"**{LENSES[name].label}**{trust}", help=_how_far(made, one, name))
    figure = map_figure(
        one.points[at], infos, groups, cloud=_cloud(view, made, one, at), chosen=chosen, large=large,
        axes=_axes(one) if name == "pca" else ("", ""), paint=_paint(view), dark=charts.dark(),
    )  # fmt: skip
    alt = f"Map of {len(infos)} tasks by {LENSES[name].label}, coloured by {view.colour_by}"
    common: dict[str, Any] = {"alt": alt, "pinned": _pinned(view, name)}
    if large:
        charts.draw_to_choose(figure, key=f"map_{name}", on_choice=_lassoed, lasso=True, **common)
    else:
        charts.draw(figure, key=f"map_{name}_small", **common)
    st.caption(_note(view, made, one, name, large=large))


def _pinned(view: MapView, name: str) -> charts.Pinned:
    """What a pin sends to a story: the map with the settings that are not the usual ones, or the graph."""
    common = {"kind": view.whole.kind, "predictor": view.whole.predictor}
    if name == GRAPH_PLACES:
        return "graph", {**common, "colour": "community" if view.colour_by == "community" else None}
    usual = MapSettings()
    asked = {one.name: getattr(view.settings, one.name) for one in fields(MapSettings)}
    return "map", {**common, "method": name, **{key: value for key, value in asked.items()
                                                if value != getattr(usual, key)}}  # fmt: skip


def _paint(view: MapView) -> dict[str, str]:
    """Communities have the colours of their outlines in the task graph."""
    if view.colour_by != "community":
        return {}
    drawn = of_source(view.whole).hulls()
    colours = hull_colours(drawn, charts.dark())
    return {hull.name: colours[hull.community] for hull in drawn}


def _how_far(made: Projection, one: TaskMap, name: str) -> str:
    if name == GRAPH_PLACES:
        return LENSES[name].help
    words = (
        f"{MAPS[name].help}  \nTrustworthiness: how far the {made.neighbours} nearest on the map are the nearest in "
        "truth. 1: all of them; 0.5: no better than chance."
    )
    if one.detail.get("sampled"):
        words += f" Estimated on {one.detail['sampled']} tasks."
    if "stress" in one.detail:
        words += f"  \nStress {one.detail['stress']:.2f}: how far the distances on the map are off; above 0.2 is poor."
    return words


def _axes(one: TaskMap) -> tuple[str, str]:
    shares = one.detail.get("variance", (0, 0))
    return f"First axis ({100 * shares[0]:.0f} % of the variance)", f"Second axis ({100 * shares[1]:.0f} %)"


def _note(view: MapView, made: Projection, one: TaskMap, name: str, *, large: bool) -> str:
    parts = [LENSES[name].help]
    if "stress" in one.detail:
        parts.append(f"Stress {one.detail['stress']:.2f}.")
    if "preserved" in one.detail:
        parts.append(
            f"Of each task’s {made.neighbours} most similar, {100 * one.detail['preserved']:.0f} % are among its "
            f"{made.neighbours} nearest on the map."
        )
    if "variance" in one.detail and not large:
        parts.append(f"They hold {100 * sum(one.detail['variance']):.0f} % of the variance.")
    if large and name != "pca":
        parts.append("Axes have no unit.")
    if name == GRAPH_PLACES:
        return " ".join(parts)
    if large and view.around == "resamplings":
        parts.append(
            f"Small dots: {len(one.resampled)} resamplings of the examples." if len(one.resampled)
            else "There are no resamplings for this predictor."
        )  # fmt: skip
    if large and view.around == "layers":
        parts.append(
            "Rings: each layer alone." if len(one.layers)
            else "Layers cannot be told apart here: their embeddings are not kept."
        )  # fmt: skip
    return " ".join(parts)


def _cloud(view: MapView, made: Projection, one: TaskMap, at: Sequence[int]) -> Cloud | None:
    if view.around == "resamplings":
        return Cloud(points=one.resampled[:, at])
    if view.around == "layers":
        words = tuple(layer_words(name, " layer ") for name in made.layers)
        return Cloud(points=one.layers[:, at], names=words if len(one.layers) else ())
    return None


def _lassoed(points: list[dict[str, Any]]) -> None:
    """What was circled or clicked becomes what is picked out."""
    names = [point["customdata"] for point in points if isinstance(point.get("customdata"), str)]
    if names:
        choose_tasks(list(dict.fromkeys(names)))


def _doors(view: MapView, chosen: Sequence[str]) -> None:
    """From what is picked out to other pages."""
    if not chosen:
        st.caption("Select tasks with the lasso to filter all pages by them.", width="content")
        return
    common = {"kind": label(KINDS, view.whole.kind), "predictor": label(PREDICTORS, view.whole.predictor)}
    tasks = ",".join(chosen)
    st.page_link(SIMILARITY.path, label=f"Compare these {len(chosen)}" if len(chosen) > 1 else "Compare",
                 icon=SIMILARITY.icon, query_params=to(tasks=tasks, **common))  # fmt: skip
    st.page_link(GRAPH.path, label="Show in the task graph", icon=GRAPH.icon, query_params=to(tasks=tasks, **common))
    st.button("Show all", key="map_all", type="tertiary", icon=":material/close:", on_click=choose_tasks)
