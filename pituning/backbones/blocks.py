"""The places of a language model where experts attach: its linear maps, by layer, part and role.

Read from the model itself. What the maps of a family are called stands here once; a model whose maps have other names
still takes experts that name their modules themselves.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from torch import nn

from pituning.backbones.places import IMAGE_ROLE, Block

ROLES: Mapping[str, tuple[str, ...]] = {
    "query": ("q_proj", "q"),
    "key": ("k_proj", "k"),
    "value": ("v_proj", "v"),
    "output": ("o_proj", "out_proj", "o"),
    "gate": ("gate_proj", "wi_0"),
    "up": ("fc1", "up_proj", "wi", "wi_1"),
    "down": ("fc2", "down_proj", "wo"),
}
"""What a linear map does, and how models call such a map; the order of maps within a part."""

EYES = re.compile(r"(?:^|\.)(?:vision|visual|image|multi_modal|connector)\w*(?:\.|$)")
"""What the paths of modules hold that pictures pass alone: their encoder, and what leads from it to the text."""

_ROLE_OF = {name: role for role, names in ROLES.items() for name in names}
_ORDER = {role: number for number, role in enumerate(ROLES)}


def find_blocks(model: nn.Module, stacks: Mapping[str, str]) -> tuple[Block, ...]:
    """All linear maps with a known role in a model's layers, in the order of the forward pass.

    Args:
        stacks: what a stack of layers is called, and the dotted path of its `nn.ModuleList`.
    """
    ordered: list[Block] = []
    for stack, path in stacks.items():
        layers = model.get_submodule(path)
        assert isinstance(layers, nn.ModuleList)
        for number, layer in enumerate(layers):
            parts: dict[str, list[Block]] = {}
            for name, module in layer.named_modules():
                owner, _, leaf = name.rpartition(".")
                if not isinstance(module, nn.Linear) or leaf not in _ROLE_OF:
                    continue
                role = _ROLE_OF[leaf]
                parts.setdefault(owner, []).append(
                    Block(
                        module=f"{path}.{number}.{name}",
                        layer=f"{stack}.{number}",
                        part=owner.rpartition(".")[2] or "ffn",
                        label=f"{owner.rpartition('.')[2]}.{leaf}".removeprefix("."),
                        role=role,
                        d_in=module.in_features,
                        d_out=module.out_features,
                    )
                )
            for blocks in parts.values():
                ordered += sorted(blocks, key=lambda block: _ORDER[block.role])
    return tuple(ordered)


def find_eyes(model: nn.Module) -> tuple[Block, ...]:
    """The linear maps that only pictures pass, in the model's order; a layer of theirs is called ``vision.3``."""
    found = []
    for path, module in model.named_modules():
        where = EYES.search(path)
        if where is None or not isinstance(module, nn.Linear):
            continue
        owner, _, leaf = path.rpartition(".")
        if isinstance(model.get_submodule(owner), nn.MultiheadAttention):  # which reads its maps and never calls them
            continue
        rest = path[where.start() :].strip(".").split(".")
        numbers = [part for part in rest if part.isdigit()]
        names = [part for part in rest[1:] if not part.isdigit()]
        found.append(
            Block(
                module=path,
                layer=".".join(["vision", *numbers]) if numbers else rest[0],
                part="_".join(names[-3:-1]) or leaf,
                label=".".join(names[-2:]) or leaf,
                role=IMAGE_ROLE,
                d_in=module.in_features,
                d_out=module.out_features,
            )
        )
    return tuple(found)


def with_roles(blocks: Sequence[Block], roles: Sequence[str]) -> list[Block]:
    """Those of some roles, in their order."""
    return [block for block in blocks if block.role in roles]


def with_leaves(blocks: Sequence[Block], leaves: Sequence[str]) -> list[Block]:
    """Those whose path ends with one of the names, as PEFT matches target modules."""
    return [
        block for block in blocks if any(block.module == leaf or block.module.endswith(f".{leaf}") for leaf in leaves)
    ]
