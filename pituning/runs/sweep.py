"""Many runs at once: every combination of some settings. Torch-free."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Any

from pituning.errors import BadInput
from pituning.runs.spec import RunSpec
from pituning.workspace.documents import parse_json

MOST = 1000
"""More runs than this are a mistake rather than a sweep."""


def sweep(run_kind: str, settings: Mapping[str, Any], axes: Mapping[str, Sequence[Any]]) -> list[RunSpec]:
    """One run for each combination of the axes' values; the last axis changes fastest.

    Args:
        run_kind: of the runs.
        settings: what they share.
        axes: for each setting that varies, its values; an axis without values is left out.

    Raises:
        BadInput: there are too many combinations, a value stands twice, or a setting cannot be used.
    """
    axes = {name: list(values) for name, values in axes.items() if values}
    for name, values in axes.items():
        if len({json.dumps(value) for value in values}) != len(values):
            raise BadInput(f"{name} has a value twice: {', '.join(map(str, values))}; give each once", field=name)
    combinations = list(itertools.product(*axes.values()))
    if len(combinations) > MOST:
        raise BadInput(f"the sweep has {len(combinations)} runs; queue at most {MOST} at once")
    made = [RunSpec(kind=run_kind, config={**settings, **dict(zip(axes, each, strict=True))}) for each in combinations]
    for spec in made:
        spec.validate()
    return made


def changes_of(run_kind: str, words: Sequence[str]) -> dict[str, Any]:
    """Settings from ``NAME=VALUE``, as command lines have them; lists have commas, ``null`` means the default.

    Raises:
        BadInput: a word has no ``=``, or there is no such setting.
    """
    fields = RunSpec(kind=run_kind, config={}).defaults()
    changes: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        name = name.strip().replace("-", "_")
        if not equals:
            raise BadInput(f"{word!r} is no setting; give NAME=VALUE", field="set")
        if name not in fields:
            raise BadInput(f"{run_kind} has no setting {name!r}; it has {', '.join(fields)}", field=name)
        if isinstance(fields[name], tuple) and not text.startswith("["):
            changes[name] = [_value(part.strip()) for part in text.split(",") if part.strip()]
        else:
            changes[name] = _value(text.strip())
        if changes[name] is None and fields[name] is not dataclasses.MISSING:
            changes[name] = fields[name]
    return changes


def _value(text: str) -> Any:
    try:
        return parse_json(text)
    except ValueError:
        return text
