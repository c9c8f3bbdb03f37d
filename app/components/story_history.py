"""What this visitor did to stories, so that it can be undone."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from app.components import access, context
from pituning.errors import BadInput, PiTuningError
from pituning.runs.roles import Role
from pituning.workspace.stories import Story, delete_story, load_story, save_story, story_path

_KEY = "story_history"
MOST = 50


@dataclass(frozen=True)
class Change:
    """A story before and after; None where there was, or is, no file of it."""

    name: str
    before: Story | None
    after: Story | None


def remember(name: str, before: Story | None, after: Story | None) -> None:
    """Keeps a change that was just made."""
    history = st.session_state.setdefault(_KEY, [])
    history.append(Change(name, before, after))
    del history[:-MOST]


def last(name: str) -> Change | None:
    """The newest change of a story that can be undone."""
    return next((one for one in reversed(st.session_state.get(_KEY, [])) if one.name == name), None)


def undo(change: Change) -> None:
    """Takes a change back.

    Raises:
        BadInput: somebody has changed the story since.
        ArtefactError: the file cannot be written.
        NotAllowed: this visitor may not change stories.
    """
    access.actor().require(Role.RUNNER, "change stories")
    here = context.workspace()
    try:
        now = load_story(here, change.name) if story_path(here, change.name).exists() else None
    except PiTuningError:
        now = None
    if now != change.after:
        raise BadInput("the story has been changed since, perhaps by somebody else; it stays as it is", field="story")
    if change.before is None:
        delete_story(here, change.name)
    else:
        save_story(here, change.before)
    history = st.session_state.get(_KEY, [])
    if change in history:
        history.remove(change)
