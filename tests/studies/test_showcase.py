from __future__ import annotations

from itertools import product

import pandas as pd

from pituning.studies.lowshot_scores import comparable_scores
from pituning.studies.showcase import MOST_LABELS, SHOTS, showcases
from pituning.tasks.mini import TASK_NAMES, mini_task
from pituning.workspace.layout import embedded_data
from pituning.workspace.lowshot import read_lowshot


def scores(**of: tuple[float, float, float]) -> pd.DataFrame:
    rows = [
        (target, seed, method, score + (1 if seed else -1))
        for target, three in of.items()
        for (method, score), seed in product(zip(("single", "placebo", "pi"), three, strict=True), (0, 1))
    ]
    return pd.DataFrame(rows, columns=["target", "seed", "method", "score"])


def test_the_largest_and_the_smallest_margin_over_what_does_without_relatives() -> None:
    best, worst = showcases(scores(a=(50, 60, 65), b=(50, 20, 57), c=(70, 71, 69), d=(1, 1, 99)), "abc")
    assert best is not None
    assert worst is not None
    assert (best.target, best.alone, best.tuned, best.margin) == ("b", 50, 57, 7)
    assert (worst.target, worst.placebo, worst.margin) == ("c", 71, -2)


def test_where_nothing_was_measured_or_all_is_well_there_is_none() -> None:
    assert showcases(scores(a=(50, 60, 65)), "a")[1] is None
    assert showcases(scores(a=(50, 60, 55)), "a")[0] is None
    assert showcases(scores(a=(50, 60, 65)), "b") == (None, None)
    assert showcases(scores(a=(1, 2, 3)).query("method != 'placebo'"), "a") == (None, None)


def test_of_what_ships_relatives_help_the_one_at_every_seed_and_not_the_other() -> None:
    data = embedded_data()
    assert data is not None
    table = read_lowshot(data / "zoos" / "mini" / "lora" / "results" / "lowshot.csv")
    few = [name for name in TASK_NAMES if len(mini_task(name).labels or range(99)) <= MOST_LABELS]
    best, worst = showcases(comparable_scores(table, SHOTS), few)
    assert (best and best.target, worst and worst.target) == ("rte", "sentiment")  # as the README says
    rows = table[(table["shots"] == SHOTS) & (table["target"] == "rte")]
    by_seed = rows.pivot(index="seed", columns="method", values="score")
    assert (by_seed["mixture"] > by_seed[["single", "placebo"]].max(axis=1)).all()
