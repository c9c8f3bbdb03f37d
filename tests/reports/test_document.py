from __future__ import annotations

import base64
import hashlib
import io
import json
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import networkx as nx
import numpy as np
import pytest

from pituning.errors import ArtefactError, BadInput
from pituning.experts.card import read_card, write_card
from pituning.graph.projection import Projection, TaskMap, save_projection
from pituning.graph.settings import MapSettings
from pituning.labelling.calibration import reliability
from pituning.reports.document import report
from pituning.reports.headline import verdict_line
from pituning.reports.markdown import parts, render
from pituning.reports.reader import Reader
from pituning.reports.suggestion import bridge, suggested_story
from pituning.reports.usable import judge_run
from pituning.reports.views import draw
from pituning.workspace.affinities import parse_affinity, save_affinity
from pituning.workspace.layout import Workspace
from pituning.workspace.stories import Slide, Story
from tests.app import synthetic

LINKS = {"src", "srcset", "href", "poster", "data", "action", "background", "xlink:href"}
VOID = {"meta", "br", "hr", "img", "input", "link"}


class Page(HTMLParser):
    """What a file refers to, its scripts and its figures; fails on elements that are not closed in order."""

    def __init__(self, text: str):
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.figures: dict[str, Any] = {}
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            attrs = self.elements[-1][1]
            if attrs.get("type") == "application/json":
                self.figures[str(attrs["id"])] = json.loads(data)
            else:
                self.scripts.append(data)
        else:
            self.text += data

    def downloads(self) -> dict[str, bytes]:
        links = [attrs for tag, attrs in self.elements if tag == "a" and "download" in attrs]
        return {str(one["download"]): base64.b64decode(str(one["href"]).partition("base64,")[2]) for one in links}


def test_the_suggested_story_as_a_file(with_run: Reader) -> None:
    story = suggested_story(with_run)
    assert [slide.view for slide in story.slides] == [
        "words", "graph", "similarity", "neighbours", "transfer", "prediction", "result", "result",
    ]  # fmt: skip
    made = report(with_run, story, now=0)
    page = Page(made.text)

    assert made.problems == {}
    assert len(page.figures) == 7
    zoo = with_run.zoo()
    (graph,) = [figure["data"] for figure in page.figures["data-alike-0"]["light"]]
    assert sum(len(trace.get("customdata", ())) for trace in graph) == 6
    shown = page.figures["data-matrix-0"]["dark"][0]["data"][0]["z"]
    assert {value for row in shown for value in row} == {None, 1, 2, 3, 4, 5}
    gains = with_run.transfer("lora", 16, tuple(zoo.names))
    assert gains is not None
    drawn = [
        value
        for row in page.figures["data-measured-0"]["light"][0]["data"][0]["z"]
        for value in row
        if value is not None
    ]
    np.testing.assert_allclose(sorted(drawn), np.sort(gains.gains[np.isfinite(gains.gains)]), atol=0.006)
    assert 67.0 in page.figures["data-result-0"]["light"][0]["data"][0]["x"]
    assert "Transfer: the donors’ knowledge helped" in page.text
    figures = [attrs for tag, attrs in page.elements if attrs.get("role") == "img"]
    assert len(figures) == 7
    assert all(attrs["aria-label"] for attrs in figures)

    files = page.downloads()
    graph = with_run.graph(zoo, 3)
    stem = "task-graph-lora-probe"
    for read in (
        nx.parse_graphml(files[f"{stem}.graphml"].decode()),
        nx.read_gexf(io.BytesIO(files[f"{stem}.gexf"])),
        nx.node_link_graph(json.loads(files[f"{stem}.json"]), edges="edges"),
    ):
        assert {frozenset(edge) for edge in read.edges} == {frozenset(edge) for edge in graph.edges}
    assert files["similarity-lora-probe-rank.csv"].count(b"\n") == 7
    assert files["transfer-lora-16-shots.csv"].count(b"\n") == 1 + 6 * 5


def test_nothing_is_fetched_and_only_its_own_scripts_run(reader: Reader) -> None:
    text = report(reader, suggested_story(reader), now=0).text
    page = Page(text)
    for _, attrs in page.elements:
        for name in LINKS & attrs.keys():
            assert str(attrs[name]).startswith("data:"), (name, attrs[name])
        assert not any(name.startswith("on") for name in attrs)
    style = text[text.index("<style>") : text.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    (policy,) = [str(a["content"]) for _, a in page.elements if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert len(page.scripts) == 2
    for script in page.scripts:
        assert base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() in policy


def test_what_people_write_is_text(reader: Reader) -> None:
    evil = "</title><script>alert(1)</script><img src=x onerror=alert(2)>"
    caption = evil + "\n\n![x](https://example.org/x.png) [y](javascript:alert(3)) **bold**"
    story = Story(
        name="evil", title=evil, slides=(Slide(view="graph", title=evil, caption=caption), Slide(view="words"))
    )
    page = Page(report(reader, story, now=0).text)

    assert len(page.scripts) == 2
    assert not any(tag == "img" for tag, _ in page.elements)
    assert not any("javascript" in str(attrs.get("href")) for _, attrs in page.elements)
    assert "alert(1)" in page.text


def test_notes_go_with_a_file_where_somebody_wants_it(reader: Reader) -> None:
    slide = Slide(view="words", id="a", notes="<img src=x onerror=alert(1)> **secret**")
    story = Story(name="mine", title="Mine", slides=(slide,))
    assert "secret" not in report(reader, story, now=0).text
    page = Page(report(reader, story, notes=True, now=0).text)
    assert not any(tag == "img" for tag, _ in page.elements)
    assert "secret" in page.text


def test_a_task_is_told_in_steps(reader: Reader) -> None:
    drawn = draw(reader, Slide(view="graph", settings={"task": "nli"}))
    assert drawn.title == "Visual entailment is nearest to Natural language inference: 0.90"
    assert [step.name for step in drawn.steps] == ["All tasks", "Its relatives", "Measured"]
    everything, ego, measured = (step.figure(False) for step in drawn.steps)

    def clear(figure) -> set[str]:  # type: ignore[no-untyped-def]
        points = [trace for trace in figure.data if trace.customdata is not None]
        return {
            name for trace in points for name, shown in zip(trace.customdata, trace.marker.opacity, strict=True)
            if shown == 1
        }  # fmt: skip

    assert len(clear(everything)) == 6
    near = set(reader.graph(reader.zoo(), 3)["nli"]) | {"nli"}
    assert clear(ego) == near
    arrows = [one for one in measured.layout.annotations if one.showarrow]
    assert len(everything.layout.annotations) == 0
    target = reader.graph(reader.zoo(), 3).nodes["nli"]
    assert {(arrow.x, arrow.y) for arrow in arrows} == {(target["x"], target["y"])}
    assert "Visual entailment +7.0" in drawn.sentence, "of 50 + 10 · 0.9 with the donor and 52 without"

    html = report(reader, Story(name="m", title="M", slides=(Slide(view="graph", id="g", settings={"task": "nli"}),)))
    assert len(Page(html.text).figures["data-g-0"]["dark"]) == 3
    at_once = draw(reader, Slide(view="graph", settings={"task": "nli", "steps": "no"}))
    assert at_once.steps == ()
    assert at_once.sentence == drawn.sentence


def test_two_tasks_are_told_in_a_sentence(reader: Reader) -> None:
    drawn = draw(reader, Slide(view="graph", settings={"task": "nli", "other": "visual-entailment"}))
    assert drawn.title == "Visual entailment helps Natural language inference: +7.0 points"
    assert drawn.sentence.startswith("Both ask whether a statement follows from what is given")
    (table,) = drawn.tables
    assert table.frame["Task"].tolist() == 2 * ["Natural language inference"] + 2 * ["Visual entailment"]


def test_the_verdict_is_the_last_step(with_run: Reader) -> None:
    drawn = draw(with_run, Slide(view="graph", settings={"task": "digits"}))
    assert drawn.steps[-1].name == "Verdict"
    assert drawn.sentence == "Use it: 67 % against 20 by the untrained model."


def test_ones_own_task_is_told_where_a_relative_is_on_the_graph(workspace: Workspace) -> None:
    synthetic.own_task(workspace)
    assert suggested_story(Reader(workspace)).slides[0].view == "words", "its relatives are not among these six"


def test_runs_beside_each_other(with_run: Reader) -> None:
    first, second = with_run.finished_runs()[0], synthetic.done(with_run.workspace, gain=2.0, seed=1)
    runs = f"{first.id}.{second.id}"
    drawn = draw(with_run, Slide(view="comparison", settings={"runs": runs}))
    assert drawn.title == "Run A scores 67.0, B 63.3"
    loss = draw(with_run, Slide(view="comparison", settings={"runs": runs, "show": "held-out-loss"}))
    assert [len(trace.x) for trace in loss.panels[0].figure(False).data] == [3, 3]
    with pytest.raises(BadInput, match="unknown show"):
        draw(with_run, Slide(view="comparison", settings={"runs": runs, "show": "dance"}))


def test_how_sure_an_expert_is(reader: Reader) -> None:
    directory = reader.kept.new_expert_dir("lora", "nli")
    synthetic.make_expert(directory, "lora", "f" * 64)
    slide = Slide(view="calibration", settings={"kind": "lora", "expert": "nli"})
    with pytest.raises(ArtefactError, match="has not been calibrated"):
        draw(reader, slide)
    right = [True, True, False, False]
    curves = {"before": reliability([0.9, 0.9, 0.9, 0.9], right), "after": reliability([0.6, 0.6, 0.6, 0.6], right)}
    card = replace(read_card(directory), temperature=2.0, calibration={n: c.to_json() for n, c in curves.items()})
    write_card(card, directory)
    drawn = draw(reader, slide)
    assert drawn.title == "What nli says of its own sureness is off by 10.0 points"
    assert "Before calibration it was 40.0" in drawn.sentence
    assert [len(trace.x) for trace in drawn.panels[0].figure(False).data] == [2, 1, 1]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "Use it: 67 % against 20 by the untrained model"),
        ({"baselines": {"single": 61.0, "backbone": 72.0}}, "Do not use it: 67 % against 72 by the untrained model"),
        ({"baselines": {"single": 61.0, "backbone": 66.8}}, "against 66.8 by the untrained model"),
        ({"metric": "cider"}, "Use it: 67 against 20 by the untrained model"),
        ({"score": None}, "Not known yet"),
    ],
)
def test_the_verdict_in_a_line(with_run: Reader, changes: dict[str, Any], said: str) -> None:
    result = {**with_run.result(with_run.finished_runs()[0]), "guessing": {"chance": 10.0, "largest": 9.0}, **changes}
    assert said in verdict_line(result, judge_run([result]))


def test_captions() -> None:
    assert parts("a *b*\n\nc\n\n- d") == ("<p>a <em>b</em></p>\n", "<p>c</p>\n<ul>\n<li>d</li>\n</ul>\n")
    assert parts("") == ("", "")
    assert parts("- a\n- b\n\nc")[1] == "<p>c</p>\n"
    assert render("a **b**\n\n|x|y|\n|-|-|\n|1|2|").startswith("<p>a <strong>b</strong></p>\n<table>")
    assert render("<b>") == "<p>&lt;b&gt;</p>\n"
    assert render("[a](https://example.org)") == '<p><a href="https://example.org">a</a></p>\n'


def test_a_damaged_view_does_not_tell_where_the_workspace_is(reader: Reader) -> None:
    path = reader.kept.transfer_path("lora")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("target,donor\nbroken")
    story = Story(name="mine", title="Mine", slides=(Slide(view="transfer"), Slide(view="result")))
    made = report(reader, story, now=0)
    assert 1 in made.problems
    assert path.name in made.problems[1]
    for folder in (reader.workspace.root, reader.workspace.root.parent):
        assert str(folder) not in "".join(made.problems.values())
        assert str(folder) not in made.text


def test_a_slide_that_cannot_be_drawn_says_why_and_the_others_stay(reader: Reader) -> None:
    slides = (Slide(view="result", settings={"run": "gone"}), Slide(view="graph", settings={"kind": "prefix"}),
              Slide(view="graph", id="last"))  # fmt: skip
    made = report(reader, Story(name="mine", title="Mine", slides=slides), now=0)
    assert list(made.problems) == [1, 2]
    page = Page(made.text)
    assert list(page.figures) == ["data-last-0"]
    assert "pituning embed --all --kind prefix" in page.text


@pytest.mark.parametrize(
    ("view", "settings", "said"),
    [
        ("graph", {"task": "nope"}, "unknown task"),
        ("graph", {"colour": "pink"}, "unknown colour"),
        ("graph", {"predictor": "magic"}, "unknown predictor"),
        ("graph", {"kind": "magic"}, "unknown expert kind"),
        ("similarity", {"order": "random"}, "unknown order"),
        ("map", {"method": "magic"}, "unknown method"),
        ("map", {"n_neighbors": 1}, "n_neighbors is 1"),
        ("map", {"n_neighbors": 9, "min_dist": 0.1}, "computed yet, with neighbours 9 and least distance 0.1"),
        ("affinity", {"table": "nope"}, "unknown table"),
        ("map", {}, "no UMAP map of LoRA experts, common probe has been computed yet"),
        ("neighbours", {"task": "nope"}, "unknown task"),
        ("transfer", {"shots": 3}, "choose 16"),
        ("prediction", {"task": "nope"}, "unknown task"),
        ("study", {}, "has not been made for lora experts"),
        ("result", {}, "no low-shot run has finished yet"),
        ("graph", {"task": "nli", "other": "nope"}, "unknown task"),
        ("graph", {"task": "nli", "steps": "slowly"}, "unknown steps"),
        ("parts", {"task": "nli", "other": "nli"}, "needs two tasks that differ"),
        ("parts", {"task": "nli", "other": "rte"}, "cannot be told by layer"),
        ("comparison", {"runs": "one"}, "needs two runs"),
        ("calibration", {}, "no expert is chosen"),
    ],
)
def test_settings_that_name_nothing(reader: Reader, view: str, settings: dict[str, str | int], said: str) -> None:
    with pytest.raises((BadInput, ArtefactError), match=said):
        draw(reader, Slide(view=view, settings=settings))


def test_every_part_of_a_result(with_run: Reader) -> None:
    curves = draw(with_run, Slide(view="result", settings={"show": "curves"}))
    assert [panel.title for panel in curves.panels] == ["Loss on the shots", "Loss on held-out shots"]
    assert {trace.name for trace in curves.panels[0].figure(False).data} >= {"π-tuning", "Single expert"}
    scores = draw(with_run, Slide(view="result"))
    assert scores.tables[0].frame["π minus it"][1] == "+6.0 (+3.5 to +8.5)"
    assert scores.tables[1].frame["Weight"].tolist() == ["40%", "30%", "20%", "10%"]
    assert "To compare: always the largest class scores 8.0, at random scores 9.9." in scores.reading


def test_the_low_shot_study(reader: Reader) -> None:
    synthetic.study(reader.workspace)
    assert "study" in [slide.view for slide in suggested_story(reader).slides]

    drawn = draw(reader, Slide(view="study"))
    assert drawn.title == "π-tuning gains over single expert: +10.0 (+10.0 to +10.0) points"
    assert "gains +10.0 (+10.0 to +10.0) points over single expert and is better on 2 of 2 targets" in drawn.reading
    assert "16 shots per class, 2 seeds." in drawn.reading
    assert drawn.panels[0].figure(True).data[-1].x == (10.0,)
    (table,) = drawn.tables
    assert table.frame.set_index("Method").loc["Placebo donors", ["Score", "π gains"]].tolist() == ["49.0", "+13.0"]
    assert table.frame["Method"].tolist()[-2:] == ["Always the largest class", "At random"]
    (file,) = drawn.files
    assert file.data.count(b"\n") == 1 + 4 * len(synthetic.STUDIED)

    assert "over placebo donors: +13.0" in draw(reader, Slide(view="study", settings={"over": "placebo"})).title
    for settings, said in (
        ({"over": "full"}, "unknown method 'full'"),
        ({"shots": 4}, "choose 0, 16"),
        ({"shots": 0}, "has not been compared at 0 shots"),
        ({"kind": "prefix"}, "not been made for prefix"),
    ):
        with pytest.raises((BadInput, ArtefactError), match=said):
            draw(reader, Slide(view="study", settings=settings))


def test_a_map(reader: Reader) -> None:
    points = np.arange(12.0).reshape(6, 2)
    none = np.empty((0, 6, 2))
    made = TaskMap(points=points, trustworthiness=0.9, resampled=none, layers=none)
    names = tuple(reader.zoo().names)
    save_projection(
        reader.workspace.zoo(),
        Projection(kind="lora", predictor="probe", similarity="older", settings=MapSettings(), names=names, layers=(),
                   neighbours=2, maps={"umap": made}),
    )  # fmt: skip
    drawn = draw(reader, Slide(view="map"))
    shown = {
        name: (x, y)
        for trace in drawn.panels[0].figure(False).data
        for name, x, y in zip(trace.customdata if trace.customdata is not None else (), trace.x, trace.y, strict=False)
    }
    assert shown == {name: tuple(point) for name, point in zip(names, points.tolist(), strict=True)}
    assert "Trustworthiness 0.90" in drawn.reading
    assert "have changed since" in drawn.reading
    assert "map" in [slide.view for slide in suggested_story(reader).slides]


@pytest.mark.parametrize(
    ("table", "settings", "title"),
    [
        ("source,target,value\nnli,Depth (mm),0.9\nDepth (mm),nli,0.4\n", {},
         "Natural language inference gives most to Depth (mm): 0.9"),
        ("source,target,value\nnli,a,0.9\na,nli,0.4\nb,a,0.6\n", {"first": "a"},
         "a receives most from Natural language inference: 0.9"),
        ("source,target,value\nx,a,0.9\na,x,-0.4\nb,a,0.6\n", {"first": "a", "second": "x"},
         "a gives x −0.4 and receives 0.9"),
        ("task,a,b,c\na,,0.2,0.7\nb,0.2,,\nc,0.7,,\n", {}, "a and c belong together most: 0.7"),
        ("task,a,b,c\na,,0.2,0.7\nb,0.2,,\nc,0.7,,\n", {"first": "b", "second": "c"}, "b and c: what is not known"),
    ],
)  # fmt: skip
def test_a_table_from_elsewhere(reader: Reader, table: str, settings: dict[str, str], title: str) -> None:
    save_affinity(reader.workspace, "outside", parse_affinity(table.encode()))
    drawn = draw(reader, Slide(view="affinity", settings={"table": "outside", **settings}))
    assert drawn.title == title
    assert drawn.panels[0].figure(True).data
    assert set(drawn.tables[0].frame["Value"]) <= {"0.9", "0.4", "−0.4", "0.6", "0.2", "0.7"}


def test_the_example_of_the_suggestion_crosses_modalities(reader: Reader) -> None:
    assert bridge(reader.zoo()) == "nli"


def test_a_bare_workspace_suggests_words_alone(tmp_path) -> None:  # type: ignore[no-untyped-def]
    bare = Workspace(Workspace.open(tmp_path / "bare").root, embedded=None)
    assert [slide.view for slide in suggested_story(Reader(bare)).slides] == ["words"]
