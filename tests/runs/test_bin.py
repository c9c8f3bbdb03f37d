"""What is deleted comes back as it was; a deletion that is killed anywhere is finished or undone; names are claimed."""

from __future__ import annotations

import time
from contextlib import suppress
from unittest.mock import Mock

import pytest

from pituning.errors import BadInput, DiskFull, NotAllowed
from pituning.runs import restoring
from pituning.runs.backbone_removal import remove_backbone
from pituning.runs.queue import RunQueue
from pituning.runs.removal import delete_run, remove_expert, remove_task
from pituning.runs.roles import Actor, Role
from pituning.runs.supervisor import Supervisor
from pituning.workspace import bin as binning
from pituning.workspace.atomic import write_bytes, write_json
from pituning.workspace.bin import Bin, Deletion
from pituning.workspace.similarity import load_similarity
from tests.runs.full import files, make_full, measure, rows


@pytest.fixture
def full(workspace):
    write_json(workspace.root / "backbones" / "spare" / "config.json", {})
    return make_full(workspace)


def deletions(queue):
    """Every way to delete something, by name."""
    return {
        "task": lambda: remove_task(queue, "moods"),
        "expert": lambda: remove_expert(queue, "lora", "moods"),
        "run": lambda: delete_run(queue, queue.list()[0].id),
        "backbone": lambda: remove_backbone(queue, "spare"),
    }


@pytest.mark.parametrize("backend", ["sqlite", "postgresql"], indirect=True)
@pytest.mark.parametrize("what", ["task", "expert", "run", "backbone"])
def test_what_is_deleted_comes_back_as_it_was(what, full, queue):
    before = files(full), rows(full)
    gone = deletions(queue)[what]()
    after = files(full), rows(full)
    assert after[0] != before[0]
    (entry,) = Bin(full.root).entries()
    assert (entry.id, entry.what, entry.done) == (gone.entry, what, True)
    with pytest.raises(NotAllowed, match="may not restore what was deleted"):
        restoring.restore(RunQueue(full, actor=Actor("a@b.c", Role.RUNNER)), gone.entry)
    assert restoring.restore(queue, gone.entry)[1] == []
    assert (files(full), rows(full)) == before
    assert Bin(full.root).entries() == []
    with pytest.raises(BadInput, match="unknown entry of the bin"):
        restoring.restore(queue, gone.entry)


@pytest.mark.parametrize("what", ["task", "expert", "run", "backbone"])
def test_a_name_that_was_taken_meanwhile_stays_whose_it_is(what, full, queue):
    entry = deletions(queue)[what]().entry
    place = full.root / Bin(full.root).entry(entry).places[-1]
    write_bytes(place if place.suffix else place / "theirs", b"theirs")
    before = files(full), rows(full)
    with pytest.raises(BadInput, match=r"cannot be restored: .* is there again; remove or rename that first"):
        restoring.restore(queue, entry)
    assert (files(full), rows(full)) == before


def test_similarities_that_were_measured_anew_stay(full, queue):
    entry = remove_task(queue, "moods").entry
    measure(full, 0.7)
    changed = restoring.restore(queue, entry)[1]
    assert changed == ["zoos/mini/lora/similarity/probe.safetensors"]
    assert load_similarity(full.root / changed[0]).matrix[0, 1] == pytest.approx(0.7)
    assert full.task_names() == ["moods"]


@pytest.mark.parametrize("what", ["task", "expert", "run", "backbone"])
@pytest.mark.parametrize("moves", range(4))
def test_a_deletion_that_is_killed_is_finished_or_undone(what, moves, full, queue, monkeypatch):
    before = files(full), rows(full)
    deletions(queue)[what]()
    restoring.restore(queue, Bin(full.root).entries()[0].id)
    assert (files(full), rows(full)) == before

    class Killed(BaseException):
        pass

    left = [moves]
    real = binning.move

    def move(source, target):
        if not left[0]:
            raise Killed
        left[0] -= 1
        return real(source, target)

    with monkeypatch.context() as dying:
        dying.setattr(binning, "move", move)
        dying.setattr(Deletion, "finish", lambda self: (_ for _ in ()).throw(Killed))
        dying.setattr(Deletion, "undo", Deletion._release)  # the dead undo nothing
        with pytest.raises(Killed):
            deletions(queue)[what]()
    restoring.settle(full)
    entries = Bin(full.root).entries()
    assert all(entry.done for entry in entries)
    if not entries:
        assert (files(full), rows(full)) == before
    else:
        here = files(full)
        restoring.restore(queue, entries[0].id)
        assert (files(full), rows(full)) == before
        deletions(queue)[what]()
        assert files(full) == here


@pytest.mark.parametrize("fails", [False, True])
def test_on_a_full_disk_a_run_is_deleted_for_good(fails, full, queue, monkeypatch):
    before = files(full), rows(full)
    monkeypatch.setattr(Deletion, "_write", Mock(side_effect=DiskFull("disk full")))
    if fails:
        monkeypatch.setattr("pituning.runs.removal.leave_graph", Mock(side_effect=KeyboardInterrupt))
    gone = None
    with suppress(KeyboardInterrupt):
        gone = deletions(queue)["expert"]()
    assert Bin(full.root).entries() == []
    assert gone is None or gone.entry is None
    if fails:
        assert (files(full), rows(full)) == before
    else:
        assert not full.zoo().new_expert_dir("lora", "moods").exists()


def test_the_bin_is_emptied_after_its_days_and_not_before(full, queue, monkeypatch):
    for delete in (deletions(queue)["run"], deletions(queue)["task"]):
        delete()
    place = Bin(full.root)
    old = time.time() - 31 * binning.DAY
    path = place.directory / place.entries()[1].id / "entry.json"
    write_json(path, {**binning.read_json(path), "deleted": old})
    (place.directory / "odd").mkdir()
    (place.directory / "evil").mkdir()
    document = {**binning.read_json(path), "deleted": time.time(), "places": ["tasks/../../outside"]}
    write_json(place.directory / "evil" / "entry.json", document)
    Supervisor(full).clear_up()
    assert sorted(entry.what for entry in place.entries()) == ["damaged", "damaged", "task"]
    for name in ("odd", "evil"):
        with pytest.raises(BadInput, match="cannot be restored"):
            restoring.restore(queue, name)
    with place.held(place.entries()[0]):
        assert len(restoring.empty(queue, entry_id="odd")) == 1
        assert len(restoring.empty(queue)) == 1  # all but the one that is just being moved
    monkeypatch.setenv("PITUNING_BIN_DAYS", "soon")
    with pytest.raises(BadInput, match=r"\$PITUNING_BIN_DAYS is 'soon'"):
        restoring.tidy(full)
    monkeypatch.setenv("PITUNING_BIN_DAYS", "0")
    restoring.tidy(full)
    assert place.entries() == []
