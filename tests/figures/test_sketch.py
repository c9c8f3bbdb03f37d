from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import plotly.graph_objects as go
import pytest

from pituning.figures.sketch import HEIGHT, MOST_CELLS, PAD, WIDTH, sketch


def marks(figure: go.Figure, tag: str) -> list[dict[str, str]]:
    """The elements of a kind, of an SVG that can be parsed."""
    root = ElementTree.fromstring(sketch(figure))
    return [each.attrib for each in root.iter(f"{{http://www.w3.org/2000/svg}}{tag}")]


def test_points_and_lines_stand_where_they_do_in_the_figure() -> None:
    figure = go.Figure(go.Scatter(x=[0, 5, None, 10], y=[0, 1, 2, 2], mode="lines+markers", marker={"size": 20}))
    circles = marks(figure, "circle")
    assert [(float(one["cx"]), float(one["cy"])) for one in circles] == [
        (PAD, HEIGHT - PAD), (WIDTH / 2, HEIGHT / 2), (WIDTH - PAD, PAD),
    ]  # fmt: skip
    (path,) = marks(figure, "path")
    assert path["d"].count("M") == 1, "the gap ends the line, and one point is none"
    turned = figure.update_layout(yaxis={"range": [2, 0]})
    assert [float(one["cy"]) for one in marks(turned, "circle")] == [PAD, HEIGHT / 2, HEIGHT - PAD]


def test_bars_begin_at_zero_and_are_as_long_as_their_values() -> None:
    bars = marks(go.Figure(go.Bar(x=[10, -10, None], y=["a", "b", "c"], orientation="h")), "rect")
    assert [(float(one["x"]), float(one["width"])) for one in bars] == [(80, 75), (5, 75)]
    up = marks(go.Figure(go.Bar(x=["a", "b"], y=[1, 4])).update_yaxes(range=[0, 4]), "rect")
    assert [float(one["height"]) for one in up] == pytest.approx([15.5, 62], abs=0.06)


def test_cells_have_the_colours_of_their_values() -> None:
    scale = [[0, "#000000"], [1, "#ffffff"]]
    figure = go.Figure(go.Heatmap(z=[[0, 1], [None, 1]], colorscale=scale)).update_yaxes(range=[1.5, -0.5])
    cells = marks(figure, "rect")
    assert [one["fill"] for one in cells] == ["#000000", "#ffffff", "#ffffff"]
    assert float(cells[0]["y"]) < float(cells[2]["y"]), "the first row is on top, as its axis says"
    many = go.Figure(go.Heatmap(z=[[0.5] * 300 for _ in range(300)]))
    assert len(marks(many, "rect")) <= MOST_CELLS**2


def test_arrows_and_foreign_colours() -> None:
    figure = go.Figure(go.Scatter(x=[0, 1], y=[0, 1], mode="markers", marker={"color": "red", "opacity": [1, 0]}))
    figure.add_annotation(x=1, y=1, ax=0, ay=0, axref="x", ayref="y", showarrow=True, arrowcolor="blue")
    assert len(marks(figure, "circle")) == 1, "what cannot be seen is left out"
    (arrow,) = marks(figure, "path")
    assert (arrow["d"], arrow["stroke"]) == ("M5.0 67.0L155.0 5.0", "blue")
    assert marks(go.Figure(), "path") == []
