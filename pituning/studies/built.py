"""Which experts of a zoo are there already, by what made them. Torch-free."""

from __future__ import annotations

from collections.abc import Collection

from pituning.errors import ArtefactError
from pituning.experts.card import read_card
from pituning.studies.config import ZooConfig
from pituning.tasks.registry import TaskSource
from pituning.workspace.atomic import read_json
from pituning.workspace.zoo import Zoo

SUITE = TaskSource()
"""The mini suite alone."""


def expert_spec(
    config: ZooConfig, kind: str, task: str, source: TaskSource = SUITE, *, factor: float = 1.0
) -> dict[str, object]:
    """What makes a zoo expert what it is; an expert with the same spec and backbone is not trained again.

    Args:
        source: where the task is from.
        factor: the backbone's `rate_factor`.
    """
    return {
        "suite": source.version(task),
        "task": task,
        "kind": kind,
        "steps": config.steps_of(kind),
        "batch_size": config.batch_size,
        "learning_rate": config.rate_of(kind, factor),
        "seed": config.seed,
        "data": "all training examples" if config.train_examples is None else f"{config.train_examples} examples",
    }


def is_built(
    zoo: Zoo,
    config: ZooConfig,
    kind: str,
    task: str,
    fingerprint: str,
    source: TaskSource = SUITE,
    *,
    factor: float = 1.0,
) -> bool:
    """Whether the expert is there, in the workspace or shipped, by its card."""
    try:
        card = read_card(zoo.expert_dir(kind, task))
    except ArtefactError:
        return False
    spec = expert_spec(config, kind, task, source, factor=factor)
    return card.fingerprint == fingerprint and dict(card.spec) == spec


def is_embedded(zoo: Zoo, kind: str, names: Collection[str]) -> bool:
    """Whether the zoo's embeddings and similarities are those of just these tasks."""
    try:
        manifest = read_json(zoo.embedding_manifest(kind))
    except ArtefactError:
        return False
    return isinstance(manifest, dict) and set(manifest.get("experts", ())) == set(names)
