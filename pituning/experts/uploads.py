"""Uploaded checkpoints, each read and tried in a process of its own within bounds: what pages ask of a file.

This module is torch-free, its process that keeps one is not.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from pituning.backbones.files import fingerprint, weight_bytes
from pituning.backbones.places import Places
from pituning.experts.card import ExpertCard
from pituning.experts.checkpoint import Checkpoint, read_checkpoint
from pituning.experts.fitting import check_fit
from pituning.registry import load
from pituning.workspace import bounded
from pituning.workspace.bounded import Limits
from pituning.workspace.layout import Workspace

INSTEAD = "make it smaller, or import it on the command line: pituning experts import DIR --task TASK"
LIMITS = Limits(memory=3 * 2**29, instead=INSTEAD)


@dataclass(frozen=True, kw_only=True)
class Upload:
    """A zip that somebody uploaded."""

    filename: str
    data: bytes = field(repr=False)

    @property
    def what(self) -> str:
        return f"file {self.filename!r}"

    def look(self, backbone: Path) -> Checkpoint:
        """The checkpoint without its tensors, where it fits a backbone; errors as of `read_checkpoint` and `check_fit`.

        Args:
            backbone: its directory.
        """
        path = f"{__name__}:{look.__name__}"
        looked: Checkpoint = bounded.call(path, self, backbone, what=self.what, limits=LIMITS)
        return looked

    def keep(self, workspace: Workspace, *, name: str, task: str, backbone: str) -> ExpertCard:
        """Compares what it does with what plain PEFT makes of it, and keeps it as expert ``name`` of ``task``.

        Raises:
            BadInput: it does something else, does not fit, or the name cannot be used or is taken.
            ArtefactError: the backbone is damaged, or the disk is full.
        """
        weights = weight_bytes(workspace.backbone_dir(backbone))
        # Weights may be packed in half of the bytes that they have in memory; beside them stand PyTorch and the expert.
        limits = Limits(memory=3 * 2**30 + 3 * weights, seconds=600, instead=INSTEAD)
        path = f"{__name__}:{keep.__name__}"
        plain = Workspace(workspace.root, workspace.embedded)  # without a database that is open
        kept: ExpertCard = bounded.call(path, self, plain, name, task, backbone, what=self.what, limits=limits)
        return kept


# In the process.


def look(upload: Upload, backbone: Path) -> Checkpoint:
    """See `Upload.look`."""
    checkpoint = read_checkpoint(upload.data, upload.filename)
    return replace(check_fit(checkpoint, Places.read(backbone), fingerprint(backbone)), tensors=b"")


def keep(upload: Upload, workspace: Workspace, name: str, task: str, backbone: str) -> ExpertCard:
    """See `Upload.keep`."""
    checkpoint = read_checkpoint(upload.data, upload.filename)
    # On the processors: a GPU may be full of a run's work, and a few prompts are quick without.
    model = load("pituning.backbones.base:Backbone").load(workspace.backbone_dir(backbone), name=backbone, device="cpu")
    import_checkpoint = load("pituning.experts.store:import_checkpoint")
    card: ExpertCard = import_checkpoint(checkpoint, task=task, name=name, backbone=model, workspace=workspace).card
    return card
