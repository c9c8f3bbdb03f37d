"""Workers as jobs of a Ray cluster, through Ray's Job Submission API. docs/cluster.md tells how to set it up.

The job of an attempt is called ``RUN-ATTEMPT``, so any supervisor finds it again; Ray places it on a node with a free
GPU. What Ray knows dies with its head node, so Ray is only asked whether a worker still lives: the state of a run is in
the database. Torch-free.
"""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import URL, make_url

from pituning.errors import BadInput, PiTuningError
from pituning.runs.executors.base import ClusterError, Gone, Standing, Started
from pituning.runs.processes import WORKER_MODULE
from pituning.runs.records import Claim, Run
from pituning.runs.slots import Slot
from pituning.workspace.atomic import write_text
from pituning.workspace.bounded import child_environment
from pituning.workspace.database import DATABASE_VARIABLE
from pituning.workspace.layout import Workspace

ADDRESS_VARIABLE = "PITUNING_RAY_ADDRESS"
PLACE = "ray"
LOG_SECONDS = 5.0
"""How often the log of a job is fetched while it runs."""

CARRIED = (
    "PYTHONPATH", "PYTHONUNBUFFERED", "PITUNING_DATA", "PITUNING_DEVICE", "PITUNING_DTYPE", "PITUNING_QUANTIZE",
    "PITUNING_TRACKERS", "PITUNING_TENSORBOARD_DIR", "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME",
)  # fmt: skip
"""What a worker needs of this process's environment. Ray shows a job's environment to whoever sees its dashboard, so
nothing that is secret may be among them."""


@dataclass(frozen=True, kw_only=True)
class RayConfig:
    """How the cluster is asked.

    Raises:
        BadInput: a value cannot be used.
    """

    address: str
    gpus: float = 1.0
    cpus: float = 1.0
    most: int | None = None

    def __post_init__(self) -> None:
        if not self.address.startswith(("http://", "https://")):
            raise BadInput(
                f"{ADDRESS_VARIABLE} is {self.address!r}; give the address of the head node's dashboard, for example "
                "http://head:8265"
            )
        if self.gpus < 0 or self.cpus < 0:
            raise BadInput(f"a run cannot have {min(self.gpus, self.cpus)} GPUs or CPUs; give 0 or more", field="gpus")

    @classmethod
    def from_environment(cls, *, gpus: float, most: int | None) -> RayConfig:
        """With the address that `PITUNING_RAY_ADDRESS` has."""
        address = os.environ.get(ADDRESS_VARIABLE)
        if not address:
            raise BadInput(f"the executor ray needs {ADDRESS_VARIABLE}; set it, for example to http://head:8265")
        return cls(address=address, gpus=gpus, most=most)


def job_name(claim: Claim) -> str:
    """What Ray calls the job of an attempt."""
    return f"{claim.run_id}-{claim.attempt}"


class RayExecutor:
    """Jobs of a Ray cluster. They outlive the supervisor, and the next one goes on looking after them.

    Args:
        workspace: on a directory that all nodes share, with a PostgreSQL database that all nodes reach.
        config: how the cluster is asked.

    Raises:
        BadInput: Ray is not installed, or the workspace's database is not PostgreSQL.
        ClusterError: nothing answers at the address.
    """

    def __init__(self, workspace: Workspace, config: RayConfig):
        if workspace.engine.dialect.name != "postgresql":
            raise BadInput(
                f"the executor ray needs PostgreSQL, because SQLite serves one machine only; set {DATABASE_VARIABLE}"
            )
        try:
            from ray.job_submission import JobSubmissionClient
        except ImportError as error:
            raise BadInput("Ray is not installed; pip install 'pituning-studio[ray]'") from error
        self.workspace = workspace
        self.config = config
        self._client: Any = _asked(lambda: JobSubmissionClient(config.address), config.address)
        self._logs: dict[Claim, float] = {}
        self._waiting: set[Claim] = set()

    @property
    def places(self) -> Sequence[str]:
        return [PLACE] * (self.config.most or 1)

    def free(self, under_way: Sequence[Run]) -> Sequence[Slot]:
        self._ask(self._client.get_version)  # before a run is claimed that could not be started
        if self.config.most is not None:
            return [Slot(PLACE)] * max(0, self.config.most - len(under_way))
        # However large the cluster is, one job waits in Ray at a time: the order of the others can still be changed.
        return [] if self._waiting else [Slot(PLACE)]

    def start(self, run: Run, slot: Slot) -> Started:
        words = [sys.executable, "-P", "-m", WORKER_MODULE, run.id, "--workspace", str(self.workspace.root),
                 "--owner", run.claim.owner, "--attempt", str(run.attempt)]  # fmt: skip
        self.workspace.run_dir(run.id).mkdir(parents=True, exist_ok=True)
        self._ask(
            lambda: self._client.submit_job(
                entrypoint=f"exec {shlex.join(words)}",
                submission_id=job_name(run.claim),
                runtime_env={"env_vars": job_environment()},
                metadata={"run": run.id, "name": run.name},
                entrypoint_num_cpus=self.config.cpus,
                entrypoint_num_gpus=self.config.gpus or None,
            )
        )
        self._logs[run.claim] = 0.0
        self._waiting.add(run.claim)
        return Started()

    def standing(self, run: Run) -> Standing | Gone:
        self._logs.setdefault(run.claim, 0.0)
        try:
            info = self._client.get_job_info(job_name(run.claim))
        except (RuntimeError, OSError):
            # The head node is away, or it was started anew and has forgotten its jobs: a job that still lives has
            # heartbeats.
            self._waiting.discard(run.claim)
            return Standing.UNSEEN
        status = str(info.status.value)
        if status == "PENDING":
            self._waiting.add(run.claim)
            return Standing.WAITING
        self._waiting.discard(run.claim)
        if status == "RUNNING":
            self._fetch_log(run.claim)
            return Standing.ALIVE
        self._fetch_log(run.claim, now=True)
        return Gone(_ended(status, info.message))

    def end(self, run: Run, *, at_once: bool) -> None:
        # Ray sends SIGTERM and, a few seconds later, SIGKILL by itself.
        with suppress(RuntimeError, OSError):  # then its heartbeats tell
            self._client.stop_job(job_name(run.claim))

    def tidy(self, running: Collection[Claim]) -> bool:
        for claim in [claim for claim in self._logs if claim not in running]:
            self._fetch_log(claim, now=True)
            del self._logs[claim]
            self._waiting.discard(claim)
        return False

    def stop(self) -> Sequence[Claim]:
        return []

    def _ask(self, question: Callable[[], Any]) -> Any:
        return _asked(question, self.config.address)

    def _fetch_log(self, claim: Claim, *, now: bool = False) -> None:
        """Puts what Ray has of the job's output at the end of the run's log, in place of what was fetched before."""
        if not now and time.monotonic() - self._logs.get(claim, 0.0) < LOG_SECONDS:
            return
        self._logs[claim] = time.monotonic()
        directory = self.workspace.run_dir(claim.run_id)
        # Its node is gone, or the head is, or the disk is full: what was fetched before stays.
        with suppress(RuntimeError, OSError, PiTuningError):
            text = str(self._client.get_job_logs(job_name(claim)))
            if directory.is_dir():  # else the run has been deleted
                heading = f"--- attempt {claim.attempt}, Ray job {job_name(claim)} ---\n"
                path = directory / "log.txt"
                earlier = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
                write_text(path, earlier.partition(heading)[0] + heading + text)


def job_environment() -> dict[str, str]:
    """The environment that goes with a job; the address of the database goes without its password."""
    here = child_environment()
    environment = {name: here[name] for name in CARRIED if here.get(name)}
    url = make_url(os.environ[DATABASE_VARIABLE])
    open_url = URL.create(  # `set(password=None)` would leave it as it is
        url.drivername, username=url.username, host=url.host, port=url.port, database=url.database, query=url.query
    )
    return {**environment, DATABASE_VARIABLE: open_url.render_as_string(hide_password=False)}


def _ended(status: str, message: str | None) -> str:
    """How a job ended, in words."""
    if status == "STOPPED":
        return "the Ray job was stopped"
    if status == "SUCCEEDED":
        return "the worker ended and left no result"
    reason = " ".join((message or "").split())[:200]
    return f"the Ray job failed ({reason})" if reason else "the Ray job failed"


def _asked(question: Callable[[], Any], address: str) -> Any:
    """Ray's answer; whatever it raises is one line."""
    try:
        return question()
    except (OSError, RuntimeError) as error:
        lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        raise ClusterError(
            f"the Ray cluster at {address} cannot be asked ({lines[0][:200]}); is its head node up?"
        ) from error
