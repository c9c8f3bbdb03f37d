"""Does the queue lose anything? Kills workers, supervisor, app and whoever queues runs, freezes workers until others
have their runs, locks the database, fills the disk and deletes checkpoints; then counts what was lost, done twice, or
came out differently.

    python benchmarks/chaos.py --runs 40 --kills 30 --seed 0 --json

The workspace lies on a small tmpfs of its own, which needs root; elsewhere nothing fills the disk, and the report says
so. ``wrong`` compares every result, the tensors of every expert, and all curves and weights with a run that nobody
disturbed; ``torn`` counts checkpoints that changed under a reader. Most kills hit a worker just after it has saved a
checkpoint, and at least half of all must be followed by an attempt that goes on from one (``restored``). Runs have the
usual three attempts. Three quarters of them are real ones on a tiny backbone, in which most time goes into starting;
the others only count. ``--mutate`` breaks the studio in one place first: then the trial has to fail.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # run by its path, this directory's queue.py would stand in for the standard library's
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import psutil
import sqlalchemy as sa

from benchmarks.chaos_mutations import MUTATIONS, mutated
from benchmarks.chaos_roles import reference, specs
from benchmarks.chaos_verdict import verdict
from benchmarks.chaos_watch import Checkpoints
from benchmarks.postgres import LocalPostgres
from pituning.errors import PiTuningError
from pituning.runs.attempts import remove_checkpoints
from pituning.runs.processes import WORKER_MODULE, is_worker
from pituning.runs.queue import RunQueue
from pituning.runs.records import FINAL, Run
from pituning.workspace.bounded import child_environment
from pituning.workspace.database import DATABASE_VARIABLE, writing
from pituning.workspace.layout import DATA_VARIABLE, Workspace
from pituning.workspace.space import LEAST_FREE_VARIABLE, MIB, free_mib

DISK_MIB = 96
LEAST_FREE_MIB = 16
AT_FIRST = 6
"""Runs that are queued at once; the others follow as runs end, so that their queueing can be killed to the last."""

LAST_KILL = 0.75
"""The share of runs that have ended when the last kill is spent."""

STUCK_SECONDS = 600.0
"""Without any change for so long the queue is given up."""

END_SECONDS = 300.0
"""How long processes may take to end in the ordinary way; on a busy machine to leave Python takes some of it."""

LOOK_SECONDS = 0.02
"""Between two looks at checkpoints: a worker is killed so soon after it has saved one."""

WOKEN_SECONDS = 30.0
"""How long a worker that was frozen may take to see that its run has been given to another."""

OVERLAP_SECONDS = 2.0
"""How long two live processes at one run are no overlap."""

AFTER_CHECKPOINT = 0.75
"""The share of the kills that hit a worker just after a checkpoint."""

EACH_CHECKPOINT = 0.5
"""How likely a new checkpoint is the one that is chosen."""

OTHER_KILLS = ("supervisor", "app", "checkpoint", "enqueue", "worker")
SUPERVISOR_MODULE = "pituning.runs.supervisor"


@dataclass
class Chaos:
    """One trial. Its processes are those whose command line names its workspace."""

    workspace: Workspace
    runs: int
    kills: int
    luck: random.Random
    may_fill: bool
    server: LocalPostgres | None = None
    done: Counter[str] = field(default_factory=Counter)
    overlaps: set[str] = field(default_factory=set)
    roles: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    victims: set[tuple[str, int]] = field(default_factory=set)
    frozen: dict[int, float] = field(default_factory=dict)
    together: dict[tuple[str, frozenset[int]], float] = field(default_factory=dict)
    """When two processes were first seen at one run."""

    def __post_init__(self) -> None:
        self.queue = RunQueue(self.workspace)
        self.checkpoints = Checkpoints(self.workspace.root / "runs")
        after = round(AFTER_CHECKPOINT * self.kills)
        others = [OTHER_KILLS[number % len(OTHER_KILLS)] for number in range(self.kills - after)]
        self.plan = [*["after checkpoint"] * after, *others]
        # Between the kills, and often enough that a short trial has each.
        once = ["freeze", "lock", *["disk"] * self.may_fill, *["server"] * (self.server is not None)]
        self.plan += once * max(1, self.kills // 8)
        self.luck.shuffle(self.plan)

    @property
    def killed(self) -> int:
        return sum(count for what, count in self.done.items() if what.startswith("kill"))

    def go(self) -> None:
        """Disturbs until all kills are spent, then waits until all runs have ended."""
        changed, before = time.monotonic(), None
        runs: Sequence[Run] = []
        while True:
            self._keep_roles()
            # Kills are spread over the runs, not over the clock: on a busy machine they would hit nothing but starts.
            ended = sum(run.state in FINAL for run in runs)
            # The last run waits for the last kill, as long as there is another one to hit: on a quick machine all runs
            # would end before all kills are spent.
            held = (self.killed < self.kills or "freeze" in self.plan) and ended < len(runs)
            allowed = min(AT_FIRST + ended * 5 // 4, self.runs - held)
            (self.workspace.root.parent.parent / "allowed").write_text(str(allowed))
            due = self.killed < min(self.kills, 1 + self.kills * ended // (LAST_KILL * self.runs))
            self._watch(self.luck.uniform(0.2, 1.2), self._next(due=due))
            self._look_for_overlaps()
            runs = self._list() or runs
            if len(runs) >= self.runs and all(run.state in FINAL for run in runs):
                return
            now = [(run.id, run.state, run.attempt, run.done) for run in runs]
            if now != before:
                changed, before = time.monotonic(), now
            if time.monotonic() - changed > STUCK_SECONDS:
                return

    def end(self) -> int:
        """Ends everything in the ordinary way; returns how many processes of workers were left without a run."""
        for process in self.roles.values():
            process.kill()
            process.wait()
        deadline = time.monotonic() + END_SECONDS
        while self._processes(WORKER_MODULE) and time.monotonic() < deadline:
            time.sleep(0.2)
        orphans = len(self._processes(WORKER_MODULE))
        for process in self._processes(SUPERVISOR_MODULE):
            with suppress(psutil.Error):
                process.terminate()
        psutil.wait_procs(self._processes(SUPERVISOR_MODULE), timeout=END_SECONDS)
        left = self._processes("pituning.runs.") + self._processes("benchmarks.chaos_roles")
        for process in left:
            with suppress(psutil.Error):
                process.kill()
        return max(orphans, len(left))

    # Disturbances.

    def _next(self, *, due: bool) -> str | None:
        """What is to be done next: a kill only when one is due."""
        kinds = [kind for kind in self.plan if due or kind in ("lock", "disk", "server")]
        return self.luck.choice(kinds) if kinds else None

    def _watch(self, seconds: float, kind: str | None) -> None:
        """Looks at checkpoints as they come, for so long, and disturbs: at once, or when one has just been saved."""
        for now in {"freeze", kind} & set(self.plan) - {"after checkpoint"}:  # there are few moments for the first
            if self._disturb(now):
                self.plan.remove(now)
        deadline = time.monotonic() + seconds
        running = self._spared()
        while time.monotonic() < deadline:
            new = set(self.checkpoints.look(run.id for run in running))
            hit = [run for run in running if run.id in new and run.attempt < run.max_attempts and run.pid]
            # Not always the first one of a run.
            due = kind == "after checkpoint" and hit and self.luck.random() < EACH_CHECKPOINT
            if due and self._kill_worker(self.luck.choice(hit)):
                self.plan.remove("after checkpoint")
                return
            time.sleep(LOOK_SECONDS)

    def _disturb(self, kind: str) -> bool:
        """Does one of `plan`; returns whether it could be done."""
        before = self.done.total()
        running = self._spared()
        if kind == "lock":
            self._lock()
        elif kind == "server":
            self._restart_server()
        elif kind == "disk":
            # A run that finds no room may lose an attempt, if there is room again when it says so.
            if all(run.attempt < run.max_attempts for run in running):
                self._fill()
        elif kind == "freeze":
            self._freeze([run for run in running if run.attempt == 1 and run.done])
        elif kind in self.roles:
            self._kill_process(f"kill {kind}", self.roles[kind].pid)
        elif kind == "supervisor":
            if all(run.pid is not None for run in running):  # else a claim without a process costs an attempt
                self._kill_one("kill supervisor", self._processes(SUPERVISOR_MODULE))
        else:
            usual = [run for run in running if run.attempt < run.max_attempts and run.pid]
            with_checkpoint = [run for run in usual if self.checkpoints.any(run.id)]
            if kind == "checkpoint" and with_checkpoint:
                run = self.luck.choice(with_checkpoint)
                if self._kill_worker(run):
                    remove_checkpoints(self.workspace.run_dir(run.id))
                    self.done["delete checkpoint"] += 1
            elif kind == "worker" and usual:
                self._kill_worker(self.luck.choice(usual))
        return self.done.total() > before

    def _spared(self) -> list[Run]:
        """The runs under way whose workers are not frozen."""
        return [run for run in self._list() if run.state == "running" and run.pid not in self.frozen]

    def _kill_worker(self, seen: Run) -> bool:
        """Kills the worker of a run, unless it has ended meanwhile."""
        with suppress(PiTuningError):
            run = self.queue.get(seen.id)
            if run.state == "running" and run.claim == seen.claim and is_worker(seen.pid or 0, seen.claim):
                self._kill_process("kill worker", seen.pid or 0)
                self.victims.add((run.id, run.attempt))
                return True
        return False

    def _freeze(self, runs: Sequence[Run]) -> None:
        """A worker is given up for dead, and wakes up when another one has its run."""
        if not runs:
            return
        run = self.luck.choice(runs)
        with suppress(ProcessLookupError, PiTuningError):
            os.kill(run.pid or 0, signal.SIGSTOP)
            self.frozen[run.pid or 0] = math.inf
            try:
                if self.queue.lost(run.claim, "given up for dead") == "queued":
                    self.done["freeze worker"] += 1
                    deadline = time.monotonic() + WOKEN_SECONDS
                    while time.monotonic() < deadline and not self._taken_over(run):
                        time.sleep(0.05)
            finally:
                os.kill(run.pid or 0, signal.SIGCONT)
                self.frozen[run.pid or 0] = time.monotonic() + WOKEN_SECONDS

    def _taken_over(self, run: Run) -> bool:
        with suppress(PiTuningError):
            now = self.queue.get(run.id)
            return now.state != "queued" and now.attempt > run.attempt and now.done > 0
        return False

    def _kill_one(self, what: str, processes: Sequence[psutil.Process]) -> None:
        if processes:
            self._kill_process(what, self.luck.choice(sorted(processes, key=lambda process: process.pid)).pid)

    def _kill_process(self, what: str, pid: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            self.done[what] += 1

    def _lock(self) -> None:
        """Holds the database so that nobody can write."""
        seconds = self.luck.uniform(0.5, 4.0)
        with suppress(sa.exc.DBAPIError), writing(self.workspace.engine) as connection:
            if self.server is not None:
                connection.exec_driver_sql("LOCK TABLE runs IN ACCESS EXCLUSIVE MODE")
            time.sleep(seconds)
            self.done["lock"] += 1

    def _restart_server(self) -> None:
        """The database goes away for a while."""
        if self.server is not None:
            self.server.stop()
            time.sleep(self.luck.uniform(0.5, 4.0))
            self.server.start()
            self.done["restart database"] += 1

    def _fill(self) -> None:
        ballast = self.workspace.root.parent / "ballast"
        with suppress(OSError), ballast.open("wb") as stream:
            while True:
                stream.write(bytes(MIB))
                stream.flush()
        time.sleep(self.luck.uniform(1.0, 5.0))
        ballast.unlink(missing_ok=True)
        self.done["fill disk"] += 1

    # What goes on.

    def _keep_roles(self) -> None:
        """The app and whoever queues are started again when they have been killed."""
        for role in ("app", "enqueue"):
            process = self.roles.get(role)
            if process is not None and process.poll() == 0:
                continue  # has queued everything
            if process is None or process.poll() is not None:
                command = [sys.executable, "-m", "benchmarks.chaos_roles", role, str(self.workspace.root)]
                environment = {**child_environment(), "PITUNING_CHAOS_RUNS": str(self.runs)}
                with (self.workspace.root.parent.parent / f"{role}.log").open("ab") as log:
                    self.roles[role] = subprocess.Popen(
                        command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment,
                        cwd=Path(__file__).resolve().parent.parent,
                    )  # fmt: skip

    def _list(self) -> Sequence[Run]:
        try:
            return self.queue.list(limit=10_000)
        except PiTuningError:  # locked, or a full disk
            return []

    def _processes(self, module: str) -> list[psutil.Process]:
        processes = []
        for process in psutil.process_iter(["cmdline", "status"]):
            words = process.info["cmdline"] or []
            ours = str(self.workspace.root) in words and any(word.startswith(module) for word in words)
            if ours and process.info["status"] != psutil.STATUS_ZOMBIE:
                processes.append(process)
        return processes

    def _look_for_overlaps(self) -> None:
        """Two live workers at one run would be one too many.

        For some seconds, that is: a worker that was just killed lives on for a moment on a busy machine, and one that
        starts another program is two processes until that begins.
        """
        by_run: dict[str, list[psutil.Process]] = {}
        for process in self._processes(WORKER_MODULE):
            with suppress(psutil.Error, ValueError, IndexError):
                words = process.cmdline()
                by_run.setdefault(words[words.index(WORKER_MODULE) + 1], []).append(process)
        for run_id, processes in by_run.items():
            alive = [
                p for p in processes
                if p.is_running() and p.status() != psutil.STATUS_ZOMBIE
                and time.monotonic() > self.frozen.get(p.pid, 0.0)
            ]  # fmt: skip
            if len(alive) < 2:
                continue
            pair = run_id, frozenset(process.pid for process in alive)
            if time.monotonic() - self.together.setdefault(pair, time.monotonic()) > OVERLAP_SECONDS:
                self.overlaps.add(run_id)


def trial(*, runs: int, kills: int, seed: int, trained: int, tuned: int, postgres: bool = False) -> dict[str, Any]:
    """One trial on a new workspace.

    Args:
        trained: how many of the runs train an expert; ``tuned`` so many tune; the others count.
        postgres: whether the database is a PostgreSQL server of the trial's own, which goes away at times.
    """
    began = time.monotonic()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ[LEAST_FREE_VARIABLE] = str(LEAST_FREE_MIB)
    os.environ[DATA_VARIABLE] = ""  # the tiny workspace stands alone
    base = Path(tempfile.mkdtemp(prefix="pituning-chaos-"))
    disk = base / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", str(disk)]
    server: LocalPostgres | None = None
    small = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    try:
        wanted = specs(runs, trained=trained, tuned=tuned)
        expected = reference(base, wanted)
        shutil.copytree(base / "template", disk / "workspace")
        workspace = Workspace(disk / "workspace", embedded=None)
        if postgres:
            server = LocalPostgres()
            os.environ[DATABASE_VARIABLE] = server.database()
        chaos = Chaos(workspace, runs, kills, random.Random(seed), small, server)
        try:
            chaos.go()
        finally:
            orphans = chaos.end()
        outcome = {**verdict(chaos, expected), "orphans": orphans, "seed": seed, "disk": "tmpfs" if small else "none",
                   "database": "postgresql" if postgres else "sqlite"}  # fmt: skip
        return {**outcome, "free_mib": round(free_mib(disk), 1), "seconds": round(time.monotonic() - began, 1)}
    finally:
        if server is not None:
            server.close()
        if small:
            subprocess.run(["umount", "-l", str(disk)], capture_output=True, check=False)
        shutil.rmtree(base, ignore_errors=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the report; 0 when nothing is lost, doubled, wrong, torn or orphaned, and half the kills are restored."""
    parser = argparse.ArgumentParser(prog="python benchmarks/chaos.py")
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--trained", type=int, help="How many runs train an expert; by default half.")
    parser.add_argument("--tuned", type=int, help="How many runs tune; by default a quarter.")
    parser.add_argument("--postgres", action="store_true", help="On a PostgreSQL server of the trial's own.")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--mutate", choices=list(MUTATIONS), help="Break the studio so first; the trial has to fail.")
    given = parser.parse_args(arguments)
    if given.mutate:
        words = list(sys.argv[1:] if arguments is None else arguments)
        index = next(number for number, word in enumerate(words) if word.startswith("--mutate"))
        del words[index : index + 1 + ("=" not in words[index])]
        return mutated(given.mutate, words).returncode
    trained = given.runs // 2 if given.trained is None else given.trained
    tuned = given.runs // 4 if given.tuned is None else given.tuned
    report = trial(
        runs=given.runs, kills=given.kills, seed=given.seed, trained=trained, tuned=tuned, postgres=given.postgres
    )
    if given.json:
        print(json.dumps(report, indent=1))
    else:
        for key, value in report.items():
            print(f"{key:14} {value}")
    few = 2 * report["restored"] < report["kills"]
    return int(few or any(report[key] for key in ("lost", "duplicated", "wrong", "torn", "orphans")))


if __name__ == "__main__":
    sys.exit(main())
