"""A story as one HTML file that needs nothing else: scripts, styles, figures, tables and downloads are all inside."""

from __future__ import annotations

import base64
import hashlib
import html
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from plotly.offline import get_plotlyjs

from pituning import __version__
from pituning.reports.deck import slide_html
from pituning.reports.reader import Reader
from pituning.workspace.stories import Story

ASSETS = Path(__file__).parent / "assets"
EMPTY = '<section class="slide words"><h2 class="headline">This story has no slides yet</h2></section>'


@dataclass(frozen=True, kw_only=True)
class Report:
    """A finished file and what of the story could not be drawn, by number of the slide from 1."""

    text: str
    problems: dict[int, str]


def report(reader: Reader, story: Story, *, notes: bool = False, now: float | None = None) -> Report:
    """Draws every slide; one that cannot be drawn says why in its place.

    Args:
        notes: whether the speaker's notes go with the file.
        now: the time that the colophon names, in seconds; by default this moment.
    """
    slides = [slide_html(reader, slide, number, notes=notes) for number, slide in enumerate(story.slides, start=1)]
    text = page(story.title, "".join(slide.html for slide in slides) or EMPTY, library(), now=now)
    return Report(text=text, problems={number: one.problem for number, one in enumerate(slides, 1) if one.problem})


def library() -> str:
    """The code that draws figures, Plotly.js."""
    return str(get_plotlyjs())


def page(title: str, slides: str, code: str, *, host: str = "file", now: float | None = None) -> str:
    """The document around slides.

    Args:
        slides: ``section`` elements of `pituning.reports.deck`.
        code: `library`, or a mark in its place for whoever puts it there; the page runs it and its own script alone.
        host: who shows it: nobody but a browser, or a page that sends it the slides (``studio``).
        now: as of `report`.
    """
    style, script = _asset("deck.css"), _asset("deck.js")
    hashes = " ".join(f"'sha256-{_digest(text)}'" for text in (library(), script))
    policy = (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:; font-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    made = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(time.time() if now is None else now))
    return f"""<!doctype html>
<html lang="en" data-host="{host}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="generator" content="π-Tuning Studio {_text(__version__)}">
<title>{_text(title)}</title>
<style>{style}</style>
</head>
<body>
<h1 class="story">{_text(title)}</h1>
<main aria-label="Slides">
{slides}
</main>
<footer class="colophon">{_text(title)} · made with π-Tuning Studio {_text(__version__)}, {made}</footer>
<nav class="bar" aria-label="Slides">
<button type="button" id="back" aria-label="Back" title="Back (←)">←</button>
<span id="counter" class="counter" role="status"></span>
<button type="button" id="next" aria-label="Next" title="Next (→)">→</button>
<select id="pick" aria-label="Go to slide"></select>
<button type="button" id="details" title="Tables, files and how to read it (D)">Details</button>
<button type="button" id="speaker" title="Speaker notes in a second window (N)">Notes</button>
<button type="button" id="mode" title="Slides or one page (Escape)">One page</button>
<button type="button" id="print" title="Print, or save as PDF: one slide on a page">PDF</button>
<button type="button" id="full" title="Full screen (F)">Full screen</button>
<button type="button" id="close" title="Back to editing (Escape)">Close</button>
</nav>
<script>{code}</script>
<script>{script}</script>
</body>
</html>
"""


def _text(text: str) -> str:
    return html.escape(text, quote=True)


@cache
def _asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")


@cache
def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
