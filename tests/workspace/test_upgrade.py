"""A workspace of version 1 becomes one of this version, whole, whatever happens on the way.

``data/version-1.zip`` was made by the last code of version 1: four experts of two kinds, embeddings at two probes,
similarities with a map, results of three studies, a story, and a database with a finished run and a queued one.
"""

from __future__ import annotations

import json
import multiprocessing
import shutil
import zipfile
from collections import Counter
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pituning.errors import ArtefactError
from pituning.experts.card import read_card
from pituning.graph.embeddings import TaskEmbedding
from pituning.graph.projection import find_projection
from pituning.graph.settings import MapSettings
from pituning.runs.queue import RunQueue
from pituning.studies.lowshot_summary import load_summary
from pituning.workspace import upgrade
from pituning.workspace.atomic import TEMPORARY_PREFIX
from pituning.workspace.layout import FORMAT_VERSION, Workspace
from pituning.workspace.stories import load_story
from pituning.workspace.transfer import load_transfer

OLD = Path(__file__).parent / "data" / "version-1.zip"
MANIFEST = "workspace.json"


def old_workspace(root: Path) -> Path:
    with zipfile.ZipFile(OLD) as packed:
        packed.extractall(root)
    return root


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PITUNING_DATA", "")
    return old_workspace(tmp_path / "ws")


def contents(root: Path) -> dict[str, bytes]:
    """Every file by its path, but for the manifest and the lock."""
    files = (path for path in root.rglob("*") if path.is_file() and path.name not in (MANIFEST, ".upgrade.lock"))
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def upgraded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What is there after an upgrade that nothing came between."""
    root = old_workspace(tmp_path_factory.mktemp("upgraded"))
    before = contents(root)
    Workspace.open(root)
    after = contents(root)
    assert Counter(before.values()) == Counter(after.values())
    return after


def test_everything_is_found_again(old: Path) -> None:
    identity = json.loads((old / MANIFEST).read_text())
    workspace = Workspace.open(old)
    zoo = workspace.zoo()
    assert json.loads((old / MANIFEST).read_text()) == {**identity, "format_version": FORMAT_VERSION}
    assert zoo.kinds() == ["lora", "prefix"]
    assert list(zoo.expert_dirs("lora")) == ["nli", "rte"]
    assert list(zoo.all_expert_dirs("lora")) == ["nli", "nli-pi-4-shot-0", "rte"]
    assert read_card(zoo.expert_dir("prefix", "shape")).task == "shape"
    assert zoo.embedded_tasks("lora", "own") == ["nli", "rte", "shape"]
    assert zoo.embedding_manifest("lora").is_file()
    assert TaskEmbedding.load(zoo.embedding_path("lora", "probe-0123456789abcdef", "nli")).task == "nli"
    assert zoo.similarity("lora", "probe").matrix[0, 1] == 0.5
    actual = find_projection(zoo, "lora", "probe", MapSettings())
    assert actual is not None
    assert actual.current
    transfer = load_transfer(zoo.transfer_path("lora"), 0, ("nli", "rte"))
    assert transfer is not None
    assert transfer.scores[0, 1] == 50.5
    assert list(load_summary(zoo, "lora", 16).budgets) == [480]
    assert zoo.result_path("variants.csv", "lora").is_file()
    assert zoo.result_path("suite.csv").is_file()
    assert load_story(workspace, "mine").slides[0].view == "graph"
    queued, done = RunQueue(workspace).list()
    assert [(run.name, run.state, run.backbone) for run in (queued, done)] == [
        ("next", "queued", "mini"), ("mine", "succeeded", "mini"),
    ]  # fmt: skip
    assert queued.spec.settings().backbone == "mini"
    result = RunQueue(workspace).result_of(done.id)
    assert result is not None
    assert zoo.expert_dir("lora", result["expert"]).is_dir()
    assert sorted(path.name for path in old.iterdir() if path.is_dir()) == ["presentations", "runs", "zoos"]


def test_it_is_done_once(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Workspace.open(old)
    manifest = (old / MANIFEST).stat().st_mtime_ns
    monkeypatch.setattr(upgrade, "upgrade", None)
    Workspace.open(old)
    assert (old / MANIFEST).stat().st_mtime_ns == manifest


class Killed(BaseException):
    """Whatever ends a process, at any rename."""


def killed_after(renames: int, monkeypatch: pytest.MonkeyPatch) -> None:
    left = renames
    real = upgrade._rename

    def rename(source: Path, target: Path) -> None:
        nonlocal left
        if left == 0:
            raise Killed
        left -= 1
        real(source, target)

    monkeypatch.setattr(upgrade, "_rename", rename)


def count_renames(root: Path) -> int:
    return len(list(upgrade._moves(root)))


@settings(
    max_examples=25, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(stops=st.lists(st.integers(0, 10), min_size=1, max_size=3))
def test_it_goes_on_wherever_it_was_stopped(
    stops: list[int], tmp_path: Path, upgraded: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "ws"
    shutil.rmtree(root, ignore_errors=True)
    old_workspace(root)
    assert count_renames(root) == 10  # so that every place to stop is tried
    for renames in stops:
        with monkeypatch.context() as patch:
            killed_after(renames, patch)
            try:
                Workspace.open(root)
                break
            except Killed:
                assert json.loads((root / MANIFEST).read_text())["format_version"] == 1
    Workspace.open(root)
    assert contents(root) == upgraded
    assert count_renames(root) == 0


@pytest.mark.parametrize("renames", range(10))
def test_every_single_stop(
    renames: int, old: Path, upgraded: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        killed_after(renames, patch)
        with pytest.raises(Killed):
            Workspace.open(old)
    Workspace.open(old)
    assert contents(old) == upgraded


def test_stopped_before_the_version_was_written(
    old: Path, upgraded: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(upgrade, "write_json", killed)
        with pytest.raises(Killed):
            Workspace.open(old)
    assert contents(old) == upgraded
    Workspace.open(old)
    assert contents(old) == upgraded
    assert json.loads((old / MANIFEST).read_text())["format_version"] == FORMAT_VERSION


def _open(root: Path, barrier: object) -> None:
    barrier.wait()  # type: ignore[attr-defined]
    workspace = Workspace.open(root)
    assert list(workspace.zoo().expert_dirs("lora")) == ["nli", "rte"]
    assert len(RunQueue(workspace).list()) == 2


def test_many_processes_may_open_it_at_once(old: Path, upgraded: dict[str, bytes]) -> None:
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(6)
    processes = [context.Process(target=_open, args=(old, barrier)) for _ in range(6)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 6
    files = {name: data for name, data in contents(old).items() if not name.startswith("studio.db")}
    assert files == {name: data for name, data in upgraded.items() if not name.startswith("studio.db")}


def test_one_that_takes_too_long_is_told(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upgrade, "WAIT_SECONDS", 0.1)
    with FileLock(old / ".upgrade.lock"), pytest.raises(ArtefactError, match="wait until it is done"):
        Workspace.open(old)


def test_nothing_is_written_over(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An older program that was still at work has written again what was moved: both stay, and what is new is moved."""
    with monkeypatch.context() as patch:
        killed_after(7, patch)
        with pytest.raises(Killed):
            Workspace.open(old)
    zoo = old / "zoos" / "mini"
    for name in ("nli", "digits"):
        (old / "experts" / "lora" / name).mkdir(parents=True)
        (old / "experts" / "lora" / name / "card.json").write_text('{"task": "later"}')
    unfinished = old / "experts" / "lora" / f"{TEMPORARY_PREFIX}x"
    unfinished.mkdir()
    Workspace.open(old)
    assert json.loads((zoo / "lora" / "experts" / "nli" / "card.json").read_text())["task"] == "nli"
    assert json.loads((zoo / "lora" / "experts" / "digits" / "card.json").read_text())["task"] == "later"
    assert (old / "experts" / "lora" / "nli" / "card.json").is_file()
    assert unfinished.is_dir()
    assert sorted(path.name for path in (zoo / "lora" / "experts" / "nli").iterdir()) == [
        "adapter_config.json", "adapter_model.safetensors", "card.json",
    ]  # fmt: skip


def test_a_workspace_that_may_not_be_written_is_told(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(upgrade, "_rename", refuse)
    with pytest.raises(ArtefactError, match="no permission to write"):
        Workspace.open(old)
    assert json.loads((old / MANIFEST).read_text())["format_version"] == 1
