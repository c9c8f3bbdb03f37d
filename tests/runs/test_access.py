"""What each role may ask of the queue, whoever asks and however: nothing here goes through a page."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pituning.errors import NotAllowed
from pituning.runs.queue import RunQueue
from pituning.runs.removal import delete_run, remove_task
from pituning.runs.roles import Actor, Role
from pituning.runs.spec import RunSpec
from pituning.workspace.layout import Workspace

SPEC = RunSpec(kind="train", config={"task": "digits", "shots": 4, "name": "quick"})


def as_role(workspace: Workspace, role: Role) -> RunQueue:
    return RunQueue(workspace, actor=Actor(f"{role}@example.org", role))


def queued(queue: RunQueue) -> str:
    return queue.submit(SPEC)


def tuned(queue: RunQueue) -> str:
    run_id = queue.submit(RunSpec(kind="tune", config={"target": "digits"}))
    claimed = queue.claim("me")
    assert claimed is not None
    queue.finish(claimed.claim, "succeeded")
    return run_id


def cancelled(queue: RunQueue) -> str:
    run_id = queue.submit(SPEC)
    queue.cancel(run_id)
    return run_id


# What to do, what makes the run that it is done to, and who may.
ASKED: dict[str, tuple[Callable[[RunQueue, str], object], Callable[[RunQueue], str], Role]] = {
    "submit": (lambda queue, _run: queue.submit(SPEC), queued, Role.RUNNER),
    "submit_all": (lambda queue, _run: queue.submit_all([SPEC, SPEC], batch="two"), queued, Role.RUNNER),
    "extend": (lambda queue, run: queue.extend(run, ["bitfit"]), tuned, Role.RUNNER),
    "duplicate": (lambda queue, run: queue.duplicate(run, {"seed": 1}), queued, Role.RUNNER),
    "move": (lambda queue, run: queue.move(run, 2), queued, Role.RUNNER),
    "move_first": (lambda queue, run: queue.move_first(run), queued, Role.RUNNER),
    "set_priority": (lambda queue, run: queue.set_priority(run, 5), queued, Role.RUNNER),
    "pause": (lambda queue, _run: queue.pause(), queued, Role.RUNNER),
    "unpause": (lambda queue, _run: queue.unpause(), queued, Role.RUNNER),
    "set": (lambda queue, _run: queue.set("paused", {"reason": "x", "since": 0}), queued, Role.RUNNER),
    "cancel": (lambda queue, run: queue.cancel(run), queued, Role.RUNNER),
    "resume": (lambda queue, run: queue.resume(run), cancelled, Role.RUNNER),
    "retry": (lambda queue, run: queue.retry(run), cancelled, Role.RUNNER),
    "forget": (lambda queue, run: queue.forget(run), cancelled, Role.ADMIN),
    "delete_run": (delete_run, cancelled, Role.ADMIN),
}
READING = {
    "exists", "get", "list", "waiting", "counts", "setting", "place", "new_batch_name", "curves_of", "alphas_of",
    "events_of", "result_of", "log_of", "count", "batches", "unchanged", "partial_of",
}  # fmt: skip
FOR_WORKERS = {"claim", "begin", "report", "finish", "release", "lost"}


def everything(workspace: Workspace) -> object:
    """All rows of all tables."""
    queue = RunQueue(workspace)
    runs = queue.list()
    return runs, [queue.events_of(run.id) for run in runs], queue.setting("paused")


@pytest.mark.parametrize("backend", ["sqlite", "postgresql"], indirect=True)
@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("what", ASKED)
def test_the_queue_does_what_the_role_covers_and_nothing_else(workspace: Workspace, what: str, role: Role) -> None:
    do, make, needed = ASKED[what]
    owner = RunQueue(workspace)
    run_id = make(owner)
    owner.submit(SPEC)
    before = everything(workspace)

    if role >= needed:
        do(as_role(workspace, role), run_id)
        assert what == "unpause" or everything(workspace) != before
    else:
        with pytest.raises(NotAllowed, match=rf"{role}@example.org is a {role} and may not .* the role of {needed}"):
            do(as_role(workspace, role), run_id)
        assert everything(workspace) == before


def test_no_way_into_the_queue_is_left_out_here() -> None:
    public = {name for name in dir(RunQueue) if not name.startswith("_")}

    # `forget` is `forgetting`, and asks for the same role; `remembering` undoes it and is tried by `restore`.
    assert public == READING | FOR_WORKERS | {"adopt", "forgetting", "remembering"} | (set(ASKED) - {"delete_run"})


@pytest.mark.parametrize("role", [Role.VIEWER, Role.RUNNER])
def test_only_an_admin_removes_a_task(workspace: Workspace, role: Role) -> None:
    directory = workspace.task_dir("mine")
    directory.mkdir(parents=True)

    with pytest.raises(NotAllowed, match="may not remove tasks"):
        remove_task(as_role(workspace, role), "mine")

    assert directory.is_dir()


@pytest.mark.parametrize("role", [Role.VIEWER, Role.RUNNER])
def test_only_an_admin_takes_a_database_over(workspace: Workspace, role: Role) -> None:
    with pytest.raises(NotAllowed, match="may not take a database over"):
        as_role(workspace, role).adopt()


def test_it_is_written_down_who_did_what(workspace: Workspace) -> None:
    queue = as_role(workspace, Role.RUNNER)
    run_id = queue.submit(SPEC)
    queue.cancel(run_id)
    queue.resume(run_id)
    nobody = RunQueue(workspace).submit(SPEC)

    assert queue.get(run_id).submitted_by == "runner@example.org"
    assert [event.message for event in queue.events_of(run_id)] == [
        "queued by runner@example.org",
        "cancelled before it began by runner@example.org",
        "resumed by runner@example.org",
    ]
    assert queue.get(nobody).submitted_by is None
    assert [event.message for event in queue.events_of(nobody)] == ["queued"]
