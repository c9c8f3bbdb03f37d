"""Makes stories: which one, its slides in order, and for each its view, its settings and its words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import streamlit as st

from app.components import (
    access,
    charts,
    context,
    pin,
    stories,
    story_deck,
    story_history,
    story_rail,
    story_settings,
)
from app.components.guard import empty, plain, say
from app.components.links import linked_select
from app.components.stories import Rendered
from app.components.story_rail import Thumb
from pituning.errors import PiTuningError
from pituning.reports.suggestion import NAME
from pituning.runs.roles import Role
from pituning.workspace.stories import (
    MOST_IN_CAPTION,
    MOST_IN_NOTES,
    MOST_IN_TITLE,
    Slide,
    Story,
    add_story,
    delete_story,
    story_path,
)
from pituning.workspace.story_views import VIEWS

HELP = {
    "title": "Empty: what the view found, which stays true when the data change.",
    "caption": "Empty: the view’s own. Markdown: **bold**, *italic*, lists, tables, links. The first paragraph stands "
    "under the figure, what follows it among the details.",
    "notes": "For your eyes: *Notes* in the bar of the show opens them in a second window. Markdown.",
}


def choose() -> str:
    """Which story, and what can be done with it as a whole."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        with st.container(width=320):
            name = linked_select("Story", stories.names(), param="story", format_func=stories.title, default=NAME)
        name = name or NAME
        st.session_state[pin.IN_HAND] = name
        shown = stories.can_be_shown(name)
        st.button("Show", icon=":material/slideshow:", type="primary", key="story_show", disabled=not shown,
                  on_click=_show,
                  help="All over the window. ← → turn, D shows details, N notes, F is full screen, Escape ends.",
                  )  # fmt: skip
        _export(name, shown)
        undone = story_history.last(name)
        access.button("Undo", icon=":material/undo:", key="story_undo", disabled=undone is None, on_click=_undo,
                      args=(undone,), help="Takes back what you changed last in this story.")  # fmt: skip
        _manage(name)
    return name


def _show() -> None:
    st.query_params["show"] = "1"


def _closed(slide: int) -> None:
    st.query_params.pop("show", None)
    st.query_params["slide"] = str(slide + 1)


def _export(name: str, shown: bool) -> None:
    with st.popover("Export", icon=":material/download:", key="story_export_ask", disabled=not shown):
        notes = st.checkbox(
            "With speaker notes", key="story_export_notes",
            help="Whoever gets the file can read them. To speak from the file, they must be in it.",
        )  # fmt: skip
        st.download_button(
            "Export HTML", lambda: stories.as_file(name, notes=notes), file_name=f"{name}.html", mime="text/html",
            icon=":material/html:", key="story_export", on_click="ignore", width="stretch",
            help="One file of about 5 MB that works offline: slides, figures as PNG and SVG, tables as CSV, the graph "
            f"as GraphML, GEXF and JSON. The same from a terminal: `pituning report {name}.html --story {name}`",
        )  # fmt: skip
        st.caption("As PDF: *Show*, or the file in a browser, then *PDF* in the bar: one slide on a page.")


def _undo(change: story_history.Change | None) -> None:
    try:
        if change is not None:
            story_history.undo(change)
    except PiTuningError as error:
        say("That was not undone", error)


def _manage(name: str) -> None:
    with access.popover("New", icon=":material/add:", key="story_new_ask"):
        st.text_input("Title", key="story_new_title", max_chars=MOST_IN_TITLE, placeholder="What we found")
        st.button("Empty story", icon=":material/note_add:", key="story_new", on_click=_new, args=(None,))
        st.button("Copy of this one", icon=":material/content_copy:", key="story_copy", on_click=_new, args=(name,))
    with access.popover("More", icon=":material/more_horiz:", key="story_more"):
        try:
            title = stories.load(name).title
        except PiTuningError:
            title = None
        if title is not None:
            key = f"story_title-{name}"
            st.text_input("Rename", value=title, key=key, max_chars=MOST_IN_TITLE, on_change=_rename, args=(name, key),
                          help="Links keep working: they have the name of the file.")  # fmt: skip
        saved = story_path(context.workspace(), name).exists()
        verb = "Reset to the suggestion" if name == NAME else "Delete"
        st.button(verb, icon=":material/delete:", key="story_delete", on_click=_delete, args=(name,),
                  disabled=not saved)  # fmt: skip


def _new(copied: str | None) -> None:
    try:
        access.actor().require(Role.RUNNER, "make stories")
        wanted = st.session_state["story_new_title"].strip()
        title = wanted or stories.free_title("Untitled story")
        # Whoever asks once more takes what is suggested.
        st.session_state["story_new_title"] = "" if not wanted else stories.free_title(wanted)
        stories.check_title(title)
        slides = stories.load(copied).slides if copied is not None else ()
        story = add_story(context.workspace(), title, tuple(slides))
    except PiTuningError as error:
        say("That did not work", error)
    else:
        story_history.remember(story.name, None, story)
        st.session_state["story"], st.session_state["story_new_title"] = story.name, ""
        st.query_params["slide"] = "1"


def _rename(name: str, key: str) -> None:
    title = st.session_state[key].strip()
    try:
        stories.check_title(title, but=name)
    except PiTuningError as error:
        say("It was not renamed", error)
    else:
        stories.change(name, lambda story: replace(story, title=title))


def _delete(name: str) -> None:
    try:
        access.actor().require(Role.RUNNER, "delete stories")
        before = None
        try:
            before = stories.load(name)
        finally:  # one that is damaged can be deleted, too, and does not come back
            delete_story(context.workspace(), name)
    except PiTuningError as error:
        if story_path(context.workspace(), name).exists():
            say("That did not work", error)
            return
    st.session_state["story"] = NAME
    st.query_params.pop("slide", None)
    if before is None:
        st.toast("The damaged story is gone.", icon=":material/delete:")
        return
    story_history.remember(name, before, None)
    pin.tell(before, "The suggestion is back." if name == NAME else f"The story “{plain(before.title)}” is gone.", None)


def edit(name: str) -> None:
    """The slides as thumbnails, the open one as it will be shown, and its settings and words."""
    story = stories.load(name)
    if not context.available():
        command = context.zoo().how_to_graph()
        st.info(f"There is no task graph yet, so there is little to show. Make it with: `{command}`",
                icon=":material/hub:")  # fmt: skip
    made = stories.rendered(story)
    number = stories.slide_number(story)
    may_edit = access.why_not(Role.RUNNER) is None
    page = st.container(horizontal=True, gap="medium", key="story_page")
    with page.container(width=236, key="story_slides_column"):
        _rail(story, made, number, may_edit=may_edit)
    with page.container(width="stretch"):
        if not story.slides:
            empty("No slides yet", "Add a view, or pin a chart on any page.", icon=":material/add_to_photos:")
            return
        slide = story.slides[number]
        if may_edit:
            _tools(story, slide, number)
        with st.container(gap=None):
            story_deck.draw(
                "".join(one.html for one in made), number, title=story.title, on_close=_closed,
                shown=bool(st.query_params.get("show")),
            )  # fmt: skip
        if may_edit:
            with st.container(border=True):
                _words(story, slide, made[number])
                story_settings.controls(story.name, slide)


def _rail(story: Story, made: Sequence[Rendered], number: int, *, may_edit: bool) -> None:
    if story.slides:
        thumbs = [
            Thumb(id=slide.id, title=one.title, svg=one.thumbs[charts.dark()])
            for slide, one in zip(story.slides, made, strict=True)
        ]
        story_rail.draw(
            thumbs, number, editable=may_edit,
            on_act=lambda kind, slide_id, to: _ACTS[kind](story.name, slide_id, to),
        )  # fmt: skip
    with access.popover("Add a view", icon=":material/add_to_photos:", key="slide_add_ask", width="stretch"):
        for view, record in VIEWS.items():
            st.button(record.label, key=f"add_{view}", help=record.help, width="stretch", type="tertiary",
                      icon=record.icon, on_click=_add, args=(story.name, view))  # fmt: skip


def _tools(story: Story, slide: Slide, number: int) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
        st.caption(f"Slide {number + 1} of {len(story.slides)} · {VIEWS[slide.view].label}", width="stretch")
        for by, icon, text in ((-1, "arrow_upward", "Move up"), (1, "arrow_downward", "Move down")):
            access.button(text, icon=f":material/{icon}:", key=f"slide_{'up' if by < 0 else 'down'}", type="tertiary",
                          disabled=not 0 <= number + by < len(story.slides), on_click=_move,
                          args=(story.name, slide.id, number + by))  # fmt: skip
        access.button("Duplicate", icon=":material/content_copy:", key="slide_duplicate", type="tertiary",
                      on_click=_duplicate, args=(story.name, slide.id))  # fmt: skip
        access.button("Remove", icon=":material/delete:", key="slide_remove", type="tertiary", on_click=_remove,
                      args=(story.name, slide.id))  # fmt: skip


def _open(name: str, slide_id: str, _to: int = 0) -> None:
    try:
        st.query_params["slide"] = str(stories.load(name).place(slide_id) + 1)
    except PiTuningError as error:
        say("That did not work", error)


def _add(name: str, view: str) -> None:
    slide = Slide(view=view)
    at = stories.slide_number(stories.load(name))
    if stories.change(name, lambda story: story.added(slide, after=at if story.slides else None)):
        _open(name, slide.id)


def _move(name: str, slide_id: str, to: int) -> None:
    if stories.change(name, lambda story: story.moved(slide_id, to - story.place(slide_id))):
        _open(name, slide_id)


def _duplicate(name: str, slide_id: str, _to: int = 0) -> None:
    if stories.change(name, lambda story: story.duplicated(slide_id)):
        st.query_params["slide"] = str(stories.load(name).place(slide_id) + 2)


def _remove(name: str, slide_id: str, _to: int = 0) -> None:
    try:
        place = stories.load(name).place(slide_id)
    except PiTuningError as error:
        say("That did not work", error)
        return
    if stories.change(name, lambda story: story.removed(slide_id)):
        st.query_params["slide"] = str(max(place, 1))
        pin.tell(stories.load(name), f"Slide {place + 1} was removed.", None)


_ACTS: dict[str, Callable[[str, str, int], None]] = {
    "open": _open,
    "move": _move,
    "duplicate": _duplicate,
    "remove": _remove,
}
"""By what the thumbnails tell."""


def _words(story: Story, slide: Slide, made: Rendered) -> None:
    def options(part: str, most: int) -> dict[str, Any]:
        key = f"{part}-{story.name}-{slide.id}"
        return {"value": getattr(slide, part), "key": key, "help": HELP[part], "max_chars": most, "on_change": _write,
                "args": (story.name, slide.id, part, key)}  # fmt: skip

    st.text_input("Headline", placeholder=made.title, **options("title", MOST_IN_TITLE))
    with st.grid(2, min_column_width=300, gap="small"):
        st.text_area("Text" if slide.view == "words" else "Sentence", height=110, placeholder=made.sentence,
                     **options("caption", MOST_IN_CAPTION))  # fmt: skip
        st.text_area("Speaker notes", height=110, **options("notes", MOST_IN_NOTES))


def _write(name: str, slide_id: str, part: str, key: str) -> None:
    text = st.session_state[key]
    stories.change(name, lambda story: story.changed(replace(story.slides[story.place(slide_id)], **{part: text})))
