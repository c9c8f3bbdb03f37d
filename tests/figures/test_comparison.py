from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pituning.errors import BadInput
from pituning.figures.comparison import compared_curves, compared_scores, methods_of
from pituning.figures.palette import DARK, LIGHT

RESULT = {
    "score": 70.0,
    "baselines": {"placebo": 60.0, "single": 65.0},
    "intervals": {"pi": [68.0, 73.0], "single": [64.0, 66.0]},
}


def test_a_row_for_a_method_and_a_mark_for_a_run() -> None:
    guess = {"chance": 25.0, "largest": None}
    figure = compared_scores([RESULT, None, {"score": 50.0, "baselines": {"full": float("nan")}, "guessing": guess}])

    assert methods_of([RESULT, None]) == ["pi", "single", "placebo"]
    assert list(figure.layout.yaxis.ticktext) == [
        "Guessing at random", "Placebo donors", "Single expert", "π-tuning",
    ]  # fmt: skip
    first, third = figure.data
    assert (first.name, third.name) == ("A", "C")
    assert list(first.x) == [60, 65, 70]
    assert [round(y) for y in first.y] == [1, 2, 3]
    assert list(first.error_x.array) == [0, 1, 3]
    assert list(first.error_x.arrayminus) == [0, 1, 2]
    assert list(third.x) == [25, 50]
    assert first.y[2] > third.y[1], "marks of one row do not hide each other"
    assert (first.marker.color, third.marker.color) == (LIGHT[0], LIGHT[2])


def test_a_line_for_each_run_that_has_measured_it() -> None:
    frame = pd.DataFrame({"step": [2, 1], "value": [np.inf, 0.5]})
    figure = compared_curves([frame.iloc[:0], frame], title="Loss <b>", dark=True)

    (line,) = figure.data
    assert (line.name, line.line.color) == ("B", DARK[1])
    assert list(line.x) == [1, 2]
    assert list(line.y) == [0.5, None]
    assert "<b>" not in figure.layout.yaxis.title.text


def test_too_many_and_none() -> None:
    with pytest.raises(BadInput, match="7 runs are too many"):
        compared_scores([RESULT] * 7)
    assert not compared_scores([None, None]).data
