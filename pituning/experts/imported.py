"""What people are told of a checkpoint that they import: its name, its base, what it can be used for. Torch-free."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from pituning.experts.card import ExpertCard
from pituning.experts.checkpoint import NOT_MIXED
from pituning.experts.kinds import KINDS


def usable_name(text: str) -> str:
    """A name for an expert, made of a file's or a directory's."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:55].strip("-") or "expert"


def other_base(document: Mapping[str, Any], names: Collection[str]) -> str | None:
    """The base that a checkpoint says it was trained on, where that is none of a backbone's names.

    Args:
        document: ``adapter_config.json``.
        names: of the backbone: its own, and that of where it came from.
    """
    given = document.get("base_model_name_or_path")
    if not isinstance(given, str) or not given.strip():
        return None
    ours = {_parts(name)[-1] for name in names if _parts(name)}
    return None if ours & set(_parts(given)) else given


def uses(card: ExpertCard) -> str:
    """What an imported expert can be used for, in one sentence."""
    record = KINDS[card.kind]
    if not record.mixable:
        return f"It can be asked and exported, but not mixed: {card.spec.get(NOT_MIXED, 'PEFT itself runs it')}"
    if not record.resizable and dict(card.config) != dict(record.defaults):
        usual = ", ".join(f"{name} {value:g}" for name, value in record.defaults.items())
        return f"It can be asked and exported, but mixed only with {card.kind} experts of its own size (usual: {usual})"
    if card.name == card.task:
        return "It is its task's own expert now: other tasks can borrow from it, and the task graph takes it in"
    return (
        "It can be asked, exported, and lend to other tasks: "
        f"pituning tune TASK --kind {card.kind} --donor-names {card.name}"
    )


def _parts(name: str) -> list[str]:
    return [part.lower() for part in re.split(r"[/\\]+", name) if part]
