"""Which settings of runs their scores depend on. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pituning.errors import BadInput

LEAST_RUNS = 12
"""With fewer runs nothing that can be said of a setting would hold for the next run."""

FOLDS = 4
TREES = 60
REPEATS = 10


@dataclass(frozen=True)
class Importance:
    """How much of the score's variance goes back to a setting.

    Args:
        setting: its name.
        share: mean over folds of how much worse runs left out are predicted when their values of it are shuffled, as a
            share of the variance of scores; 0 where it does not matter, and about that, also below, by chance.
        spread: its standard deviation over folds.
    """

    setting: str
    share: float
    spread: float


@dataclass(frozen=True)
class Importances:
    """Of all settings, the most important first.

    Args:
        explained: R² of the predicted scores of runs left out; at most 1, and 0 or less where settings predict nothing.
    """

    explained: float
    settings: tuple[Importance, ...]


def varied_settings(configs: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """The settings that are not the same in all runs, a row for each run; numbers stay numbers, all else is text."""
    names = dict.fromkeys(name for config in configs for name in config)
    columns: dict[str, list[Any]] = {}
    for name in names:
        values = [config.get(name) for config in configs]
        if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
            columns[name] = [float(value) for value in values if value is not None]
        else:
            columns[name] = [_written(value) for value in values]
    return pd.DataFrame({name: values for name, values in columns.items() if len(set(values)) > 1})


def _written(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else "not set" if value is None else str(value)


def importances(settings: pd.DataFrame, scores: Sequence[float], *, seed: int = 0) -> Importances:
    """Permutation importance (Breiman, 2001) of a random forest, measured on runs that it was not fitted to.

    Args:
        settings: as of `varied_settings`, N rows.
        scores: N of them.

    Raises:
        BadInput: there are fewer than `LEAST_RUNS` runs, or nothing varies.
    """
    if len(settings) < LEAST_RUNS:
        raise BadInput(f"{len(settings)} runs are too few to tell which settings matter; have at least {LEAST_RUNS}")
    values = np.asarray(scores, float)
    if settings.shape[1] == 0 or np.ptp(values) == 0:
        raise BadInput("nothing varies over these runs; choose runs with different settings and scores")
    from sklearn.ensemble import RandomForestRegressor  # takes a second to import, which most pages never need
    from sklearn.inspection import permutation_importance
    from sklearn.model_selection import KFold

    columns = [settings[name] for name in settings.columns]
    features = np.stack(
        [one if pd.api.types.is_numeric_dtype(one) else pd.factorize(one, sort=True)[0] for one in columns], axis=1
    ).astype(float)
    lost, squares = [], 0.0
    for fit, left_out in KFold(FOLDS, shuffle=True, random_state=seed).split(features):
        forest = RandomForestRegressor(TREES, min_samples_leaf=2, random_state=seed).fit(features[fit], values[fit])
        squares += float(((forest.predict(features[left_out]) - values[left_out]) ** 2).sum())
        shuffled = permutation_importance(
            forest, features[left_out], values[left_out], scoring="neg_mean_squared_error", n_repeats=REPEATS,
            random_state=seed,
        )  # fmt: skip
        lost.append(shuffled.importances_mean)
    shares = np.stack(lost) / values.var()
    order = np.argsort(-shares.mean(axis=0), kind="stable")
    return Importances(
        explained=1 - squares / float(((values - values.mean()) ** 2).sum()),
        settings=tuple(
            Importance(str(settings.columns[i]), float(shares[:, i].mean()), float(shares[:, i].std())) for i in order
        ),
    )
