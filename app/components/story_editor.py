"""Makes stories: which one, its slides in order, and for each its view, its settings and its words."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from app.components import access, context, stories, story_settings, story_show, story_slide
from app.components.guard import empty, plain, say
from app.components.links import linked_select
from pituning.errors import PiTuningError
from pituning.reports.suggestion import NAME
from pituning.runs.roles import Role
from pituning.workspace.stories import (
    MOST_IN_CAPTION,
    MOST_IN_TITLE,
    Slide,
    Story,
    add_story,
    delete_story,
    story_path,
)


def choose() -> str:
    """Which story, and what can be done with it as a whole."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        with st.container(width=360):
            name = linked_select("Story", stories.names(), param="story", format_func=stories.title, default=NAME)
        name = name or NAME
        shown = stories.can_be_shown()
        st.button("Show", icon=":material/slideshow:", type="primary", key="story_show", disabled=not shown,
                  on_click=story_show.open_slide, args=(_number(name),),
                  help="One slide at a time over the whole window. ← → Home End turn, F is full screen, Escape ends.",
                  )  # fmt: skip
        st.download_button(
            "Export HTML", lambda: stories.as_file(name), file_name=f"{name}.html", mime="text/html",
            disabled=not shown, icon=":material/download:", key="story_export", on_click="ignore",
            help="One file of about 5 MB that works offline: slides, figures as PNG and SVG, tables as CSV, the graph "
            f"as GraphML, GEXF and JSON. The same from a terminal: `pituning report {name}.html --story {name}`",
        )  # fmt: skip
        _manage(name)
    return name


def _number(name: str) -> int:
    try:
        return stories.slide_number(stories.load(name))
    except PiTuningError:
        return 0  # the page says so below


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
                  disabled=not saved, help="It will be deleted permanently.")  # fmt: skip


def _new(copied: str | None) -> None:
    try:
        access.actor().require(Role.RUNNER, "make stories")
        title = st.session_state["story_new_title"].strip() or "Untitled story"
        slides = stories.load(copied).slides if copied is not None else ()
        story = add_story(context.workspace(), title, tuple(slides))
    except PiTuningError as error:
        say("That did not work", error)
    else:
        st.session_state["story"], st.session_state["story_new_title"] = story.name, ""
        st.query_params["slide"] = "1"


def _rename(name: str, key: str) -> None:
    stories.change(name, lambda story: replace(story, title=st.session_state[key].strip()))


def _delete(name: str) -> None:
    try:
        access.actor().require(Role.RUNNER, "delete stories")
        delete_story(context.workspace(), name)
    except PiTuningError as error:
        say("That did not work", error)
    else:
        st.session_state["story"] = NAME
        st.query_params.pop("slide", None)
        st.toast("The story is gone." if name != NAME else "The suggestion is back.", icon=":material/delete:")


def edit(name: str) -> None:
    """The slides at the left, the chosen one at the right."""
    story = stories.load(name)
    if not context.available():
        command = context.zoo().how_to_graph()
        st.info(f"There is no task graph yet, so there is little to show. Make it with: `{command}`",
                icon=":material/hub:")  # fmt: skip
    page = st.grid(4, min_column_width=230, gap="large")
    with page.cell():
        _list(story)
    with page.cell(column_span=3):
        if not story.slides:
            empty("No slides yet", "Add a view at the left.", icon=":material/add_to_photos:")
            return
        number = stories.slide_number(story)
        slide = story.slides[number]
        _tools(story, slide, number)
        may_edit = access.why_not(Role.RUNNER) is None
        if may_edit:
            story_settings.controls(story.name, slide)
        story_slide.show(slide, number=number)
        if may_edit:
            _words(story, slide)


def _list(story: Story) -> None:
    st.markdown(f"**Slides** :gray[{len(story.slides)}]")
    if story.slides:
        number = stories.slide_number(story)
        st.session_state["story_slide"] = number  # the address decides
        st.radio(
            "Slides", range(len(story.slides)), key="story_slide", on_change=_open, label_visibility="collapsed",
            format_func=lambda i: f"{i + 1}. {plain(story_slide.heading(story.slides[i]))}",
        )  # fmt: skip
    with access.popover("Add a view", icon=":material/add_to_photos:", key="slide_add_ask", width="stretch"):
        for view, word in story_settings.VIEW_WORDS.items():
            st.button(word.label, key=f"add_{view}", help=word.help, width="stretch", type="tertiary",
                      icon=story_settings.VIEW_ICONS[view], on_click=_add, args=(story.name, view))  # fmt: skip


def _open() -> None:
    st.query_params["slide"] = str(st.session_state["story_slide"] + 1)


def _add(name: str, view: str) -> None:
    at = _number(name)
    before = len(stories.load(name).slides)
    if stories.change(name, lambda story: story.added(Slide(view=view), after=at if story.slides else None)):
        st.query_params["slide"] = str(at + 2 if before else 1)


def _tools(story: Story, slide: Slide, number: int) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
        st.caption(f"Slide {number + 1} of {len(story.slides)} · {story_settings.VIEW_WORDS[slide.view].label}")
        for by, icon, text in ((-1, "arrow_upward", "Move up"), (1, "arrow_downward", "Move down")):
            access.button(text, icon=f":material/{icon}:", key=f"slide_{'up' if by < 0 else 'down'}", type="tertiary",
                          disabled=not 0 <= number + by < len(story.slides), on_click=_move,
                          args=(story.name, slide.id, number, by))  # fmt: skip
        access.button("Remove", icon=":material/delete:", key="slide_remove", type="tertiary", on_click=_remove,
                      args=(story.name, slide.id, number))  # fmt: skip


def _move(name: str, slide_id: str, number: int, by: int) -> None:
    if stories.change(name, lambda story: story.moved(slide_id, by)):
        st.query_params["slide"] = str(number + by + 1)


def _remove(name: str, slide_id: str, number: int) -> None:
    if stories.change(name, lambda story: story.removed(slide_id)):
        st.query_params["slide"] = str(max(number, 1))


def _words(story: Story, slide: Slide) -> None:
    with st.container(border=True):
        for part, title, help_text in (
            ("title", "Title", "Empty: the view’s own title."),
            ("caption", "Caption", "Markdown: **bold**, *italic*, lists, tables, links. HTML is shown as it is typed."),
        ):
            key = f"{part}-{story.name}-{slide.id}"
            common = {"value": getattr(slide, part), "key": key, "help": help_text, "on_change": _write,
                      "args": (story.name, slide.id, part, key)}  # fmt: skip
            if part == "title":
                st.text_input(title, max_chars=MOST_IN_TITLE, **common)
            else:
                st.text_area(title, max_chars=MOST_IN_CAPTION, height=150, **common)


def _write(name: str, slide_id: str, part: str, key: str) -> None:
    text = st.session_state[key]
    stories.change(name, lambda story: story.changed(replace(story.slides[story.place(slide_id)], **{part: text})))
