"""How much a tuning has to do, in training steps: what its progress and its forecast count. Torch-free."""

from __future__ import annotations

from collections.abc import Sequence

from pituning.tuning.config import CANDIDATES, TuneConfig, curve_shots, is_trained

VERDICT_PHASE = "methods for the verdict"
OTHERS_PHASE = "other methods and calibration"

ROWS = 50
"""Test examples that are answered in about the time of a training step."""


def test_units(rows: int) -> int:
    """Steps that answering so many test examples counts for."""
    return -(-rows // ROWS)


def method_units(config: TuneConfig, method: str, *, folds: int, rows: int, answers: bool, crossed: int = 0) -> int:
    """Steps of one method.

    Args:
        folds: splits of the shots on which rate and steps are chosen.
        rows: test examples.
        answers: whether it is also trained on all shots and tested.
        crossed: parts of the shots that are tested by what was trained without them.
    """
    trainings = folds * len(config.rates(method)) + answers * (1 + crossed) if is_trained(method) else 0
    return trainings * config.steps + (test_units(rows) if answers else 0)


def verdict_units(
    config: TuneConfig,
    *,
    folds: int,
    rows: int,
    crossed: int = 0,
    methods: Sequence[tuple[str, bool]] | None = None,
) -> int:
    """Steps until the verdict.

    Args:
        methods: those of `TuneConfig.for_verdict` that there are; all by default.
    """
    return sum(
        method_units(config, name, folds=folds, rows=rows, answers=answers, crossed=crossed)
        for name, answers in (config.for_verdict if methods is None else methods)
    )


def other_units(config: TuneConfig, *, folds: int, rows: int, closed: bool, crossed: int = 0) -> int:
    """Steps after the verdict: the other baselines, the learning curve and the temperature."""
    methods = sum(
        method_units(
            config, name, folds=0 if name in CANDIDATES else folds, rows=rows, answers=answers, crossed=crossed
        )
        for name, answers in config.after_verdict
    )
    fitted = temperature_units(config, folds=folds, rows=rows) if folds and closed else 0
    return methods + curve_units(config, rows) + fitted


def temperature_units(config: TuneConfig, *, folds: int, rows: int) -> int:
    """Steps of fitting a temperature and measuring it."""
    return folds * config.steps + test_units(rows)


def curve_units(config: TuneConfig, rows: int) -> int:
    """Steps of the learning curve, where there is to be one."""
    points = len(curve_shots(config.shots)) if config.learning_curve else 0
    return points * (config.steps + test_units(rows))
