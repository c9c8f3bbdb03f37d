"""A backup of a workspace in use is whole; what is restored is the same under its own name; odd ones leave nothing."""

from __future__ import annotations

import io
import json
import random
import shutil
import sqlite3
import threading
import zipfile

import pytest

from pituning.errors import BadInput, PiTuningError
from pituning.experts.card import read_card
from pituning.runs.backup import DATABASE, MANIFEST, back_up
from pituning.runs.from_backup import restore_backup
from pituning.runs.queue import RunQueue
from pituning.runs.spec import RunSpec
from pituning.workspace.atomic import atomic_directory, write_json
from pituning.workspace.database import DATABASE_VARIABLE
from pituning.workspace.layout import Workspace
from pituning.workspace.ownership import identity
from tests.runs.full import files, make_full, rows


@pytest.mark.parametrize("backend", ["sqlite", "postgresql"], indirect=True)
def test_what_is_restored_is_the_same_with_an_identity_of_its_own(workspace, tmp_path, monkeypatch, request):
    make_full(workspace)
    queue = RunQueue(workspace)
    waiting, running = (queue.submit(RunSpec(kind="train", config={"task": "nli"}), priority=p) for p in (0, 1))
    queue.claim("me")
    (workspace.root / "backbones" / "big").mkdir(parents=True)
    with (workspace.root / "backbones" / "big" / "model.safetensors").open("wb") as stream:
        stream.truncate(65 * 2**20)
    write_json(workspace.root / "backbones" / "big" / "backbone.json", {"source": "owner/big"})
    (workspace.root / "tasks" / "elsewhere").symlink_to(tmp_path)
    file = tmp_path / "all.zip"
    made = back_up(workspace, file)
    assert (made.runs, made.left_out) == (3, ("tasks/elsewhere",))
    assert [(each.name, each.source, each.included) for each in made.backbones] == [("big", "owner/big", False)]
    for path, why in ((file, "is there already"), (workspace.root / "tasks" / "x.zip", "lies in the workspace")):
        with pytest.raises(BadInput, match=why):
            back_up(workspace, path)
    if workspace.engine.dialect.name == "postgresql":
        with pytest.raises(BadInput, match="holds 3 runs of another workspace; name an empty one"):
            restore_backup(file, tmp_path / "copy")
        assert not (tmp_path / "copy").exists()
        server, template = request.getfixturevalue("postgres"), request.getfixturevalue("postgres_template")
        monkeypatch.setenv(DATABASE_VARIABLE, server.database(template))
    restored = restore_backup(file, tmp_path / "copy")
    copy = Workspace.open(tmp_path / "copy")
    assert identity(copy.root) == restored.id != identity(workspace.root)
    assert [each.name for each in restored.missing] == ["big"]
    theirs = {name: digest for name, digest in files(workspace).items() if "backbones" not in name}
    assert {**files(copy), "workspace.json": ""} == {**theirs, "workspace.json": ""}
    assert rows(copy)[2] == rows(workspace)[2]
    runs = RunQueue(copy)
    assert [(run.id, run.state) for run in runs.waiting()] == [(running, "queued"), (waiting, "queued")]
    assert runs.setting("paused")["reason"].startswith("restored from the backup of")
    assert runs.get(running).owner is None
    copy.engine.dispose()
    with pytest.raises(BadInput, match="is there already; nothing is overwritten"):
        restore_backup(file, tmp_path / "copy")
    monkeypatch.delenv(DATABASE_VARIABLE, raising=False)
    assert restore_backup(file, tmp_path / "same", keep_identity=True).id == identity(workspace.root)


def test_a_backup_of_a_workspace_in_use_is_whole(workspace, tmp_path):
    make_full(workspace)
    expert = workspace.zoo().new_expert_dir("lora", "moods")
    stop = threading.Event()
    failures = []

    def work():
        queue, number = RunQueue(Workspace(workspace.root)), 0
        try:
            while not stop.is_set():
                number += 1
                queue.submit(RunSpec(kind="tune", config={"target": "moods", "seed": number}))
                claim = queue.claim("me").claim
                path = workspace.run_dir(claim.run_id) / "result.json"
                write_json(path, {"number": number})
                queue.finish(claim, "succeeded", result_path=str(path.relative_to(workspace.root)))
                with atomic_directory(expert) as folder:
                    for name in ("one", "two"):
                        (folder / name).write_text(str(number))
        except Exception as error:
            failures.append(error)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        for number in range(4):
            back_up(workspace, tmp_path / f"{number}.zip")
    finally:
        stop.set()
        worker.join()
    assert failures == []
    for number in range(4):
        restore_backup(tmp_path / f"{number}.zip", tmp_path / str(number))
        copy = Workspace.open(tmp_path / str(number))
        queue, folder = RunQueue(copy), copy.zoo().new_expert_dir("lora", "moods")
        for run in queue.list(states=["succeeded"]):
            assert queue.result_of(run.id)
        assert (
            read_card(folder)
            if (folder / "card.json").exists()
            else ((folder / "one").read_text() == (folder / "two").read_text())
        )
        copy.engine.dispose()


@pytest.fixture(scope="module")
def archive(empty_workspace, tmp_path_factory):
    """The bytes of a small backup."""
    root = tmp_path_factory.mktemp("backup")
    workspace = make_full(Workspace.open(shutil.copytree(empty_workspace, root / "ws")))
    back_up(workspace, root / "all.zip")
    workspace.engine.dispose()
    return (root / "all.zip").read_bytes()


def repacked(archive, change):
    """The archive with its files changed: ``change`` gets a dict of them and the manifest."""
    with zipfile.ZipFile(io.BytesIO(archive)) as old:
        content = {name: old.read(name) for name in old.namelist()}
    manifest = json.loads(content.pop(MANIFEST))
    change(content, manifest)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as new:
        for name, data in {**content, MANIFEST: json.dumps(manifest).encode()}.items():
            new.writestr(name, data)
    return stream.getvalue()


def add(content, manifest, path, data=b"x", **about):
    import hashlib

    content[path] = data
    manifest["content"][path] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} | about


def with_trigger(content, manifest):
    connection = sqlite3.connect(":memory:")
    connection.deserialize(content[DATABASE])
    connection.execute("CREATE TRIGGER t AFTER INSERT ON runs BEGIN DELETE FROM runs; END")
    connection.commit()
    add(content, manifest, DATABASE, connection.serialize())


ODD = {
    "outside": lambda c, m: add(c, m, "tasks/../../x"),
    "absolute": lambda c, m: add(c, m, "/etc/x"),
    "hidden": lambda c, m: add(c, m, "tasks/.x"),
    "workspace": lambda c, m: add(c, m, "workspace.json"),
    "bin": lambda c, m: add(c, m, "bin/x/entry.json"),
    "lock": lambda c, m: add(c, m, "supervisor.lock"),
    "untold": lambda c, m: c.update({"tasks/x": b""}),
    "absent": lambda c, m: m["content"].update({"tasks/x": {"bytes": 0, "sha256": "0" * 64}}),
    "larger": lambda c, m: add(c, m, "tasks/x", bytes=0),
    "huge": lambda c, m: add(c, m, "tasks/x", bytes=2**62),
    "changed": lambda c, m: add(c, m, "tasks/x", sha256="0" * 64),
    "trigger": with_trigger,
    "no database": lambda c, m: add(c, m, DATABASE, b"SQLite format 3\0 is not all"),
    "later": lambda c, m: m.update(format_version=2),
    "numbers": lambda c, m: m.update(created="now", backbones=[1]),
    "names": lambda c, m: m.update(backbones=[{"name": "../x", "source": None, "revision": None, "bytes": 1,
                                               "included": False}]),
    "bare": lambda c, m: m.clear(),
}  # fmt: skip


@pytest.mark.parametrize("what", ODD)
def test_an_archive_that_was_tampered_with_leaves_nothing(what, archive, tmp_path):
    file = tmp_path / "odd.zip"
    file.write_bytes(repacked(archive, ODD[what]))
    with pytest.raises(PiTuningError) as caught:
        restore_backup(file, tmp_path / "new")
    assert "odd.zip" in str(caught.value) or what in ("huge", "names")
    assert list(tmp_path.iterdir()) == [file]


def test_a_damaged_archive_leaves_nothing(archive, tmp_path):
    luck, file = random.Random(0), tmp_path / "odd.zip"
    for number in range(30):
        data = bytearray(archive)
        if number % 3 == 0:
            del data[luck.randrange(len(data)) :]
        for _ in range(luck.choice((1, 40)) if data else 0):
            data[luck.randrange(len(data))] = luck.randrange(256)
        file.write_bytes(data)
        try:
            restored = restore_backup(file, tmp_path / "new")
        except PiTuningError:
            assert list(tmp_path.iterdir()) == [file]
        else:  # a byte that says nothing, such as a time
            assert files(Workspace(restored.root))
            shutil.rmtree(restored.root)


def test_what_is_no_backup_is_told(tmp_path):
    other = tmp_path / "other.zip"
    with zipfile.ZipFile(other, "w") as made:
        made.writestr("a.csv", "x")
    for path, why in ((other, "is no backup"), (tmp_path / "none", "there is no file"), (tmp_path, "is a directory")):
        with pytest.raises(BadInput, match=why):
            restore_backup(path, tmp_path / "new")
