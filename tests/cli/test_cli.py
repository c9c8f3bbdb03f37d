"""The command line as a whole: help, exit codes, one-line errors, interruption, start-up."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from pituning import __version__, cli
from pituning.commands import tasks
from pituning.workspace import atomic
from pituning.workspace.layout import Workspace
from tests.app.uploads import pictures, png, zipped
from tests.cli.conftest import Outcome

Run = Callable[..., Outcome]

COMMANDS = {
    "app": (),
    "tasks": ("list", "show", "preview", "add", "edit", "card", "export", "remove", "catalogue"),
    "backbones": ("add", "compose", "list", "show", "remove", "check", "families"),
    "experts": ("list", "train", "import", "export", "answer", "remove"),
    "embed": (),
    "graph": ("neighbors", "project", "export"),
    "tune": (),
    "predict": (),
    "study": ("transfer", "lowshot", "predictors", "short-probe", "summary", "tables", "variants", "paper"),
    "runs": (
        "list", "show", "logs", "cancel", "resume", "retry", "delete",
        "sweep", "duplicate", "extend", "submit", "count", "move", "priority", "pause", "unpause", "adopt",
    ),
    "worker": (),
    "bin": ("list", "restore", "empty"),
    "workspace": ("backup", "restore"),
    "report": (),
    "bench": ("fisher", "interpolate", "memory", "graph", "tune", "gpu", "app"),
    "pretrain": ("mini", "projector", "report"),
    "zoo": ("build", "maps", "measure", "tables"),
    "doctor": (),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("group", COMMANDS)
def test_every_command_has_help(pituning: Run, group: str) -> None:
    for words in [(group,), *((group, command) for command in COMMANDS[group])]:
        outcome = pituning(*words, "--help")
        assert outcome.code == 0
        assert "Usage: pituning" in outcome.out


def test_every_command_takes_a_workspace_and_prints_json() -> None:
    def leaves(command: Any, path: str) -> Iterator[tuple[str, set[str]]]:
        for name, inner in getattr(command, "commands", {}).items():
            yield from leaves(inner, f"{path} {name}".strip())
        if not hasattr(command, "commands"):
            yield path, {option for parameter in command.params for option in parameter.opts}

    options = dict(leaves(typer.main.get_command(cli.app), ""))
    assert set(options) == {" ".join((group, *word)) for group, words in COMMANDS.items() for word in each(words)}
    assert [path for path, taken in options.items() if "--workspace" not in taken] == [
        "tasks catalogue",
        "backbones families",
        "workspace restore",
    ]
    assert [path for path, taken in options.items() if "--json" not in taken] == ["app", "worker"]  # they serve


def each(words: tuple[str, ...]) -> list[tuple[str, ...]]:
    return [(word,) for word in words] or [()]


def test_without_arguments_it_shows_its_help(pituning: Run) -> None:
    outcome = pituning()
    assert outcome.code == 0
    assert all(group in outcome.out for group in COMMANDS)


def test_the_list_of_commands_says_what_each_says_itself() -> None:
    root = typer.main.get_command(cli.app)
    for name, command in root.commands.items():  # type: ignore[attr-defined]
        assert command.help.split("\n\n")[0].replace("\n", " ") == cli.COMMANDS[name][1], name


def test_version(pituning: Run) -> None:
    assert pituning("--version").out == f"{__version__}\n"


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from pituning import cli; cli.run(['--help']); "
        "heavy = {'torch', 'transformers', 'numpy', 'sqlalchemy', 'streamlit', 'networkx', 'yaml', 'filelock', "
        "'pituning.commands'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["bogus"], "No such command 'bogus'"),
        (["tasks"], "Missing command"),
        (["tasks", "show"], "Missing argument"),
        (["tasks", "list", "--bogus"], "No such option"),
        (["tasks", "preview", "nli", "-n", "many"], "should be a valid integer"),
        (["tasks", "show", "nil"], "task 'nil' is unknown; did you mean 'nli'"),
        (["tasks", "show", "../etc"], "task '../etc' is unknown"),
        (["tasks", "preview", "nli", "--split", "dev"], "no split 'dev'; it has train, validation, test"),
        (["tasks", "export", "nli", "nli.txt"], "'nli.txt' must end in .zip or .jsonl"),
        (["experts", "list", "--kind", "lorra"], "unknown expert kind 'lorra'; did you mean lora?"),
        (["experts", "train", "nil"], "task 'nil' is unknown"),
        (["experts", "train", "nli", "--kind", "lorra"], "unknown expert kind 'lorra'"),
        (["experts", "train", "nli", "--shots", "0"], "shots is 0; give a whole number of at least 1"),
        (["experts", "train", "nli", "--shots", "5000"], "training examples, fewer than 5000 shots"),
        (["experts", "train", "nli", "--learning-rate", "-1"], "learning_rate is -1.0"),
        (["experts", "import", "nowhere", "--task", "nli", "--backbone", "huge"], "unknown backbone 'huge'"),
        (["experts", "export", "nobody", "out"], "unknown expert 'nobody'"),
        (["embed", "nli", "--all"], "give tasks or --all, not both"),
        (["embed", "nil"], "task 'nil' is unknown"),
        (["graph", "neighbors", "nli", "--predictor", "luck"], "unknown predictor 'luck'; known: probe"),
        (["graph", "neighbors", "nli", "--kind", "lorra"], "unknown expert kind 'lorra'"),
        (["graph", "export", "graph.csv", "--threshold", "nan"], "threshold is nan; give a number"),
        (["graph", "export", "graph.png"], "'graph.png' must end in .graphml"),
        (["zoo", "build", "--kinds", "lora,lorra"], "unknown expert kind 'lorra'"),
        (["zoo", "build", "--out", "/dev/null"], "/dev/null is no directory; give another --out"),
        (["zoo", "measure", "--out", "/dev/null/zoo"], "/dev/null is no directory; give another --out"),
        (["pretrain", "mini", "--out", "/dev/null"], "/dev/null is no directory; give another --out"),
        (["tasks", "add", "table.csv", "--instruction", "?", "--seed", "-5"], "greater than or equal to 0"),
        (["zoo", "build", "--tasks", "nil"], "task 'nil' is unknown; did you mean 'nli'"),
        (["pretrain", "mini", "--device", "tpu"], "device 'tpu' is unknown; choose cpu, cuda, cuda:N or auto"),
        (["tune", "nil"], "task 'nil' is unknown; did you mean 'nli'"),
        (["tune", "nli", "--kind", "lorra"], "unknown expert kind 'lorra'; did you mean lora?"),
        (["tune", "nli", "--shots", "5000"], "training examples, fewer than 5000 shots"),
        (["tune", "nli"], "unknown backbone 'mini'; known: none"),
        (["runs", "list", "--limit", str(2**63)], "should be less than or equal to 1000000000"),
        (["tasks", "remove", "nli", "--yes"], "task 'nli' belongs to the suite"),
        (["tasks", "remove", "moods", "--yes"], "unknown task 'moods'; known: none"),
        (["runs", "show", "nope"], "unknown run 'nope'"),
        (["runs", "delete", "nope", "--yes"], "unknown run 'nope'"),
        (["runs", "list", "--state", "lost"], "state 'lost' is unknown"),
    ],
)
def test_wrong_usage_is_one_line_and_code_2(pituning: Run, words: list[str], message: str) -> None:
    outcome = pituning(*words)
    assert message in outcome.error
    assert outcome.code == 2


def test_a_workspace_that_cannot_be(pituning: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    outcome = pituning("tasks", "list", "--workspace", tmp_path / "file")
    assert outcome.code == 2
    assert "is a file; name a directory with --workspace" in outcome.error


def test_a_broken_database_is_told(pituning: Run, workspace: Workspace) -> None:
    workspace.database_path.write_bytes(b"nonsense" * 999)
    outcome = pituning("runs", "list", "--json")
    assert outcome.code == 1
    assert "is not a readable database" in outcome.error


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "does not exist"),
        (b"", "is empty"),
        (b"text,answer\na,good\n", "has 1 rows; give at least 4"),
        (b"text,answer\n" + b"a,good\nb,good\n" * 9, "one answer only"),
        (b'text,answer\na,good\n"b,bad\n', "never closes"),
        (b"text,answer\n\xff\xfe\xfa,good\nb,bad\n", "UTF-8"),
        (b"\x89PNG\r\n\x1a\n000", "not a table"),
    ],
)
def test_tables_that_cannot_be_used(
    pituning: Run, workspace: Workspace, tmp_path: Path, content: bytes | None, message: str
) -> None:
    path = tmp_path / "table.csv"
    if content is not None:
        path.write_bytes(content)
    outcome = pituning("tasks", "add", path, "--instruction", "which?", "--json")
    assert outcome.code == 2
    assert message in outcome.error
    assert workspace.task_names() == []


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("lines.jsonl", b'{"text": "a", "answer": "x"}\n{"text": "b", "answer": "y"}\n' * 4 + b'{"te', "row 9"),
        ("empty.zip", zipped({}), "no table"),
        ("cut.zip", pictures()[:-40], "zip"),
        ("text.zip", pictures(p3=b"this is no picture"), "row 5, column 'image': 'p3.png' is not an image"),
        ("half.zip", pictures(p3=png("red")[:50]), "row 5, column 'image': 'p3.png' is a damaged or truncated image"),
        ("gone.zip", pictures(p3=None), "row 5, column 'image': image 'p3.png' is not there"),
    ],
)
def test_files_that_cannot_be_used(
    pituning: Run, workspace: Workspace, tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    outcome = pituning("tasks", "add", tmp_path / name, "--instruction", "which?", "--json")
    assert outcome.code == 2
    assert message in outcome.error
    assert workspace.task_names() == []


def leftovers(workspace: Workspace) -> list[str]:
    return [str(path) for path in workspace.root.rglob(f"{atomic.TEMPORARY_PREFIX}*")]


def test_a_full_disk_leaves_nothing_half_written(
    pituning: Run, workspace: Workspace, moods: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(atomic.os, "fsync", full)
        outcome = pituning("tasks", "add", moods, "--instruction", "mood?", "--json")
    assert outcome.code == 1
    assert "disk full while writing" in outcome.error
    assert workspace.task_names() == []
    assert leftovers(workspace) == []
    assert pituning("tasks", "add", moods, "--instruction", "mood?").code == 0


def test_a_full_disk_elsewhere_is_told_too(pituning: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/some/file")

    monkeypatch.setattr(tasks, "open_workspace", full)
    outcome = pituning("tasks", "list")
    assert (outcome.code, outcome.error.split(":")[1].strip()) == (1, "disk full at /some/file")


def test_ctrl_c_leaves_nothing_half_written(
    pituning: Run, workspace: Workspace, moods: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_descriptor: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(atomic.os, "fsync", interrupted)
        outcome = pituning("tasks", "add", moods, "--instruction", "mood?")
    assert outcome.code == 1
    assert "interrupted" in outcome.error
    assert workspace.task_names() == []
    assert leftovers(workspace) == []


def test_what_nobody_foresaw_is_one_line_unless_debugged(pituning: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_arguments: object) -> None:
        raise ZeroDivisionError("division by zero\nreally")

    monkeypatch.setattr(tasks, "open_workspace", broken)
    outcome = pituning("tasks", "list")
    assert outcome.code == 1
    assert "unexpected ZeroDivisionError: division by zero really (see the traceback with --debug)" in outcome.error
    assert "Traceback" in pituning("tasks", "list", "--debug").err


def test_a_closed_pipe_is_silent(workspace: Workspace) -> None:
    command = f"{sys.executable} -m pituning.cli tasks list --json | head -c 10; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert len(done.stdout) == 10
