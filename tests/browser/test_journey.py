"""From a first look to a file for others: explore, launch, watch, compare, export, present."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from benchmarks.browser import SECOND
from pituning.runs.queue import RunQueue
from pituning.workspace.layout import Workspace
from tests.browser.conftest import Studio, no_errors, press, settle
from tests.browser.test_runs import PATIENCE, has_result, make_small, start

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(900)]


def test_explore_launch_watch_compare_export_present(studio: Studio, page: Page, tmp_path: Path) -> None:
    page.goto(studio.url)
    settle(page)
    page.get_by_role("button", name="Explore the task graph").click()
    label = page.locator(".st-key-graph_chart svg text", has_text="Sentiment")
    expect(label).to_be_visible()
    # The panel beside the graph makes it narrower when it comes, which moves the label.
    expect(page.get_by_text("No task chosen")).to_be_visible()
    settle(page)
    press(label)
    expect(page.get_by_text("Nearest tasks")).to_be_visible()
    expect(page.get_by_text("Measured transfer", exact=False).last).to_be_visible()
    page.get_by_role("button", name="Use as target of a run").click()

    page.wait_for_url("**/new-run?target=sentiment")
    settle(page)
    expect(page.get_by_text("32 examples")).to_be_visible()
    seeds = page.locator(".st-key-seeds input")
    seeds.fill("2")
    seeds.press("Enter")
    settle(page)
    make_small(page, steps=8, by_hand=True)
    expect(page.get_by_text("2 runs, one after the other")).to_be_visible()
    first = start(page)

    page.locator(".st-key-run_view").get_by_text("Donor weights", exact=True).click()
    expect(page.locator(".js-plotly-plot .main-svg").first).to_be_visible(timeout=PATIENCE)
    has_result(page)
    queue = RunQueue(Workspace.open(studio.workspace))
    (second,) = [run.id for run in queue.list() if run.id != first]
    page.goto(f"{studio.url}/runs?run={second}")
    settle(page)
    has_result(page)
    assert queue.get(second).spec.config["seed"] == 1

    page.goto(f"{studio.url}/runs?compare={first},{second}")
    settle(page)
    for name in ("Scores", "Curves", "Answers"):
        expect(page.get_by_role("heading", name=name, exact=True)).to_be_visible()
    no_errors(page)

    page.goto(f"{studio.url}/experts?expert=lora%2Fsentiment-pi-16-shot-0")
    settle(page)
    expect(page.get_by_role("heading", name="Sentiment")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_test_id("stDownloadButton").get_by_role("button").click()
    kept = tmp_path / "expert.zip"
    download.value.save_as(kept)
    assert {"adapter_config.json", "adapter_model.safetensors"} <= {
        Path(name).name for name in zipfile.ZipFile(kept).namelist()
    }
    no_errors(page)

    page.goto(f"{studio.url}/present")
    settle(page)
    page.get_by_role("button", name="Export").click()
    with page.expect_download(timeout=120 * SECOND) as download:
        page.get_by_role("button", name="Export HTML").click()
    story = tmp_path / "story.html"
    download.value.save_as(story)
    assert "Sentiment" in story.read_text(encoding="utf-8")
    page.get_by_role("button", name="Show", exact=True).click()
    slide = page.frame_locator("iframe[title=Slide]")
    # The preview counts the slides, too, and turns by no key.
    expect(slide.locator("html")).to_have_attribute("data-view", "show")
    counter = slide.locator("#counter")
    expect(counter).to_contain_text("1 /")
    page.evaluate("document.activeElement.blur()")  # as when the page is drawn anew around the frame
    page.keyboard.press("ArrowRight")
    expect(counter).to_contain_text("2 /")
    no_errors(page)
