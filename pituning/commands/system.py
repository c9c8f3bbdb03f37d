"""`pituning app`, `pituning doctor`: the Studio's front end, and what this machine has."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from pituning.commands.shared import JsonOption, WorkspaceOption, echo, emit, open_workspace
from pituning.errors import ArtefactError, BadInput, PiTuningError
from pituning.experts.kinds import shipped_kinds
from pituning.workspace.layout import DEFAULT_BACKBONE, ENVIRONMENT_VARIABLE, embedded_data, resources
from pituning.workspace.paths import expanded

FIRST_PORT = 8501
LEAST_FREE_MIB = 500
ADDRESS = "127.0.0.1"


def app_command(
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Default: the first free one from 8501.")] = None,
    headless: Annotated[bool, typer.Option("--headless", help="Do not open a browser.")] = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Open the Studio in the browser; it listens on this machine only."""
    from pituning.runs.roles import ROLES_VARIABLE, Roles

    place = open_workspace(workspace)
    roles = os.environ.get(ROLES_VARIABLE, "")
    Roles.from_environment()  # a mistake in them is told here, before anybody visits
    script = resources() / "app" / "studio.py"
    if not script.is_file():
        raise ArtefactError(f"the app is not at {script}; install pituning-studio again")
    if port is None:
        port = next((p for p in range(FIRST_PORT, FIRST_PORT + 100) if _is_free(p)), FIRST_PORT)
    elif not _is_free(port):
        raise BadInput(f"port {port} is taken; choose another --port", field="port")
    arguments = ["--server.address", ADDRESS, "--server.port", str(port), "--server.showEmailPrompt", "false"]
    if headless:
        arguments += ["--server.headless", "true"]
    paths = [str(resources()), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {ENVIRONMENT_VARIABLE: str(place.root), "PYTHONPATH": os.pathsep.join(paths)}
    if roles:
        environment[ROLES_VARIABLE] = str(expanded(roles).resolve())  # it is read from another directory
    echo(f"π-Tuning Studio at http://{ADDRESS}:{port} (workspace {place.root}); stop it with Ctrl-C", err=True)
    os.chdir(resources())  # where .streamlit/config.toml is
    command = [sys.executable, "-m", "streamlit", "run", str(script), *arguments]
    os.execve(sys.executable, command, environment)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ADDRESS, port))
        except OSError:
            return False
    return True


def doctor_command(workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """What this machine has, what is missing, and how to fix it."""
    document = examine(workspace)

    def human() -> None:
        for key in ("python", "torch", "device", "workspace"):
            echo(f"{key:10} {document[key]}")
        for problem in document["problems"]:
            echo(f"problem    {problem}")
        if document["ok"]:
            echo("all well")

    emit(document, as_json, human)
    if not document["ok"]:
        raise typer.Exit(1)


def examine(path: Path | None) -> dict[str, Any]:
    """The findings of `doctor`."""
    from pituning.runs.roles import Roles

    problems: list[str] = []
    torch_version, device = _torch(problems)
    try:
        Roles.from_environment()
    except PiTuningError as error:
        problems.append(str(error))
    place = None
    try:
        place = open_workspace(path)
        with place.engine.connect():
            pass
    except PiTuningError as error:
        problems.append(str(error))
    if place is not None:
        free = shutil.disk_usage(place.root).free // 2**20
        if free < LEAST_FREE_MIB:
            problems.append(f"only {free} MiB are free at {place.root}; free at least {LEAST_FREE_MIB} MiB")
        if not os.access(place.root, os.W_OK):
            problems.append(f"workspace {place.root} cannot be written; change its permissions")
    data = embedded_data()
    if data is None or not (data / "backbones" / DEFAULT_BACKBONE).is_dir():
        problems.append("the embedded backbone is missing; install again, or make it: pituning pretrain mini")
    elif place is not None:
        problems += [
            f"no {kind} experts are embedded; make them: pituning zoo build --kinds {kind}"
            for kind in shipped_kinds()
            if not place.zoo().expert_dirs(kind)
        ]
    if not (resources() / "app" / "studio.py").is_file():
        problems.append(f"the app is not at {resources() / 'app'}; install pituning-studio again")
    return {
        "ok": not problems,
        "python": platform.python_version(),
        "torch": torch_version,
        "device": device,
        "workspace": str(place.root) if place is not None else str(path),
        "problems": problems,
    }


def _torch(problems: list[str]) -> tuple[str | None, str | None]:
    try:
        import torch
    except Exception as error:  # a broken installation raises anything from ImportError to OSError
        problems.append(f"torch cannot be imported ({str(error).splitlines()[0]}); install it: pip install torch")
        return None, None
    from pituning.backbones.device import best_device

    try:
        device = best_device()
    except PiTuningError as error:
        problems.append(str(error))
        return torch.__version__, None
    what = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{os.cpu_count()} cores"
    return torch.__version__, f"{device} ({what})"
