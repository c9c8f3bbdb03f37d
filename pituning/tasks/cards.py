"""Cards of tasks: what a task is, as YAML that people can read, change and hand on. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from pituning.errors import BadInput


def parse_card(data: bytes, name: str) -> Mapping[str, Any]:
    """The content of a card.

    Raises:
        BadInput: it is no YAML object.
    """
    try:
        document = yaml.safe_load(data)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise BadInput(
            f"file {name!r} is no YAML ({' '.join(str(error).split())[:120]}); correct it", field="card"
        ) from error
    if not isinstance(document, dict):
        raise BadInput(f"file {name!r} is no card of a task: it has no named fields", field="card")
    return document
