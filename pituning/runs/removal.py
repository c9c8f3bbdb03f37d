"""Puts runs, experts and tasks into the bin with all that hangs on them, and nothing that others need. Torch-free."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pituning.errors import BadInput
from pituning.experts.kinds import KINDS
from pituning.labelling.sources import drop_source
from pituning.registry import unknown
from pituning.runs.kinds import RUN_KINDS
from pituning.runs.questions import drop_image
from pituning.runs.queue import RunQueue
from pituning.runs.records import ACTIVE, Run
from pituning.runs.roles import Role
from pituning.runs.samples import drop_sample
from pituning.runs.spec import RunSpec
from pituning.tasks.mini import TASK_NAMES
from pituning.workspace.affinities import affinity_path
from pituning.workspace.bin import Bin
from pituning.workspace.layout import DEFAULT_BACKBONE
from pituning.workspace.similarity import NearestSimilarity, ZooSimilarity, load_kept, save_nearest, save_similarity
from pituning.workspace.zoo import Zoo

DROPPED = {"image": drop_image, "source": drop_source, "sample": drop_sample}
"""What the workspace keeps for runs, by the field of a configuration that names it, and what removes it."""


@dataclass(frozen=True)
class Deleted:
    """What was put into the bin.

    Args:
        entry: its id in the bin; None where the disk was too full for that, and it is gone for good.
        expert: the name of the expert that went with it, or None.
    """

    entry: str | None
    expert: str | None = None


def delete_run(queue: RunQueue, run_id: str) -> Deleted:
    """Puts a run that has ended into the bin: its curves, log, result and checkpoints, and the expert only it made.

    An expert stays when it belongs to the zoo, where others borrow from it, or when another run makes the same one.
    What other runs ask or label stays, too, and so does everything that a run may need whose record cannot be read.

    Raises:
        BadInput: there is no such run, or it is queued or running.
        NotAllowed: the queue's actor is no admin.
    """
    workspace = queue.workspace
    with _bin(queue).deleting("run", run_id, by=queue.actor.name) as deletion, queue.forgetting(run_id) as (run, rows):
        paths = [workspace.run_dir(run_id)]
        made = expert_of(queue, run)
        kept = {field: str(name) for field in DROPPED if (name := run.spec.config.get(field))}
        others = [other for other in queue.list() if other.id != run_id] if kept else []
        if all(other.damage is None for other in others):
            for field, name in kept.items():
                if all(other.spec.config.get(field) != name for other in others):
                    DROPPED[field](name, workspace, paths.append)
        if made is not None:
            paths.append(made)
        damage = None if rows is not None else f"the record of run {run_id} was damaged and cannot be restored"
        deletion.move(paths, rows=rows, title=run.name, damage=damage)
    return Deleted(deletion.entry_id, None if made is None else made.name)


def expert_of(queue: RunQueue, run: Run) -> Path | None:
    """The directory of the expert that goes when a run is deleted; None when there is none, or it stays."""
    made = expert_made(run)
    if run.state != "succeeded" or made is None:
        return None
    backbone, kind, name = made
    zoo = queue.workspace.zoo(backbone)
    if name in zoo.expert_dirs(kind):
        return None
    others = [other for other in queue.list(states=[*ACTIVE, "succeeded"], backbone=backbone) if other.id != run.id]
    if any(not other.understood or expert_made(other) == made for other in others):
        return None
    directory = zoo.new_expert_dir(kind, name)
    return directory if directory.is_dir() else None


def expert_made(run: Run) -> tuple[str, str, str] | None:
    """Backbone, kind and name of the expert that a run makes; None for a run that makes none, or cannot be read."""
    record = RUN_KINDS.get(run.kind)
    if record is None or not record.makes_expert or not run.understood:
        return None
    config = run.spec.settings()
    return config.backbone, config.kind, config.expert_name


def remove_expert(queue: RunQueue, kind: str, name: str, *, backbone: str = DEFAULT_BACKBONE) -> Deleted:
    """Puts an expert of the workspace's own into the bin; one of the zoo takes its place in the task graph with it.

    Where it stood over a shipped one of that name, that comes back, and the graph stays.

    Raises:
        BadInput: as `check_removable`.
        NotAllowed: the queue's actor is no admin.
    """
    queue.actor.require(Role.ADMIN, "remove experts")
    with _bin(queue).deleting("expert", name, by=queue.actor.name) as deletion, queue.unchanged():
        check_removable(queue, kind, name, backbone=backbone)
        zoo = queue.workspace.zoo(backbone)
        own = zoo.new_expert_dir(kind, name)
        leaves = name in zoo.expert_dirs(kind) and not _shipped(zoo, kind, name)
        paths, rewrites = _in_graph(zoo, kind, name) if leaves else ([], [])
        deletion.move([own, *paths], rewrites=rewrites)
        leave_graph(rewrites, name)
    return Deleted(deletion.entry_id)


def check_removable(queue: RunQueue, kind: str, name: str, *, backbone: str = DEFAULT_BACKBONE) -> None:
    """Nothing when an expert can be removed.

    Raises:
        BadInput: there is none of that name, it is a shipped one, or a queued or running run needs it.
    """
    zoo = queue.workspace.zoo(backbone)
    if name not in zoo.all_expert_dirs(KINDS.check(kind)):
        raise unknown("expert", name, list(zoo.all_expert_dirs(kind)))
    if not zoo.new_expert_dir(kind, name).is_dir():
        raise BadInput(f"expert {name!r} is a shipped one; only experts of the workspace can be removed", field="name")
    lends = [(backbone, kind)] if name in zoo.expert_dirs(kind) else []
    for run in queue.list(states=ACTIVE, backbone=backbone):
        _check_readable(run, "expert", name)
        if _asks(run.spec, (backbone, kind), name) or (lends and _needs(run.spec, name, lends)):
            raise BadInput(
                f"expert {name!r} is needed by run {run.id}, which is {run.state}; wait, or cancel it first: "
                f"pituning runs cancel {run.id}",
                field="name",
            )


def remove_task(queue: RunQueue, name: str) -> Deleted:
    """Puts a task that somebody added into the bin, with its own experts in every zoo and its place in the task graphs.

    Experts that runs made for it stay.

    Raises:
        BadInput: as `own_experts`.
        NotAllowed: the queue's actor is no admin.
    """
    queue.actor.require(Role.ADMIN, "remove tasks")
    workspace = queue.workspace
    with _bin(queue).deleting("task", name, by=queue.actor.name) as deletion, queue.unchanged():
        lends = own_experts(queue, name)
        graphs = [
            _in_graph(workspace.zoo(backbone), kind, name) for backbone in workspace.zoo_names() for kind in KINDS
        ]
        paths = [path for found, _ in graphs for path in found]
        rewrites = [path for _, found in graphs for path in found]
        experts = [workspace.zoo(backbone).new_expert_dir(kind, name) for backbone, kind in lends]
        deletion.move([workspace.task_dir(name), *experts, *paths], rewrites=rewrites)
        leave_graph(rewrites, name)
    return Deleted(deletion.entry_id)


def remove_table(queue: RunQueue, name: str) -> Deleted:
    """Puts a table of affinities that somebody imported into the bin, if it is there.

    Raises:
        BadInput: the name cannot be used.
        NotAllowed: the queue's actor is no admin.
    """
    queue.actor.require(Role.ADMIN, "delete tables")
    with _bin(queue).deleting("table", name, by=queue.actor.name) as deletion:
        deletion.move([affinity_path(queue.workspace, name)])
    return Deleted(deletion.entry_id)


def own_experts(queue: RunQueue, name: str) -> list[tuple[str, str]]:
    """Backbone and kind of the zoos' experts that go with a task when it is removed.

    Raises:
        BadInput: it cannot be removed: it belongs to the suite, there is none of that name, or a queued or running
            run needs it.
    """
    workspace = queue.workspace
    if name in TASK_NAMES:
        raise BadInput(f"task {name!r} belongs to the suite; only tasks that were added can be removed", field="task")
    if name not in workspace.task_names():
        raise unknown("task", name, workspace.task_names())
    lends = [
        (backbone, kind)
        for backbone in workspace.zoo_names()
        for kind in KINDS
        if name in workspace.zoo(backbone).expert_dirs(kind)
    ]
    for run in queue.list(states=ACTIVE):
        _check_readable(run, "task", name)
        if _needs(run.spec, name, lends):
            raise BadInput(
                f"task {name!r} is needed by run {run.id}, which is {run.state}; wait, or cancel it first: "
                f"pituning runs cancel {run.id}",
                field="task",
            )
    return lends


def _check_readable(run: Run, what: str, name: str) -> None:
    """Raises BadInput where a run that is still to be done does not say what it needs."""
    if run.damage is not None:
        raise BadInput(
            f"{what} {name!r} may be needed by run {run.id}, whose record cannot be read; cancel it first: "
            f"pituning runs cancel {run.id}",
            field="name" if what == "expert" else what,
        )


def _needs(spec: RunSpec, name: str, lends: Sequence[tuple[str, str]]) -> bool:
    """Whether a run reads a task: its own, a donor, or any of the zoo whose experts are of its backbone and kind."""
    config = spec.config
    named = [config.get("target"), config.get("task"), *config.get("tasks", ()), *config.get("donor_names", ())]
    asked = any(_asks(spec, lent, name) for lent in lends)
    record = RUN_KINDS.get(spec.kind)
    return name in named or asked or (record is not None and record.reads_zoo and _of(spec) in lends)


def _asks(spec: RunSpec, of: tuple[str, str], name: str) -> bool:
    """Whether a run asks an expert of a backbone and kind."""
    asked = [*spec.config.get("experts", ()), spec.config.get("expert")]
    return _of(spec) == of and name in asked


def _of(spec: RunSpec) -> tuple[str, str]:
    """Backbone and kind of a run."""
    return spec.backbone, spec.config.get("kind") or "lora"


def _bin(queue: RunQueue) -> Bin:
    return Bin(queue.workspace.root)


def _shipped(zoo: Zoo, kind: str, name: str) -> bool:
    return zoo.shipped is not None and (zoo.shipped / kind / "experts" / name).is_dir()


def _in_graph(zoo: Zoo, kind: str, name: str) -> tuple[list[Path], list[Path]]:
    """A task's own files in the workspace's graph of a kind, and the files in which it is one of several."""
    embeddings = sorted((zoo.root / kind / "embeddings").glob(f"*/{name}.*"))
    similarities = sorted((zoo.root / kind / "similarity").glob("[!.]*.safetensors"))
    shared = [path for path in similarities if name in load_kept(path).names]
    return embeddings, [each for path in shared for each in (path, path.with_suffix(".json"))]


def leave_graph(paths: Sequence[Path], name: str) -> None:
    """Takes a task out of similarities; how alike the others are stays as it was measured."""
    for path in paths:
        if path.suffix != ".safetensors":
            continue  # its card, which is written with it
        found = load_kept(path)
        if name not in found.names:
            continue
        if isinstance(found, NearestSimilarity):
            save_nearest(path, found.only(np.flatnonzero(np.array(found.names) != name)))
            continue
        keep = np.array([other != name for other in found.names])
        save_similarity(
            path,
            ZooSimilarity(
                names=tuple(other for other in found.names if other != name),
                matrix=found.matrix[np.ix_(keep, keep)],
                replicates=found.replicates[:, keep][:, :, keep],
            ),
        )
