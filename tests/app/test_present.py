from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from app.components import story_show
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


def spoken(at) -> str:  # type: ignore[no-untyped-def]
    """What the page says, captions included."""
    return texts(at) + "\n".join(element.proto.body for element in at.get("html"))


def test_the_suggested_story_is_useful_at_once_and_kept_once_it_is_changed(
    workspace: Workspace, open_page: OpenPage
) -> None:
    done(workspace)
    at = healthy(open_page("present"))
    assert "A new task with a handful" in spoken(at)
    assert len(at.radio(key="story_slide").options) == 6  # words, graph, matrix, neighbours, result, weights
    assert story_names(workspace) == []

    at.radio(key="story_slide").set_value(1).run()
    healthy(at)
    assert at.query_params["slide"] == "2"
    spec = json.loads(at.get("plotly_chart")[0].proto.spec)
    assert sum(len(trace.get("customdata") or ()) for trace in spec["data"]) == 20

    at.text_area(key="caption-overview-alike").set_value("**Mine** <script>alert(1)</script>").run()
    healthy(at)
    assert load_story(workspace, "overview").slides[1].caption.startswith("**Mine**")
    assert "<strong>Mine</strong> &lt;script&gt;" in spoken(at)


def test_slides_are_added_set_moved_and_removed(workspace: Workspace, open_page: OpenPage) -> None:
    save_story(workspace, Story(name="mine", title="Mine", slides=(Slide(view="words", id="a", title="First"),)))
    at = healthy(open_page("present", story="mine"))

    at.button(key="add_neighbours").click().run()
    slide = load_story(workspace, "mine").slides[1]
    assert at.query_params["slide"] == "2"
    at.selectbox(key=f"set-mine-{slide.id}-task").set_value("nli").run()
    healthy(at)
    assert load_story(workspace, "mine").slides[1].settings == {"task": "nli"}
    assert "Nearest to Natural language inference" in texts(at)

    at.button(key="slide_up").click().run()
    assert [one.view for one in load_story(workspace, "mine").slides] == ["neighbours", "words"]
    at.button(key="slide_remove").click().run()
    healthy(at)
    assert [one.id for one in load_story(workspace, "mine").slides] == ["a"]


def test_stories_are_made_copied_renamed_and_deleted(workspace: Workspace, open_page: OpenPage) -> None:
    at = healthy(open_page("present"))
    at.text_input(key="story_new_title").set_value("Für Köln")
    at.button(key="story_copy").click().run()
    healthy(at)
    assert at.query_params["story"] == "fur-koln"
    assert len(load_story(workspace, "fur-koln").slides) == 4

    at.text_input(key="story_title-fur-koln").set_value("Für Bonn").run()
    assert load_story(workspace, "fur-koln").title == "Für Bonn"
    at.button(key="story_delete").click().run()
    healthy(at)
    assert story_names(workspace) == []
    assert at.query_params["story"] == "overview"


def test_a_link_shows_a_slide_over_the_whole_window(workspace: Workspace, open_page: OpenPage) -> None:
    at = healthy(open_page("present", story="overview", slide="3", show="1"))
    assert at.title[-1].value == "Every pair"  # that of the page is not shown
    assert story_show.WHOLE_WINDOW in spoken(at)
    assert not at.radio
    healthy(open_page("present", story="overview", slide="99999", show="1"))


def test_the_low_shot_study_is_a_slide(workspace: Workspace, open_page: OpenPage) -> None:
    synthetic.study(workspace)
    slide = Slide(view="study", id="s", settings={"kind": "lora"})
    save_story(workspace, Story(name="mine", title="Mine", slides=(slide,)))

    at = healthy(open_page("present", story="mine"))
    assert "Where does it help?" in texts(at) + "".join(one.value for one in at.subheader)
    assert at.selectbox(key="set-mine-s-shots").options == ["16 shots", "Zero-shot"]
    over = at.selectbox(key="set-mine-s-over")
    assert over.options == ["Single expert", "Backbone alone", "Best donor", "Donors as is", "Placebo donors"]
    over.set_value("placebo").run()
    spec = json.loads(healthy(at).get("plotly_chart")[0].proto.spec)
    assert spec["data"][-1]["x"] == [13.0]
    assert load_story(workspace, "mine").slides[0].settings["over"] == "placebo"


def test_a_damaged_study_can_be_taken_out_and_leaves_other_slides_alone(
    workspace: Workspace, open_page: OpenPage
) -> None:
    write_text(workspace.zoo().new_lowshot_path("lora"), "target\nnli\n")
    slides = (Slide(view="study", id="s"), Slide(view="transfer", id="t"))
    save_story(workspace, Story(name="mine", title="Mine", slides=slides))

    at = open_page("present", story="mine")
    assert not at.exception
    assert "is damaged" in texts(at)
    at.button(key="slide_remove").click().run()
    assert not at.exception
    assert "is damaged" not in texts(at)
    assert [one.id for one in load_story(workspace, "mine").slides] == ["t"]


def test_what_cannot_be_drawn_or_read_is_told_and_the_rest_works(workspace: Workspace, open_page: OpenPage) -> None:
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

    at = open_page("present", story="mine")
    assert not at.exception
    assert "'gone'" in texts(at)
    at.radio(key="story_slide").set_value(1).run()
    healthy(at)


def test_an_empty_workspace_still_has_words(bare: Workspace, open_page: OpenPage) -> None:
    at = healthy(open_page("present"))
    at.button(key="add_graph").click().run()
    assert not at.exception
    assert "pituning zoo build" in texts(at)


def test_the_story_as_a_file(workspace: Workspace, open_page: OpenPage, monkeypatch: pytest.MonkeyPatch) -> None:
    files: dict[str, bytes] = {}

    def download_button(_label: str, data: Callable[[], bytes], *, file_name: str, **_rest: object) -> None:
        files[file_name] = data()

    monkeypatch.setattr("streamlit.download_button", download_button)
    healthy(open_page("present"))
    assert files["overview.html"].startswith(b"<!doctype html>")
