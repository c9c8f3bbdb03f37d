"""What a click opens further down comes into view."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

_ASKED, _CLICKS = "reveal_place", "reveal_clicks"
_REVEAL = st.components.v2.component(
    "reveal",
    html="<span hidden></span>",
    js=(Path(__file__).resolve().parent.parent / "assets" / "reveal.js").read_text("utf-8"),
)


def ask(place: str) -> None:
    """In a callback: the container of that key is what the click opens."""
    st.session_state[_ASKED] = place
    st.session_state[_CLICKS] = st.session_state.get(_CLICKS, 0) + 1


def follow() -> None:
    """At the end of a page: goes where a click has asked for."""
    place = st.session_state.pop(_ASKED, None)
    _REVEAL(key="reveal", data={"place": place, "click": st.session_state[_CLICKS] if place else None})
