"""Puts a backbone of the workspace into the bin, unless runs or experts need it. Torch-free."""

from __future__ import annotations

from pathlib import Path

from pituning.backbones.composed.config import place_of_language
from pituning.backbones.files import is_composed
from pituning.errors import BadInput
from pituning.runs.queue import RunQueue
from pituning.runs.records import ACTIVE
from pituning.runs.removal import Deleted
from pituning.runs.roles import Role
from pituning.workspace.atomic import TEMPORARY_PREFIX
from pituning.workspace.bin import Bin
from pituning.workspace.layout import DEFAULT_BACKBONE, Workspace, check_name


def remove_backbone(queue: RunQueue, name: str, *, force: bool = False) -> Deleted:
    """Puts a backbone's directory into the bin. Experts that were made on it stay, of no use until it is back.

    Args:
        force: also when runs or experts need it.

    Raises:
        BadInput: there is none of that name in the workspace, or something needs it.
        NotAllowed: the queue's actor is no admin.
    """
    queue.actor.require(Role.ADMIN, "remove backbones")
    workspace = queue.workspace
    own = workspace.root / "backbones" / check_name(name, what="backbone")
    if not own.is_dir():
        workspace.backbone_dir(name)
        raise BadInput(
            f"backbone {name!r} is the embedded one; only those that were added can be removed", field="name"
        )
    with Bin(workspace.root).deleting("backbone", name, by=queue.actor.name) as deletion, queue.unchanged():
        if not force:
            _check_unneeded(queue, name)
        deletion.move([own])
    return Deleted(deletion.entry_id)


def experts_of(workspace: Workspace, name: str) -> list[str]:
    """The experts in a workspace that were made on a backbone, as ``kind/name``, sorted."""
    made = (workspace.root / "zoos" / name).glob("*/experts/*")
    return sorted(f"{path.parents[1].name}/{path.name}" for path in made if _is_whole(path))


def _check_unneeded(queue: RunQueue, name: str) -> None:
    for run in queue.list(states=ACTIVE):
        if name in (run.spec.config.get("backbone", DEFAULT_BACKBONE), run.backbone):
            raise BadInput(
                f"backbone {name!r} is needed by run {run.id}, which is {run.state}; wait, or cancel it first: "
                f"pituning runs cancel {run.id} (or give --force)",
                field="name",
            )
    own = queue.workspace.root / "backbones" / name
    for other in queue.workspace.backbone_names():
        directory = queue.workspace.backbone_dir(other)
        if is_composed(directory) and place_of_language(directory) == own.resolve():
            raise BadInput(
                f"backbone {name!r} is the language part of backbone {other!r}; remove that first, or give --force: "
                "it can then not be used until this one is added again",
                field="name",
            )
    experts = experts_of(queue.workspace, name)
    if experts:
        more = f" and {len(experts) - 1} more" if len(experts) > 1 else ""
        raise BadInput(
            f"backbone {name!r} is needed by expert {experts[0]}{more}; remove what was made on it first, or give "
            "--force: such experts can then not be used until it is added again",
            field="name",
        )


def _is_whole(directory: Path) -> bool:
    return directory.is_dir() and not directory.name.startswith(TEMPORARY_PREFIX)
