from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from app.components import story_deck, story_rail
from app.components.pin import TITLE
from pituning.workspace.atomic import write_text
from pituning.workspace.layout import DATA_VARIABLE, Workspace
from pituning.workspace.stories import Slide, Story, load_story, save_story, story_names, story_path
from tests.app import synthetic
from tests.app.conftest import OpenPage, healthy, texts
from tests.app.synthetic import done


@pytest.fixture(autouse=True)
def _nothing_embedded(monkeypatch: pytest.MonkeyPatch) -> None:
    """What ships would add slides to the suggestion."""
    monkeypatch.setenv(DATA_VARIABLE, "")


@pytest.fixture
def mounted(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Any]]:
    """What the components of the page were given last, with their callbacks, by the key."""
    last: dict[str, dict[str, Any]] = {}

    def component(*, key: str, data: dict[str, Any], **rest: Any) -> None:
        last[key] = {**data, **rest}

    monkeypatch.setattr(story_deck, "_DECK", component)
    monkeypatch.setattr(story_deck, "_SLIDES", component)
    monkeypatch.setattr(story_rail, "_RAIL", component)
    return last


Mounted = dict[str, dict[str, Any]]


def titles(mounted: Mounted) -> list[str]:
    return [item["title"] for item in mounted[story_rail.KEY]["items"]]


def test_the_suggested_story_is_useful_at_once_and_kept_once_it_is_changed(
    workspace: Workspace, open_page: OpenPage, mounted: Mounted
) -> None:
    done(workspace)
    at = healthy(open_page("present", story="overview", slide="2"))
    assert len(mounted[story_rail.KEY]["items"]) == 6  # words, graph, matrix, neighbours, result, weights
    assert mounted[story_rail.KEY]["at"] == 1
    assert "A new task with a handful" in mounted[story_deck.SLIDES_KEY]["html"]
    assert titles(mounted)[4] == "Use it: 67 % against 20 by the untrained model"
    assert mounted[story_rail.KEY]["items"][1]["svg"].count("<circle") == 20
    assert story_names(workspace) == []

    at.text_area(key="caption-overview-alike").set_value("**Mine** <script>alert(1)</script>\n\nMore").run()
    healthy(at)
    assert load_story(workspace, "overview").slides[1].caption.startswith("**Mine**")
    html = mounted[story_deck.SLIDES_KEY]["html"]
    assert "<strong>Mine</strong> &lt;script&gt;" in html
    assert html.index("<p>More</p>") > html.index("<summary>Details</summary>"), "what follows is among the details"

    at.button(key="story_undo").click().run()
    healthy(at)
    assert story_names(workspace) == [], "the suggestion is back"
    assert at.button(key="story_undo").disabled


def test_a_story_begins_with_ones_own_task(workspace: Workspace, open_page: OpenPage, mounted: Mounted) -> None:
    run = synthetic.own_task(workspace)
    healthy(open_page("present"))
    assert titles(mounted)[:2] == [
        "Shape is nearest to My restaurant reviews: 0.60",
        "Use it: 67 % against 50 by the largest class",
    ]
    html = mounted[story_deck.SLIDES_KEY]["html"]
    steps = html[html.index('<ol class="steps"') :]
    assert steps[: steps.index("</ol>")].count("<li>") == 3  # all, its relatives, the verdict: nothing is measured
    assert f'data-stem="scores-{run.id}"' in html
    assert html.count('"name":"Yours"') == 2 * 4, "in light and dark, in each step and in the graph of all"


def test_slides_are_added_set_moved_duplicated_and_removed(
    workspace: Workspace, open_page: OpenPage, mounted: Mounted
) -> None:
    save_story(workspace, Story(name="mine", title="Mine", slides=(Slide(view="words", id="a", title="First"),)))
    at = healthy(open_page("present", story="mine"))

    at.button(key="add_neighbours").click().run()
    slide = load_story(workspace, "mine").slides[1]
    assert at.query_params["slide"] == "2"
    at.selectbox(key=f"set-mine-{slide.id}-task").set_value("nli").run()
    healthy(at)
    assert load_story(workspace, "mine").slides[1].settings == {"task": "nli"}
    assert "is nearest to Natural language inference" in titles(mounted)[1]

    at.button(key="slide_up").click().run()
    assert [one.view for one in load_story(workspace, "mine").slides] == ["neighbours", "words"]
    assert at.query_params["slide"] == "1"
    at.button(key="slide_duplicate").click().run()
    assert at.query_params["slide"] == "2"
    assert len({one.id for one in load_story(workspace, "mine").slides}) == 3
    assert len(set(titles(mounted)[:2])) == 1
    at.button(key="slide_remove").click().run()
    at.button(key="slide_remove").click().run()
    healthy(at)
    assert [one.id for one in load_story(workspace, "mine").slides] == ["a"]
    assert "Slide 1 was removed" in texts(at)
    at.button(key="pin_undo").click().run()
    assert [one.id for one in load_story(workspace, "mine").slides] == [slide.id, "a"]

    others = Story(name="mine", title="Mine", slides=(Slide(view="words", title="Somebody else’s"),))
    save_story(workspace, others)
    at.button(key="story_undo").click().run()
    assert "has been changed since" in texts(at)
    assert load_story(workspace, "mine") == others


def test_stories_are_made_copied_renamed_deleted_and_come_back(
    workspace: Workspace, open_page: OpenPage, mounted: Mounted
) -> None:
    at = healthy(open_page("present"))
    at.text_input(key="story_new_title").set_value("Für Köln")
    at.button(key="story_copy").click().run()
    healthy(at)
    assert at.query_params["story"] == "fur-koln"
    assert len(load_story(workspace, "fur-koln").slides) == 4

    at.text_input(key="story_new_title").set_value("für köln")
    at.button(key="story_new").click().run()
    assert "There is a story 'für köln' already; choose another title, such as 'für köln 2'" in texts(at)
    assert at.text_input(key="story_new_title").value == "für köln 2"
    assert story_names(workspace) == ["fur-koln"]

    at.text_input(key="story_title-fur-koln").set_value("Für Bonn").run()
    assert load_story(workspace, "fur-koln").title == "Für Bonn"
    at.button(key="story_delete").click().run()
    healthy(at)
    assert story_names(workspace) == []
    assert at.query_params["story"] == "overview"
    at.button(key="pin_undo").click().run()
    assert load_story(workspace, "fur-koln").title == "Für Bonn"


def test_a_link_shows_a_slide_over_the_whole_window(
    workspace: Workspace, open_page: OpenPage, mounted: Mounted
) -> None:
    at = healthy(open_page("present", story="overview", slide="3", show="1"))
    assert (mounted[story_deck.KEY]["view"], mounted[story_deck.KEY]["slide"]) == ("show", 2)
    at.query_params.pop("show")
    healthy(at.run())
    assert mounted[story_deck.KEY]["view"] == "preview"
    healthy(open_page("present", story="overview", slide="99999", show="1"))
    assert mounted[story_deck.KEY]["slide"] == 3


def test_what_is_pinned_goes_to_the_story_in_hand(workspace: Workspace, open_page: OpenPage, mounted: Mounted) -> None:
    run = done(workspace)
    at = healthy(open_page("runs", run=run.id))
    at.button(key="pin-verdict").click().run()
    healthy(at)
    (name,) = story_names(workspace)
    assert load_story(workspace, name).title == TITLE
    assert "Slide 1 of “My story”: **Use it: 67 % against 20 by the untrained model**" in texts(at).replace("\\", "")
    at.button(key="pin-by_shots").click().run()
    assert [slide.settings for slide in load_story(workspace, name).slides] == [
        {"run": run.id}, {"run": run.id, "show": "shots"},
    ]  # fmt: skip
    at.button(key="pin_undo").click().run()
    healthy(at)
    assert len(load_story(workspace, name).slides) == 1
    at.button(key="pin-scores").click().run()
    at.button(key="pin_open").click().run()
    healthy(at)
    assert len(mounted[story_rail.KEY]["items"]) == 2
    assert (at.query_params["story"], at.query_params["slide"]) == (name, "2")


def test_the_low_shot_study_is_a_slide(workspace: Workspace, open_page: OpenPage, mounted: Mounted) -> None:
    synthetic.study(workspace)
    slide = Slide(view="study", id="s", settings={"kind": "lora"})
    save_story(workspace, Story(name="mine", title="Mine", slides=(slide,)))

    at = healthy(open_page("present", story="mine"))
    assert titles(mounted) == ["π-tuning gains over single expert: +10.0 (+10.0 to +10.0) points"]
    assert at.selectbox(key="set-mine-s-shots").options == ["16 shots", "Zero-shot"]
    over = at.selectbox(key="set-mine-s-over")
    assert over.options == ["Single expert", "Backbone alone", "Best donor", "Donors as is", "Placebo donors"]
    over.set_value("placebo").run()
    healthy(at)
    assert "placebo donors: +13.0" in titles(mounted)[0]
    assert load_story(workspace, "mine").slides[0].settings["over"] == "placebo"


def test_a_damaged_study_can_be_taken_out_and_leaves_other_slides_alone(
    workspace: Workspace, open_page: OpenPage, mounted: Mounted
) -> None:
    write_text(workspace.zoo().new_lowshot_path("lora"), "target\nnli\n")
    slides = (Slide(view="study", id="s"), Slide(view="transfer", id="t"))
    save_story(workspace, Story(name="mine", title="Mine", slides=slides))

    at = open_page("present", story="mine")
    assert not at.exception
    assert "is damaged" in mounted[story_deck.SLIDES_KEY]["html"]
    at.button(key="slide_remove").click().run()
    assert not at.exception
    assert "is damaged" not in mounted[story_deck.SLIDES_KEY]["html"]
    assert [one.id for one in load_story(workspace, "mine").slides] == ["t"]


def test_what_cannot_be_drawn_or_read_is_told_and_the_rest_works(
    workspace: Workspace, open_page: OpenPage, mounted: Mounted
) -> None:
    save_story(workspace, Story(name="broken", title="Broken"))
    story_path(workspace, "broken").write_text('{"format_version": 1, "slides"')
    gone = (Slide(view="result", settings={"run": "gone"}), Slide(view="graph"))
    save_story(workspace, Story(name="mine", title="Mine", slides=gone))

    at = open_page("present", story="broken", show="1")
    assert not at.exception
    assert "broken.json is not a JSON document" in texts(at).replace("\\", "")
    assert "broken (damaged)" in at.selectbox(key="story").options
    at.button(key="story_delete").click().run()
    healthy(at)
    assert not story_path(workspace, "broken").exists()

    healthy(open_page("present", story="mine"))
    assert "&#x27;gone&#x27;" in mounted[story_deck.SLIDES_KEY]["html"]


def test_an_empty_workspace_still_has_words(bare: Workspace, open_page: OpenPage, mounted: Mounted) -> None:
    at = healthy(open_page("present"))
    at.button(key="add_graph").click().run()
    assert not at.exception
    assert "pituning zoo build" in texts(at)


def test_the_story_as_a_file(workspace: Workspace, open_page: OpenPage, monkeypatch: pytest.MonkeyPatch) -> None:
    files: dict[str, bytes] = {}

    def download_button(_label: str, data: Callable[[], bytes], *, file_name: str, **_rest: object) -> None:
        files[file_name] = data()

    monkeypatch.setattr("streamlit.download_button", download_button)
    at = healthy(open_page("present"))
    assert files["overview.html"].startswith(b"<!doctype html>")
    assert b'class="notes"' not in files["overview.html"], "notes go with a file only where somebody wants it"
    at.checkbox(key="story_export_notes").check().run()
    assert b'class="notes"' in files["overview.html"]
