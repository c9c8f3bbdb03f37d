"""The places of a language model where experts attach: its linear maps, by layer, part and role.

Read from the model itself. What the maps of a family are called stands here once; a model whose maps have other names
still takes experts that name their modules themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import nn

from pituning.backbones.places import Block

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


def with_roles(blocks: Sequence[Block], roles: Sequence[str]) -> list[Block]:
    """Those of some roles, in their order."""
    return [block for block in blocks if block.role in roles]


def with_leaves(blocks: Sequence[Block], leaves: Sequence[str]) -> list[Block]:
    """Those whose path ends with one of the names, as PEFT matches target modules."""
    return [
        block for block in blocks if any(block.module == leaf or block.module.endswith(f".{leaf}") for leaf in leaves)
    ]
