"""What holds the queue up, what runs wait for, and where they are done."""

from __future__ import annotations

import pytest

from pituning.errors import BadInput
from pituning.runs.executors.local import LocalExecutor
from pituning.runs.slots import VISIBLE, Slot, make_slots
from pituning.runs.supervisor import Supervisor
from pituning.runs.waiting import held_up, waits_for
from pituning.workspace.space import LEAST_FREE_VARIABLE, free_mib


def test_the_order_and_the_slots_are_told(queue, submit, workspace):
    assert waits_for(queue) == {}
    first, second, third = submit(), submit(), submit()
    Supervisor(workspace, executor=LocalExecutor(workspace, slots=[Slot("cpu 0"), Slot("cpu 1")])).introduce()
    assert list(waits_for(queue).values()) == [
        "starts in a moment", "starts in a moment", "waits for 2 runs before it",
    ]  # fmt: skip
    queue.claim("me")
    queue.claim("me")
    assert waits_for(queue) == {third: f"waits for one of 2 slots, taken by {second}, {first}"}
    fourth = submit()
    assert waits_for(queue)[fourth].startswith("waits for 1 run before it and one of 2 slots, taken by")


def test_a_pause_and_a_full_disk_are_told(queue, submit, monkeypatch, workspace):
    run_id = submit()
    assert held_up(queue) is None
    queue.pause("the GPU is lent")
    assert waits_for(queue)[run_id] == "the queue is paused (the GPU is lent); go on with: pituning runs unpause"
    queue.unpause()
    monkeypatch.setenv(LEAST_FREE_VARIABLE, str(free_mib(workspace.root) + 1000))
    assert "is full" in waits_for(queue)[run_id]
    assert "goes on by itself when there is room" in held_up(queue)
    monkeypatch.setenv(LEAST_FREE_VARIABLE, "much")
    with pytest.raises(BadInput, match="'much'; give a number of MiB"):
        held_up(queue)


def test_one_slot_for_each_gpu(monkeypatch):
    assert make_slots(gpus=[]) == [Slot("cpu 0")]
    assert [slot.name for slot in make_slots(3, gpus=[])] == ["cpu 0", "cpu 1", "cpu 2"]
    assert make_slots(gpus=["0", "3"]) == [Slot("gpu 0", "0"), Slot("gpu 3", "3")]
    assert [slot.gpu for slot in make_slots(3, gpus=["0", "3"])] == ["0", "3", "0"]
    assert len({slot.name for slot in make_slots(5, gpus=["0", "3"])}) == 5
    assert Slot("gpu 3", "3").environment == {VISIBLE: "3"}
    assert Slot("cpu 0").environment == {}
    monkeypatch.setenv(VISIBLE, "2, GPU-abc")
    assert [slot.gpu for slot in make_slots()] == ["2", "GPU-abc"]
    monkeypatch.setenv(VISIBLE, "-1")
    assert [slot.gpu for slot in make_slots()] == [None]
