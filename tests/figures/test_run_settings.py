"""Parallel coordinates of settings and scores."""

from __future__ import annotations

import pandas as pd

from pituning.figures.run_settings import importance_bars, parallel_settings


def test_each_setting_is_an_axis_and_the_score_the_last() -> None:
    settings = pd.DataFrame({"kind": ["lora", "prefix", "lora"], "shots": [4.0, 16.0, 8.0]})
    (lines,) = parallel_settings(settings, [60, 70, 65], score_title="<Score>", title_of=str.upper).data
    kind, shots, score = lines.dimensions
    assert (kind.label, shots.label, score.label) == ("KIND", "SHOTS", "<b>&lt;Score&gt;</b>")
    assert [kind.ticktext[list(kind.tickvals).index(value)] for value in kind["values"]] == ["lora", "prefix", "lora"]
    assert (list(shots["values"]), list(shots.ticktext)) == ([4, 16, 8], ["4", "8", "16"])
    assert list(score["values"]) == list(lines.line.color) == [60, 70, 65]


def test_the_most_important_setting_is_on_top() -> None:
    (bars,) = importance_bars(["Shots", "Seed"], [1.1, 0.01], [0.2, 0.05]).data
    assert list(bars.y) == ["Seed", "Shots"]  # from the bottom up
    assert bars.marker.color[0] != bars.marker.color[1], "what may be chance is grey"
