"""Choices that live in the address under the names that programs use, so that `?task=nli` can be typed and sent."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st

from app.components.guard import plain


def linked_select(
    title: str,
    options: Sequence[str],
    *,
    param: str,
    format_func: Callable[[str], str],
    default: str | None = None,
    help_text: str | None = None,
    placeholder: str | None = None,
    hide_label: bool = False,
) -> str | None:
    """A select box whose value is the query parameter ``param``; what arrives there is checked against the options.

    `bind="query-params"` would write the label, which is for people and may be shared by two tasks.
    """
    written, wanted = f"{param}_in_address", st.query_params.get(param)
    if wanted in options and wanted != st.session_state.get(written):
        st.session_state[param] = wanted  # opened by a link, or gone back to
    elif st.session_state.get(param) not in options:
        st.session_state[param] = default
    value = st.selectbox(
        title, options, index=None if default is None else 0, format_func=format_func, key=param, help=help_text,
        persist_state="session", placeholder=placeholder, label_visibility="collapsed" if hide_label else "visible",
    )  # fmt: skip
    if wanted is not None and wanted not in options:
        st.warning(f"The address names the {title.lower()} “{plain(wanted)}”, which is not in this workspace.")
    st.session_state[written] = value
    if value is None:
        st.query_params.pop(param, None)
    elif value != wanted:
        st.query_params[param] = value
    return value
