from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pituning.runs.queue import RunQueue
from pituning.runs.spec import RunSpec
from pituning.workspace.layout import Workspace


@pytest.fixture(scope="session")
def empty_workspace(tmp_path_factory) -> Path:
    """A workspace whose database is migrated already, to be copied: that is faster than to make one for each test."""
    workspace = Workspace.open(tmp_path_factory.mktemp("empty") / "ws")
    workspace.engine.dispose()
    return workspace.root


@pytest.fixture
def workspace(empty_workspace, tmp_path) -> Workspace:
    return Workspace.open(shutil.copytree(empty_workspace, tmp_path / "ws"))


@pytest.fixture
def queue(workspace) -> RunQueue:
    return RunQueue(workspace)


@pytest.fixture
def submit(queue):
    """Queues a run; its name says what `fake_worker` does."""

    def put(name: str = "quick", **options) -> str:
        spec = RunSpec(kind="train", config={"task": "digits", "shots": 4, "name": name})
        return queue.submit(spec, **options)

    return put
