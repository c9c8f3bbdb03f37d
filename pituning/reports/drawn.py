"""What a slide becomes: figures, tables, files and a sentence or two, for whoever puts them on a page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go

from pituning.reports.usable import Judgement


@dataclass(frozen=True, kw_only=True)
class Panel:
    """A figure.

    Args:
        figure: makes it for a light page or, with True, for a dark one.
        alt: what a screen reader says.
        stem: of the names of its files.
        title: above it, where there are several.
        grows: whether it gains from more height than it asks for.
    """

    figure: Callable[[bool], go.Figure]
    alt: str
    stem: str
    title: str = ""
    grows: bool = False


@dataclass(frozen=True, kw_only=True)
class Table:
    """A small table with a title; ``stem`` is that of its CSV file."""

    title: str
    frame: pd.DataFrame
    stem: str


@dataclass(frozen=True, kw_only=True)
class File:
    """What can be downloaded beside figures and tables."""

    label: str
    name: str
    mime: str
    data: bytes


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A slide that was drawn.

    Args:
        title: what it is called when nobody gave it a title.
        reading: how to read it and where it is from, in plain text.
        verdict: of a run's result.
    """

    title: str
    reading: str = ""
    panels: tuple[Panel, ...] = ()
    tables: tuple[Table, ...] = ()
    files: tuple[File, ...] = ()
    verdict: Judgement | None = None
