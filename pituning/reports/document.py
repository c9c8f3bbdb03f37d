"""A story as one HTML file that needs nothing else: scripts, styles, figures, tables and downloads are all inside."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from pituning import __version__
from pituning.errors import PiTuningError
from pituning.figures.palette import INK
from pituning.reports.drawn import Drawn, File, Panel, Table
from pituning.reports.markdown import render
from pituning.reports.reader import Reader
from pituning.reports.views import draw
from pituning.text import shorten, without_folders
from pituning.workspace.stories import Slide, Story

ASSETS = Path(__file__).parent / "assets"
PAPER = {False: "#ffffff", True: "#0f151c"}
SOFT = {False: "#46535f", True: "#c3ccd5"}
GRID = {False: "#e1e7ed", True: "#2d3945"}
FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif'
MOST_ROWS = 60
"""Of a table that stands on the page; its file has all."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """A finished file and what of the story could not be drawn, by number of the slide from 1."""

    text: str
    problems: dict[int, str]


def report(reader: Reader, story: Story, *, now: float | None = None) -> Report:
    """Draws every slide; one that cannot be drawn says why in its place.

    Args:
        now: the time that the colophon names, in seconds; by default this moment.
    """
    parts, problems, names = [], {}, []
    for number, slide in enumerate(story.slides, start=1):
        try:
            drawn: Drawn | str = draw(reader, slide)
        except PiTuningError as error:
            # The file is for others: where things lie on this machine is none of their business.
            told = without_folders(str(error), reader.workspace.root.absolute(), reader.kept.root.absolute())
            drawn = problems[number] = shorten(told, keep_end=True)
        title = slide.title or (drawn.title if isinstance(drawn, Drawn) else "") or f"Slide {number}"
        names.append(title)
        parts.append("".join(_slide(slide, drawn, title, number)))
    return Report(text=_page(story, names, parts, time.time() if now is None else now), problems=problems)


def _page(story: Story, names: list[str], slides: list[str], now: float) -> str:
    style, script = _asset("report.css"), _asset("report.js")
    plotly = get_plotlyjs()
    hashes = " ".join(f"'sha256-{_digest(text)}'" for text in (plotly, script))
    policy = (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:; font-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    options = "".join(f"<option>{number}. {_text(name)}</option>" for number, name in enumerate(names, start=1))
    made = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(now))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="generator" content="π-Tuning Studio {_text(__version__)}">
<title>{_text(story.title)}</title>
<style>{style}</style>
</head>
<body>
<main aria-label="{_text(story.title)}">
{"".join(slides) or '<section class="slide words current"><h1>This story has no slides yet</h1></section>'}
</main>
<footer class="colophon">{_text(story.title)} · made with π-Tuning Studio {_text(__version__)}, {made}</footer>
<nav class="bar" aria-label="Slides">
<button id="back" aria-label="Back" title="Back (←)">←</button>
<span id="counter" class="counter" role="status"></span>
<button id="next" aria-label="Next" title="Next (→)">→</button>
<select id="pick" aria-label="Go to slide">{options}</select>
<button id="mode" class="wide" title="Slides or one page (Escape)">All on one page</button>
<button id="full" class="wide" title="Full screen (F)">Full screen</button>
</nav>
<script>{plotly}</script>
<script>{script}</script>
</body>
</html>
"""


def _slide(slide: Slide, drawn: Drawn | str, title: str, number: int) -> Iterator[str]:
    figures = isinstance(drawn, str) or bool(drawn.panels)
    level = "h1" if number == 1 and not figures else "h2"
    css_class = "with-figures" if figures else "words"
    yield f'<section class="slide {css_class}" aria-labelledby="title-{number}">'
    yield f'<{level} id="title-{number}">{_text(title)}</{level}><div class="body">'
    if isinstance(drawn, str):
        yield f'<p class="missing">{_text(drawn[:1].upper() + drawn[1:])}</p>'
    elif drawn.panels:
        yield '<div class="panels">'
        for place, panel in enumerate(drawn.panels):
            yield from _panel(panel, f"{number}-{place}")
        yield "</div>"
    yield "<div>"
    verdict = drawn.verdict if isinstance(drawn, Drawn) else None
    if verdict is not None:
        usable, donors = verdict.usable, verdict.donors
        words = f"<strong>{_text(usable.title)}</strong>{_text(usable.text)}"
        yield f'<div class="verdict {usable.answer}">{words}</div>'
        words = f"<strong>{_text(donors.title)}</strong>{_text(donors.text)} {_text(verdict.test)}"
        yield f'<div class="verdict {donors.outcome}">{words}</div>'
    yield f'<div class="caption">{render(slide.caption)}</div>'
    if isinstance(drawn, Drawn):
        if drawn.reading:
            yield f'<p class="reading">{_text(drawn.reading)}</p>'
        for table in drawn.tables:
            yield from _table(table)
        if drawn.files:
            yield '<ul class="files" aria-label="Downloads">'
            yield from (f"<li>{_download(file)}</li>" for file in drawn.files)
            yield "</ul>"
    yield "</div></div></section>\n"


def _panel(panel: Panel, name: str) -> Iterator[str]:
    both = {shade: themed(panel.figure(dark), dark=dark) for shade, dark in (("light", False), ("dark", True))}
    caption = f"<figcaption>{_text(panel.title)}</figcaption>" if panel.title else ""
    yield (
        f'<figure>{caption}<div class="plot" id="plot-{name}" role="img" aria-label="{_text(panel.alt)}" '
        f'data-source="data-{name}" data-stem="{_text(panel.stem)}" data-grows="{"yes" if panel.grows else "no"}" '
        f'style="min-height:{int(both["light"]["layout"].get("height", 340)) // 2}px"></div>'
        f'<script type="application/json" id="data-{name}">{_json(both)}</script>'
    )
    yield '<ul class="files" aria-label="This figure as a file">'
    for suffix in ("png", "svg"):
        yield f'<li><button data-save="{suffix}" data-plot="plot-{name}">{suffix.upper()}</button></li>'
    yield "</ul></figure>"


def themed(figure: go.Figure, *, dark: bool) -> dict[str, Any]:
    """A figure as plain data with the colours and letters of a report."""
    axis = {
        "gridcolor": GRID[dark], "zerolinecolor": GRID[dark], "linecolor": GRID[dark],
        "tickfont": {"color": SOFT[dark]}, "title": {"font": {"color": SOFT[dark], "size": 13}, "standoff": 10},
        "ticklabelstandoff": 4,
    }  # fmt: skip
    template = go.layout.Template(
        layout={
            "font": {"family": FONT, "size": 13, "color": INK[dark]},
            "paper_bgcolor": PAPER[dark],
            "plot_bgcolor": PAPER[dark],
            "xaxis": axis,
            "yaxis": axis,
            "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": SOFT[dark], "activecolor": INK[dark]},
            "hoverlabel": {"bgcolor": PAPER[dark], "font": {"color": INK[dark]}, "bordercolor": SOFT[dark]},
        }
    )
    figure.update_layout(template=template)
    figure.update_traces(colorbar_title_font={"size": 13, "color": SOFT[dark]}, selector={"type": "heatmap"})
    plain = json.loads(figure.to_json())
    assert isinstance(plain, dict)
    return plain


def _table(table: Table) -> Iterator[str]:
    file = File(label="CSV", name=f"{table.stem}.csv", mime="text/csv", data=table.frame.to_csv(index=False).encode())
    if table.title:
        yield f"<h3>{_text(table.title)}</h3>"
    if table.title and not table.frame.empty:
        yield f'<div class="table" tabindex="0" role="region" aria-label="{_text(table.title)}">'
        yield from _rows(table.frame)
        yield "</div>"
    yield f'<ul class="files" aria-label="This table as a file"><li>{_download(file)}</li></ul>'


def _rows(frame: pd.DataFrame) -> Iterator[str]:
    heads = "".join(f'<th scope="col">{_text(str(column))}</th>' for column in frame.columns)
    yield f"<table><thead><tr>{heads}</tr></thead><tbody>"
    for row in frame.head(MOST_ROWS).itertuples(index=False):
        yield "<tr>" + "".join(f"<td>{_text(str(value))}</td>" for value in row) + "</tr>"
    yield "</tbody></table>"


def _download(file: File) -> str:
    data = base64.b64encode(file.data).decode()
    return f'<a download="{_text(file.name)}" href="data:{file.mime};base64,{data}">{_text(file.label)}</a>'


def _text(text: str) -> str:
    return html.escape(text, quote=True)


def _json(value: Any) -> str:
    """JSON inside a script element: nothing in it may end the element."""
    plain = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return plain.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


@cache
def _asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
