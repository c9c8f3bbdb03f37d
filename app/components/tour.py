"""A tour of four steps for somebody who is here for the first time; it can be skipped, and taken again."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import streamlit as st

from app.components.links import to
from app.components.pages import GRAPH, LABEL, NEW_RUN, RUNS, PageEntry
from app.components.target import SOURCES

_STEP = "tour_step"
_FIRST = st.components.v2.component(
    "first_visit",
    html="<span hidden></span>",
    js=(Path(__file__).resolve().parent.parent / "assets" / "tour.js").read_text("utf-8"),
)


@dataclass(frozen=True)
class Step:
    """One step: what can be done, where, and how to read what one sees there."""

    title: str
    text: str
    page: PageEntry
    link: str
    params: dict[str, str] = field(default_factory=dict)


STEPS = (
    Step(
        "See which tasks are alike",
        "Each point of the graph is a task; a line joins tasks that ask similar things of the foundation model. Click "
        "one to see its nearest tasks, and whose experts have helped it.",
        GRAPH,
        "Open the task graph",
    ),
    Step(
        "Add your own rows",
        "Upload a table, or a zip of images: a handful of labelled examples for each answer is enough. Before anything "
        "is trained you see which backbone fits, how it answers as it is, and which tasks are similar to yours.",
        NEW_RUN,
        "Upload a table",
        {"source": SOURCES["file"]},
    ),
    Step(
        "Start a run and read its verdict",
        "A run mixes the experts of similar tasks and compares the result with guessing, the untrained model, a single "
        "expert and placebo donors. Its verdict says whether to use it, and whether the donors mattered.",
        RUNS,
        "See the runs",
    ),
    Step(
        "Use it",
        "Label new rows with the expert that a run has made; it says how sure it is of each. To show what you found, "
        "put charts into a story on the page Present.",
        LABEL,
        "Label rows",
    ),
)


def offer() -> None:
    """A button that opens the tour; on the first visit of this browser it opens by itself, but for deep links."""
    asked = st.button("Take the tour", icon=":material/tour:", type="tertiary", key="tour_open")
    first = False
    if not st.query_params:
        first = bool(_FIRST(key="first_visit", on_first_change=lambda: None, width=1, height=1).first)
    if asked or first:
        st.session_state[_STEP] = 0
        _dialog()


@st.dialog("How the Studio works", icon=":material/tour:")
def _dialog() -> None:
    number = st.session_state.get(_STEP, 0)
    step = STEPS[number]
    st.progress((number + 1) / len(STEPS), text=f"Step {number + 1} of {len(STEPS)}")
    st.markdown(f"**{step.page.icon} {step.title}**")  # no heading: the dialog has one
    st.markdown(step.text)
    st.page_link(step.page.path, label=step.link, icon=":material/arrow_forward:", query_params=to(**step.params))
    last = number == len(STEPS) - 1
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        if st.button("Close" if last else "Skip the tour", key="tour_skip", type="primary" if last else "tertiary"):
            st.rerun()
        with st.container(horizontal=True, width="content", gap="small"):
            st.button("Back", key="tour_back", disabled=number == 0, on_click=_go, args=(number - 1,))
            if not last:
                st.button("Next", key="tour_next", type="primary", on_click=_go, args=(number + 1,))


def _go(number: int) -> None:
    st.session_state[_STEP] = number
