"""Brings a checkpoint into the workspace for whoever may do that. Torch-free."""

from __future__ import annotations

from pituning.backbones.files import fingerprint
from pituning.backbones.places import Places
from pituning.experts.card import ExpertCard
from pituning.experts.checkpoint import Checkpoint, check_fit, keep_checkpoint
from pituning.runs.queue import RunQueue
from pituning.runs.roles import Role
from pituning.tasks.registry import load_task
from pituning.workspace.layout import DEFAULT_BACKBONE


def import_checkpoint(queue: RunQueue, checkpoint: Checkpoint, *, name: str, task: str) -> ExpertCard:
    """Keeps a checkpoint as expert ``name`` of ``task``, checked against the workspace's backbone.

    Raises:
        BadInput: it does not fit the backbone, the name cannot be used or is taken, or there is no such task.
        NotAllowed: the queue's actor is no runner.
        ArtefactError: the backbone is damaged, or the disk is full.
    """
    queue.actor.require(Role.RUNNER, "bring experts in")
    workspace = queue.workspace
    load_task(task, workspace)
    backbone = workspace.backbone_dir()
    ours = fingerprint(backbone)
    check_fit(checkpoint, Places.read(backbone), ours)
    return keep_checkpoint(checkpoint, workspace, name=name, task=task, backbone=DEFAULT_BACKBONE, fingerprint=ours)
