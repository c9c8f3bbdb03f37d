from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pituning.errors import ArtefactError, BadInput
from pituning.workspace.layout import Workspace
from pituning.workspace.stories import (
    MOST_SLIDES,
    Slide,
    Story,
    delete_story,
    load_story,
    new_name,
    save_story,
    story_names,
    story_path,
)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(Workspace.open(tmp_path / "w").root, embedded=None)


def story(*views: str) -> Story:
    return Story(name="mine", title="Mine", slides=tuple(Slide(view=view, id=f"s{i}") for i, view in enumerate(views)))


def order(one: Story) -> list[str]:
    return [slide.id for slide in one.slides]


def test_a_story_comes_back_as_it_was(workspace: Workspace) -> None:
    slide = Slide(view="graph", title="«Ähnlich» <b>", caption="*a*\n\n- b", settings={"kind": "lora", "k": 3})
    of_a_map = Slide(view="map", settings={"min_dist": 0.1, "seed": 2**32 - 1})  # the largest that a map takes
    save_story(workspace, Story(name="mine", title="Für alle", slides=(slide, of_a_map)))

    assert load_story(workspace, "mine").slides == (slide, of_a_map)
    assert load_story(workspace, "mine").title == "Für alle"
    assert story_names(workspace) == ["mine"]
    assert json.loads(story_path(workspace, "mine").read_text())["format_version"] == 2


def test_slides_are_added_moved_changed_and_removed() -> None:
    one = story("words", "graph", "similarity")

    assert order(one.moved("s0", 1)) == ["s1", "s0", "s2"]
    assert order(one.moved("s2", -9)) == ["s2", "s0", "s1"]
    assert order(one.removed("s1")) == ["s0", "s2"]
    assert order(one.added(Slide(view="words", id="new"), after=0)) == ["s0", "new", "s1", "s2"]
    assert order(one.added(Slide(view="words", id="new"))) == ["s0", "s1", "s2", "new"]
    assert one.changed(Slide(view="words", id="s1")).slides[1].view == "words"
    with pytest.raises(BadInput, match="no longer in the story"):
        one.removed("gone")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"view": "pie"}, "unknown view 'pie'; known: graph, similarity"),
        ({"view": "graph", "settings": {"scale": "raw"}}, "it takes kind, predictor, k, colour, task, other, steps"),
        ({"view": "graph", "settings": {"k": "3"}}, "give a number"),
        ({"view": "graph", "settings": {"k": True}}, "give a number"),
        ({"view": "graph", "settings": {"kind": "../../etc"}}, "cannot be used"),
        ({"view": "words", "caption": "x" * 5001}, "at most 5000"),
        ({"view": "words", "title": 3}, "give text"),
        ({"view": "words", "id": "<script>"}, "cannot be used"),
    ],
)
def test_what_a_slide_cannot_be(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        Slide(**changes)


def test_what_a_story_cannot_be() -> None:
    with pytest.raises(BadInput, match="needs a title"):
        Story(name="mine", title=" ")
    with pytest.raises(BadInput, match="at most 60"):
        Story(name="mine", title="Long", slides=tuple(Slide(view="words", id=f"s{i}") for i in range(MOST_SLIDES + 1)))
    with pytest.raises(BadInput, match="same id"):
        Story(name="mine", title="Twins", slides=(Slide(view="words", id="a"), Slide(view="words", id="a")))


@pytest.mark.parametrize(
    "text",
    ['{"format_version": 1, "title": "x", "sli', "[]", '{"format_version": 1, "title": "x"}', '{"format_version": 9}',
     '{"format_version": 1, "title": "x", "slides": [3]}', '{"format_version": 1, "title": "x", "slides": 3}',
     '{"format_version": 1, "title": "x", "slides": [{"id": "a", "view": "pie"}]}',
     '{"format_version": 1, "title": "x", "slides": [{"id": "a", "view": "graph", "settings": [1]}]}'],
)  # fmt: skip
def test_a_damaged_file_is_told_in_words(workspace: Workspace, text: str) -> None:
    save_story(workspace, story("words"))
    story_path(workspace, "mine").write_text(text)

    with pytest.raises(ArtefactError, match=r"mine\.json"):
        load_story(workspace, "mine")
    assert story_names(workspace) == ["mine"]
    delete_story(workspace, "mine")
    assert story_names(workspace) == []


def test_an_unknown_story_names_those_that_come_close(workspace: Workspace) -> None:
    save_story(workspace, story())
    with pytest.raises(BadInput, match="did you mean mine"):
        load_story(workspace, "mime")
    with pytest.raises(BadInput, match="cannot be used"):
        load_story(workspace, "../secret")


def test_names_for_titles(workspace: Workspace) -> None:
    assert new_name(workspace, "Who helps — für wen?") == "who-helps-fur-wen"
    assert new_name(workspace, "类似") == "story"
    save_story(workspace, story())
    assert new_name(workspace, "MINE!") == "mine-2"
