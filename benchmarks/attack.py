"""Does anything that people can give the Studio do harm? Makes tries of every kind by the hundred, and holds each to
what always holds: it is done, or refused in one line; nothing wrong is accepted in silence, nothing is left half
written, nothing is written elsewhere, no memory or time without bound, no crash.

    python benchmarks/attack.py --json
    python benchmarks/attack.py --only tables --at 17 --seed 0      one try again, by what a failure says

Processes of their own make them, two at once; a try depends on its kind, its number and the seed alone.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any

if __name__ == "__main__":  # run by its path, this directory's queue.py would stand in for the standard library's
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks import attack_commands as commands
from benchmarks import attack_targets as targets
from pituning.commands.progress import terminal_reporter
from pituning.errors import PiTuningError
from pituning.progress import Reporter, Silent
from pituning.text import MOST_IN_MESSAGE
from pituning.workspace.atomic import TEMPORARY_PREFIX
from pituning.workspace.layout import Workspace

TRIES: Mapping[str, int] = {
    "command-line": 320, "workspaces": 180, "tables": 300, "zips": 140, "images": 180, "experts": 180,
    "affinities": 140, "stories": 120, "addresses": 60, "claims": 160, "backups": 120, "deletions": 100,
    "rows": 120,
}  # fmt: skip
ATTACKS: Mapping[str, Callable[[random.Random, targets.Place], None]] = {
    "command-line": commands.command_line, "workspaces": commands.workspaces, "tables": targets.tables,
    "zips": targets.zips, "images": targets.images, "experts": targets.experts, "affinities": targets.affinities,
    "stories": targets.stories, "addresses": targets.addresses, "claims": targets.claims, "backups": commands.backups,
    "deletions": commands.deletions, "rows": targets.rows,
}  # fmt: skip

TRY_SECONDS = 20.0
"""Processor time; a try that takes more hangs. Other programs may hold the processor: the clock says nothing here."""
SILENT_SECONDS = 300.0
"""A process that says nothing for so long waits for what never comes."""
MOST_IN_PROCESS = 150
"""Tries after which a process has a successor, so that what one of them leaves in memory reaches few others."""
MOST_MIB = 800
"""By how much a try may make its process grow: a zip of 512 MiB may be unpacked, piece by piece."""
ADDRESS_SPACE = 16 * 2**30


@dataclass(frozen=True)
class Failure:
    """A try that did harm, and how to repeat it."""

    kind: str
    number: int
    what: str
    how: str


class Hang(BaseException):
    """A try has used up its time."""


def attempt(kind: str, number: int, seed: int, place: targets.Place, base: Path) -> tuple[str, str | None]:
    """One try; returns how it ended, and what is wrong with that."""
    luck = random.Random(f"{seed}:{kind}:{number}")
    around = _around(base, place)
    before = _start_peak()
    signal.setitimer(signal.ITIMER_PROF, TRY_SECONDS)
    outcome, wrong = "accepted", None
    try:
        ATTACKS[kind](luck, place)
    except PiTuningError as error:
        outcome, wrong = "refused", _bad_message(str(error))
    except Hang:
        wrong = f"took more than {TRY_SECONDS:g} s of processor time"
    except targets.Wrong as error:
        wrong = str(error)
    except BaseException as error:
        where = " < ".join(
            f"{Path(one.filename).name}:{one.lineno}" for one in reversed(traceback.extract_tb(error.__traceback__))
        )
        wrong = f"{type(error).__name__}: {str(error)[:200]!a} ({where[:300]})"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    grown = _peak() - before
    left = [path.name for path in place.root.parent.rglob(f"{TEMPORARY_PREFIX}*")]
    if wrong is None and left:
        wrong = f"left {left[0]} half written"
    if wrong is None and grown > MOST_MIB:
        wrong = f"took {grown} MiB of memory"
    if wrong is None and _around(base, place) != around:
        wrong = f"wrote outside: {sorted(_around(base, place) ^ around)[:3]}"
    return outcome, wrong


def work(tries: Sequence[tuple[str, int]], seed: int) -> None:
    """The process of some tries; a line on stdout before and after each."""
    said = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    signal.signal(signal.SIGPROF, _too_long)
    base = Path(tempfile.mkdtemp(prefix="pituning-attack-"))
    try:
        inner = base / "inner"
        (inner / "cwd").mkdir(parents=True)
        os.chdir(inner / "cwd")
        os.environ |= {"PITUNING_WORKSPACE": str(inner / "workspace"), "HOME": str(base)}
        for variable in ("PITUNING_DATABASE_URL", "PITUNING_ROLES", "PITUNING_BACKBONE"):
            os.environ.pop(variable, None)
        workspace = Workspace.open(inner / "workspace")
        workspace.engine.connect().close()
        kept: dict[str, Any] = {}
        with commands.nobody_works():
            for kind, number in tries:
                print(json.dumps({"begin": [kind, number]}), file=said)
                root = inner / "try"
                root.mkdir()
                place = targets.Place(root, workspace, kept)
                outcome, wrong = attempt(kind, number, seed, place, base)
                print(json.dumps({"outcome": outcome, "wrong": wrong}), file=said)
                shutil.rmtree(root, ignore_errors=True)
                targets.fresh(place)
                for path in (inner / "cwd").iterdir():
                    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    finally:
        os.chdir("/")
        shutil.rmtree(base, ignore_errors=True)


def trial(
    tries: Mapping[str, Sequence[int]], *, seed: int, processes: int = 2, reporter: Reporter | None = None
) -> dict[str, Any]:
    """Makes tries of several kinds, by their numbers."""
    reporter = reporter or Silent()
    every = [(kind, number) for kind, numbers in tries.items() for number in numbers]
    reporter.phase("tries", len(every))
    used, began = _processor(), time.monotonic()
    outcomes, failures = {kind: Counter[str]() for kind in tries}, list[Failure]()
    size = min(MOST_IN_PROCESS, -(-len(every) // processes))
    waiting = [every[start : start + size] for start in range(0, len(every), size)]
    waiting.reverse()  # taken from its end

    def go() -> None:
        while True:
            try:
                left = waiting.pop()
            except IndexError:
                return
            while left:
                left = _some(left, seed, outcomes, failures, reporter)

    threads = [threading.Thread(target=go) for _ in range(processes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {
        "tries": len(every),
        "failures": len(failures),
        "seed": seed,
        "kinds": {kind: dict(sorted(counted.items())) for kind, counted in outcomes.items()},
        "failed": [asdict(failure) for failure in sorted(failures, key=lambda one: (one.kind, one.number))],
        "seconds": round(time.monotonic() - began, 1),
        "processor_seconds": round(_processor() - used, 1),
    }


def _some(
    tries: Sequence[tuple[str, int]],
    seed: int,
    outcomes: Mapping[str, Counter[str]],
    failures: list[Failure],
    reporter: Reporter,
) -> list[tuple[str, int]]:
    """Tries in one process; returns those that are left when it died."""
    command = [sys.executable, __file__, "--seed", str(seed), "--worker", json.dumps(tries)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1]), "OMP_NUM_THREADS": "1"}
    left, current = list(tries), tries[0]

    def ended(outcome: str, wrong: str | None) -> None:
        left.remove(current)
        reporter.advance()
        outcomes[current[0]]["failed" if wrong else outcome] += 1
        if wrong:
            kind, number = current
            how = f"python benchmarks/attack.py --only {kind} --at {number} --seed {seed}"
            failures.append(Failure(kind, number, wrong, how))

    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        watch = _watch(process)
        for line in process.stdout:
            watch.cancel()
            watch = _watch(process)
            said = json.loads(line)
            if "begin" in said:
                current = (said["begin"][0], said["begin"][1])
            else:
                ended(said["outcome"], said["wrong"])
        watch.cancel()
    if left:
        ended("", f"its process ended with {process.returncode}, or hung")
    return left


def _watch(process: subprocess.Popen[str]) -> threading.Timer:
    watch = threading.Timer(SILENT_SECONDS, process.kill)
    watch.start()
    return watch


def _bad_message(message: str) -> str | None:
    if not message.strip() or "\n" in message.strip():
        return f"a refusal is not one line: {message[:200]!a}"
    return f"a refusal has {len(message):,} characters" if len(message) > 20 * MOST_IN_MESSAGE else None


def _around(base: Path, place: targets.Place) -> set[str]:
    """The paths beside the places in which tries may write."""
    inner = base / "inner"
    return {
        str(path) for folder in (base, inner) for path in folder.iterdir() if path.name not in ("template", ".cache")
    }


def _start_peak() -> int:
    try:
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    except OSError:
        return _peak()
    return _peak()


def _peak() -> int:
    """The most memory that this process has had, in MiB; 0 where the system does not tell."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM")), 0)


def _processor() -> float:
    """Processor time of this process's ended children, in seconds."""
    times = resource.getrusage(resource.RUSAGE_CHILDREN)
    return times.ru_utime + times.ru_stime


def _too_long(_number: int, _frame: FrameType | None) -> None:
    raise Hang


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the report; 0 when no try did harm."""
    parser = argparse.ArgumentParser(prog="python benchmarks/attack.py")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=sorted(TRIES), action="append", help="A kind; may be given several times.")
    parser.add_argument("--at", help="Numbers of tries, with commas; by default all of a kind.")
    parser.add_argument("--share", type=float, default=1.0, help="The share of all tries, from the first on.")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--worker", type=json.loads, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    kinds = given.only or list(TRIES)
    at = None if given.at is None else [int(number) for number in given.at.split(",")]
    if given.worker:
        work(given.worker, given.seed)
        return 0
    tries = {kind: at or list(range(max(1, round(TRIES[kind] * given.share)))) for kind in kinds}
    with terminal_reporter() as reporter:
        report = trial(tries, seed=given.seed, processes=given.processes, reporter=reporter)
    if given.json:
        print(json.dumps(report, indent=1))
    else:
        for kind, counted in report["kinds"].items():
            print(f"{kind:14} " + ", ".join(f"{count} {what}" for what, count in counted.items()))
        for failure in report["failed"]:
            print(f"{failure['what']}\n    {failure['how']}")
        print(
            f"{report['tries']} tries, {report['failures']} failures, {report['seconds']} s, "
            f"{report['processor_seconds']} s of processor time"
        )
    return int(report["failures"] > 0)


if __name__ == "__main__":
    sys.exit(main())
