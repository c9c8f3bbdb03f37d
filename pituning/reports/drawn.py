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
    """

    figure: Callable[[bool], go.Figure]
    alt: str
    stem: str
    title: str = ""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One of the steps in which a figure is told; the last of them is the panel's own figure.

    Args:
        name: what it adds, in a word or two.
        figure: as of a `Panel`.
        sentence: what is to be seen.
    """

    name: str
    figure: Callable[[bool], go.Figure]
    sentence: str


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
        title: what was found, in one line: the headline where nobody gave another.
        sentence: what stands under the figure where nobody wrote anything.
        reading: how to read it and where it is from, in plain text.
        panels: the figures, side by side.
        steps: in which the first figure is told; none where it is shown at once.
        tables: of the details.
        files: of the details.
        verdict: of a run's result.
    """

    title: str
    sentence: str = ""
    reading: str = ""
    panels: tuple[Panel, ...] = ()
    steps: tuple[Step, ...] = ()
    tables: tuple[Table, ...] = ()
    files: tuple[File, ...] = ()
    verdict: Judgement | None = None
