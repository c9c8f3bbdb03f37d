from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pituning import cli
from pituning.workspace.layout import Workspace


@dataclass(frozen=True)
class Outcome:
    """What a command line left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def error(self) -> str:
        """The one line on stderr."""
        lines = self.err.strip().splitlines()
        assert len(lines) == 1, self.err
        assert self.out == ""
        assert "Traceback" not in self.err
        return lines[0]


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A new workspace without embedded data, which every command and its workers find by the environment."""
    monkeypatch.setenv("PITUNING_DATA", "")
    monkeypatch.setenv("PITUNING_WORKSPACE", str(tmp_path / "ws"))
    monkeypatch.chdir(tmp_path)
    return Workspace.open()


@pytest.fixture
def pituning(workspace: Workspace, capfd: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Runs a command line in this process."""

    def run(*arguments: str | Path) -> Outcome:
        capfd.readouterr()
        words: Sequence[str] = [str(argument) for argument in arguments]
        code = cli.run(words)
        captured = capfd.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run


@pytest.fixture
def moods(tmp_path: Path) -> Path:
    """A table of 60 rows with two answers."""
    rows = [f"happy small {i},good\nsad old {i},bad\n" for i in range(30)]
    path = tmp_path / "moods.csv"
    path.write_text("text,answer\n" + "".join(rows))
    return path
