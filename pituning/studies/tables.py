"""The tables of docs/suite.md and docs/backbone.md, written from the measured results that ship in `data/zoos/mini`."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from pituning.experts.kinds import in_order
from pituning.studies.difficulty import suite_table
from pituning.studies.planted import nearest, planted_found
from pituning.tasks.mini import TASK_NAMES, planted_relatives
from pituning.workspace.zoo import Zoo

HELDOUT_NAMES = {
    "loss": "loss",
    "text_only_loss": "loss, text only",
    "unigram_loss": "loss, unigram",
    "exact": "whole answer %",
    "words": "words %",
    "text_only_words": "words %, text only",
}


def suite_markdown(zoo: Zoo) -> str:
    """Difficulty of all tasks: chance, backbone alone, few shots, full data by kind."""
    frame = suite_table(zoo)
    return _markdown([str(c) for c in frame.columns], frame.itertuples(index=False))


def graph_markdown(zoo: Zoo) -> str:
    """The three nearest of every task by the default similarity, and the planted relatives among them."""
    counts = planted_found(zoo)
    rows: list[Sequence[object]] = [
        (
            task,
            ", ".join(nearest(zoo, task)),
            ", ".join(planted_relatives(task)) or "–",
            "{} of {}".format(*counts[task]),
        )
        for task in TASK_NAMES
    ]
    rows.append(("all", "", "", f"{sum(h for h, _ in counts.values())} of {sum(n for _, n in counts.values())}"))
    return _markdown(["task", "three nearest", "planted relatives", "among the three nearest"], rows)


def heldout_markdown(zoo: Zoo) -> str:
    """What pretraining achieved on held-out samples, per objective."""
    frame = pd.read_csv(zoo.result_path("heldout.csv"))
    columns = [c for c in HELDOUT_NAMES if c in frame.columns]
    header = ["objective", *(HELDOUT_NAMES[c] for c in columns)]
    rows = [
        [row["objective"], *(f"{row[c]:.{2 if c.endswith('loss') else 0}f}" for c in columns)]
        for _, row in frame.iterrows()
    ]
    return _markdown(header, rows)


def planted_by_kind(zoo: Zoo) -> str:
    """Planted relatives among the three nearest, of all tasks together, by kind and predictor."""
    predictors = ("probe", "paper", "scaled", "weights", "text")
    rows = []
    for kind in in_order(zoo.kinds()):
        counts = [planted_found(zoo, kind=kind, predictor=p).values() for p in predictors]
        rows.append([kind, *(f"{sum(h for h, _ in c)} of {sum(n for _, n in c)}" for c in counts)])
    return _markdown(["kind", *predictors], rows)


def _markdown(header: Sequence[str], rows: object) -> str:
    def cell(value: object) -> str:
        if isinstance(value, float):
            return "–" if math.isnan(value) else f"{value:.1f}"
        return str(value)

    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    lines += ["| " + " | ".join(cell(v) for v in row) + " |" for row in rows]  # type: ignore[attr-defined]
    return "\n".join(lines)
