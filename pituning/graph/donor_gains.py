"""What donors are expected to do for a target, from what a zoo has measured; or why that cannot be said. Torch-free."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from pituning.errors import BadInput
from pituning.graph.calibrated import fit
from pituning.graph.harm import signed
from pituning.graph.known import Known, Target
from pituning.graph.predictors import DEFAULT_PREDICTOR, PREDICTORS
from pituning.graph.predictors.gains import EXPECTED, GAIN_PREDICTORS
from pituning.workspace.similarity import load_similarity
from pituning.workspace.transfer import Transfer, load_transfer, measured_shots
from pituning.workspace.zoo import Zoo

MOST_HELPFUL = 6
"""Most donors that are taken where their number is chosen by expected gain."""
PERFECT = 100.0
"""Points of a perfect score."""
MOST_TASKS = 200
"""With more tasks the fit, which looks at every pair, takes longer than a page may."""


class TaskForm(Protocol):
    """What is asked of a task: its modality, how it is scored, and whether its answers are open."""

    @property
    def modality(self) -> str: ...
    @property
    def metric(self) -> str: ...
    @property
    def labels(self) -> Sequence[str] | None: ...


@dataclass(frozen=True, kw_only=True)
class DonorGain:
    """Points that a donor is expected to add over a new expert on the same shots.

    Args:
        gain: the expectation; ``low`` and ``high`` are its interval at `calibrated.LEVEL`.
        harm: the probability that it costs a point or more.
    """

    gain: float
    low: float
    high: float
    harm: float

    @property
    def text(self) -> str:
        """As people read it, such as ``+3.1 (−12.0 to +18.2)``."""
        return f"{signed(self.gain)} ({signed(self.low)} to {signed(self.high)})"


@dataclass(frozen=True, kw_only=True)
class DonorGains:
    """What is expected of donors.

    Args:
        gains: by donor, most promising first; without those of which nothing can be said.
        reason: why nothing is expected of anybody, as a sentence; None where there is a prediction.
        shots: examples per class at which the transfer was measured that it was learned from; None without.
        targets: how many targets that were; 0 without.
    """

    gains: Mapping[str, DonorGain]
    reason: str | None = None
    shots: int | None = None
    targets: int = 0

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> DonorGains:
        """From what `dataclasses.asdict` gives."""
        gains = {name: DonorGain(**each) for name, each in document["gains"].items()}
        return cls(**{**document, "gains": gains})

    def only(self, donors: Sequence[str]) -> DonorGains:
        """The same of these donors alone."""
        return replace(self, gains={name: each for name, each in self.gains.items() if name in donors})

    def helpful(self, most: int = MOST_HELPFUL) -> tuple[str, ...]:
        """The donors that are expected to help, the best first; at most so many."""
        return tuple(name for name, each in self.gains.items() if each.gain > 0)[:most]


@dataclass(frozen=True, kw_only=True)
class ZooKnown:
    """What a zoo knows of its tasks ``names``, in the order of ``known``; measured with so many ``shots`` per class."""

    names: tuple[str, ...]
    known: Known
    shots: int

    def place(self, name: str) -> int | None:
        """Where a task stands; None where the zoo does not know it."""
        return self.names.index(name) if name in self.names else None


def expected_gain(
    zoo: Zoo,
    target: str,
    donors: Sequence[str] | None = None,
    *,
    tasks: Mapping[str, TaskForm],
    kind: str = "lora",
    shots: int | None = None,
) -> DonorGains:
    """What donors are expected to do for a task of the graph, judged without anything that was measured of it.

    Args:
        donors: of whom; by default all tasks of the graph.
        tasks: by name, those of the zoo and the target among them.
        shots: examples per class of the tuning; the measured transfer nearest to it is learned from, by default that
            of most shots.

    Raises:
        ArtefactError: the zoo's similarities or its table of transfer are damaged.
    """
    try:
        zoo_known = read_known(zoo, kind, tasks, shots)
        place = zoo_known.place(target)
        if place is None:
            raise BadInput(f"the task graph does not know {target!r} yet; it is known once it is embedded")
        known = zoo_known.known
        gains = _gains(zoo_known, known.without(place), known.target(place), exclude=target)
    except BadInput as error:
        return DonorGains(gains={}, reason=str(error))
    return gains if donors is None else gains.only(donors)


def expected_from_shots(
    zoo: Zoo,
    target: str,
    similarities: Mapping[str, Mapping[str, float]],
    *,
    tasks: Mapping[str, TaskForm],
    kind: str = "lora",
    shots: int | None = None,
) -> DonorGains:
    """The same for a target of which nothing is known but its shots.

    Args:
        similarities: of the target, by predictor and donor, from the shots.
        tasks: by name, the target and those of the zoo.

    Raises:
        ArtefactError: as for `expected_gain`.
    """
    try:
        zoo_known = read_known(zoo, kind, tasks, shots, predictors=list(similarities))
        place = zoo_known.place(target)
        known = zoo_known.known if place is None else zoo_known.known.without(place)
        names = [name for name in zoo_known.names if name != target]
        forms = alike([tasks[target], *(tasks[name] for name in names)])
        seen = Target(
            similarities={
                predictor: np.array([similarities[predictor].get(name, np.nan) for name in names], dtype=float)
                for predictor in known.similarities
            },
            alike={aspect: same[0, 1:] for aspect, same in forms.items()},
        )
        return _gains(zoo_known, known, seen, exclude=target)
    except BadInput as error:
        return DonorGains(gains={}, reason=str(error))


def read_known(
    zoo: Zoo,
    kind: str,
    tasks: Mapping[str, TaskForm],
    shots: int | None = None,
    *,
    predictors: Sequence[str] | None = None,
) -> ZooKnown:
    """What a zoo knows of those of its tasks that are among ``tasks``.

    Args:
        shots: as for `expected_gain`.
        predictors: the similarities that are wanted; by default all that there are.

    Raises:
        BadInput: the zoo was not embedded, is too large, or has no measured transfer.
        ArtefactError: something of it is damaged.
    """
    every = measured_shots(zoo.transfer_path(kind))
    counts = [count for count in every if count]
    if not counts:
        what = "only without shots" if every else "not at all"
        fix = zoo.command(f"study transfer --kind {kind} --shots 16")
        raise BadInput(f"transfer of {kind} was measured {what} in this zoo; run: {fix}")
    wanted = PREDICTORS if predictors is None else predictors
    paths = {name: zoo.similarity_path(kind, name) for name in wanted}
    stored = {name: load_similarity(path) for name, path in paths.items() if path.exists()}
    if DEFAULT_PREDICTOR not in stored:
        raise BadInput(f"the tasks of this zoo were not compared; run: {zoo.command(f'embed --all --kind {kind}')}")
    names = [name for name in stored[DEFAULT_PREDICTOR].names if name in tasks]
    if len(names) > MOST_TASKS:
        raise BadInput(f"the zoo has {len(names):,} tasks; gains are predicted among {MOST_TASKS} at most")
    count = max(counts) if not shots else min(counts, key=lambda each: abs(math.log(each / shots)))
    transfer = load_transfer(zoo.transfer_path(kind), count, names)
    if transfer is None:
        raise BadInput("no transfer was measured between these tasks")
    matrices = {
        predictor: each.matrix[np.ix_(*[[each.names.index(name) for name in names]] * 2)].astype(float)
        for predictor, each in stored.items()
        if set(names) <= set(each.names)
    }
    known = known_of(matrices, transfer, [tasks[name] for name in names])
    return ZooKnown(names=tuple(names), known=known, shots=count)


def known_of(similarities: Mapping[str, np.ndarray], transfer: Transfer, tasks: Sequence[TaskForm]) -> Known:
    """What is known of tasks, in the order of the transfer that was measured between them."""
    return Known(
        similarities=similarities, alike=alike(tasks), gains=transfer.gains, room=PERFECT - transfer.alone
    )  # fmt: skip


def alike(tasks: Sequence[TaskForm]) -> dict[str, np.ndarray]:
    """(N, N) bool by aspect, which tasks have the same modality, the same metric, open answers both or neither."""
    aspects: dict[str, list[object]] = {
        "modality": [task.modality for task in tasks],
        "metric": [task.metric for task in tasks],
        "answers": [task.labels is None for task in tasks],
    }
    return {name: np.array([[one == other for other in each] for one in each]) for name, each in aspects.items()}


def _gains(zoo_known: ZooKnown, known: Known, target: Target, *, exclude: str) -> DonorGains:
    names = [name for name in zoo_known.names if name != exclude]
    expected = fit(GAIN_PREDICTORS[EXPECTED], known).expect(known, target)
    gains = {
        names[j]: DonorGain(
            gain=float(expected.gain[j]), low=float(expected.low[j]), high=float(expected.high[j]),
            harm=float(expected.harm[j]),
        )
        for j in np.argsort(-expected.gain, kind="stable")
        if np.isfinite(expected.gain[j])
    }  # fmt: skip
    return DonorGains(gains=gains, shots=zoo_known.shots, targets=int(known.measured.sum()))
