"""What was deleted: "Undo" where it was just done, and the bin below, from which all of it comes back."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from app.components import access, context, runs_data
from app.components.guard import guarded, plain, say
from pituning.errors import PiTuningError
from pituning.runs.restoring import restore
from pituning.runs.roles import Role
from pituning.text import MOST_IN_MESSAGE
from pituning.workspace.bin import Bin, Entry, days_kept

_LAST, _OUTCOME = "deleted_last", "deleted_outcome"
AT_ONCE = 10
"""Entries that are listed, the newest; the command line has all."""


def remember(entry_id: str | None) -> None:
    """Offers to undo a deletion that was just made."""
    st.session_state[_LAST] = entry_id


def days() -> str:
    """For how long what is deleted can be restored, in words."""
    kept = days_kept()
    return "1 day" if kept == 1 else f"{kept:g} days"


def undo() -> None:
    """The deletion that this visitor has just made, with a button that undoes it; then what came of that."""
    outcome = st.session_state.pop(_OUTCOME, None)
    if isinstance(outcome, PiTuningError):
        say("That did not work", outcome)
    elif outcome:
        st.toast(outcome, icon=":material/restore_from_trash:")
    entry = next((each for each in _entries() if each.id == st.session_state.get(_LAST)), None)
    if entry is None:
        return
    with st.container(border=True, horizontal=True, vertical_alignment="center", key="deleted_undo_bar"):
        st.markdown(f":material/delete: Deleted the {entry.what} “{_title(entry)}”.", width="stretch")
        access.button("Undo", role=Role.ADMIN, icon=":material/undo:", key="deleted_undo", on_click=_restore,
                      args=(entry.id,))  # fmt: skip
        st.button("Dismiss", icon=":material/close:", key="deleted_dismiss", type="tertiary",
                  on_click=st.session_state.pop, args=(_LAST, None))  # fmt: skip


def listing() -> None:
    """All that was deleted, newest first; nothing where nothing was."""
    entries = _entries()
    if not entries:
        return
    with (
        guarded("What was deleted"),
        st.expander(f"Deleted ({len(entries):,})", icon=":material/delete_history:", key="deleted_list"),
    ):
        st.caption(f"Tasks, experts, backbones, tables and runs can be restored for {days()} after they were deleted.")
        for entry in entries[:AT_ONCE]:
            with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                by = f" by {plain(entry.by)}" if entry.by else ""
                st.markdown(
                    f"{entry.what.capitalize()} **{_title(entry)}** :gray[· {runs_data.when(entry.deleted)}{by}]",
                    width="stretch",
                )
                access.button(
                    "Restore", role=Role.ADMIN, icon=":material/restore_from_trash:", key=f"restore-{entry.id}",
                    disabled=entry.damage is not None, on_click=_restore, args=(entry.id,),
                    help=None if entry.damage is None else plain(entry.damage),
                )  # fmt: skip
        if len(entries) > AT_ONCE:
            st.caption(f"These are the newest {AT_ONCE} of {len(entries):,}; all of them: `pituning bin list`")


def _title(entry: Entry) -> str:
    return plain(entry.title or entry.name, MOST_IN_MESSAGE)


def _entries() -> Sequence[Entry]:
    return Bin(context.workspace().root).entries()


def _restore(entry_id: str) -> None:
    try:
        entry, changed = restore(runs_data.queue(), entry_id)
    except PiTuningError as error:
        st.session_state[_OUTCOME] = error  # a callback of a fragment draws nothing itself
        return
    if entry.what == "run":
        st.query_params["run"] = entry.name
    also = " Its place in the task graph has to be measured again." if changed else ""
    st.session_state[_OUTCOME] = f"The {entry.what} is back.{also}"
