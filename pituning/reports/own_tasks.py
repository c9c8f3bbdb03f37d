"""The user's own tasks: those without an expert in the zoo, of which a run has embedded the shots."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from pituning.backbones.embedded import SUITE
from pituning.errors import PiTuningError
from pituning.graph.donor_gains import DonorGain, DonorGains
from pituning.graph.newcomers import Newcomer, ranking_of
from pituning.reports.reader import Reader
from pituning.runs.kinds import RUN_KINDS
from pituning.runs.records import Run

SEARCHED = 500
"""Runs of a kind among which those on such tasks are looked for, the newest first."""


@dataclass(frozen=True, kw_only=True)
class OwnTask(Newcomer):
    """Such a task.

    Args:
        run: the one that embedded its shots.
        predictor: the similarity by which it ranked the zoo.
        expert: that it made, if it made one.
        expected: what donors were expected to add.
    """

    run: Run
    predictor: str
    expert: str | None
    expected: DonorGains


def own_tasks(reader: Reader, kind: str, placed: Collection[str]) -> list[OwnTask]:
    """Own tasks that a run on the reader's backbone has compared with the zoo by experts of a kind, the newest run of
    each; in the order of these runs.

    Args:
        placed: tasks that are in the graph by themselves.
    """
    own = {name for name, info in reader.tasks().items() if info.source != SUITE and info.sizes["train"]}
    newest = _newest(reader, kind, own - set(placed))
    return sorted(newest.values(), key=lambda one: (one.run.created, one.run.id))


def own_task(reader: Reader, name: str, kind: str) -> OwnTask | None:
    """One of them, whether it is in the graph or not."""
    return _newest(reader, kind, {name} & set(reader.tasks())).get(name)


def kind_of(run: Run) -> str:
    """By experts of which kind a run works."""
    return str({**run.spec.defaults(), **run.spec.config}["kind"])


def expected_of(result: Mapping[str, Any]) -> DonorGains:
    """What a run expected of each donor; of none where its result does not say."""
    try:
        gains = {str(name): DonorGain(**each) for name, each in (result.get("expected") or {}).items()}
        return DonorGains(gains=gains, reason=result.get("reason"), **(result.get("learned_from") or {}))
    except (TypeError, AttributeError):
        return DonorGains(gains={})  # not what a run writes


def _newest(reader: Reader, kind: str, names: Collection[str]) -> dict[str, OwnTask]:
    known = reader.tasks()
    newest: dict[str, OwnTask] = {}
    for run in _rankings(reader) if names else ():
        name = run.spec.subject
        if name not in names or name in newest or kind_of(run) != kind:
            continue
        try:
            result = reader.result(run)
        except PiTuningError:
            continue  # the run itself tells
        near = ranking_of(result)
        if near:
            newest[name] = OwnTask(
                info=known[name], near=near, donors=tuple(map(str, result.get("donors") or ())), run=run,
                predictor=str(result.get("predictor")), expert=result.get("expert"), expected=expected_of(result),
            )  # fmt: skip
    return newest


def _rankings(reader: Reader) -> list[Run]:
    """The runs that have ranked the zoo for a task, newest first."""
    kinds = [record.name for record in RUN_KINDS.values() if record.ranks_zoo]
    runs = [
        run
        for kind in kinds
        for run in reader.queue.list(states=("succeeded",), kind=kind, backbone=reader.backbone, limit=SEARCHED)
    ]
    return sorted((run for run in runs if run.understood), key=lambda run: run.created, reverse=True)
