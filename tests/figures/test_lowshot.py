from __future__ import annotations

from typing import NamedTuple

import pytest

from pituning.figures.lowshot import ALL, gains_figure
from pituning.figures.palette import DARK, LIGHT


class Info(NamedTuple):
    name: str
    title: str
    modality: str
    families: tuple[str, ...] = ()


INFOS = {"a": Info("a", "A <b>", "vision"), "b": Info("b", "B", "language"), "c": Info("c", "C", "vision")}
GAINS = {"a": [1.0, 3.0], "b": [-4.0, -2.0], "c": [0.0, 20.0]}
MEAN = (3.0, -1.0, 8.0)


def test_targets_stand_by_their_mean_and_seeds_beside_it() -> None:
    figure = gains_figure(GAINS, INFOS, mean=MEAN, names=("π", "Full"), chosen="b")

    assert list(figure.layout.yaxis.ticktext) == [f"<b>{ALL}</b>", "<b>B</b>", "A &lt;b&gt;", "C"]
    seeds, vision, others, language, mean = figure.data
    assert (vision.name, language.name) == ("Vision", "Language")
    assert list(zip(vision.y, vision.x, strict=True)) == [(2, 2.0), (3, 10.0)]
    assert list(zip(seeds.y, seeds.x, strict=True)) == [(2, 1.0), (2, 3.0), (3, 0.0), (3, 20.0)]
    assert list(others.x) == [-4.0, -2.0]
    assert (vision.marker.color, language.marker.color) == (LIGHT[0], LIGHT[1])
    assert vision.marker.symbol != language.marker.symbol, "modalities differ without their colour, too"
    assert language.customdata[0] == ["B", "−3.0 points", "<br>By seed: −4.0, −2.0"]
    assert (mean.x[0], mean.y[0], mean.error_x.array[0], mean.error_x.arrayminus[0]) == (3, 0, 5, 4)
    assert "π minus Full" in figure.layout.xaxis.title.text


def test_one_seed_and_a_target_that_nobody_knows() -> None:
    figure = gains_figure({"b": [2.0], "gone": [1.0]}, INFOS, mean=MEAN, names=("π", "Full"), dark=True)

    assert [trace.name for trace in figure.data] == ["Language", "Modality unknown", "Mean with 95 % interval"]
    assert figure.data[0].marker.color == DARK[1]
    assert figure.data[0].customdata[0][2] == ""
    assert list(figure.layout.yaxis.ticktext)[1:] == ["gone", "B"]


@pytest.mark.parametrize("gains", [{}, {"a": [1.0], "b": []}])
def test_a_target_without_gains_is_refused(gains: dict[str, list[float]]) -> None:
    with pytest.raises(ValueError, match="at least one gain"):
        gains_figure(gains, INFOS, mean=MEAN, names=("π", "Full"))
