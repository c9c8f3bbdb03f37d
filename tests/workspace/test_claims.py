"""A name goes to exactly one of those who claim it at once, and a replacement that was killed loses nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pituning.errors import BadInput
from pituning.tasks.registry import load_task
from pituning.workspace import atomic
from pituning.workspace.affinities import load_affinity
from pituning.workspace.atomic import TEMPORARY_PREFIX, atomic_directory, write_bytes
from pituning.workspace.layout import Workspace
from pituning.workspace.leftovers import remove_leftovers
from pituning.workspace.stories import load_story, story_names

PROCESSES, ROUNDS = 3, 3

KILLED = """
import os, sys
from pathlib import Path
from pituning.workspace import atomic
exchange = atomic._exchange
if sys.argv[2] == "between two renames":
    atomic._exchange = lambda *names: False
    claim, calls = atomic._claim_directory, []
    atomic._claim_directory = lambda *names: claim(*names) if calls.append(1) or len(calls) < 2 else os._exit(9)
else:
    atomic._exchange = lambda *names: exchange(*names) and os._exit(9)
with atomic.atomic_directory(Path(sys.argv[1])) as folder:
    (folder / "which").write_text("new")
"""


def test_of_several_who_add_under_one_name_exactly_one_is_told_added(tmp_path: Path) -> None:
    workspace, meeting = Workspace.open(tmp_path / "ws"), tmp_path / "meeting"
    meeting.mkdir()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    script, counts = Path(__file__).with_name("claimer.py"), [str(PROCESSES), str(ROUNDS)]
    started = [
        subprocess.Popen([sys.executable, str(script), str(workspace.root), str(meeting), str(number), *counts],
                         stdout=subprocess.PIPE, text=True, env=environment)
        for number in range(PROCESSES)
    ]  # fmt: skip
    outputs = [process.communicate(timeout=300)[0] for process in started]
    told = [json.loads(output) for output in outputs]
    for turn in range(ROUNDS):
        name = f"name-{turn}"
        winners = {what: [number for number in range(PROCESSES) if told[number][f"{what} {turn}"]]
                   for what in ("task", "expert", "backbone", "affinity", "story")}  # fmt: skip
        assert all(len(numbers) == 1 for numbers in winners.values()), winners
        kept = {
            "task": len(load_task(name, workspace).split("train")) // 3 - 1,
            "expert": int((workspace.zoo().expert_dir("lora", name) / "adapter_model.safetensors").read_bytes()),
            "backbone": int((workspace.root / "backbones" / name / "config.json").read_text()),
            "affinity": int(8 * load_affinity(workspace, name).values[0, 1]),
            "story": int(load_story(workspace, name).title.removeprefix("By ")),
        }
        assert kept == {what: numbers[0] for what, numbers in winners.items()}
    titles = [name for name in story_names(workspace) if name.startswith("title-")]
    assert len(titles) == PROCESSES * ROUNDS, "each new story has a name of its own"
    assert list(workspace.root.rglob(f"{TEMPORARY_PREFIX}*")) == []


@pytest.mark.parametrize("moment", ["between two renames", "after the exchange"])
def test_a_replacement_that_was_killed_loses_neither(moment: str, tmp_path: Path) -> None:
    path = tmp_path / "what-was-it.0"
    with atomic_directory(path) as folder:
        (folder / "which").write_text("old")
    assert subprocess.run([sys.executable, "-c", KILLED, str(path), moment], check=False).returncode == 9
    remove_leftovers(tmp_path)
    assert (path / "which").read_text() == ("old" if moment == "between two renames" else "new")
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("links", [True, False])
def test_a_taken_name_is_refused_and_stays_what_it_was(
    links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not links:
        monkeypatch.setattr(atomic.os, "link", lambda *_: (_ for _ in ()).throw(PermissionError(1, "no links here")))
    write_bytes(tmp_path / "file", b"first", taken=BadInput("taken"))
    for name in ("file", "folder"):
        (tmp_path / "folder" / "inner").mkdir(parents=True, exist_ok=True)
        with pytest.raises(BadInput, match="taken"):
            write_bytes(tmp_path / name, b"second", taken=BadInput("taken"))
        with pytest.raises(BadInput, match="taken"), atomic_directory(tmp_path / name, taken=BadInput("taken")) as half:
            (half / "x").touch()
    assert (tmp_path / "file").read_bytes() == b"first"
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["inner"]
    assert list(tmp_path.glob(f"{TEMPORARY_PREFIX}*")) == []


@pytest.mark.parametrize("exchanges", [True, False])
def test_a_directory_is_replaced_as_a_whole(exchanges: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not exchanges:
        monkeypatch.setattr(atomic, "_exchange", lambda *_: False)
    for content in ("a", "b"):
        with atomic_directory(tmp_path / "one") as folder:
            (folder / content).touch()
    assert [path.name for path in (tmp_path / "one").iterdir()] == ["b"]
    assert [path.name for path in tmp_path.iterdir()] == ["one"]
