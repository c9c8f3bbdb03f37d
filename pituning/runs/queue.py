"""The queue of runs in the workspace's database. Torch-free.

Contract. A run is ``queued``, ``running``, ``done``, ``failed`` or ``cancelled``. `RunQueue.claim` hands a queued run
to exactly one owner and counts its attempt; from then on, every write about it carries owner and attempt and changes
nothing unless both still hold (`LostClaimError`), so a worker that was given up for dead cannot disturb its successor.
Cancelling a running run raises a flag that its worker sees with its next report. A run whose worker died goes back to
the queue until ``max_attempts``, then it has failed. Times are seconds since the epoch.
"""

from __future__ import annotations

import dataclasses
import math
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import sqlalchemy as sa

from pituning.errors import BadInput, PiTuningError
from pituning.runs.records import AlphaPoint, Claim, MetricPoint, Run, RunEvent
from pituning.runs.spec import RunSpec
from pituning.workspace.atomic import read_json
from pituning.workspace.database import AlphaRow, EventRow, MetricRow, RunRow, database_error, writing
from pituning.workspace.layout import Workspace, unknown

MAX_ATTEMPTS = 3

_runs, _metrics, _alphas, _events = (cast(sa.Table, row.__table__) for row in (RunRow, MetricRow, AlphaRow, EventRow))


class LostClaimError(PiTuningError):
    """Somebody else owns the run by now: stop, and write nothing."""


class RunQueue:
    """The runs of a workspace."""

    def __init__(self, workspace: Workspace):
        self.workspace = workspace
        self._engine = workspace.engine

    # For whoever asks for work.

    def submit(
        self, spec: RunSpec, *, name: str | None = None, priority: int = 0, max_attempts: int = MAX_ATTEMPTS
    ) -> str:
        """Puts a run into the queue and returns its id.

        Raises:
            BadInput: when the spec's settings cannot be used.
        """
        spec.validate()
        subject = "".join(c for c in spec.subject.lower() if c.isascii() and (c.isalnum() or c == "-"))[:40]
        run_id = f"{spec.kind}-{subject}-{secrets.token_hex(3)}"
        values = {
            "id": run_id, "name": name or f"{spec.kind} {spec.subject}", "kind": spec.kind, "spec": spec.to_json(),
            "state": "queued", "priority": priority, "attempt": 0, "max_attempts": max_attempts, "created": time.time(),
            "cancel_requested": False, "done": 0, "total": 0,
        }  # fmt: skip
        with self._writing() as connection:
            connection.execute(sa.insert(_runs).values(values))
            _note(connection, run_id, "queued")
        return run_id

    def get(self, run_id: str) -> Run:
        """The run of that id.

        Raises:
            BadInput: there is none; the message has the ids that come close.
        """
        with self._reading() as connection:
            return self._get(connection, run_id)

    def list(self, *, states: Sequence[str] | None = None, kind: str | None = None, limit: int = 500) -> Sequence[Run]:
        """Runs, newest first."""
        query = sa.select(_runs).order_by(_runs.c.created.desc(), _runs.c.id).limit(limit)
        if states is not None:
            query = query.where(_runs.c.state.in_(states))
        if kind is not None:
            query = query.where(_runs.c.kind == kind)
        with self._reading() as connection:
            return [_run(row) for row in connection.execute(query)]

    def waiting(self) -> Sequence[Run]:
        """The queued runs in the order in which they will be taken."""
        query = sa.select(_runs).where(_runs.c.state == "queued").order_by(*_ORDER)
        with self._reading() as connection:
            return [_run(row) for row in connection.execute(query)]

    def move_first(self, run_id: str) -> None:
        """Makes a queued run the next one to be taken."""
        with self._writing() as connection:
            run = self._get(connection, run_id)
            if run.state != "queued":
                raise BadInput(f"run {run_id!r} is {run.state}; only a queued run can be moved")
            highest = connection.scalar(sa.select(sa.func.max(_runs.c.priority)).where(_runs.c.state == "queued"))
            connection.execute(sa.update(_runs).where(_runs.c.id == run_id).values(priority=(highest or 0) + 1))

    def cancel(self, run_id: str) -> str:
        """Stops a run: at once while it is queued, else by asking its worker.

        Returns:
            the state now: ``cancelled``, ``running`` (asked to stop), or the final state it had before.
        """
        with self._writing() as connection:
            run = self._get(connection, run_id)
            if run.state == "queued":
                connection.execute(
                    sa.update(_runs)
                    .where(_runs.c.id == run_id)
                    .values(state="cancelled", finished=time.time(), eta_s=None)
                )
                _note(connection, run_id, "cancelled before it began")
                return "cancelled"
            if run.state == "running" and not run.cancel_requested:
                connection.execute(sa.update(_runs).where(_runs.c.id == run_id).values(cancel_requested=True))
                _note(connection, run_id, "asked to stop")
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
        """
        with self._writing() as connection:
            run = self._get(connection, run_id)
            if run.active:
                raise BadInput(f"run {run_id!r} is {run.state}; cancel it first: pituning runs cancel {run_id}")
            connection.execute(sa.delete(_runs).where(_runs.c.id == run_id))
            return run

    # What a run has to show.

    def metrics_of(self, run_id: str) -> Sequence[MetricPoint]:
        """All values of all curves, in the order in which they came."""
        query = sa.select(_metrics).where(_metrics.c.run_id == run_id).order_by(_metrics.c.id)
        with self._reading() as connection:
            return [MetricPoint(r.series, r.step, r.name, r.value) for r in connection.execute(query)]

    def alphas_of(self, run_id: str, *, last: int | None = None) -> Sequence[AlphaPoint]:
        """The interpolation weights in order of steps; the ``last`` so many only, or all."""
        query = (
            sa.select(_alphas).where(_alphas.c.run_id == run_id).order_by(_alphas.c.step.desc(), _alphas.c.id.desc())
        )
        with self._reading() as connection:
            rows = list(connection.execute(query.limit(last) if last is not None else query))
        return [
            AlphaPoint(r.step, tuple(r.data["sites"]), tuple(r.data["experts"]), tuple(map(tuple, r.data["weights"])))
            for r in reversed(rows)
        ]

    def events_of(self, run_id: str) -> Sequence[RunEvent]:
        query = sa.select(_events).where(_events.c.run_id == run_id).order_by(_events.c.id)
        with self._reading() as connection:
            return [RunEvent(r.time, r.message) for r in connection.execute(query)]

    def result_of(self, run_id: str) -> dict[str, Any] | None:
        """The result of a run that is done, else None.

        Raises:
            ArtefactError: its file is missing or damaged.
        """
        run = self.get(run_id)
        return read_json(self.workspace.root / run.result_path) if run.result_path else None

    def log_of(self, run_id: str, *, lines: int = 200) -> str:
        """The end of a run's log; empty when it has none."""
        self.get(run_id)
        path = self.workspace.run_dir(run_id) / "log.txt"
        if not path.exists():
            return ""
        with path.open("rb") as stream:
            stream.seek(max(0, path.stat().st_size - 400 * lines))
            return "\n".join(stream.read().decode("utf-8", "replace").splitlines()[-lines:])

    # For workers and supervisors.

    def claim(self, owner: str) -> Run | None:
        """Takes the next queued run, or None when there is none."""
        now = time.time()
        following = sa.select(_runs.c.id).where(_runs.c.state == "queued").order_by(*_ORDER).limit(1).scalar_subquery()
        take = (
            sa.update(_runs)
            .where(_runs.c.id == following, _runs.c.state == "queued")
            .values(
                state="running", owner=owner, attempt=_runs.c.attempt + 1, started=now, heartbeat=now, finished=None,
                pid=None, phase=None, done=0, total=0, eta_s=None, error=None,
            )
            .returning(_runs.c.id, _runs.c.attempt)
        )  # fmt: skip
        with self._writing() as connection:
            taken = connection.execute(take).first()
            if taken is None:
                return None
            _note(connection, taken.id, f"attempt {taken.attempt} begins")
            return self._get(connection, taken.id)

    def begin(self, claim: Claim, pid: int) -> None:
        """A process has taken up the run; its id is that of its process group, too."""
        self._update(claim, pid=pid, heartbeat=time.time())

    def report(
        self,
        claim: Claim,
        *,
        progress: Mapping[str, Any],
        metrics: Sequence[MetricPoint] = (),
        alphas: Sequence[AlphaPoint] = (),
        events: Sequence[RunEvent] = (),
        restart: Mapping[tuple[str, str], int] | None = None,
        restart_alphas: int | None = None,
    ) -> bool:
        """One heartbeat with everything that is new.

        Args:
            progress: ``phase``, ``done``, ``total``, ``eta_s``.
            restart: curves (series and name) that begin in this attempt, with their first step: what an earlier
                attempt wrote from there on goes.
            restart_alphas: likewise for the weights.

        Returns:
            whether the run is asked to stop.

        Raises:
            LostClaimError: the claim is no longer valid; nothing was written.
        """
        with self._writing() as connection:
            asked = self._update_in(connection, claim, {**progress, "heartbeat": time.time()})
            for (series, name), step in (restart or {}).items():
                stale = (_metrics.c.series == series, _metrics.c.name == name, _metrics.c.step >= step)
                connection.execute(sa.delete(_metrics).where(_metrics.c.run_id == claim.run_id, *stale))
            if restart_alphas is not None:
                connection.execute(
                    sa.delete(_alphas).where(_alphas.c.run_id == claim.run_id, _alphas.c.step >= restart_alphas)
                )
            finite = [dataclasses.asdict(point) for point in metrics if math.isfinite(point.value)]
            weights = [
                {"run_id": claim.run_id, "step": a.step,
                 "data": {"sites": a.sites, "experts": a.experts, "weights": a.weights}}
                for a in alphas
            ]  # fmt: skip
            if finite:
                connection.execute(sa.insert(_metrics), [{"run_id": claim.run_id, **point} for point in finite])
            if weights:
                connection.execute(sa.insert(_alphas), weights)
            for happened in events:
                _note(connection, claim.run_id, happened.message, happened.time)
        return asked

    def finish(self, claim: Claim, state: str, *, error: str | None = None, result_path: str | None = None) -> None:
        """Ends the run.

        Args:
            state: ``done``, ``failed`` or ``cancelled``.
            error: one line, for ``failed``.
            result_path: relative to the workspace, for ``done``.
        """
        values = {"state": state, "error": error, "result_path": result_path, "finished": time.time(), "eta_s": None}
        with self._writing() as connection:
            self._update_in(connection, claim, {**values, "pid": None})
            _note(connection, claim.run_id, state if error is None else f"{state}: {error}")

    def release(self, claim: Claim) -> None:
        """Gives the run back unfinished through no fault of its own: the attempt does not count."""
        values = {"state": "queued", "owner": None, "pid": None, "eta_s": None}
        with self._writing() as connection:
            self._update_in(connection, claim, {**values, "max_attempts": _runs.c.max_attempts + 1})
            _note(connection, claim.run_id, "interrupted; queued again")

    def lost(self, claim: Claim, why: str) -> str:
        """The worker is gone without a word: queue the run again, or give it up after its last attempt.

        Returns:
            the state now.
        """
        with self._writing() as connection:
            run = self._get(connection, claim.run_id)
            if run.state != "running" or run.claim != claim:
                return run.state
            if run.cancel_requested:
                values: dict[str, Any] = {"state": "cancelled", "finished": time.time()}
                message = "cancelled"
            elif run.attempt < run.max_attempts:
                values = {"state": "queued"}
                message = f"{why}; queued again"
            else:
                error = f"{why} in attempt {run.attempt} of {run.max_attempts}; see the log, then retry"
                values = {"state": "failed", "finished": time.time(), "error": error}
                message = f"failed: {error}"
            self._update_in(connection, claim, {**values, "owner": None, "pid": None, "eta_s": None})
            _note(connection, claim.run_id, message)
            return str(values["state"])

    # Inside.

    def _get(self, connection: sa.Connection, run_id: str) -> Run:
        row = connection.execute(sa.select(_runs).where(_runs.c.id == run_id)).first()
        if row is None:
            known = connection.scalars(sa.select(_runs.c.id).order_by(_runs.c.created.desc()).limit(50))
            raise unknown("run", run_id, list(known))
        return _run(row)

    def _update(self, claim: Claim, **values: Any) -> None:
        with self._writing() as connection:
            self._update_in(connection, claim, values)

    def _update_in(self, connection: sa.Connection, claim: Claim, values: Mapping[str, Any]) -> bool:
        held = (
            _runs.c.id == claim.run_id,
            _runs.c.owner == claim.owner,
            _runs.c.attempt == claim.attempt,
            _runs.c.state == "running",
        )
        row = connection.execute(
            sa.update(_runs).where(*held).values(**values).returning(_runs.c.cancel_requested)
        ).first()
        if row is None:
            raise LostClaimError(
                f"run {claim.run_id!r}, attempt {claim.attempt}, was given to another worker; this one stops"
            )
        return bool(row.cancel_requested)

    def _again(self, run_id: str, message: str, *, clean: bool) -> None:
        with self._writing() as connection:
            run = self._get(connection, run_id)
            if run.state not in ("failed", "cancelled"):
                raise BadInput(f"run {run_id!r} is {run.state}; only a failed or cancelled run can start again")
            connection.execute(
                sa.update(_runs)
                .where(_runs.c.id == run_id)
                .values(
                    state="queued", cancel_requested=False, owner=None, pid=None, error=None, result_path=None,
                    started=None, finished=None, heartbeat=None, phase=None, done=0, total=0, eta_s=None,
                    max_attempts=run.attempt + MAX_ATTEMPTS,
                )
            )  # fmt: skip
            if clean:
                connection.execute(sa.delete(_metrics).where(_metrics.c.run_id == run_id))
                connection.execute(sa.delete(_alphas).where(_alphas.c.run_id == run_id))
                # Before the commit, while no worker can have taken the run.
                shutil.rmtree(checkpoint_dir(self.workspace, run_id), ignore_errors=True)
            _note(connection, run_id, message)

    @contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        try:
            with writing(self._engine) as connection:
                yield connection
        except sa.exc.DBAPIError as error:
            raise database_error(error, self.workspace.database_path) from error

    @contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        try:
            with self._engine.connect() as connection:
                yield connection
        except sa.exc.DBAPIError as error:
            raise database_error(error, self.workspace.database_path) from error


_ORDER = (_runs.c.priority.desc(), _runs.c.created, _runs.c.id)


def checkpoint_dir(workspace: Workspace, run_id: str) -> Path:
    """Where a run may keep what lets it go on after an interruption."""
    return workspace.run_dir(run_id) / "checkpoint"


def _run(row: Any) -> Run:
    values = dict(row._mapping)
    return Run(**{**values, "spec": RunSpec.from_json(values["spec"])})


def _note(connection: sa.Connection, run_id: str, message: str, when: float | None = None) -> None:
    connection.execute(sa.insert(_events).values(run_id=run_id, time=when or time.time(), message=message))
