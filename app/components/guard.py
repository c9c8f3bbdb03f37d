"""Turns failures into words. A person reads what went wrong and what to do; tracebacks go to the log."""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import streamlit as st

from pituning.errors import PiTuningError
from pituning.text import MOST_ON_PAGE, markdown, shorten, without_folders
from pituning.workspace.layout import DEFAULT_ROOT, ENVIRONMENT_VARIABLE

_log = logging.getLogger("pituning.app")


@contextmanager
def guarded(what: str) -> Iterator[None]:
    """Shows an error of the block as a message. ``what`` opens the sentence, for example ``"The task graph"``."""
    try:
        yield
    except PiTuningError as error:
        say(f"{what} cannot be shown", error)
    except Exception:
        incident = secrets.token_hex(3)
        _log.exception("incident %s: %s", incident, what)
        st.error(
            f"Something unexpected happened. Nothing of yours was changed. The details are in the Studio's log under "
            f"**incident {incident}**; reload the page to try again.",
            title=f"{what} cannot be shown",
            icon=":material/error:",
        )


def say(title: str, error: PiTuningError) -> None:
    """An error in a sentence: what, and its fix."""
    st.error(sentence(error), title=title, icon=":material/error:")


def sentence(error: object) -> str:
    """A message, which may quote anything at any length, as a sentence in Markdown.

    Where people sign in, they are told no folder of the machine; its owner is.
    """
    message = str(error)
    if "is_logged_in" in st.user.to_dict():
        message = without_folders(message, Path(os.environ.get(ENVIRONMENT_VARIABLE) or DEFAULT_ROOT).absolute())
    message = shorten(message, keep_end=True)
    return markdown(message[:1].upper() + message[1:])


def plain(text: str, most: int = MOST_ON_PAGE) -> str:
    """Text of a user or a file as Markdown that shows it as it is; every text that is not the app's own goes through it
    on its way to a page."""
    return markdown(text, most)


def empty(title: str, text: str, *, icon: str, border: bool = True) -> None:
    """What a view says when it has nothing to show yet, and how to change that."""
    with st.container(border=border, horizontal_alignment="center", gap="xsmall"):
        st.markdown(f"**{icon} {title}**", text_alignment="center")  # no heading: it may stand at any level
        st.caption(text, text_alignment="center")
