"""What is supported: families of foundation models and kinds of experts, as their records say. Torch-free.

The table of the README is `support_markdown`; after a family or a kind has been added, ``pituning backbones families
--markdown`` prints it anew.
"""

from __future__ import annotations

from typing import Any

from pituning.backbones.families import FAMILIES
from pituning.experts.kinds import KINDS

BEGIN, END = "<!-- support: pituning backbones families --markdown -->", "<!-- /support -->"
"""What stands around the table in the README."""


def support() -> list[dict[str, Any]]:
    """Of each family what it is and which kinds of experts it can have, for programs."""
    return [
        {
            "family": record.name,
            "label": record.label,
            "help": record.help,
            "model_types": list(record.model_types),
            "architectures": list(record.architectures),
            "modalities": list(record.modalities),
            "kinds": [kind for kind in KINDS if kind not in record.without],
            "without": {kind: reason for kind, reason in record.without.items() if kind in KINDS},
            "examples": list(record.examples),
        }
        for record in FAMILIES.values()
    ]


def support_markdown() -> str:
    """The same as a Markdown table, with the reasons below it; without a line's end."""
    heads = ["family", "what it is", "tasks", *(record.label for record in KINDS.values()), "for example"]
    lines, reasons = [_row(heads), _row(["---"] * len(heads))], []
    for one in support():
        cells = []
        for kind in KINDS:
            if kind in one["without"]:
                reasons.append(f"{one['label']} has no {kind} experts: {one['without'][kind]}.")
            cells.append("no" if kind in one["without"] else "yes")
        examples = ", ".join(f"`{name}`" for name in one["examples"])
        lines.append(_row([one["label"], one["help"], ", ".join(one["modalities"]), *cells, examples]))
    return "\n".join([*lines, *(["", *reasons] if reasons else [])])


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
