"""Draws one slide on a page, to edit or to show."""

from __future__ import annotations

import streamlit as st

from app.components import charts, run_verdict, stories
from app.components.guard import empty, plain, say
from pituning.errors import PiTuningError
from pituning.reports.drawn import Drawn
from pituning.reports.markdown import render
from pituning.reports.views import draw
from pituning.workspace.stories import Slide


def heading(slide: Slide) -> str:
    """What a slide is called in lists; short, and without drawing it."""
    names = {"result": "Result of a run", "prediction": "Predicted against measured", "study": "Low-shot study"}
    return slide.title or names.get(slide.view, slide.view.capitalize())


def show(slide: Slide, *, number: int, large: bool = False) -> None:
    """The slide with its caption: the figure at the left, its words beside it or, on a narrow page, below."""
    try:
        drawn = draw(stories.reader(), slide)
    except PiTuningError as error:
        _title(slide.title or f"Slide {number + 1}", large)
        say("This view cannot be shown", error)
        _caption(slide)
        return
    _title(slide.title or drawn.title or f"Slide {number + 1}", large)
    if not drawn.panels:
        _caption(slide, large=large)
        if not slide.caption:
            empty("No words yet", "Write a caption.", icon=":material/edit_note:")
        return
    # Shown, the words stand beside the figure; while it is edited they stand below, where there is room for them.
    with st.container(key="slide_page"):
        figures, words = st.columns([3, 1], gap="medium") if large else (st.container(), st.container())
    with figures:
        _panels(drawn, slide, large)
    with words:
        if drawn.verdict is not None:
            run_verdict.show(drawn.verdict, key=f"verdict-{slide.id}")
        _caption(slide)
        st.caption(plain(drawn.reading))
        _tables(drawn, slide)


def _title(text: str, large: bool) -> None:
    (st.title if large else st.header)(plain(text), anchor=False)


def _caption(slide: Slide, *, large: bool = False) -> None:
    if slide.caption:
        # The same words as in the exported file: no HTML, no images from elsewhere.
        st.html(f'<div style="font-size:{"1.3rem" if large else "1rem"};max-width:46em">{render(slide.caption)}</div>')


def _panels(drawn: Drawn, slide: Slide, large: bool) -> None:
    for place, panel in enumerate(drawn.panels):
        if panel.title:
            st.markdown(f"**{plain(panel.title)}**")
        figure = panel.figure(charts.dark())
        if panel.grows:
            figure.update_layout(height=680 if large else 520)
        charts.draw(figure, key=f"slide-{slide.id}-{place}-{large}", alt=panel.alt, stem=panel.stem, savable=not large)


def _tables(drawn: Drawn, slide: Slide) -> None:
    for place, table in enumerate(drawn.tables):
        if table.title and not table.frame.empty:
            st.markdown(f"**{plain(table.title)}**")
            st.dataframe(table.frame, hide_index=True, alt=table.title, key=f"table-{slide.id}-{place}")
