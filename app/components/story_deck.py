"""Shows the slides of a story as the exported file does: one of them on the page, or all over the whole window."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import plotly
import streamlit as st
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from app.components import charts
from pituning.reports.document import library, page

KEY = "story_deck"
SLIDES_KEY = "story_slides"
ASSETS = Path(__file__).parents[1] / "assets"
MARK = "<!-- code -->"
"""Where the browser puts `library` in the document, which it fetches once."""

LIBRARY = f"studio/plotly-{plotly.__version__}.js"

_HTML = """<div id="stage">
<iframe title="Slide" allow="fullscreen"></iframe><p id="wait" role="status">Drawing the slide …</p></div>"""
_DECK = st.components.v2.component(
    "story_deck",
    html=_HTML,
    css=(ASSETS / "deck_host.css").read_text(encoding="utf-8"),
    js=(ASSETS / "deck_host.js").read_text(encoding="utf-8"),
)
_SLIDES = st.components.v2.component("story_slides", js=(ASSETS / "deck_slides.js").read_text(encoding="utf-8"))


def _library(request: Request) -> Response:
    return PlainTextResponse(
        library(), media_type="text/javascript", headers={"Cache-Control": "public, max-age=31536000, immutable"}
    )


ROUTES = [Route(path, _library, methods=["GET"]) for path in (f"/{LIBRARY}", f"/{{base:path}}/{LIBRARY}")]
"""What the Studio serves beside its pages, whatever ``server.baseUrlPath`` they have."""


def draw(html: str, slide: int, *, title: str, shown: bool, on_close: Callable[[int], None]) -> None:
    """The slides.

    Args:
        html: of all slides, as `pituning.reports.deck` makes it.
        slide: which one, from 0.
        title: of the story.
        shown: whether they cover the window, to be turned by keys.
        on_close: a callback for when that ends, with the slide that was shown last.
    """

    def closed() -> None:
        last = st.session_state[KEY].get("closed")
        if isinstance(last, int | float):
            on_close(int(last))

    digest = hashlib.sha256(html.encode()).hexdigest()
    _SLIDES(data={"digest": digest, "html": html}, key=SLIDES_KEY)
    _DECK(
        data={
            "shell": page(title, "", MARK, host="studio", now=0),
            "library": LIBRARY,
            "slides": digest,
            "slide": slide,
            "view": "show" if shown else "preview",
            "dark": charts.dark(),
        },
        key=KEY,
        on_closed_change=closed,
    )
