"""The target's own expert: the layout that it has, and where it starts."""

from __future__ import annotations

import torch
from torch import Tensor

from pituning.backbones.families import LANGUAGE
from pituning.errors import BadInput
from pituning.experts.model import ExpertModel
from pituning.experts.store import Together
from pituning.tasks.base import Task
from pituning.tuning.config import TuneConfig


def could_see(task: Task, model: ExpertModel) -> bool:
    """Whether experts of a task could act in the backbone's vision tower."""
    return task.modality != LANGUAGE and model.method.record.sees and bool(model.backbone.eyes)


def own_model(config: TuneConfig, task: Task, model: ExpertModel) -> ExpertModel:
    """Of the layout of the target's own expert.

    Args:
        model: of the usual one.

    Raises:
        BadInput: it is to act where there is nothing to act on.
    """
    if config.own_rank:
        model = ExpertModel(model.backbone, model.kind, {**model.space.config, "rank": config.own_rank})
    if not config.vision_tower:
        return model
    if task.modality == LANGUAGE:
        raise BadInput(
            f"vision_tower is for tasks with pictures, and {task.name!r} has none; leave it out", field="vision_tower"
        )
    return model.with_eyes()


def start_values(zoo: Together, model: ExpertModel, own: ExpertModel | None = None) -> Tensor:
    """(P,) the initialisation that the zoo's experts started from, so that a new one can be mixed with them.

    Args:
        model: of a layout that holds the new expert; it has the size of its own, whatever there is room for.
        own: of the new expert's own layout; by default the zoo's usual one.
    """
    own = own or zoo.model
    seeds = [expert.card.seed for expert in zoo.experts.values() if expert.card.seed is not None]
    start = own.initial(max(set(seeds), key=seeds.count) if seeds else 0)
    return model.method.placed(start, own.space, model.space)


def own_sites(model: ExpertModel, lent: ExpertModel) -> Tensor | None:
    """(S,) the sites of a layout where nobody who lends has parameters; None where there are none."""
    names = set(lent.space.site_names)
    alone = [name not in names for name in model.space.site_names]
    return torch.tensor(alone, device=model.device) if any(alone) else None
