"""Figures of the weights over training and of the search of a rate."""

from __future__ import annotations

import pytest

from pituning.errors import BadInput
from pituning.figures.ribbon import ribbon_words, weight_ribbon
from pituning.figures.search import search_curves
from tests.figures.test_results import assert_axes_are_titled, strict


def test_a_ribbon_is_coloured_by_what_is_above_an_equal_share() -> None:
    figure = weight_ribbon([0, 5, 40], ["own", "<b>"], [[0.5, 0.5], [0.5, 0.5], [0.6, 0.4]])
    (heat,) = figure.data
    assert [list(row) for row in heat.z] == [[0, 0, 10], [0, 0, -10]]
    assert (heat.zmin, heat.zmax) == (-10, 10)
    assert [note.text.strip("\u2002") for note in figure.layout.annotations] == ["<b>60 %</b>", "<b>40 %</b>"]
    assert list(figure.layout.yaxis.ticktext) == ["own", "&lt;b&gt;"]
    assert_axes_are_titled(figure)


def test_a_small_drift_looks_like_little_and_one_step_has_a_width() -> None:
    figure = weight_ribbon([7], ["a", "b", "c", "d"], [[0.26, 0.25, 0.25, 0.24]])
    assert (figure.data[0].zmin, figure.data[0].zmax) == (-5, 5)
    assert list(figure.data[0].x) == [7, 8]
    strict(figure)
    assert ribbon_words(["a", "b", "c", "d"], [0.26, 0.25, 0.25, 0.24]).startswith(
        "All 4 have about the same weight, 25 %"
    )
    assert ribbon_words(["a", "b"], [0.3, 0.7]) == "b has the largest weight: 70 %, where an equal share is 50 %."
    assert ribbon_words(["a"], [1.0]) == "Only a takes part."


def test_weights_that_do_not_fit_are_refused() -> None:
    with pytest.raises(BadInput, match="1 steps and 3 experts"):
        weight_ribbon([1], ["a", "b", "c"], [[0.5, 0.5]])
    with pytest.raises(BadInput, match="0 steps"):
        weight_ribbon([], ["a"], [])


def test_the_search_shows_every_rate_and_fold() -> None:
    losses = {(rate, fold): {40: 0.5, 80: float("nan")} for rate in (0.01, 0.002) for fold in (1, 2)}
    figure = search_curves(losses, chosen=0.01)
    assert [line.name for line in figure.data] == [f"rate {r}, fold {f}" for r in (0.002, 0.01) for f in (1, 2)]
    assert len({(line.line.color, line.line.dash) for line in figure.data}) == 4
    assert [line.line.width > 2 for line in figure.data] == [False, False, True, True]
    assert list(figure.data[0].y) == [0.5, None]
    assert_axes_are_titled(figure)
