"""Choices that live in the address under the names that programs use, so that `?task=nli` can be typed and sent."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from functools import partial

import streamlit as st
from streamlit.errors import StreamlitAPIException

from app.components import context
from app.components.guard import plain
from app.components.words import Word
from pituning.text import shorten, visible
from pituning.workspace.documents import MOST_WHOLE
from pituning.workspace.layout import DEFAULT_BACKBONE

TASKS = "tasks"
MOST_IN_ADDRESS = 8_000
"""Characters of one value: the names of some hundred tasks."""
_TASKS_WRITTEN = "tasks_in_address"
_LEFT_OUT = "left_out_of_address"


def check_address() -> None:
    """Takes out of the address what no page can use, before a widget reads it: numbers that are not finite or beyond
    64 bits, which widgets trip over, and values of a length that nobody follows."""
    left_out = []
    for name in list(st.query_params):
        value = next((one for one in st.query_params.get_all(name) if not _is_plain(one)), None)
        if value is None:
            continue
        with suppress(StreamlitAPIException):  # raised of a widget that is there already, with a value of its own
            del st.query_params[name]
            left_out.append(f"“{plain(shorten(name, 40))}” as “{plain(shorten(value, 40))}”")
    if left_out:
        st.session_state[_LEFT_OUT] = left_out
        st.rerun()  # widgets read the address as it was when the run began
    for given in st.session_state.pop(_LEFT_OUT, ()):
        st.warning(f"The address gives {given}, which cannot be used; it is left out.")


def _is_plain(value: str) -> bool:
    """Whether a value is a text, or a number that there is room for."""
    if len(value) > MOST_IN_ADDRESS:
        return False
    try:
        number = float(value)
    except ValueError:
        return visible(value) == value
    return math.isfinite(number) and abs(number) < MOST_WHOLE


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
    on_change: Callable[..., None] | None = None,
    usual: str | None = None,
) -> str | None:
    """A select box whose value is the query parameter ``param``; what arrives there is checked against the options.

    Args:
        usual: a value that addresses leave out.

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
        on_change=partial(_changed, param, on_change, usual),
    )  # fmt: skip
    if wanted is not None and wanted not in options:
        st.warning(f"The address names the {title.lower()} “{plain(wanted)}”, which is not in this workspace.")
    _write(param, value, usual)
    return value


def set_linked(**values: str | None) -> None:
    """A callback: these are the chosen values of `linked_select` from now on, by its ``param``.

    They are written at once. The browser sends the address that it shows, and with a quick second choice that is still
    the one from before the first: read later, it would look like a link that somebody opened, and win.
    """
    for param, value in values.items():
        st.session_state[param] = value
        _write(param, value)


def _changed(param: str, then: Callable[..., None] | None, usual: str | None) -> None:
    _write(param, st.session_state[param], usual)
    if then is not None:
        then()


def _write(param: str, value: str | None, usual: str | None = None) -> None:
    st.session_state[f"{param}_in_address"] = value
    if value in (None, usual):
        st.query_params.pop(param, None)
    elif st.query_params.get(param) != value:
        st.query_params[param] = value


def linked_pair(
    known: Mapping[str, str],
    words: tuple[str, str],
    *,
    placeholders: tuple[str, str] = ("Click, or choose", "Click, or choose"),
) -> tuple[str | None, str | None]:
    """The pair of tasks in the address, as two select boxes side by side; a click in a matrix sets it, too.

    Args:
        known: titles by name.
        words: what the first and the second of a pair are called.
        placeholders: what stands in a box that is empty.
    """
    names = sorted(known, key=lambda name: known[name].casefold())
    pair: list[str | None] = []
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        for title, param, hint in zip(words, ("task", "other"), placeholders, strict=True):
            with st.container(width=330):
                pair.append(linked_select(title, names, param=param, format_func=known.__getitem__, placeholder=hint))
    return pair[0], pair[1]


def to(**params: str) -> dict[str, str]:
    """The query parameters of a link to another page: those given, and the backbone where it is not the usual one."""
    chosen = context.backbone()
    return params if chosen == DEFAULT_BACKBONE else {**params, context.BACKBONE: chosen}


def one_of(title: str, words: Mapping[str, Word], *, key: str, bind: bool = True) -> str:
    """One of a few words; the first unless the address names another, which ``bind`` allows."""
    first = next(iter(words))
    chosen = st.segmented_control(
        title, list(words), format_func=lambda name: words[name].label, required=True, default=first, key=key,
        bind="query-params" if bind else None,
        help="  \n".join(f"**{word.label}**: {word.help}" for word in words.values()),
    )  # fmt: skip
    return chosen or first


def chosen_tasks(known: Collection[str]) -> list[str]:
    """The tasks that somebody picked out, on this page or another; they are in the address as ``tasks=nli,rte``.

    None are the same as all. The address wins when it has changed: it was opened by a link, or gone back to.
    """
    wanted = st.query_params.get(TASKS)
    if wanted is not None and wanted != st.session_state.get(_TASKS_WRITTEN):
        st.session_state[TASKS] = list(dict.fromkeys(wanted.split(",")))
        if any(name not in known for name in st.session_state[TASKS]):
            st.warning("The address names tasks that are not in this workspace; they are left out.")
    kept = [name for name in st.session_state.get(TASKS) or () if name in known]
    if kept != st.session_state.get(TASKS):  # a control that is there already has none but these
        st.session_state[TASKS] = kept
    _write_tasks()
    return list(st.session_state[TASKS])


def linked_tasks(
    title: str,
    options: Sequence[str],
    *,
    format_func: Callable[[str], str],
    help_text: str,
    placeholder: str = "All tasks",
) -> list[str]:
    """`chosen_tasks` with a control to change them."""
    chosen_tasks(options)
    st.multiselect(
        title, options, format_func=format_func, key=TASKS, help=help_text, persist_state="session",
        placeholder=placeholder,
    )  # fmt: skip
    _write_tasks()
    return list(st.session_state[TASKS])


def choose_tasks(names: Sequence[str] = ()) -> None:
    """A callback: these tasks are the chosen ones from now on, on all pages."""
    st.session_state[TASKS] = list(names)
    _write_tasks()


def _write_tasks() -> None:
    text = ",".join(st.session_state[TASKS])
    st.session_state[_TASKS_WRITTEN] = text
    if not text:
        st.query_params.pop(TASKS, None)
    elif st.query_params.get(TASKS) != text:
        st.query_params[TASKS] = text
