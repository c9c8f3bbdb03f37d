"""The worker's side of the queue: a claim, and what is written under it. The contract is in `pituning.runs.queue`."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from pituning.errors import PiTuningError
from pituning.runs.records import AlphaPoint, Claim, CurvePoint, Run, RunEvent
from pituning.runs.roles import Actor, Role
from pituning.runs.store import ALPHAS, CURVES, ORDER, PAUSED, RUNS, SETTINGS, RunStore, note
from pituning.workspace.ownership import adopt, check_owner

NOBODY = {"owner": None, "slot": None, "host": None, "pid": None, "pid_created": None, "eta_s": None}
"""What a run says about its worker while it has none."""


class LostClaimError(PiTuningError):
    """Somebody else owns the run by now: stop, and write nothing."""


class ClaimedRuns(RunStore):
    """The runs of a workspace for supervisors and workers."""

    actor: Actor

    def claim(self, owner: str, *, slot: str | None = None, host: str | None = None) -> Run | None:
        """Takes the next queued run, or None when there is none or the queue is paused.

        The run's record has its place while it is taken; afterwards its events tell where each attempt was.

        Args:
            slot: where it will be done, for people to see and for the next supervisor to count.
            host: the machine whose process ids those of the run will be.
        """
        now = time.time()
        following = (
            sa.select(RUNS.c.id)
            .where(RUNS.c.state == "queued", ~sa.exists().where(SETTINGS.c.key == PAUSED))
            .order_by(*ORDER)
            .limit(1)
            .with_for_update(skip_locked=True, of=RUNS)  # on SQLite the whole transaction holds the lock
            .scalar_subquery()
        )
        take = (
            sa.update(RUNS)
            .where(RUNS.c.id == following, RUNS.c.state == "queued")
            .values(
                **{**NOBODY, "owner": owner, "slot": slot, "host": host},
                state="running", attempt=RUNS.c.attempt + 1, started=now, heartbeat=now, finished=None, phase=None,
                done=0, total=0, failure=None, error=None, fix=None,
            )
            .returning(RUNS.c.id, RUNS.c.attempt)
        )  # fmt: skip
        with self._writing() as connection:
            self._check_owner(connection)
            taken = connection.execute(take).first()
            if taken is None:
                return None
            note(connection, taken.id, f"attempt {taken.attempt} begins" + (f" in slot {slot}" if slot else ""))
            return self._get(connection, taken.id)

    def _check_owner(self, connection: sa.Connection) -> None:
        """Raises BadInput when a copy or a clone of the workspace has taken over its database meanwhile."""
        if self._engine.dialect.name == "postgresql":  # an SQLite database lies in its workspace
            check_owner(connection, self.workspace.root)

    def adopt(self) -> list[str]:
        """Takes the database over from the workspace of which this one is a copy; returns the runs that begin again.

        What was under way there is queued again without counting, and whoever works on it there writes no more.

        Raises:
            NotAllowed: the actor is no admin.
        """
        self.actor.require(Role.ADMIN, "take a database over")
        with self._writing() as connection:
            adopt(connection, self.workspace.root)
            query = sa.select(RUNS.c.id, RUNS.c.owner, RUNS.c.attempt).where(RUNS.c.state == "running")
            claims = [Claim(row.id, row.owner, row.attempt) for row in connection.execute(query.with_for_update())]
            for claim in claims:
                self._release(connection, claim, "the workspace was taken over by a copy of it")
        return [claim.run_id for claim in claims]

    def begin(self, claim: Claim, pid: int, *, pid_created: float | None = None, host: str | None = None) -> None:
        """A process has taken up the run.

        Args:
            pid: its id, which is that of its process group, too.
            pid_created: when it was started, which tells it from a later one that was given the same id.
            host: the machine that it is on; one that is not the supervisor's own is noted among the events.
        """
        values: dict[str, Any] = {"pid": pid, "pid_created": pid_created, "heartbeat": time.time()}
        with self._writing(durable=False) as connection:
            before = self._get(connection, claim.run_id, to_change=True).host
            self._update(connection, claim, values if host is None else {**values, "host": host})
            if host not in (None, before):
                note(connection, claim.run_id, f"attempt {claim.attempt} is on {host}")

    def report(
        self,
        claim: Claim,
        *,
        progress: Mapping[str, Any],
        metrics: Sequence[CurvePoint] = (),
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
        with self._writing(durable=False) as connection:  # twice a second, and of no use without the run's checkpoint
            cancel_requested = self._update(connection, claim, {**progress, "heartbeat": time.time()})
            for (series, name), step in (restart or {}).items():
                stale = (CURVES.c.series == series, CURVES.c.name == name, CURVES.c.step >= step)
                connection.execute(sa.delete(CURVES).where(CURVES.c.run_id == claim.run_id, *stale))
            if restart_alphas is not None:
                connection.execute(
                    sa.delete(ALPHAS).where(ALPHAS.c.run_id == claim.run_id, ALPHAS.c.step >= restart_alphas)
                )
            finite = [dataclasses.asdict(point) for point in metrics if math.isfinite(point.value)]
            weights = [
                {"run_id": claim.run_id, "step": a.step,
                 "data": {"sites": a.sites, "experts": a.experts, "weights": a.weights}}
                for a in alphas
            ]  # fmt: skip
            if finite:
                connection.execute(sa.insert(CURVES), [{"run_id": claim.run_id, **point} for point in finite])
            if weights:
                connection.execute(sa.insert(ALPHAS), weights)
            for happened in events:
                note(connection, claim.run_id, happened.message, happened.time)
        return cancel_requested

    def finish(
        self,
        claim: Claim,
        state: str,
        *,
        failure: str | None = None,
        error: str | None = None,
        fix: str | None = None,
        result_path: str | None = None,
    ) -> None:
        """Ends the run.

        Args:
            state: ``succeeded``, ``failed`` or ``cancelled``.
            failure: its class, for ``failed`` (`pituning.runs.failures`).
            error: what went wrong in one line, for ``failed``.
            fix: what can be done about it.
            result_path: relative to the workspace, for ``succeeded``.
        """
        with self._writing() as connection:
            self._update(connection, claim, {
                **NOBODY, "owner": claim.owner, "state": state, "failure": failure, "error": error, "fix": fix,
                "result_path": result_path, "finished": time.time(),
            })  # fmt: skip
            note(connection, claim.run_id, state if error is None else f"{state}: {error}")

    def release(self, claim: Claim, why: str = "interrupted") -> None:
        """Gives the run back unfinished through no fault of its own: the attempt does not count."""
        with self._writing() as connection:
            self._release(connection, claim, why)

    def _release(self, connection: sa.Connection, claim: Claim, why: str) -> None:
        self._update(connection, claim, {**NOBODY, "state": "queued", "max_attempts": RUNS.c.max_attempts + 1})
        note(connection, claim.run_id, f"{why}; queued again")

    def lost(self, claim: Claim, why: str, *, failure: str = "lost", fix: str | None = None) -> str:
        """The attempt came to nothing: queue the run again, or give it up after its last one.

        Returns:
            the state now.
        """
        with self._writing() as connection:
            run = self._get(connection, claim.run_id, to_change=True)
            if run.state != "running" or run.claim != claim:
                return run.state
            values: dict[str, Any] = {**NOBODY, "finished": time.time()}
            if run.cancel_requested:
                values |= {"state": "cancelled"}
                message = "cancelled"
            elif run.attempt < run.max_attempts:
                values |= {"state": "queued", "finished": None}
                message = f"{why}; queued again"
            else:
                error = f"{why} in attempt {run.attempt} of {run.max_attempts}; see the log, then retry"
                values |= {"state": "failed", "failure": failure, "error": error, "fix": fix}
                message = f"failed: {error}"
            self._update(connection, claim, values)
            note(connection, claim.run_id, message)
            return str(values["state"])

    def _update(self, connection: sa.Connection, claim: Claim, values: Mapping[str, Any]) -> bool:
        """Writes under a claim; returns whether the run is asked to stop."""
        held = (
            RUNS.c.id == claim.run_id,
            RUNS.c.owner == claim.owner,
            RUNS.c.attempt == claim.attempt,
            RUNS.c.state == "running",
        )
        row = connection.execute(
            sa.update(RUNS).where(*held).values(**values).returning(RUNS.c.cancel_requested)
        ).first()
        if row is None:
            raise LostClaimError(
                f"run {claim.run_id!r}, attempt {claim.attempt}, was given to another worker; this one stops"
            )
        return bool(row.cancel_requested)
