"""One small button, the same everywhere, that sends a view to a story; and the word on where it went, with an undo."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import streamlit as st

from app.components import access, context, stories, story_history
from app.components.guard import plain, say
from app.components.links import to
from app.components.pages import PRESENT
from app.components.stamps import stamp
from pituning.errors import PiTuningError
from pituning.reports.suggestion import NAME
from pituning.runs.roles import Role
from pituning.workspace.stories import Slide, Story, add_story, story_path
from pituning.workspace.story_views import VIEWS

IN_HAND = "story_in_hand"
"""Key of the session: the story that this visitor last made, changed or opened, other than the suggestion."""

TITLE = "My story"
_TOLD = "pin_told"
SECONDS = 14
"""For so long the word stays; app/assets/frame.css has the same."""


@dataclass(frozen=True)
class Told:
    """What was done to a story, and when."""

    text: str
    change: story_history.Change
    slide: int | None
    since: float


def button(view: str, settings: Mapping[str, Any], *, key: str) -> None:
    """The button.

    Args:
        view: of `VIEWS`.
        settings: of the view; those that are None are left to it.
        key: unique on the page.
    """
    record = VIEWS[view]
    pressed = access.button(
        "Pin", icon=":material/keep:", key=f"pin-{key}", type="tertiary",
        help=f"Add this to your story as a slide: {record.label.lower()}. Its headline says what was found.",
    )  # fmt: skip
    if not pressed:
        return
    wanted = {name: value for name, value in settings.items() if value is not None and name in record.settings}
    try:
        slide = Slide(view=view, settings=wanted)
        _pin(slide)
    except PiTuningError as error:
        say("It could not be pinned", error)
        return
    st.rerun()  # in a fragment the word would stand on a part of the page that is not drawn anew


def _pin(slide: Slide) -> None:
    access.actor().require(Role.RUNNER, "change stories")
    headline = stories.headline(slide)
    name = _in_hand()
    if name is None:
        story = add_story(context.workspace(), stories.free_title(TITLE), (slide,))
        story_history.remember(story.name, None, story)
        st.session_state[IN_HAND] = story.name
    elif not stories.change(name, lambda story: story.added(slide)):
        return
    else:
        story = stories.load(name)
    tell(story, f"Slide {len(story.slides)} of “{plain(story.title)}”: **{plain(headline)}**", len(story.slides))


def _in_hand() -> str | None:
    """The story that a pin goes to; None for a new one. Where nobody else makes stories, it is the newest."""
    here, name = context.workspace(), st.session_state.get(IN_HAND)
    known = [one for one in stories.names() if one != NAME]
    if name in known:
        return str(name)
    if access.actor().name is not None:
        return None
    return max(known, key=lambda one: stamp(story_path(here, one)), default=None)


def tell(story: Story, text: str, slide: int | None) -> None:
    """Says what was done to a story, with an undo, wherever the visitor is now.

    Args:
        text: Markdown.
        slide: to open, from 1.
    """
    change = story_history.last(story.name)
    if change is not None:
        st.session_state[_TOLD] = Told(text, change, slide, time.monotonic())


def told() -> None:
    """The word, if there is one; the frame of the app draws it below every page."""
    last: Told | None = st.session_state.get(_TOLD)
    if last is None:
        return
    if time.monotonic() - last.since > SECONDS:
        del st.session_state[_TOLD]
        return
    with st.container(border=True, key="pin_told", gap="xsmall"):
        st.markdown(last.text)
        with st.container(horizontal=True, gap="small"):
            st.button("Undo", icon=":material/undo:", key="pin_undo", on_click=_undo, args=(last,))
            if last.slide is not None and st.button("Open the story", icon=PRESENT.icon, key="pin_open"):
                del st.session_state[_TOLD]
                st.switch_page(PRESENT.path, query_params=to(story=last.change.name, slide=str(last.slide)))
            st.button("Dismiss", icon=":material/close:", key="pin_dismiss", type="tertiary", on_click=_dismiss)


def _undo(last: Told) -> None:
    _dismiss()
    try:
        story_history.undo(last.change)
    except PiTuningError as error:
        say("That was not undone", error)
    else:
        st.toast("Undone.", icon=":material/undo:")


def _dismiss() -> None:
    st.session_state.pop(_TOLD, None)
