"""Stories: chosen sequences of views with captions, ``presentations/NAME.json`` of a workspace.

A story says what to show, never what was found: its views are drawn from the workspace whenever somebody looks.
"""

from __future__ import annotations

import re
import secrets
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pituning.errors import ArtefactError, BadInput
from pituning.registry import unknown
from pituning.workspace.atomic import TEMPORARY_PREFIX, read_json, storage_error, write_json
from pituning.workspace.layout import Workspace, check_name, free_name
from pituning.workspace.story_views import VIEWS

FORMAT_VERSION = 2
"""Of the files; the first had no notes and fewer settings."""

MOST_SLIDES = 60
MOST_IN_TITLE = 120
MOST_IN_CAPTION = 5000
MOST_IN_NOTES = 10_000

Setting = str | int | float
SETTINGS: Mapping[str, type] = {
    "kind": str, "predictor": str, "task": str, "order": str, "scale": str, "colour": str, "run": str, "show": str,
    "method": str, "over": str, "other": str, "part": str, "steps": str, "runs": str, "expert": str, "k": int,
    "shots": int, "n_neighbors": int, "min_dist": float, "metric": str, "seed": int, "table": str, "first": str,
    "second": str,
}  # fmt: skip
"""What can be set of views. A setting that is left out is chosen when the view is drawn."""

NAMED_BY_A_TABLE = ("first", "second")
"""Settings that name tasks as a table from elsewhere does, whatever the letters."""

MOST = {"seed": 2**32 - 1}
"""The largest number of a setting, where that is not `MOST_USUAL`."""

MOST_USUAL = 10_000

SEVERAL = "."
"""Between the names of a setting that takes several."""

_SLIDE_ID = re.compile(r"[a-z0-9]{1,16}")


@dataclass(frozen=True, kw_only=True)
class Slide:
    """One view with its words.

    Args:
        view: one of `VIEWS`.
        title: one line; empty leaves it to the view, which states what it found.
        caption: Markdown. Its first paragraph stands on the slide, beside a figure what follows is among the details.
        notes: Markdown for whoever speaks.
        settings: of those that the view takes; names are checked here, whether they exist when it is drawn.
        id: keeps a slide the same while it is moved and edited.
    """

    view: str
    title: str = ""
    caption: str = ""
    notes: str = ""
    settings: Mapping[str, Setting] = field(default_factory=dict)
    id: str = field(default_factory=lambda: secrets.token_hex(4))

    def __post_init__(self) -> None:
        VIEWS.check(self.view)
        if not isinstance(self.id, str) or _SLIDE_ID.fullmatch(self.id) is None:
            raise BadInput(f"slide id {self.id!r} cannot be used; take 1 to 16 of a-z and 0-9", field="id")
        _check_text("title", self.title, MOST_IN_TITLE)
        _check_text("caption", self.caption, MOST_IN_CAPTION)
        _check_text("notes", self.notes, MOST_IN_NOTES)
        for name, value in self.settings.items():
            self._check_setting(name, value)

    def copy(self) -> Slide:
        """The same as another slide."""
        return replace(self, id=secrets.token_hex(4))

    def _check_setting(self, name: str, value: object) -> None:
        if name not in VIEWS[self.view].settings:
            known = ", ".join(VIEWS[self.view].settings) or "none"
            raise BadInput(f"a view {self.view!r} has no setting {name!r}; it takes {known}", field=name)
        most = MOST.get(name, MOST_USUAL)
        if type(value) is not SETTINGS[name] or (isinstance(value, int | float) and not 0 <= value <= most):
            wanted = "text" if SETTINGS[name] is str else f"a number of 0 to {most}"
            raise BadInput(f"{name} is {value!r}; give {wanted}", field=name)
        if isinstance(value, str) and name in NAMED_BY_A_TABLE:
            _check_text(name, value, MOST_IN_CAPTION)
        elif isinstance(value, str):
            for part in value.split(SEVERAL) if name == "runs" else (value,):
                check_name(part, what=name)  # names end up in paths


@dataclass(frozen=True, kw_only=True)
class Story:
    """A sequence of slides under a title; ``name`` is that of its file and stays when the title changes."""

    name: str
    title: str
    slides: tuple[Slide, ...] = ()

    def __post_init__(self) -> None:
        check_name(self.name, what="story")
        _check_text("title", self.title, MOST_IN_TITLE)
        if not self.title.strip():
            raise BadInput("a story needs a title", field="title")
        if len(self.slides) > MOST_SLIDES:
            raise BadInput(f"a story has at most {MOST_SLIDES} slides, not {len(self.slides)}; make a second one")
        if len({slide.id for slide in self.slides}) != len(self.slides):
            raise BadInput("two slides have the same id; give each its own")

    def place(self, slide_id: str) -> int:
        """Where a slide stands, from 0.

        Raises:
            BadInput: somebody removed it meanwhile.
        """
        place = next((i for i, slide in enumerate(self.slides) if slide.id == slide_id), None)
        if place is None:
            raise BadInput(f"slide {slide_id} is no longer in the story {self.name!r}; reload the page")
        return place

    def added(self, slide: Slide, after: int | None = None) -> Story:
        """With one more slide, at the end or after the one at ``after``."""
        at = len(self.slides) if after is None else after + 1
        return replace(self, slides=(*self.slides[:at], slide, *self.slides[at:]))

    def changed(self, slide: Slide) -> Story:
        """With ``slide`` in place of the one with its id."""
        at = self.place(slide.id)
        return replace(self, slides=(*self.slides[:at], slide, *self.slides[at + 1 :]))

    def removed(self, slide_id: str) -> Story:
        """Without that slide."""
        at = self.place(slide_id)
        return replace(self, slides=(*self.slides[:at], *self.slides[at + 1 :]))

    def duplicated(self, slide_id: str) -> Story:
        """With a copy of that slide after it."""
        at = self.place(slide_id)
        return self.added(self.slides[at].copy(), after=at)

    def moved(self, slide_id: str, by: int) -> Story:
        """With that slide ``by`` places further on (back, if negative), at most to the end."""
        at = self.place(slide_id)
        rest = [*self.slides[:at], *self.slides[at + 1 :]]
        rest.insert(min(max(at + by, 0), len(rest)), self.slides[at])
        return replace(self, slides=tuple(rest))


def _check_text(what: str, text: object, most: int) -> None:
    if not isinstance(text, str):
        raise BadInput(f"{what} is {text!r}; give text", field=what)
    if len(text) > most:
        raise BadInput(f"{what} has {len(text)} characters; at most {most} fit", field=what)


def story_path(workspace: Workspace, name: str) -> Path:
    """Where a story is kept."""
    return workspace.root / "presentations" / f"{check_name(name, what='story')}.json"


def story_names(workspace: Workspace) -> list[str]:
    """The stories of a workspace, damaged ones included, sorted."""
    files = (workspace.root / "presentations").glob("*.json")
    return sorted(path.stem for path in files if not path.name.startswith(TEMPORARY_PREFIX) and _is_name(path.stem))


def _is_name(text: str) -> bool:
    try:
        return check_name(text) == text
    except BadInput:
        return False


def load_story(workspace: Workspace, name: str) -> Story:
    """Reads a story.

    Raises:
        BadInput: there is none of that name.
        ArtefactError: its file is damaged, was edited into something else or comes from a later version.
    """
    path = story_path(workspace, name)
    if not path.exists():
        raise unknown("story", name, story_names(workspace))
    document = read_json(path)
    if not isinstance(document, dict):
        raise ArtefactError(f"{path} is damaged (no JSON object); correct it or delete the story")
    version = document.get("format_version")
    if type(version) is not int or version > FORMAT_VERSION:
        raise ArtefactError(
            f"{path} has format_version {version!r}, this version reads up to {FORMAT_VERSION}; upgrade pituning-studio"
        )
    try:
        slides = tuple(_slide(one) for one in document["slides"])
        return Story(name=name, title=document["title"], slides=slides)
    except KeyError as error:
        raise ArtefactError(
            f"{path} is damaged ({error.args[0]} is missing); correct it or delete the story"
        ) from error
    except (BadInput, TypeError, AttributeError) as error:
        raise ArtefactError(f"{path} is damaged ({error}); correct it or delete the story") from error


def _slide(document: dict[str, Any]) -> Slide:
    if not isinstance(document, dict):
        raise TypeError(f"a slide is {document!r}")
    return Slide(
        id=document["id"],
        view=document["view"],
        title=document.get("title", ""),
        caption=document.get("caption", ""),
        notes=document.get("notes", ""),
        settings=dict(document.get("settings") or {}),
    )


def save_story(workspace: Workspace, story: Story, *, new: bool = False) -> None:
    """Writes a story atomically; the last of two writers wins.

    Args:
        new: whether there must be none of that name.

    Raises:
        BadInput: there is one of that name, and it was to be a new one.
        ArtefactError: when the disk is full or not writable.
    """
    slides = [
        {"id": s.id, "view": s.view, "title": s.title, "caption": s.caption, "notes": s.notes,
         "settings": dict(s.settings)}
        for s in story.slides
    ]  # fmt: skip
    document = {"format_version": FORMAT_VERSION, "title": story.title, "slides": slides}
    free = free_name(story.name, {story.name, *story_names(workspace)})
    taken = BadInput(f"there is a story {story.name!r} already; choose another name, such as {free!r}", field="name")
    write_json(story_path(workspace, story.name), document, taken=taken if new else None)


def add_story(workspace: Workspace, title: str, slides: tuple[Slide, ...] = ()) -> Story:
    """Makes a new story with a name that no other one has, whoever else does so at once.

    Raises:
        ArtefactError: when the disk is full or not writable.
    """
    while True:
        story = Story(name=new_name(workspace, title), title=title, slides=slides)
        try:
            save_story(workspace, story, new=True)
            return story
        except BadInput:
            continue  # somebody else has just taken that name


def delete_story(workspace: Workspace, name: str) -> None:
    """Removes a story, a damaged one too.

    Raises:
        ArtefactError: when it may not be removed.
    """
    path = story_path(workspace, name)
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise storage_error(error, path) from error


def new_name(workspace: Workspace, title: str) -> str:
    """A file's name for a title that no story of the workspace has yet: ``"Who helps?"`` becomes ``who-helps``."""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    base = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:50].strip("-") or "story"
    return free_name(base, set(story_names(workspace)))
