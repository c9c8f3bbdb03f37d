"""Imports a checkpoint into the workspace for whoever may do that. Torch-free."""

from __future__ import annotations

from pituning.backbones.files import fingerprint
from pituning.backbones.places import Places
from pituning.experts.card import ExpertCard
from pituning.experts.checkpoint import Checkpoint
from pituning.experts.fitting import check_fit
from pituning.experts.keeping import keep_checkpoint
from pituning.runs.queue import RunQueue
from pituning.runs.roles import Role
from pituning.tasks.registry import load_task
from pituning.workspace.layout import DEFAULT_BACKBONE


def import_checkpoint(
    queue: RunQueue, checkpoint: Checkpoint, *, name: str, task: str, backbone: str = DEFAULT_BACKBONE
) -> ExpertCard:
    """Keeps a checkpoint as expert ``name`` of ``task`` in the zoo of a backbone, checked against that.

    Names and shapes are checked. Its outputs are compared with plain PEFT's when it is first used, since the model is
    not at hand here.

    Raises:
        BadInput: it does not fit, the name cannot be used or is taken, or there is no such task or backbone.
        NotAllowed: the queue's actor is no runner.
        ArtefactError: the backbone is damaged, or the disk is full.
    """
    queue.actor.require(Role.RUNNER, "import experts")
    workspace = queue.workspace
    load_task(task, workspace)
    folder = workspace.backbone_dir(backbone)
    ours = fingerprint(folder)
    fitted = check_fit(checkpoint, Places.read(folder), ours)
    return keep_checkpoint(fitted, workspace.zoo(backbone), name=name, task=task, fingerprint=ours)
