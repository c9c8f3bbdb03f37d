"""Widgets for the fields of a configuration: label, help and default come from the dataclass itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import streamlit as st

from app.components.guard import sentence
from pituning.errors import BadInput


def field_of(config: type, name: str) -> dataclasses.Field[Any]:
    """The field of that name."""
    return next(field for field in dataclasses.fields(config) if field.name == name)


def help_of(config: type, name: str) -> str:
    """What the configuration says about one of its fields."""
    return str(field_of(config, name).metadata.get("help", ""))


def default_of(config: type, name: str) -> Any:
    """The default of a field; None when it has none."""
    field = field_of(config, name)
    if field.default is not dataclasses.MISSING:
        return field.default
    return field.default_factory() if field.default_factory is not dataclasses.MISSING else None


def advanced(
    config: type,
    names: Sequence[str],
    *,
    key: str,
    check: Callable[[str, Any], object],
    usual: Mapping[str, Any] | None = None,
) -> dict[str, Any] | None:
    """One widget for each named field.

    Args:
        check: called with the name and the value of each; what it raises is shown beside the field.
        usual: values that stand there instead of the configuration's own defaults.

    Returns:
        what differs from the usual values; None when something that was written cannot be used.
    """
    changed: dict[str, Any] = {}
    sound = True
    with st.grid(3, min_column_width=180):
        for name in names:
            default = (usual or {}).get(name, default_of(config, name))
            with st.container(key=f"{key}_{name}_field"):
                try:
                    value = _widget(config, name, default, f"{key}_{name}")
                    check(name, value)
                except BadInput as error:
                    st.error(sentence(str(error).replace(name, _title(name), 1)), icon=":material/error:")
                    sound = False
                    continue
            if value != default:
                changed[name] = value
    return changed if sound else None


def _title(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _widget(config: type, name: str, default: Any, key: str) -> Any:
    title, text = _title(name), help_of(config, name)
    choices = field_of(config, name).metadata.get("choices")
    if choices:
        options = list(choices() if callable(choices) else choices)
        return st.selectbox(title, options, index=options.index(default), key=key, help=text)
    if isinstance(default, bool):
        return st.toggle(title, value=default, key=key, help=text)
    if isinstance(default, int):
        return int(st.number_input(title, value=default, min_value=0, step=1, key=key, help=text))
    if isinstance(default, float):
        return st.number_input(
            title, value=default, min_value=0.0, step=default / 10 or 0.001, format="%g", key=key, help=text
        )
    if isinstance(default, tuple):
        value = ", ".join(f"{item:g}" for item in default)
        written = st.text_input(title, value=value, placeholder="the usual ones", key=key, help=text)
        return _numbers(written, title) or default
    return st.text_input(title, value=str(default or ""), key=key, help=text) or default


def _numbers(written: str, title: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in written.replace(";", ",").split(",") if part.strip())
    except ValueError as error:
        raise BadInput(f"{title}: write numbers with commas between them, as in 0.002, 0.005") from error
