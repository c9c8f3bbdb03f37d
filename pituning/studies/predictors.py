"""Which similarity predicts who helps: each against the measured transfer, target by target. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pituning.errors import BadInput
from pituning.graph.donor_gains import known_of
from pituning.graph.known import Known
from pituning.graph.predictors import DEFAULT_PREDICTOR, PREDICTORS
from pituning.graph.predictors.gains import EXPECTED, GAIN_PREDICTORS, HISTORY
from pituning.graph.ranking import (
    CALIBRATION,
    MEASURES,
    Interval,
    grade_calibration,
    grade_targets,
    interval,
    pairs_of_modalities,
    pooled_auc,
)
from pituning.graph.staged import staged
from pituning.studies.built import SUITE
from pituning.studies.expectations import CARRIED, Expectations, expectations, reference_zoo
from pituning.studies.planted import planted_found
from pituning.studies.targets import suite_first
from pituning.tasks.mini import TASK_NAMES, planted_relatives
from pituning.tasks.registry import TaskSource
from pituning.workspace.short_probe import FILE, load_probes
from pituning.workspace.similarity import load_similarity
from pituning.workspace.transfer import NO_DONOR, Transfer, load_transfer, measured_seeds, measured_shots, read_rows
from pituning.workspace.zoo import Zoo

RANDOM = "random"
"""Donors in any order: what a prediction must beat."""
PLANTED = "planted"
"""Those first that have a skill in common with the target by construction, the rest at random: no prediction, but what
knowing the suite's plan, and nothing else, would bring."""
TRIED = "tried"
"""Donors by their measured gain without shots: what trying each as it is, on the test examples, tells of few shots."""
RETEST = "retest"
"""Donors by their measured gain with the shots of all seeds but one, graded on that one, each in turn: how well a
measurement predicts itself. A rank correlation above about the square root of its own is out of any prediction's reach
(Spearman, 1904)."""
AND_PROBE = "+short-probe"
STAGED = (DEFAULT_PREDICTOR, HISTORY, EXPECTED)
"""The predictions whose first six donors are also ordered by a short probe (`pituning.tuning.short_probe`), where that
was measured: with the shots of one seed, as a run has it, and graded on the gains of all seeds."""
POOLED = "auc_pooled"
"""`auc` over the donors of all targets together."""
GRADES = (*MEASURES, POOLED, *CALIBRATION)
"""Everything that a predictor is graded by."""
SHOWN = ("spearman", "ndcg", "regret1", "regret3", "auc", POOLED, *CALIBRATION)
"""Of these what the tables show: Kendall's τ says the same as Spearman's ρ."""
ORDERS = 200
GRADES_FILE = "predictors.csv"
"""Among the results of a zoo, how well each similarity predicts transfer."""
CORRELATIONS = ("spearman", "kendall")
COUNT_TIES = (*CORRELATIONS, "auc")
"""The measures that count ties as such, so that a random order needs no drawing."""
ALL_PAIRS = "all"
UNRELATED = "unrelated"
"""The pairs without a common skill by construction."""


def sets_of_pairs(names: Sequence[str] = TASK_NAMES, source: TaskSource = SUITE) -> dict[str, np.ndarray | None]:
    """The pairs (N, N) bool of tasks on which predictions are graded, by name; None for all of them.

    Raises:
        BadInput: there is no such task.
    """
    modalities = [source.load(name).modality for name in names]
    planted = _planted(names)
    unrelated = {UNRELATED: ~planted} if planted.any() else {}
    return {ALL_PAIRS: None, **pairs_of_modalities(modalities), **unrelated}


def measured_tasks(zoo: Zoo, kind: str) -> tuple[str, ...]:
    """The tasks between which transfer was measured, the mini suite's first.

    Raises:
        ArtefactError: the table is damaged.
    """
    rows = read_rows(zoo.transfer_path(kind))
    return suite_first({*rows["target"], *rows["donor"]} - {NO_DONOR})


def predictions(zoo: Zoo, kind: str, names: Sequence[str] = TASK_NAMES) -> dict[str, np.ndarray]:
    """Every stored similarity of a kind that has all these tasks, as (N, N) in their order."""
    predicted = {}
    for predictor in PREDICTORS:
        path = zoo.similarity_path(kind, predictor)
        if path.exists():
            stored = load_similarity(path)
            if set(names) <= set(stored.names):
                order = [stored.names.index(name) for name in names]
                predicted[predictor] = stored.matrix[np.ix_(order, order)]
    return predicted


def grade_predictors(zoo: Zoo, kind: str, *, source: TaskSource = SUITE, seed: int = 0) -> pd.DataFrame:
    """One row per number of shots, set of pairs, predictor and measure, with a 95 % interval over targets.

    Args:
        source: where the tasks are from.

    Returns:
        Columns ``kind, shots, pairs, predictor, measure, mean, low, high, targets``.

    Raises:
        BadInput: when no transfer of that kind has been measured.
        ArtefactError: when a stored similarity or the table of transfer is damaged.
    """
    path = zoo.transfer_path(kind)
    shots = measured_shots(path)
    if not shots:
        fix = zoo.command(f"study transfer --kind {kind}")
        raise BadInput(f"no transfer of {kind} was measured; run: {fix}", field="kind")
    names = measured_tasks(zoo, kind)
    similarities = predictions(zoo, kind, names)
    pairs_by_name, planted = sets_of_pairs(names, source), _planted(names)
    tasks = [source.load(name) for name in names]
    rows: list[dict[str, Any]] = []
    for count in shots:
        transfer = load_transfer(path, count, names)
        assert transfer is not None  # the number of shots is one of those measured
        unshot = load_transfer(path, 0, names) if count and 0 in shots else None
        known = known_of(similarities, transfer, tasks)
        expected = expectations(known, _elsewhere(zoo, kind, count, similarities))
        learned = {name: expected[name].gain for name in (*GAIN_PREDICTORS, CARRIED) if name in expected}
        predicted = {**similarities, **learned}
        probes = load_probes(zoo.result_path(FILE, kind), count, names)
        for name, pairs in pairs_by_name.items():
            graded = {
                predictor: grade_targets(matrix, transfer.gains, pairs=pairs) for predictor, matrix in predicted.items()
            }
            graded[RANDOM] = _at_random(transfer, pairs, seed)
            if planted.any():
                graded[PLANTED] = _at_random(transfer, pairs, seed, first=planted)
            if unshot is not None:
                graded[TRIED] = grade_targets(_complete(unshot.gains), transfer.gains, pairs=pairs)
            for base, matrix in predicted.items():
                if probes and base in STAGED:
                    graded[base + AND_PROBE] = _staged(matrix, probes, transfer, pairs)
            if transfer.seeds > 1:
                graded[RETEST] = _against_itself(path, count, names, pairs)
            for predictor, measured in graded.items():
                estimates = {measure: interval(measured[measure], seed=seed) for measure in MEASURES}
                if predictor in predicted:
                    estimates[POOLED] = pooled_auc(predicted[predictor], transfer.gains, pairs=pairs, seed=seed)
                if predictor in expected:
                    estimates |= _calibration(expected[predictor], transfer, pairs, seed)
                for measure, estimate in estimates.items():
                    rows.append(
                        {
                            "kind": kind, "shots": count, "pairs": name, "predictor": predictor, "measure": measure,
                            **{key: round(value, 4) for key, value in asdict(estimate).items()},
                        }
                    )  # fmt: skip
    return pd.DataFrame(rows)


def _calibration(
    expected: Expectations, transfer: Transfer, pairs: np.ndarray | None, seed: int
) -> dict[str, Interval]:
    grades = grade_calibration(expected.harm, expected.low, expected.high, transfer.gains, pairs=pairs)
    return {measure: interval(values, seed=seed) for measure, values in grades.items()}


def _elsewhere(zoo: Zoo, kind: str, shots: int, similarities: dict[str, np.ndarray]) -> Known | None:
    """What the embedded suite's zoo knows by the same similarities, to learn from where a zoo has too few targets."""
    reference = reference_zoo()
    if reference is None or reference.root == zoo.root:
        return None
    names = measured_tasks(reference, kind)
    transfer = load_transfer(reference.transfer_path(kind), shots, names)
    theirs = predictions(reference, kind, names)
    if transfer is None or not set(similarities) <= set(theirs):
        return None
    return known_of({name: theirs[name] for name in similarities}, transfer, [SUITE.load(name) for name in names])


def predictors_markdown(zoo: Zoo, kind: str, shots: int) -> str:
    """Predictors against measures on all pairs, best rank correlation first, as the table of docs/science.md."""
    frame = pd.read_csv(zoo.result_path(GRADES_FILE))
    mine = frame[(frame["kind"] == kind) & (frame["shots"] == shots) & (frame["pairs"] == ALL_PAIRS)]
    order = mine[mine["measure"] == "spearman"].sort_values("mean", ascending=False)["predictor"]
    lines = ["| predictor | " + " | ".join(SHOWN) + " |", "|" + "---|" * (1 + len(SHOWN))]
    means = {(row["predictor"], row["measure"]): row for row in mine.to_dict("records")}
    for predictor in order:
        cells = []
        for measure in SHOWN:
            row = means.get((predictor, measure))
            if row is None or not row["targets"]:
                cells.append("–")
                continue
            digits = 1 if measure.startswith("regret") else 2
            cells.append(f"{row['mean']:.{digits}f} ({row['low']:.{digits}f} to {row['high']:.{digits}f})")
        lines.append(f"| {predictor} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _at_random(
    transfer: Transfer, pairs: np.ndarray | None, seed: int, *, first: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """Each measure's mean over random orders of the donors.

    Args:
        first: (N, N) bool, donors that come before the others.
    """
    ahead = np.zeros(transfer.scores.shape) if first is None else first.astype(float)
    drawn_measures = [measure for measure in MEASURES if measure not in COUNT_TIES]
    rng = np.random.default_rng(seed)
    drawn = [
        grade_targets(ahead + rng.random(ahead.shape), transfer.gains, pairs=pairs, measures=drawn_measures)
        for _ in range(ORDERS)
    ]
    grades = {measure: np.mean([one[measure] for one in drawn], axis=0) for measure in drawn_measures}
    tied = grade_targets(ahead, transfer.gains, pairs=pairs, measures=COUNT_TIES)
    ordered = np.isfinite(grades["ndcg"])
    for measure in CORRELATIONS:  # that of nothing but ties is 0
        tied[measure] = np.where(ordered, np.nan_to_num(tied[measure]), np.nan)
    grades |= tied
    return {measure: grades[measure] for measure in MEASURES}


def _staged(
    first: np.ndarray, probes: Mapping[int, np.ndarray], transfer: Transfer, pairs: np.ndarray | None
) -> dict[str, np.ndarray]:
    """Each measure's mean over the seeds of the shots on which donors were probed."""
    grades = [grade_targets(staged(first, probe), transfer.gains, pairs=pairs) for probe in probes.values()]
    return {measure: pd.DataFrame([one[measure] for one in grades]).mean().to_numpy() for measure in MEASURES}


def _against_itself(path: Path, shots: int, names: Sequence[str], pairs: np.ndarray | None) -> dict[str, np.ndarray]:
    """Each measure's mean over seeds that are left out in turn, on the pairs that have another seed, too."""
    seeds = measured_seeds(path, shots)
    grades = []
    for seed in seeds:
        others = load_transfer(path, shots, names, seeds=[other for other in seeds if other != seed])
        left_out = load_transfer(path, shots, names, seeds=[seed])
        assert others is not None
        assert left_out is not None
        both = np.where(np.isfinite(others.gains), left_out.gains, np.nan)
        grades.append(grade_targets(others.gains, both, pairs=pairs))
    return {measure: pd.DataFrame([one[measure] for one in grades]).mean().to_numpy() for measure in MEASURES}


def _planted(names: Sequence[str]) -> np.ndarray:
    """(N, N) bool, whether two tasks are relatives by construction, as only those of the mini suite can be."""
    kin = {name: planted_relatives(name) if name in TASK_NAMES else () for name in names}
    return np.array([[donor in kin[target] for donor in names] for target in names])


def _complete(gains: np.ndarray) -> np.ndarray:
    """Gains with the least likely value where a pair was not measured, so that it comes last."""
    return np.where(np.isfinite(gains), gains, -np.inf)


def predictor_figures(zoo: Zoo, kind: str, shots: int) -> dict[str, Any] | None:
    """How well the default similarity predicts transfer; None where it was not graded.

    ``planted_top3`` is the share of the suite's planted relatives that are among the three nearest, of those that could
    be; None in a zoo without the suite.
    """
    path = zoo.result_path(GRADES_FILE)
    if not path.is_file():
        return None
    frame = pd.read_csv(path)
    wanted = {"kind": kind, "shots": shots, "pairs": ALL_PAIRS, "predictor": DEFAULT_PREDICTOR}
    for column, value in wanted.items():
        frame = frame[frame[column] == value]
    if frame.empty:
        return None
    means = frame.set_index("measure")["mean"]
    planted = planted_found(zoo, kind=kind, predictor=DEFAULT_PREDICTOR).values()
    hits, possible = sum(hit for hit, _ in planted), sum(most for _, most in planted)
    return {
        "name": DEFAULT_PREDICTOR,
        "spearman": float(means["spearman"]),
        "regret3": float(means["regret3"]),
        "planted_top3": round(hits / possible, 4) if possible else None,
    }
