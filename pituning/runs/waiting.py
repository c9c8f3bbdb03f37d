"""What holds the queue up, and what each queued run waits for, in words. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pituning.runs.records import Run
from pituning.runs.store import PAUSED, RunStore
from pituning.workspace.ownership import SUPERVISOR
from pituning.workspace.space import disk_full


def held_up(store: RunStore) -> str | None:
    """Why nothing is taken from the queue, or None. A full disk is looked at, not written down: there is no room."""
    paused = store.setting(PAUSED)
    if paused is not None:
        reason = f" ({paused['reason']})" if paused["reason"] else ""
        return f"the queue is paused{reason}; go on with: pituning runs unpause"
    full = disk_full(store.workspace.root)
    return None if full is None else f"{full}; the queue goes on by itself when there is room"


def waits_for(store: RunStore) -> Mapping[str, str]:
    """For each queued run what it waits for, in the order of the queue."""
    waiting = store.waiting()
    if not waiting:
        return {}
    held = held_up(store)
    running = store.list(states=["running"])
    known = store.setting(SUPERVISOR) or {}
    slots = max(1, len(known.get("slots", ())))
    return {run.id: held or _turn(number, running, slots) for number, run in enumerate(waiting)}


def _turn(before: int, busy: Sequence[Run], slots: int) -> str:
    if before < slots - len(busy):
        return "starts in a moment"
    ahead = [f"{before} {'run' if before == 1 else 'runs'} before it"] if before else []
    names = ", ".join(run.id for run in busy[:3]) + (f" and {len(busy) - 3} more" if len(busy) > 3 else "")
    taken = [f"{'the slot' if slots == 1 else f'one of {slots} slots'}, taken by {names}"] if busy else []
    return "waits for " + " and ".join([*ahead, *taken])
