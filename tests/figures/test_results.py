from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from plotly.colors import hex_to_rgb, sample_colorscale

from pituning.errors import BadInput
from pituning.figures.palette import METHOD_LABELS, PAD, method_style
from pituning.figures.results import alpha_heatmap, curves, score_bars
from pituning.figures.shots import shots_curve
from pituning.tuning.config import BASELINES
from tests.figures.test_palette import contrast

RESULT: dict[str, Any] = {
    "score": 71.2,
    "baselines": {"single": 63.0, "full": 74.5, "placebo": 60.0, "backbone": None},
    "intervals": {"pi": [68.0, 74.0], "single": [60, 66], "full": [71, 78]},
}


def strict(figure: Any) -> dict[str, Any]:
    """The figure as the browser gets it; NaN would not be JSON."""
    return json.loads(figure.to_json(), parse_constant=lambda name: pytest.fail(f"{name} in the figure"))


def assert_axes_are_titled(figure: Any) -> None:
    layout = strict(figure)["layout"]
    for axis in ("xaxis", "yaxis"):
        assert layout[axis].get("automargin"), axis


def test_scores_are_sorted_and_pi_stands_out() -> None:
    figure = score_bars(RESULT, metric="Accuracy")
    bars, texts = figure.data
    assert list(bars.y) == ["Placebo donors", "Single expert", "π-tuning", "Full fine-tuning"]  # from the bottom up
    assert list(bars.x) == [60.0, 63.0, 71.2, 74.5]
    assert list(bars.marker.color) == [method_style(name).colour for name in ("placebo", "single", "pi", "full")]
    np.testing.assert_allclose(bars.x + np.array(bars.error_x.array), [60, 66, 74, 78])
    np.testing.assert_allclose(bars.x - np.array(bars.error_x.arrayminus), [60, 60, 68, 71])
    assert [text.strip("\u2002") for text in texts.text] == ["60.0", "63.0", "<b>71.2</b>", "74.5"]
    assert list(texts.x) == [60, 66, 74, 78]  # beside the intervals, not on them
    assert figure.layout.xaxis.title.text == "Accuracy (points, 0 to 100)"
    assert figure.layout.xaxis.range[0] == 0
    assert_axes_are_titled(figure)


def test_scores_without_intervals_or_baselines() -> None:
    bars = score_bars({"score": 50.0}).data[0]
    assert list(bars.x) == [50.0]
    assert bars.error_x.visible is False
    strict(score_bars({"score": 0.0, "baselines": {"single": 0.0}}))
    strict(score_bars({}))


def test_guessing_stands_among_the_scores_and_a_line_marks_the_better_guess() -> None:
    figure = score_bars({"score": 20.0, "guessing": {"chance": 20.0, "largest": 31.0}})
    rows = ["Guessing at random", "π-tuning", "Always the largest class"]
    assert list(figure.layout.yaxis.categoryarray) == list(figure.data[1].y) == rows
    assert list(figure.data[2].x) == [31.0, 20.0]
    assert figure.layout.shapes[0].x0 == 31.0
    assert list(score_bars({"score": 20.0, "guessing": {"chance": 5.0, "largest": None}}).data[1].x) == [5.0, 20.0]


def test_scores_that_are_still_to_come_have_their_place() -> None:
    figure = score_bars({"mixture_score": 55.0, "baselines": {"single": 60.0}}, awaited=("pi", "placebo", "single"))
    rows = ["Placebo donors", "π-tuning", "π-tuning without the guard", "Single expert"]
    assert list(figure.layout.yaxis.categoryarray) == list(figure.data[1].y) == rows
    assert [text.strip("\u2002") for text in figure.data[1].text] == ["…", "…", "55.0", "60.0"]
    assert list(figure.data[0].x) == [55.0, 60.0]
    assert list(figure.layout.xaxis.range) == [0, 100]  # bars that come do not move those that are there


def test_ties_put_pi_first() -> None:
    assert score_bars({"score": 60.0, "baselines": {"zero": 60.0, "single": 60.0}}).data[0].y[-1] == METHOD_LABELS["pi"]


def test_curves() -> None:
    frame = pd.DataFrame(
        [("single", 10, "loss", 2.0), ("pi", 20, "loss", 1.0), ("pi", 10, "loss", 1.5), ("single", 20, "loss", np.nan)],
        columns=["series", "step", "name", "value"],
    )
    figure = curves(frame)
    lines = {trace.name: trace for trace in figure.data}
    assert list(lines["π-tuning"].x) == [10, 20]
    assert list(lines["π-tuning"].y) == [1.5, 1.0]
    assert list(lines["Single expert"].y) == [2.0, None]
    assert lines["π-tuning"].line.width > lines["Single expert"].line.width
    assert figure.layout.xaxis.title.text == "Training step"
    assert figure.layout.yaxis.title.text == "Loss per answer"
    assert_axes_are_titled(figure)


def test_every_curve_has_its_own_look() -> None:
    names = ["pi", "mixture", *BASELINES, "extra"]
    frame = pd.DataFrame([(name, 1, 0.5) for name in names], columns=["series", "step", "value"])
    looks = {(trace.line.color, trace.line.dash) for trace in curves(frame).data}
    assert len(looks) == len(names)
    assert len({(method_style(name).colour, method_style(name).pattern) for name in names}) == len(names)  # of bars
    labelled = [{**row, "series": METHOD_LABELS.get(row["series"], row["series"])} for row in frame.to_dict("records")]
    assert {(trace.line.color, trace.line.dash) for trace in curves(pd.DataFrame(labelled)).data} == looks
    assert curves(frame[:1], {"pi": "π-tuning (rate 0.002)"}).data[0].name == "π-tuning (rate 0.002)"


def test_curves_of_two_things_are_refused() -> None:
    frame = pd.DataFrame(
        [("pi", 1, "loss", 1.0), ("pi", 1, "score", 50.0)], columns=["series", "step", "name", "value"]
    )
    with pytest.raises(BadInput, match="loss, score"):
        curves(frame)
    assert len(curves(frame.iloc[:0]).data) == 0


def test_alpha_heatmap() -> None:
    figure = alpha_heatmap(["encoder.0.attn", "decoder.2.ffn"], ["own", "own"], [[0.75, 0.25], [0.5, 0.5]])
    heat = figure.data[0]
    assert [list(row) for row in heat.z] == [[0.75, 0.25], [0.5, 0.5]]
    assert (heat.zmin, heat.zmax) == (0, 0.75)
    assert figure.layout.yaxis.autorange == "reversed"  # the first layer on top
    assert list(figure.layout.yaxis.ticktext) == ["encoder.0.attn", "decoder.2.ffn"]
    assert list(figure.layout.xaxis.ticktext) == ["own", "own"]
    assert figure.layout.xaxis.title.text == "Expert"
    assert "Weight" in heat.colorbar.title.text
    assert_axes_are_titled(figure)


def test_the_numbers_of_the_weights_can_be_read_on_their_cells() -> None:
    weights = np.linspace(0, 0.5, 60).reshape(20, 3)
    figure = alpha_heatmap([f"site {i}" for i in range(20)], ["own", "nli", "rte"], weights.tolist())
    notes = {(note.x, note.y): note for note in figure.layout.annotations}
    assert len(notes) == 60
    scale = [[place, f"rgb{hex_to_rgb(colour)}"] for place, colour in figure.data[0].colorscale]
    for (row, column), value in np.ndenumerate(weights):
        note = notes[column, row]
        assert note.text == f"{value:.2f}"
        # The cell's colour, by Plotly's own reckoning.
        cell = sample_colorscale(scale, value / 0.5)[0]
        red, green, blue = (round(float(part)) for part in cell[4:-1].split(","))
        assert contrast(f"#{red:02x}{green:02x}{blue:02x}", note.font.color) > 4.5

    many = alpha_heatmap([str(i) for i in range(201)], ["own", "nli"], [[0.5, 0.5]] * 201)
    assert not many.layout.annotations


def test_alpha_that_does_not_fit_is_refused() -> None:
    with pytest.raises(BadInput, match="2 sites and 3 experts"):
        alpha_heatmap(["a", "b"], ["x", "y", "z"], [[0.5, 0.5], [0.5, 0.5]])


def test_by_shots_there_is_the_interval_and_what_needs_no_training() -> None:
    points = [{"shots": n, "score": 40.0 + n, "low": 35.0 + n, "high": 44.0 + n} for n in (1, 4, 16)]
    beside = {"baselines": {"backbone": 30.0}, "guessing": {"chance": 10.0, "largest": 12.0}}
    figure = shots_curve({"learning_curve": points, **beside}, metric="Accuracy")
    band, line = figure.data
    assert list(line.x) == list(figure.layout.xaxis.tickvals) == [1, 4, 16]
    assert list(line.y) == [41.0, 44.0, 56.0]
    assert list(zip(band.x, band.y, strict=True)) == [(1, 45), (4, 48), (16, 60), (16, 51), (4, 39), (1, 36)]
    assert [shape.y0 for shape in figure.layout.shapes] == [12.0, 30.0]
    assert [note.text.removesuffix(PAD) for note in figure.layout.annotations] == [
        "Always the largest class 12.0", "Backbone alone 30.0",
    ]  # fmt: skip
    assert_axes_are_titled(figure)
    assert list(shots_curve({"learning_curve": points}).layout.shapes) == []
