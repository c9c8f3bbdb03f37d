"""The views that a slide can show: a record each, which says what can be set of it and where it is drawn."""

from __future__ import annotations

from dataclasses import dataclass

from pituning.registry import Registry


@dataclass(frozen=True, kw_only=True)
class ViewRecord:
    """A view.

    Args:
        name: what stories call it.
        label: what people read.
        help: one sentence for people.
        icon: a Material symbol, as ``:material/hub:``.
        settings: what can be set of it, of `pituning.workspace.stories.SETTINGS`.
        path: of the function that draws it; it takes a `pituning.reports.reader.Reader` and the settings, and gives a
            `pituning.reports.drawn.Drawn`.
    """

    name: str
    label: str
    help: str
    icon: str
    settings: tuple[str, ...] = ()
    path: str


VIEWS: Registry[ViewRecord] = Registry(
    "view",
    [
        ViewRecord(
            name="graph",
            label="Task graph",
            help="Which tasks are alike, across modalities; of one task step by step.",
            icon=":material/hub:",
            settings=("kind", "predictor", "k", "colour", "task", "other", "steps"),
            path="pituning.reports.graph:draw_graph",
        ),
        ViewRecord(
            name="similarity",
            label="Similarity matrix",
            help="How alike every two tasks are.",
            icon=":material/grid_on:",
            settings=("kind", "predictor", "order", "scale"),
            path="pituning.reports.views:draw_similarity",
        ),
        ViewRecord(
            name="affinity",
            label="Imported table",
            help="Which tasks of a table from elsewhere belong together.",
            icon=":material/upload_file:",
            settings=("table", "k", "colour", "first", "second"),
            path="pituning.reports.affinity:draw_affinity",
        ),
        ViewRecord(
            name="map",
            label="Map",
            help="All tasks in two dimensions, as near as they are alike.",
            icon=":material/scatter_plot:",
            settings=("kind", "predictor", "method", "n_neighbors", "min_dist", "metric", "seed"),
            path="pituning.reports.views:draw_map",
        ),
        ViewRecord(
            name="neighbours",
            label="Neighbours of a task",
            help="Whose experts would help one task, and how sure that is.",
            icon=":material/social_distance:",
            settings=("kind", "predictor", "task", "k"),
            path="pituning.reports.views:draw_neighbours",
        ),
        ViewRecord(
            name="parts",
            label="Where two tasks are alike",
            help="How alike two tasks are in each layer or module of the network.",
            icon=":material/layers:",
            settings=("kind", "predictor", "task", "other", "part"),
            path="pituning.reports.views:draw_parts",
        ),
        ViewRecord(
            name="transfer",
            label="Measured transfer",
            help="Which donor really helped which target.",
            icon=":material/compare_arrows:",
            settings=("kind", "predictor", "shots"),
            path="pituning.reports.transfer:draw_transfer",
        ),
        ViewRecord(
            name="prediction",
            label="Predicted against measured",
            help="Whether the similarity predicted the gain.",
            icon=":material/query_stats:",
            settings=("kind", "predictor", "shots", "task"),
            path="pituning.reports.transfer:draw_prediction",
        ),
        ViewRecord(
            name="study",
            label="Low-shot study",
            help="What π-tuning gains over another method on each target.",
            icon=":material/science:",
            settings=("kind", "shots", "over"),
            path="pituning.reports.study:draw_study",
        ),
        ViewRecord(
            name="result",
            label="Result of a run",
            help="Scores beside the baselines with the verdict, by shots, donor weights, or curves.",
            icon=":material/monitoring:",
            settings=("run", "show"),
            path="pituning.reports.results:draw_result",
        ),
        ViewRecord(
            name="comparison",
            label="Runs beside each other",
            help="The scores, or a curve, of up to six runs.",
            icon=":material/compare:",
            settings=("runs", "show"),
            path="pituning.reports.comparison:draw_comparison",
        ),
        ViewRecord(
            name="calibration",
            label="How sure an expert is",
            help="How often an expert is right, by how sure it says it is.",
            icon=":material/ssid_chart:",
            settings=("kind", "expert"),
            path="pituning.reports.calibration:draw_calibration",
        ),
        ViewRecord(
            name="words",
            label="Words alone",
            help="A title and text, to open or to close.",
            icon=":material/notes:",
            path="pituning.reports.views:draw_words",
        ),
    ],
    group="pituning.views",
)
