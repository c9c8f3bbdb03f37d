"""The queue of runs in the workspace's database. Torch-free.

Contract, the same on SQLite and PostgreSQL and for every process that opens the workspace:

- A run is a spec that never changes, and a state: ``queued → running → succeeded | failed | cancelled``. Failed and
  cancelled runs may be queued again; a run that has succeeded stays so. Nothing but `RunQueue.forget` removes a run.
- Queueing is one transaction: a batch is there whole or not at all, and it is there once the call has returned,
  whatever becomes of the caller.
- `RunQueue.claim` hands a queued run to exactly one owner, by compare-and-set, and counts its attempt. The order is
  priority, then place in the queue. A paused queue hands out nothing.
- From then on every write about the run carries owner and attempt, and changes nothing unless both still hold
  (`LostClaimError`): a worker that was given up for dead cannot disturb its successor.
- Every write of a worker is a heartbeat. A run whose worker died goes back to the queue until ``max_attempts``, then it
  has failed with the reason; a worker that stops through no fault of the run gives it back without counting.
- Cancelling a running run raises a flag that its worker sees with its next report, and its supervisor at once.
- Whoever asks is an `Actor`; what their role does not cover raises `NotAllowed` and changes nothing. Looking needs no
  more than an actor, ``forget`` and ``adopt`` an admin, everything else a runner.
- Curves, weights and events are appended. A later attempt that goes over a step again replaces what was written of it.

Times are seconds since the epoch. Readers: `pituning.runs.store`; workers' writes: `pituning.runs.claims`; here is what
people ask for.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from pituning.errors import BadInput
from pituning.runs.attempts import hand_on, has_left, remove_checkpoints
from pituning.runs.claims import NOBODY, ClaimedRuns, LostClaimError
from pituning.runs.naming import new_names, number_of
from pituning.runs.records import Run
from pituning.runs.roles import LOCAL_OWNER, Actor, Role
from pituning.runs.rows import Rows, copy_measured, insert_rows, rows_of
from pituning.runs.spec import RunSpec
from pituning.runs.store import ALPHAS, CURVES, ORDER, PAUSED, RUNS, SETTINGS, note
from pituning.workspace.layout import Workspace, check_name

__all__ = ["MAX_ATTEMPTS", "LostClaimError", "RunQueue"]

MAX_ATTEMPTS = 3
ID_BYTES = 5
"""Random bytes of an id: three give two runs of ten thousand the same one more often than not."""

SPACING = 1e-6
"""Seconds between runs that are queued together: less than it takes to queue the next ones."""


class RunQueue(ClaimedRuns):
    """The runs of a workspace.

    Args:
        workspace: whose runs they are.
        actor: who asks.
    """

    def __init__(self, workspace: Workspace, *, actor: Actor = LOCAL_OWNER):
        super().__init__(workspace)
        self.actor = actor

    def submit(
        self, spec: RunSpec, *, name: str | None = None, priority: int = 0, max_attempts: int = MAX_ATTEMPTS
    ) -> str:
        """Puts a run into the queue and returns its id.

        Raises:
            BadInput: when the spec's settings cannot be used.
        """
        names = None if name is None else [name]
        return self.submit_all([spec], names=names, priority=priority, max_attempts=max_attempts)[0]

    def submit_all(
        self,
        specs: Sequence[RunSpec],
        *,
        batch: str | None = None,
        names: Sequence[str] | None = None,
        priority: int = 0,
        max_attempts: int = MAX_ATTEMPTS,
        after: str | None = None,
    ) -> list[str]:
        """Puts runs into the queue, all or none, in this order; returns their ids.

        Args:
            batch: a name that they share.
            names: one for each run; by default its kind and subject, and a number from the second one on.
            after: a run from whose checkpoints they go on, with its curves and weights.

        Raises:
            BadInput: when a spec's settings, or the batch's name, cannot be used.
            NotAllowed: the actor is no runner.
        """
        self.actor.require(Role.RUNNER, "start runs")
        if batch is not None:
            check_name(batch, what="batch")
        for spec in specs:
            spec.validate()
        now = time.time()
        rows = [
            {
                "id": _new_id(spec), "name": names[number] if names else "", "kind": spec.kind,
                "backbone": spec.backbone, "batch": batch, "spec": spec.to_json(), "state": "queued",
                "priority": priority, "position": now + number * SPACING, "attempt": 0, "max_attempts": max_attempts,
                "created": now + number * SPACING, "submitted_by": self.actor.name, "cancel_requested": False,
                "done": 0, "total": 0,
            }
            for number, spec in enumerate(specs)
        ]  # fmt: skip
        if rows:
            with self._alone() as connection:
                self._check_owner(connection)
                if not names:
                    for row, name in zip(rows, new_names(connection, specs), strict=True):
                        row["name"] = name
                connection.execute(sa.insert(RUNS), rows)
                for row in rows:
                    message = "queued" if after is None else self._goes_on(connection, after, str(row["id"]))
                    self._note(connection, str(row["id"]), message)
        return [str(row["id"]) for row in rows]

    def new_batch_name(self) -> str:
        """A name that no batch has yet."""
        return f"batch-{time.strftime('%m%d')}-{secrets.token_hex(3)}"

    def duplicate(self, run_id: str, changes: Mapping[str, Any], *, name: str | None = None) -> str:
        """Queues a new run with the settings of another but for ``changes``; returns its id.

        Raises:
            BadInput: there is no such run or setting, or a value cannot be used.
        """
        run = self.get(run_id)
        if run.damage is not None:
            raise BadInput(run.damage)
        spec = RunSpec(kind=run.kind, config={**run.spec.config, **changes})
        own = None if number_of(run) else run.name  # a name that somebody gave; else it gets one of its own
        return self.submit(spec, name=name or own, priority=run.priority)

    def extend(self, run_id: str, more: Sequence[str]) -> str:
        """Queues a new run with the settings of one that has succeeded and more of what its kind's ``grows`` names:
        baselines of a tuning. It does nothing again that was done. Returns its id.

        Raises:
            BadInput: there is no such run, it has not succeeded or is of a kind that does not grow, it has all of
                ``more``, or one of that cannot be used.
        """
        self.actor.require(Role.RUNNER, "start runs")
        run = self.get(run_id)
        if run.damage is not None:
            raise BadInput(run.damage)
        name = run.spec.record.grows
        if name is None or run.state != "succeeded":
            what = f"is {run.state}" if name else f"is of kind {run.kind}"
            raise BadInput(f"run {run_id!r} {what}; more can be added to a tuning that has succeeded", field="run")
        has = {**run.spec.defaults(), **run.spec.config}[name]
        new = [each for each in dict.fromkeys(more) if each not in has]
        if not new:
            raise BadInput(f"there is nothing to add to run {run_id!r}: it has {', '.join(has)}", field=name)
        spec = RunSpec(kind=run.kind, config={**run.spec.config, name: [*has, *new]})
        return self.submit_all([spec], priority=run.priority, after=run_id)[0]

    def _goes_on(self, connection: sa.Connection, run_id: str, new_id: str) -> str:
        """Gives a new run what another one has left, before the commit, while no worker can have taken it."""
        self._get(connection, run_id)  # it may have been deleted meanwhile
        place = self.workspace.run_dir(run_id)
        if not has_left(place):  # as runs from before there was anything to add
            return f"queued with the settings of {run_id}, of which nothing is left to go on from"
        copy_measured(connection, run_id, new_id)
        hand_on(place, self.workspace.run_dir(new_id))
        return f"queued to go on from {run_id}"

    # The order.

    def move(self, run_id: str, place: int) -> None:
        """Makes a queued run the ``place``-th to be taken, counted from 1; it takes the priority of its neighbours.

        Raises:
            BadInput: the run is not queued.
        """
        self.actor.require(Role.RUNNER, "change the order of runs")
        with self._writing() as connection:
            self._require_queued(connection, run_id, "can be moved")
            columns = (RUNS.c.id, RUNS.c.priority, RUNS.c.position)
            query = sa.select(*columns).where(RUNS.c.state == "queued", RUNS.c.id != run_id).order_by(*ORDER)
            others = list(connection.execute(query))
            index = min(max(place - 1, 0), len(others))
            if not others:
                return
            priority = others[index].priority if index < len(others) else others[-1].priority
            before = [row for row in others[:index] if row.priority == priority]
            after = [row for row in others[index:] if row.priority == priority]
            if before and after:
                position = (before[-1].position + after[0].position) / 2
                if not before[-1].position < position < after[0].position:  # no room is left between the two
                    for number, row in enumerate([*before, None, *after]):
                        if row is not None:
                            connection.execute(sa.update(RUNS).where(RUNS.c.id == row.id).values(position=number))
                    position = len(before)
            else:
                position = before[-1].position + 1.0 if before else after[0].position - 1.0
            connection.execute(
                sa.update(RUNS).where(RUNS.c.id == run_id).values(priority=priority, position=position)
            )  # fmt: skip

    def move_first(self, run_id: str) -> None:
        """Makes a queued run the next one to be taken."""
        self.move(run_id, 1)

    def place(self, run_id: str) -> int | None:
        """The place of a queued run in the queue, counted from 1; None for others."""
        with self._reading() as connection:
            ids = connection.scalars(sa.select(RUNS.c.id).where(RUNS.c.state == "queued").order_by(*ORDER))
            return next((number for number, each in enumerate(ids, 1) if each == run_id), None)

    def set_priority(self, run_id: str, priority: int) -> None:
        """Runs of a higher priority are taken first; 0 is usual.

        Raises:
            BadInput: the run is not queued.
        """
        self.actor.require(Role.RUNNER, "change the order of runs")
        with self._writing() as connection:
            self._require_queued(connection, run_id, "has a priority to change")
            connection.execute(sa.update(RUNS).where(RUNS.c.id == run_id).values(priority=priority))

    def _require_queued(self, connection: sa.Connection, run_id: str, what: str) -> None:
        run = self._get(connection, run_id, to_change=True)
        if run.state != "queued":
            raise BadInput(f"run {run_id!r} is {run.state}; only a queued run {what}")

    def pause(self, reason: str = "") -> None:
        """Nothing more is taken until `unpause`; what is running goes on."""
        self.actor.require(Role.RUNNER, "pause the queue")
        self.set(PAUSED, {"reason": reason, "since": time.time()})

    def unpause(self) -> None:
        """Ends a pause."""
        self.actor.require(Role.RUNNER, "pause the queue")
        self.set(PAUSED, None)

    # Stopping and starting again.

    def cancel(self, run_id: str) -> str:
        """Stops a run: at once while it is queued, else by asking its worker.

        Returns:
            the state now: ``cancelled``, ``running`` (asked to stop), or the final state it had before.
        """
        self.actor.require(Role.RUNNER, "cancel runs")
        with self._writing() as connection:
            run = self._get(connection, run_id, to_change=True)
            this = sa.update(RUNS).where(RUNS.c.id == run_id)
            if run.state == "queued":
                connection.execute(this.values(state="cancelled", finished=time.time(), eta_s=None))
                self._note(connection, run_id, "cancelled before it began")
                return "cancelled"
            if run.state == "running" and not run.cancel_requested:
                connection.execute(this.values(cancel_requested=True))
                self._note(connection, run_id, "asked to stop")
            return run.state

    def resume(self, run_id: str) -> None:
        """Queues a failed or cancelled run again; what it had saved and measured stays.

        Raises:
            BadInput: the run is not failed or cancelled.
        """
        self._again(run_id, "resumed", clean=False)

    def retry(self, run_id: str) -> None:
        """Queues a failed or cancelled run again, from the very start: its checkpoints and curves are removed.

        Raises:
            BadInput: the run is not failed or cancelled.
        """
        self._again(run_id, "to be tried again from the start", clean=True)

    def forget(self, run_id: str) -> Run:
        """Takes a run that has ended out of the database, with its curves, weights and events; its files stay.

        Returns:
            the run as it was.

        Raises:
            BadInput: the run is queued or running.
            NotAllowed: the actor is no admin.
        """
        with self.forgetting(run_id) as (run, _):
            return run

    @contextmanager
    def forgetting(self, run_id: str) -> Iterator[tuple[Run, Rows | None]]:
        """`forget`, once what is done meanwhile has come to its end; until then no run is queued, taken or ended.

        Yields the run and what `remembering` brings back, None where its record is damaged.
        """
        self.actor.require(Role.ADMIN, "delete runs")
        with self._alone() as connection:
            run = self._get(connection, run_id, to_change=True)
            if run.active:
                raise BadInput(f"run {run_id!r} is {run.state}; cancel it first: pituning runs cancel {run_id}")
            rows = None if run.damage is not None else rows_of(connection, run_id)
            connection.execute(sa.delete(RUNS).where(RUNS.c.id == run_id))
            yield run, rows

    @contextmanager
    def remembering(self, rows: Rows) -> Iterator[None]:
        """Brings a forgotten run back, once what is done meanwhile has come to its end.

        Raises:
            BadInput: the rows are no run's, or there is a run of that id again.
            NotAllowed: the queue's actor is no admin.
        """
        self.actor.require(Role.ADMIN, "restore runs")
        with self._alone() as connection:
            run_id = insert_rows(connection, rows)
            self._note(connection, run_id, "restored from the bin")
            yield

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """Meanwhile no run is queued, taken or ended by anybody: what was read of the runs is still so."""
        with self._alone():
            yield

    def _again(self, run_id: str, message: str, *, clean: bool) -> None:
        self.actor.require(Role.RUNNER, "start runs")
        with self._writing() as connection:
            run = self._get(connection, run_id, to_change=True)
            if run.state not in ("failed", "cancelled"):
                raise BadInput(f"run {run_id!r} is {run.state}; only a failed or cancelled run can start again")
            if run.damage is not None:
                raise BadInput(run.damage)
            connection.execute(
                sa.update(RUNS)
                .where(RUNS.c.id == run_id)
                .values(
                    **NOBODY, state="queued", cancel_requested=False, failure=None, error=None, fix=None,
                    result_path=None, started=None, finished=None, heartbeat=None, phase=None, done=0, total=0,
                    position=time.time(), max_attempts=run.attempt + MAX_ATTEMPTS,
                )
            )  # fmt: skip
            if clean:
                connection.execute(sa.delete(CURVES).where(CURVES.c.run_id == run_id))
                connection.execute(sa.delete(ALPHAS).where(ALPHAS.c.run_id == run_id))
                # Before the commit, while no worker can have taken the run.
                remove_checkpoints(self.workspace.run_dir(run_id))
            self._note(connection, run_id, message)

    def _note(self, connection: sa.Connection, run_id: str, message: str) -> None:
        """Writes down what the actor has done, with their name where they have one."""
        note(connection, run_id, message if self.actor.name is None else f"{message} by {self.actor.name}")

    def set(self, key: str, value: Any) -> None:
        """Writes down a value that holds for the queue as a whole; None removes it."""
        self.actor.require(Role.RUNNER, "change the queue")
        with self._writing() as connection:
            connection.execute(sa.delete(SETTINGS).where(SETTINGS.c.key == key))
            if value is not None:
                connection.execute(sa.insert(SETTINGS).values(key=key, value=value))


def _new_id(spec: RunSpec) -> str:
    subject = "".join(c for c in spec.subject.lower() if c.isascii() and (c.isalnum() or c == "-"))[:40]
    return f"{spec.kind}-{subject}-{secrets.token_hex(ID_BYTES)}"
