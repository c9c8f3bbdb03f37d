"""The slides of a story as thumbnails, in order: to open, drag, move, duplicate and remove them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

KEY = "story_rail"
ASSETS = Path(__file__).parents[1] / "assets"
_DONE = "story_rail_done"
"""Key of the session: the number of the last act that was heard of."""

ACTS = ("open", "move", "duplicate", "remove")

_HTML = """<ol id="rail" aria-label="Slides"></ol>
<p id="hint">Drag to move. By keyboard: arrows open, Alt with an arrow moves, D duplicates, Delete removes.</p>"""
_RAIL = st.components.v2.component(
    "story_rail",
    html=_HTML,
    css=(ASSETS / "rail.css").read_text(encoding="utf-8"),
    js=(ASSETS / "rail.js").read_text(encoding="utf-8"),
)


@dataclass(frozen=True, kw_only=True)
class Thumb:
    """A thumbnail; ``svg`` is empty for a slide of words."""

    id: str
    title: str
    svg: str


def draw(thumbs: Sequence[Thumb], at: int, *, editable: bool, on_act: Callable[[str, str, int], None]) -> None:
    """The thumbnails.

    Args:
        at: the slide that is open, from 0.
        editable: whether more can be done than to open one.
        on_act: a callback with one of `ACTS`, the id of a slide, and the place that it is moved to, from 0.
    """

    def acted() -> None:
        told = st.session_state[KEY].get("act") or {}
        kind, slide, to, number = (told.get(name) for name in ("kind", "id", "to", "number"))
        st.session_state[_DONE] = int(number) if isinstance(number, int | float) else 0
        if kind in ACTS and isinstance(slide, str) and isinstance(to, int | float):
            on_act(kind, slide, int(to))

    _RAIL(
        data={
            "items": [{"id": thumb.id, "title": thumb.title, "svg": thumb.svg} for thumb in thumbs],
            "at": at,
            "editable": editable,
            "done": st.session_state.get(_DONE, 0),
        },
        key=KEY,
        on_act_change=acted,
    )
