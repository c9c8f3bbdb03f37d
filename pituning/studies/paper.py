"""The paper's tables on any backbone: which runs they take, and what was measured beside what was printed. Torch-free.

A table is measured by runs of the kind ``lowshot``, one for each of its data sets, so that what is measured already is
kept. The figures in ``paper_figures.csv`` are those of Wu et al., ICML 2023; ``source`` says of which table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

import pandas as pd

from pituning.errors import BadInput
from pituning.registry import Registry
from pituning.studies.lowshot_scores import GUARDED, PI, lowshot_scores
from pituning.tasks.catalogue import CATALOGUE
from pituning.tasks.catalogue.record import DataSetRecord
from pituning.tasks.guessing import guess_rows
from pituning.tasks.metrics import Guessing
from pituning.tasks.registry import TaskSource
from pituning.tuning.config import CANDIDATES, MIXTURE
from pituning.workspace.lowshot import shots_name


@dataclass(frozen=True, kw_only=True)
class PaperTable:
    """One of the paper's tables.

    Args:
        name: what command lines call it.
        title: what people read.
    """

    name: str
    title: str

    @property
    def records(self) -> tuple[DataSetRecord, ...]:
        """Its data sets, in the paper's order."""
        return tuple(record for record in CATALOGUE.values() if record.table == self.name)


TABLES: Registry[PaperTable] = Registry(
    "table of the paper",
    [
        PaperTable(name="vision", title="Image classification"),
        PaperTable(name="glue", title="GLUE"),
        PaperTable(name="vl", title="Vision and language"),
    ],
    field="tables",
)

GUESSING = "guessing"
"""By whom the rows are that take no model."""

NO_SHOTS = ("backbone", "untouched")
WITH_SHOTS = CANDIDATES
"""What π-tuning chooses from, so that its guard can be worked out; ``single`` is the paper's adapter or LoRA."""


def usual_methods(shots: int) -> tuple[str, ...]:
    """The methods that a table takes, where nobody names any."""
    return NO_SHOTS if shots == 0 else WITH_SHOTS


def usual_seeds(shots: int) -> tuple[int, ...]:
    """CoOp's seeds for few-shot sets; one where all data, or none, are used."""
    return (1, 2, 3) if shots > 0 else (1,)


def targets_of(tables: Sequence[str], source: TaskSource) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The data sets of some tables: those that the workspace has as tasks, and those that it has not.

    Raises:
        BadInput: a table is unknown, or the workspace has none of its data sets.
    """
    names = [record.name for table in tables for record in TABLES[table].records]
    here = tuple(name for name in names if source.has(name))
    if not here:
        raise BadInput(
            f"no data set of {' or '.join(tables)} is here yet; add one: pituning tasks add catalogue:{names[0]}",
            field="tables",
        )
    return here, tuple(name for name in names if name not in here)


def too_small(names: Sequence[str], source: TaskSource, shots: int, seeds: Sequence[int]) -> dict[str, str]:
    """The data sets of which so many shots cannot be drawn, as after ``tasks add --limit``, each with the reason."""
    reasons: dict[str, str] = {}
    for name in names:
        try:
            for seed in seeds if shots > 0 else ():
                source.load(name).shots(shots, seed)
        except BadInput as error:
            reasons[name] = str(error)
    return reasons


def basis_of(table: str, shots: int, measured: pd.DataFrame) -> str:
    """One sentence on what the scores of a table are measured on; empty where none is."""
    names = [record.name for record in TABLES[table].records]
    rows = measured[measured["target"].isin(names) & (measured["shots"] == shots)]
    if rows.empty:
        return ""
    least, most = int(rows["test_examples"].min()), int(rows["test_examples"].max())
    examples = f"{most} test examples" if least == most else f"{least} to {most} test examples"
    seeds = sorted(set(rows["seed"].map(int)))
    drawn = f", seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}" if shots > 0 else ""
    return f"Measured here on {examples} of a data set{drawn}; the paper's figures are of whole test splits."


@cache
def paper_figures() -> pd.DataFrame:
    """The paper's figures: ``source, table, model, shots, method, task, part, score``."""
    with resources.files("pituning.studies").joinpath("paper_figures.csv").open(encoding="utf-8") as file:
        return pd.read_csv(file, dtype={"shots": str, "part": str}, keep_default_na=False)


@dataclass(frozen=True, kw_only=True)
class TableRow:
    """A row of a table.

    Args:
        who: the backbone, or the paper's model.
        method: by which it was tuned.
        scores: by data set, in points; those that are there.
        source: the paper's table; empty for what was measured here.
    """

    who: str
    method: str
    scores: dict[str, float]
    source: str = ""

    @property
    def mean(self) -> float | None:
        """Over the data sets that it has; None where it has none, or where they are scored by different metrics."""
        metrics = {CATALOGUE[name].metric for name in self.scores}
        return sum(self.scores.values()) / len(self.scores) if len(metrics) == 1 else None


def table_rows(
    table: str,
    shots: int,
    measured: pd.DataFrame,
    *,
    who: str,
    tasks: Sequence[str],
    guesses: Mapping[str, Guessing] | None = None,
) -> list[TableRow]:
    """What was measured and what guessing scores, then what the paper prints for the same shots.

    Args:
        measured: rows as `pituning.workspace.lowshot.read_lowshot` reads them.
        who: the backbone that they are of.
        tasks: the data sets that are here; those of other tables are passed over.
        guesses: what guessing scores on them.
    """
    names = {record.name for record in TABLES[table].records} & set(tasks)
    frame = measured[measured["target"].isin(names) & measured["shots"].isin([shots, 0])]
    rows: list[TableRow] = []
    if (frame["shots"] == shots).any():
        scores = lowshot_scores(frame, shots)
        scores = scores[~scores["method"].isin(set(GUARDED) - {PI})]
        means = pd.DataFrame(scores.groupby(["method", "target"], as_index=False)["score"].mean())
        for method in sorted(set(means["method"]), key=_place):
            of = means[means["method"] == method]
            rows.append(
                TableRow(who=who, method=method, scores=dict(zip(of["target"], of["score"].map(float), strict=True)))
            )
    guessed = {name: dict(guess_rows((guesses or {}).get(name))) for name in sorted(names)}
    for what in dict(guess_rows(Guessing(0.0, 0.0))):
        if scores_of := {name: one[what] for name, one in guessed.items() if what in one}:
            rows.append(TableRow(who=GUESSING, method=what, scores=scores_of))
    figures = paper_figures()
    figures = figures[(figures["table"] == table) & (figures["shots"] == shots_name(shots))]
    for (model, method), part in figures.groupby(["model", "method"], sort=False):
        compared = {record.name: record.part for record in CATALOGUE.values()}
        same = part[part["part"] == part["task"].map(compared)]
        rows.append(
            TableRow(
                who=str(model), method=str(method), source=str(part["source"].iloc[0]),
                scores=dict(zip(same["task"], same["score"].map(float), strict=True)),
            )
        )  # fmt: skip
    return rows


def _place(method: str) -> tuple[int, str]:
    """π-tuning last, as in the paper."""
    order = ("backbone", "untouched", "full", "bitfit", "single", "donor", MIXTURE, PI)
    return (order.index(method) if method in order else 0, method)
