from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pituning.workspace.layout import Workspace, resources
from tests.cli.conftest import Outcome

Run = Callable[..., Outcome]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], dict[str, str]]]:
    """What `pituning app` would have become."""
    calls: list[tuple[list[str], dict[str, str]]] = []

    def execve(_path: str, command: list[str], environment: dict[str, str]) -> Any:
        calls.append((command, environment))

    monkeypatch.setattr(os, "execve", execve)
    monkeypatch.setattr(os, "chdir", lambda _: None)
    return calls


def test_app_listens_on_this_machine_only(
    pituning: Run, workspace: Workspace, started: list[tuple[list[str], dict[str, str]]]
) -> None:
    assert pituning("app", "--headless").code == 0
    command, environment = started[0]
    assert command[command.index("--server.address") + 1] == "127.0.0.1"
    assert command[command.index("--server.headless") + 1] == "true"
    assert environment["PITUNING_WORKSPACE"] == str(workspace.root)
    assert environment["PYTHONPATH"].split(os.pathsep)[0] == str(resources())


def test_a_taken_port_is_told(pituning: Run, started: list[Any]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        outcome = pituning("app", "--port", str(taken.getsockname()[1]))
    assert outcome.code == 2
    assert "is taken; choose another --port" in outcome.error
    assert started == []


def test_doctor_finds_what_is_missing(pituning: Run) -> None:
    outcome = pituning("doctor", "--json")
    document = outcome.json
    assert outcome.code == 1
    assert document["ok"] is False
    assert any("embedded backbone is missing" in problem for problem in document["problems"])
    assert {"ok", "python", "torch", "device", "workspace", "problems"} == set(document)
    assert "problem" in pituning("doctor").out


def test_doctor_survives_a_workspace_that_cannot_be(pituning: Run, tmp_path: Any) -> None:
    (tmp_path / "file").write_text("")
    outcome = pituning("doctor", "--json", "-w", tmp_path / "file")
    assert outcome.code == 1
    assert any("is a file" in problem for problem in outcome.json["problems"])


def test_a_workspace_is_backed_up_and_restored_elsewhere(pituning: Run, workspace: Workspace, tmp_path: Path) -> None:
    made = pituning("workspace", "backup", tmp_path / "all.zip", "--json").json
    assert (made["runs"], made["database"], made["backbones"]) == (0, "sqlite", [])
    again = pituning("workspace", "backup", tmp_path / "all.zip")
    assert again.code == 2
    assert again.err.count("Traceback") == 0
    assert "all.zip is there already; a backup overwrites nothing" in again.err
    restored = pituning("workspace", "restore", tmp_path / "all.zip", tmp_path / "copy", "--json").json
    assert restored["workspace"] == str(tmp_path / "copy")
    assert pituning("runs", "list", "--json", "--workspace", tmp_path / "copy").json["total"] == 0
    assert "is there already; nothing is overwritten" in (
        pituning("workspace", "restore", tmp_path / "all.zip", tmp_path / "copy").err
    )
