"""What slides are drawn from: the zoo, what was measured, and the runs of a workspace."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import networkx as nx
import numpy as np
import pandas as pd

from pituning.errors import ArtefactError
from pituning.experts.kinds import KINDS
from pituning.graph.build import task_graph
from pituning.graph.predictors import PREDICTORS
from pituning.graph.zoo_parts import Part, part_files, zoo_parts
from pituning.runs.kinds import RUN_KINDS
from pituning.runs.queue import RunQueue
from pituning.runs.records import Run
from pituning.studies.lowshot_scores import comparable_scores
from pituning.tasks.guessing import guesses_of, mean_guess
from pituning.tasks.metrics import Guessing
from pituning.tasks.registry import TaskInfo, list_tasks
from pituning.workspace.layout import DEFAULT_BACKBONE, Workspace
from pituning.workspace.lowshot import read_lowshot
from pituning.workspace.similarity import NearestSimilarity, ZooSimilarity
from pituning.workspace.transfer import Transfer, gain_intervals, load_transfer, measured_shots
from pituning.workspace.zoo import Zoo as KeptZoo


@dataclass(frozen=True, kw_only=True)
class Compared:
    """Tasks that were compared: by which experts and which predictor, and what is known of each."""

    kind: str
    predictor: str
    infos: tuple[TaskInfo, ...]

    @property
    def names(self) -> list[str]:
        return [info.name for info in self.infos]

    @property
    def titles(self) -> dict[str, str]:
        return {info.name: info.title for info in self.infos}


@dataclass(frozen=True, kw_only=True)
class Zoo(Compared):
    """Similarities with what is known of their tasks: ``matrix`` (N, N) and ``replicates`` (R, N, N) by ``infos``."""

    matrix: np.ndarray
    replicates: np.ndarray

    def only(self, names: Sequence[str]) -> Self:
        """The same for some of the tasks, in the given order."""
        at = [self.names.index(name) for name in names]
        return replace(
            self,
            infos=tuple(self.infos[i] for i in at),
            matrix=self.matrix[np.ix_(at, at)],
            replicates=self.replicates[:, at][:, :, at],
        )

    @classmethod
    def of(cls, similarity: ZooSimilarity, known: Mapping[str, TaskInfo], kind: str, predictor: str) -> Self:
        """Similarities of the tasks that are in the workspace still."""
        at = [i for i, name in enumerate(similarity.names) if name in known]
        whole = len(at) == len(similarity.names)  # then nothing needs to be copied
        return cls(
            kind=kind,
            predictor=predictor,
            infos=tuple(known[similarity.names[i]] for i in at),
            matrix=similarity.matrix if whole else similarity.matrix[np.ix_(at, at)],
            replicates=similarity.replicates if whole else similarity.replicates[:, at][:, :, at],
        )


@dataclass(frozen=True, kw_only=True)
class NearestZoo(Compared):
    """The same of very many tasks, of which only the most similar of each are kept: ``kept`` is in the order of
    ``infos``."""

    kept: NearestSimilarity

    @classmethod
    def of(cls, kept: NearestSimilarity, known: Mapping[str, TaskInfo], kind: str, predictor: str) -> Self:
        """Similarities of the tasks that are in the workspace still."""
        at = [i for i, name in enumerate(kept.names) if name in known]
        if len(at) < len(kept.names):
            kept = kept.only(np.array(at, dtype=int))
        return cls(kind=kind, predictor=predictor, infos=tuple(known[name] for name in kept.names), kept=kept)


class Reader:
    """Reads what a workspace has of a backbone. Whoever draws the same things often overrides what to keep."""

    def __init__(self, workspace: Workspace, backbone: str = DEFAULT_BACKBONE):
        self.workspace, self.backbone = workspace, backbone

    @property
    def kept(self) -> KeptZoo:
        """The zoo of the backbone, as it is kept."""
        return self.workspace.zoo(self.backbone)

    def tasks(self) -> Mapping[str, TaskInfo]:
        return {info.name: info for info in list_tasks(self.workspace, self.backbone)}

    def available(self) -> dict[str, list[str]]:
        """The predictors that are there for each kind; a kind without any is left out."""
        here = self.kept
        available = {
            kind: [name for name in PREDICTORS if here.similarity_path(kind, name).is_file()] for kind in KINDS
        }
        return {kind: names for kind, names in available.items() if names}

    def similarity(self, kind: str, predictor: str) -> ZooSimilarity:
        return self.kept.similarity(kind, predictor)

    def kept_similarity(self, kind: str, predictor: str) -> ZooSimilarity | NearestSimilarity:
        return self.kept.kept_similarity(kind, predictor)

    def transfer_shots(self, kind: str) -> list[int]:
        return measured_shots(self.kept.transfer_path(kind))

    def transfer(self, kind: str, shots: int, names: tuple[str, ...]) -> Transfer | None:
        return load_transfer(self.kept.transfer_path(kind), shots, names)

    def gain_intervals(self, kind: str, shots: int, target: str) -> dict[str, float]:
        """Half of the 95 % interval of what each donor did for a target, where several seeds were measured."""
        return gain_intervals(self.kept.transfer_path(kind), shots, target)

    def parts(self, kind: str, predictor: str, part: Part) -> Mapping[str, np.ndarray]:
        """S of each layer or module alone, in the order of `similarity`; empty where embeddings are not kept."""
        compared = self.similarity(kind, predictor)
        return zoo_parts(part_files(self.kept, compared, kind, predictor), compared, predictor, part)

    def lowshot(self, kind: str) -> pd.DataFrame:
        """The rows of the low-shot study, none where it has not been made."""
        return read_lowshot(self.kept.shown_lowshot(kind)[0])

    def study_scores(self, kind: str, shots: int) -> pd.DataFrame:
        """What the rows of the study at some shots come to."""
        return comparable_scores(self.lowshot(kind), shots)

    def guesses(self, tasks: Sequence[str]) -> dict[str, Guessing]:
        """What guessing scores on tasks; those of which nothing can be known are left out."""
        return guesses_of(tasks, self.workspace)

    def mean_guess(self, tasks: Sequence[str]) -> Guessing | None:
        """The mean over tasks, None where one of them is not known."""
        return mean_guess(self.guesses(tasks), tasks)

    @cached_property
    def queue(self) -> RunQueue:
        return RunQueue(self.workspace)

    def graph(self, zoo: Zoo, k: int) -> nx.Graph:
        return task_graph(zoo.matrix, zoo.infos, k=k)

    def zoo(self, kind: str | None = None, predictor: str | None = None) -> Zoo:
        """The similarities of a kind and predictor, by default the first that are there.

        Raises:
            BadInput: no such kind or predictor can be, or the tasks are so many that not all pairs are kept.
            ArtefactError: they have not been made or are damaged.
        """
        kind, predictor = self._chosen(kind, predictor)
        return Zoo.of(self.similarity(kind, predictor), self.tasks(), kind, predictor)

    def kept_zoo(self, kind: str | None = None, predictor: str | None = None) -> Zoo | NearestZoo:
        """The same in the form in which it is kept.

        Raises:
            BadInput: no such kind or predictor can be.
            ArtefactError: they have not been made or are damaged.
        """
        kind, predictor = self._chosen(kind, predictor)
        kept, known = self.kept_similarity(kind, predictor), self.tasks()
        if isinstance(kept, NearestSimilarity):
            return NearestZoo.of(kept, known, kind, predictor)
        return Zoo.of(kept, known, kind, predictor)

    def _chosen(self, kind: str | None, predictor: str | None) -> tuple[str, str]:
        available = self.available()
        if not available:
            raise ArtefactError(f"no task graph in {self.workspace.root} yet; make it with: {self.kept.how_to_graph()}")
        if predictor is not None:
            PREDICTORS.check(predictor)
        kind = KINDS.check(kind) if kind is not None else next(iter(available))
        return kind, predictor or next(iter(available.get(kind, PREDICTORS)))

    def finished_runs(self) -> list[Run]:
        """The low-shot runs with a result, newest first."""
        return list(self.queue.list(states=("succeeded",), kind="tune", backbone=self.backbone))

    def result(self, run: Run) -> dict[str, Any]:
        """The result of a finished run.

        Raises:
            ArtefactError: it is missing or damaged.
        """
        result = self.queue.result_of(run.id) if run.state == "succeeded" else None
        if not isinstance(result, dict):
            raise ArtefactError(f"run {run.id} has no result; it is {run.state}")
        return result


def seeds_of(run: Run, runs: Sequence[Run]) -> list[Run]:
    """The finished runs that differ from ``run`` in their seed only, ``run`` among them; one for each seed."""
    wanted = _but_for_seed(run)
    return next(iter(by_seeds([run, *(other for other in runs if _but_for_seed(other) == wanted)])), [run])


def seeds_taken(run: Run, runs: Sequence[Run]) -> dict[int, bool]:
    """The seeds of the runs that differ from ``run`` in their seed only, and whether one is still to end."""
    wanted = _but_for_seed(run)
    alike = [other for other in runs if _but_for_seed(other) == wanted and other.id != run.id]
    return {int(other.spec.config.get("seed", 0)): other.active for other in alike}


def by_seeds(runs: Sequence[Run]) -> list[list[Run]]:
    """The finished runs of those given, together that differ in their seed only; of each seed the first, by seed."""
    together: dict[tuple[str, str], dict[str, Run]] = {}
    for run in runs:
        if run.state == "succeeded":
            together.setdefault(_but_for_seed(run), {}).setdefault(str(run.spec.config.get("seed")), run)
    return [[by_seed[seed] for seed in sorted(by_seed)] for by_seed in together.values()]


def _but_for_seed(run: Run) -> tuple[str, str]:
    # Runs from before there was a setting had what is its default.
    defaults = run.spec.defaults() if run.kind in RUN_KINDS else {}
    rest = {key: value for key, value in {**defaults, **run.spec.config}.items() if key != "seed"}
    return run.kind, json.dumps(rest, sort_keys=True, default=str)
