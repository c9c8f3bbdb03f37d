"""What donors did for targets, as it was measured: the rows of ``<kind>/results/transfer.csv``. Torch-free.

A row is one score: the expert of ``donor`` on ``target``, trained on ``shots`` examples per class of ``seed`` (0: not
at all). An empty donor is what the target has without one: the backbone alone, or a new expert on the same shots.
``spec`` is a digest of all that the score depends on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from pituning.errors import ArtefactError
from pituning.workspace.similarity import MOST_DENSE

COLUMNS = ("target", "donor", "shots", "seed", "score", "spec")
NO_DONOR = ""


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """Measured transfer at one number of shots.

    Args:
        names: the tasks, in the order of rows and columns.
        shots: examples per class; 0 where the donors were left as they are.
        alone: (N,) score of each target without a donor, in points, mean over seeds; NaN where not measured.
        scores: (N, N) score of target i with donor j; NaN where not measured, and on the diagonal.
        seeds: how many seeds every score is a mean of.
    """

    names: tuple[str, ...]
    shots: int
    alone: np.ndarray
    scores: np.ndarray
    seeds: int

    @property
    def gains(self) -> np.ndarray:
        """(N, N) points that donor j adds to target i; negative where it harms."""
        return self.scores - self.alone[:, None]

    def only(self, names: Sequence[str]) -> Transfer:
        """The same among some of the tasks, in the given order."""
        place = {name: i for i, name in enumerate(self.names)}
        at = [place[name] for name in names]
        return replace(self, names=tuple(names), alone=self.alone[at], scores=self.scores[np.ix_(at, at)])


def read_rows(path: Path) -> pd.DataFrame:
    """The rows, none where there is no file.

    Raises:
        ArtefactError: when the file cannot be read as what it should be.
    """
    return read_cells(path, COLUMNS, made_by="pituning study transfer")


def read_cells(path: Path, columns: Sequence[str], *, made_by: str) -> pd.DataFrame:
    """A table with a row for each target, donor, number of shots and seed; no rows where there is no file.

    Args:
        columns: these four, then the measured numbers, then ``spec``.
        made_by: the command that makes it.

    Raises:
        ArtefactError: when the file cannot be read as what it should be.
    """
    if not path.exists():
        return pd.DataFrame(columns=list(columns))
    try:
        frame = pd.read_csv(path, keep_default_na=False, dtype={"target": str, "donor": str, "spec": str})
        return frame.astype({"shots": int, "seed": int} | dict.fromkeys(columns[4:-1], float))[list(columns)]
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise ArtefactError(f"{path} is damaged ({error}); make it again: {made_by}") from error


def load_transfer(
    path: Path, shots: int, names: Sequence[str], *, seeds: Sequence[int] | None = None
) -> Transfer | None:
    """The measured transfer among the tasks ``names``; None where nothing was measured at that number of shots.

    Of more than `MOST_DENSE` tasks it is among those that were measured.

    Args:
        seeds: of the shots, over which the scores are averaged; all by default.

    Raises:
        ArtefactError: when the file is damaged.
    """
    frame = read_rows(path)
    frame = frame[(frame["shots"] == shots) & frame["target"].isin(set(names))]
    if seeds is not None:
        frame = frame[frame["seed"].isin(seeds)]
    if frame.empty:
        return None
    means = frame.groupby(["target", "donor"], as_index=False).agg({"score": "mean"})
    if len(names) > MOST_DENSE:
        measured = {*means["target"], *means["donor"]}
        names = [name for name in names if name in measured]
    place = {name: index for index, name in enumerate(names)}
    alone, scores = np.full(len(names), np.nan), np.full((len(names), len(names)), np.nan)
    for target, donor, score in zip(means["target"], means["donor"], means["score"], strict=True):
        if donor == NO_DONOR:
            alone[place[target]] = score
        elif donor in place:
            scores[place[target], place[donor]] = score
    return Transfer(names=tuple(names), shots=shots, alone=alone, scores=scores, seeds=int(frame["seed"].nunique()))


def gain_intervals(path: Path, shots: int, target: str) -> dict[str, float]:
    """Half of the 95 % interval of what each donor did for a target, in points, by Student's t over seeds, by donor.

    A gain is the difference of two scores on the same shots. Donors with fewer than two of them are left out.

    Raises:
        ArtefactError: when the file is damaged.
    """
    from scipy.special import stdtrit  # the app starts sooner without

    frame = read_rows(path)
    scores = frame[(frame["shots"] == shots) & (frame["target"] == target)].pivot_table(
        index="seed", columns="donor", values="score"
    )
    if NO_DONOR not in scores:
        return {}
    gains = scores.drop(columns=NO_DONOR).sub(scores[NO_DONOR], axis=0)
    count = gains.count()
    half = stdtrit(np.maximum(count - 1, 1), 0.975) * gains.std(ddof=1) / np.sqrt(np.maximum(count, 1))
    return {str(donor): float(half[donor]) for donor in gains.columns if count[donor] > 1}


def measured_shots(path: Path) -> list[int]:
    """At how many shots transfer was measured, ascending."""
    return sorted(int(shots) for shots in read_rows(path)["shots"].unique())


def measured_seeds(path: Path, shots: int) -> list[int]:
    """With which seeds of the shots transfer was measured, ascending."""
    frame = read_rows(path)
    return sorted(int(seed) for seed in frame.loc[frame["shots"] == shots, "seed"].unique())
