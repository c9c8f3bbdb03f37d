"""Slides as HTML: what show mode, the editor's preview and the exported file all draw."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from pituning.errors import PiTuningError
from pituning.figures.palette import INK
from pituning.reports.drawn import Drawn, File, Panel, Table
from pituning.reports.markdown import parts, render
from pituning.reports.reader import Reader
from pituning.reports.usable import Judgement
from pituning.reports.views import draw
from pituning.text import shorten, without_folders
from pituning.workspace.stories import Slide
from pituning.workspace.story_views import VIEWS

PAPER = {False: "#ffffff", True: "#0f151c"}
SOFT = {False: "#46535f", True: "#c3ccd5"}
GRID = {False: "#e1e7ed", True: "#2d3945"}
FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif'
MOST_ROWS = 60
"""Of a table that stands on the page; its file has all."""

SHADES = (("light", False), ("dark", True))


@dataclass(frozen=True, kw_only=True)
class SlideHTML:
    """A slide that can be put on a page.

    Args:
        title: its headline.
        html: a ``section`` element, of text that was escaped.
        drawn: what it shows; None where that cannot be drawn.
        problem: why not; empty where it can.
    """

    title: str
    html: str
    drawn: Drawn | None
    problem: str


def slide_html(reader: Reader, slide: Slide, number: int, *, notes: bool) -> SlideHTML:
    """Draws a slide; one that cannot be drawn says why in its place.

    Args:
        number: its place, from 1.
        notes: whether the speaker's notes are with it.
    """
    drawn, problem = None, ""
    try:
        drawn = _once(draw(reader, slide))
    except PiTuningError as error:
        # The file is for others: where things lie on this machine is none of their business.
        message = without_folders(str(error), reader.workspace.root.absolute(), reader.kept.root.absolute())
        problem = shorten(message, keep_end=True)
    title = slide.title or (VIEWS[slide.view].label if drawn is None else drawn.title) or f"Slide {number}"
    return SlideHTML(
        title=title, html="".join(_slide(slide, drawn, problem, title, notes)), drawn=drawn, problem=problem
    )


def _once(drawn: Drawn) -> Drawn:
    """The same, whose figures are made once: a thumbnail is drawn of them, too, and the last step is the figure."""
    kept: dict[Callable[[bool], go.Figure], Callable[[bool], go.Figure]] = {}

    def once(figure: Callable[[bool], go.Figure]) -> Callable[[bool], go.Figure]:
        return kept.setdefault(figure, cache(figure))

    return replace(
        drawn,
        panels=tuple(replace(panel, figure=once(panel.figure)) for panel in drawn.panels),
        steps=tuple(replace(step, figure=once(step.figure)) for step in drawn.steps),
    )


def _slide(slide: Slide, drawn: Drawn | None, problem: str, title: str, notes: bool) -> Iterator[str]:
    name = slide.id
    words = drawn is not None and not drawn.panels
    steps = drawn.steps if drawn is not None else ()
    answer = drawn.verdict.usable.answer if drawn is not None and drawn.verdict is not None and not steps else ""
    yield (
        f'<section class="slide {"words" if words else "with-figures"}" id="slide-{name}" data-steps="{len(steps)}" '
        f'aria-labelledby="title-{name}"><h2 id="title-{name}" class="headline {answer}">{_text(title)}</h2>'
    )
    first, rest = parts(slide.caption)
    if problem:
        yield f'<p class="missing">{_text(problem[:1].upper() + problem[1:])}</p>'
    elif drawn is not None and drawn.panels:
        yield f'<div class="panels" data-count="{len(drawn.panels)}">'
        for place, panel in enumerate(drawn.panels):
            figures = [step.figure for step in steps] if steps and place == 0 else [panel.figure]
            yield from _panel(panel, figures, f"{name}-{place}")
        yield "</div>"
    if words:
        yield f'<div class="caption">{render(slide.caption)}</div>'
    else:
        yield from _sentences(slide, drawn, first)
        yield from _details(name, drawn, rest)
    if notes and slide.notes.strip():
        yield f'<template class="notes">{render(slide.notes)}</template>'
    yield "</section>\n"


def _sentences(slide: Slide, drawn: Drawn | None, first: str) -> Iterator[str]:
    """What stands under the figure: what somebody wrote, with the last step where there are steps."""
    steps = drawn.steps if drawn is not None else ()
    own = first or (f"<p>{_text(drawn.sentence)}</p>" if drawn is not None and drawn.sentence else "")
    yield '<div class="sentences">'
    for place, step in enumerate(steps[:-1]):
        yield f'<div class="sentence" data-step="{place}" hidden><p>{_text(step.sentence)}</p></div>'
    yield f'<div class="sentence" data-step="{max(len(steps) - 1, 0)}">{own}</div>'
    if steps:
        names = "".join(f"<li>{_text(step.name)}</li>" for step in steps)
        yield f'<ol class="steps" aria-label="Steps of this slide">{names}</ol>'
    yield "</div>"


def _details(name: str, drawn: Drawn | None, rest: str) -> Iterator[str]:
    """How to read it, tables and files: beside the slide when somebody asks."""
    if drawn is None:
        return
    yield f'<details class="backup" id="details-{name}"><summary>Details</summary><div class="sheet">'
    if rest:
        yield f'<div class="caption">{rest}</div>'
    if drawn.verdict is not None:
        yield from _verdict(drawn.verdict)
    if drawn.reading:
        yield f'<p class="reading">{_text(drawn.reading)}</p>'
    for table in drawn.tables:
        yield from _table(table)
    pictures = "".join(
        f'<li><button type="button" data-save="{suffix}" data-plot="plot-{name}-{place}" aria-label="Save '
        f'{_text(panel.title or panel.alt)} as {suffix.upper()}">{suffix.upper()}</button></li>'
        for place, panel in enumerate(drawn.panels)
        for suffix in ("png", "svg")
    )
    files = "".join(f"<li>{_download(file)}</li>" for file in drawn.files)
    if pictures or files:
        yield f'<h3>Files</h3><ul class="files">{pictures}{files}</ul>'
    yield "</div></details>"


def _verdict(verdict: Judgement) -> Iterator[str]:
    usable, donors = verdict.usable, verdict.donors
    words = f"<strong>{_text(usable.title)}</strong>{_text(usable.text)}"
    yield f'<div class="verdict {usable.answer}">{words}</div>'
    words = f"<strong>{_text(donors.title)}</strong>{_text(donors.text)} {_text(verdict.test)}"
    yield f'<div class="verdict {donors.outcome}">{words}</div>'


def _panel(panel: Panel, figures: list[Callable[[bool], go.Figure]], name: str) -> Iterator[str]:
    every = {shade: [themed(figure(dark), dark=dark) for figure in figures] for shade, dark in SHADES}
    caption = f"<figcaption>{_text(panel.title)}</figcaption>" if panel.title else ""
    yield (
        f'<figure>{caption}<div class="room"><div class="plot" id="plot-{name}" role="img" '
        f'aria-label="{_text(panel.alt)}" data-source="data-{name}" data-stem="{_text(panel.stem)}"></div></div>'
        f'<script type="application/json" id="data-{name}">{_json(every)}</script></figure>'
    )


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
