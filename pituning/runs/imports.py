"""Imports an uploaded checkpoint into the workspace for whoever may do that. Torch-free."""

from __future__ import annotations

from pituning.experts.card import ExpertCard
from pituning.experts.uploads import Upload
from pituning.runs.queue import RunQueue
from pituning.runs.roles import Role
from pituning.tasks.registry import load_task
from pituning.workspace.layout import DEFAULT_BACKBONE


def import_upload(
    queue: RunQueue, upload: Upload, *, name: str, task: str, backbone: str = DEFAULT_BACKBONE
) -> ExpertCard:
    """Keeps an uploaded checkpoint as expert ``name`` of ``task`` in the zoo of a backbone, once it was compared with
    what plain PEFT makes of it.

    Raises:
        BadInput: it does not fit, it does not do what plain PEFT does, the name cannot be used or is taken, or there is
            no such task or backbone.
        NotAllowed: the queue's actor is no runner.
        ArtefactError: the backbone is damaged, or the disk is full.
    """
    queue.actor.require(Role.RUNNER, "import experts")
    load_task(task, queue.workspace)
    return upload.keep(queue.workspace, name=name, task=task, backbone=backbone)
