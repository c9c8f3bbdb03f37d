from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from pituning.runs.queue import RunQueue
from pituning.runs.spec import RunSpec
from pituning.workspace.database import DATABASE_VARIABLE
from pituning.workspace.layout import Workspace


@pytest.fixture(scope="session")
def empty_workspace(tmp_path_factory) -> Path:
    """A workspace whose database is migrated already, to be copied: that is faster than to make one for each test."""
    workspace = Workspace.open(tmp_path_factory.mktemp("empty") / "ws")
    workspace.engine.dispose()
    return workspace.root


@pytest.fixture
def backend(request) -> str:
    """The database of `workspace`: ``sqlite``, or what a test is parametrised with."""
    return getattr(request, "param", "sqlite")


@pytest.fixture
def workspace(empty_workspace, tmp_path, backend, request, monkeypatch) -> Iterator[Workspace]:
    if backend == "postgresql":
        server, template = request.getfixturevalue("postgres"), request.getfixturevalue("postgres_template")
        monkeypatch.setenv(DATABASE_VARIABLE, server.database(template))
    made = Workspace.open(shutil.copytree(empty_workspace, tmp_path / "ws"))
    yield made
    made.engine.dispose()


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
