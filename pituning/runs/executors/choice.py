"""Which executor a supervisor has: by name, or by `PITUNING_EXECUTOR`. Torch-free."""

from __future__ import annotations

import os

from pituning.errors import BadInput
from pituning.runs.executors.base import Executor
from pituning.runs.executors.local import LocalExecutor
from pituning.runs.executors.ray import RayConfig, RayExecutor
from pituning.runs.slots import make_slots
from pituning.workspace.layout import Workspace

EXECUTORS = ("local", "ray")
EXECUTOR_VARIABLE = "PITUNING_EXECUTOR"
GPUS_VARIABLE = "PITUNING_RAY_GPUS"


def make_executor(
    workspace: Workspace, name: str | None = None, *, slots: int | None = None, gpus: float | None = None
) -> Executor:
    """The executor of a workspace's supervisor.

    Args:
        name: ``local`` or ``ray``; by default what `PITUNING_EXECUTOR` says, else ``local``.
        slots: the most runs at once; by default one for each GPU of this machine, or as many as the cluster takes.
        gpus: of each run on the cluster; by default what `PITUNING_RAY_GPUS` says, else 1.

    Raises:
        BadInput: there is no such executor, or it is not set up.
        ClusterError: the cluster does not answer.
    """
    name = name or os.environ.get(EXECUTOR_VARIABLE) or "local"
    if name not in EXECUTORS:
        raise BadInput(f"executor {name!r} is unknown; choose {' or '.join(EXECUTORS)}", field="executor")
    if name == "ray":
        return RayExecutor(workspace, RayConfig.from_environment(gpus=_gpus(gpus), most=slots))
    if gpus is not None:
        raise BadInput("gpus is for the executor ray; on this machine each run has its slot's GPU", field="gpus")
    return LocalExecutor(workspace, slots=make_slots(slots))


def _gpus(given: float | None) -> float:
    if given is not None:
        return given
    text = os.environ.get(GPUS_VARIABLE) or "1"
    try:
        return float(text)
    except ValueError as error:
        raise BadInput(f"{GPUS_VARIABLE} is {text!r}; give a number of GPUs, 0 for none", field="gpus") from error
