"""Brings back what is in the bin, ends what a killed deletion began, and empties the bin. Torch-free."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress

from pituning.errors import ArtefactError, BadInput
from pituning.runs.queue import RunQueue
from pituning.runs.removal import leave_graph
from pituning.runs.roles import Role
from pituning.workspace.atomic import copy_file
from pituning.workspace.bin import DAY, Bin, Deletion, Entry, days_kept, taken_meanwhile
from pituning.workspace.layout import Workspace


def restore(queue: RunQueue, entry_id: str) -> tuple[Entry, Sequence[str]]:
    """Brings back what was deleted, with all that went with it, or nothing of it.

    Returns:
        the entry, which is no longer in the bin, and the files of similarities that were measured anew since: in those
        the task is missing until its zoo is embedded again.

    Raises:
        BadInput: there is no such entry, a name was taken meanwhile, or it cannot be restored.
        NotAllowed: the queue's actor is no admin.
    """
    queue.actor.require(Role.ADMIN, "restore what was deleted")
    place = Bin(queue.workspace.root)
    entry = place.entry(entry_id)
    if entry.damage is not None:
        raise BadInput(f"{entry.damage}; to be rid of it: pituning bin empty", field="entry")
    with place.held(entry):
        entry = place.entry(entry_id)
        taken = place.taken(entry)
        if taken:
            raise taken_meanwhile(entry, taken[0])
        rows = place.rows(entry)
        with queue.unchanged() if rows is None else queue.remembering(rows):
            changed = place.put_back(entry)
        place.drop(entry)
    return entry, [name for name in changed if name.endswith(".safetensors")]


def settle(workspace: Workspace) -> list[Entry]:
    """Ends deletions whose process was killed: one that had begun to count is finished, any other is undone.

    A run is gone with its row of the database, anything else with its directory.
    """
    place, queue = Bin(workspace.root), RunQueue(workspace)
    settled = []
    for entry in place.entries():
        if entry.damage is None and (not entry.done or place.is_hollow(entry)):
            with suppress(BadInput, ArtefactError), place.held(entry), queue.unchanged():
                _settle(place, queue, place.entry(entry.id))
                settled.append(entry)
    return settled


def _settle(place: Bin, queue: RunQueue, entry: Entry) -> None:
    if entry.done:  # and hollow: what was restored only has to leave the bin
        place.drop(entry)
    elif _counts(place, queue, entry):
        deletion = Deletion(place, entry)
        deletion.move_rest()
        for path, copy in place.copies(entry):
            try:
                leave_graph([path], entry.name)
            except ArtefactError:  # killed between the similarities and their card
                copy_file(copy, path)
        leave_graph([path for path, _ in place.copies(entry)], entry.name)
        deletion.finish()
    else:
        place.put_back(entry)
        place.drop(entry)


def _counts(place: Bin, queue: RunQueue, entry: Entry) -> bool:
    if entry.what == "run":
        return not queue.exists(entry.name)
    return place.has_first(entry)


def empty(queue: RunQueue, *, days: float = 0.0, entry_id: str | None = None) -> list[Entry]:
    """Removes for good what has been in the bin for so many days, or one entry that has been.

    Raises:
        BadInput: there is no such entry.
        NotAllowed: the queue's actor is no admin.
    """
    queue.actor.require(Role.ADMIN, "empty the bin")
    return Bin(queue.workspace.root).empty(before=time.time() - days * DAY if days else None, entry_id=entry_id)


def tidy(workspace: Workspace) -> None:
    """What the supervisor does now and then: `settle`, and `empty` of what is past its days."""
    settle(workspace)
    empty(RunQueue(workspace), days=days_kept() or 1e-9)
