"""A story in Chromium: made of pins, shown in the app, and as a file that is opened from disk without any network."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Frame, Page, expect

from benchmarks.browser import SECOND
from pituning.reports.document import report
from pituning.reports.reader import Reader
from pituning.reports.suggestion import suggested_story
from tests.app import synthetic
from tests.browser.conftest import Studio, no_errors, settle

pytestmark = pytest.mark.browser

LETTERS = """() => {
    const slide = document.querySelector(".slide.current"), size = (one) => parseFloat(getComputedStyle(one).fontSize)
    const texts = [...slide.querySelectorAll(".plot svg text")].filter((one) => one.textContent.trim())
    const scale = new DOMMatrix(getComputedStyle(slide.querySelector(".plot")).transform).a
    const room = slide.querySelector(".panels").getBoundingClientRect()
    const drawn = slide.querySelector(".plot").getBoundingClientRect()
    return {
        words: size(slide.querySelector(".sentence:not([hidden]) p")),
        smallest: scale * Math.min(...texts.map(size)), largest: scale * Math.max(...texts.map(size)),
        filled: room.width * room.height / (innerWidth * innerHeight),
        drawn: drawn.width * drawn.height / (room.width * room.height),
    }
}"""
"""Sizes of letters on the slide that is shown, in pixels, and the shares of the window and of its room that the figure
takes."""


def check_letters(frame: Frame | Page, height: float) -> None:
    """Type at 2 to 3 % of the height, and a figure that fills the slide."""
    sizes = frame.evaluate(LETTERS)
    assert 0.02 <= sizes["words"] / height <= 0.03, sizes
    assert 0.02 <= sizes["smallest"] / height <= sizes["largest"] / height <= 0.03, sizes
    assert sizes["filled"] > 0.6, sizes
    assert sizes["drawn"] > 0.98, sizes


def pages_of(pdf: bytes) -> int:
    return len(re.findall(rb"/Type\s*/Page\b", pdf))


def offline(chromium: Browser, errors: list[str], *, width: int = 1280, height: int = 720) -> BrowserContext:
    context = chromium.new_context(viewport={"width": width, "height": height}, offline=True, accept_downloads=True)
    context.on("console", lambda message: errors.append(message.text) if message.type in ("error", "warning") else None)
    context.on("weberror", lambda error: errors.append(str(error.error)))
    context.set_default_timeout(60 * SECOND)
    return context


def test_an_exported_story_works_offline(chromium: Browser, tmp_path: Path) -> None:
    workspace = synthetic.make_workspace(tmp_path / "w")
    synthetic.own_task(workspace)
    story = suggested_story(Reader(workspace))
    file = tmp_path / "story.html"
    file.write_text(report(Reader(workspace), story, notes=True).text, encoding="utf-8")
    errors: list[str] = []
    context = offline(chromium, errors)
    page = context.new_page()

    page.goto(file.as_uri())
    count = len(story.slides)
    expect(page.locator("#counter")).to_have_text(f"1 / {count}")
    for step in ("All tasks", "Its relatives", "Verdict"):
        expect(page.locator(".slide.current .steps .now")).to_have_text(step)
        expect(page.locator(".slide.current .sentence:visible")).to_have_count(1)
        page.keyboard.press("ArrowRight")
    expect(page.get_by_role("heading", name="Use it: 67 % against 50 by the largest class")).to_be_visible()
    check_letters(page, 720)
    for number in range(3, count + 1):
        page.keyboard.press("PageDown")
        expect(page.locator("#counter")).to_have_text(f"{number} / {count}")
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    expect(page.locator(".slide.current .plot .main-svg").first).to_be_visible()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#counter")).to_have_text(f"{count - 1} / {count}")

    page.goto(f"{file.as_uri()}#1.3")
    expect(page.locator(".slide.current .sentence:visible")).to_contain_text("Use it: 67 %")
    page.keyboard.press("d")
    for suffix, magic in (("png", b"\x89PNG"), ("svg", b"<svg")):
        with page.expect_download() as download:
            page.locator(f".slide.current [data-save={suffix}]").click()
        assert download.value.suggested_filename == f"task-graph-lora-probe-my-reviews.{suffix}"
        assert Path(download.value.path()).read_bytes().startswith(magic)
    with page.expect_download() as download:
        page.get_by_role("link", name="GraphML").click()
    assert b"<graphml" in Path(download.value.path()).read_bytes()
    page.keyboard.press("Escape")
    with page.expect_popup() as popup:
        page.keyboard.press("n")
    notes = popup.value
    expect(notes.locator("#notes")).to_contain_text("This is our own task")
    notes.get_by_role("button", name="Next").click()
    expect(page.locator("#counter")).to_have_text(f"2 / {count}")
    expect(notes.locator("#now")).to_contain_text("Use it: 67 %")
    notes.close()

    page.emulate_media(color_scheme="dark")
    expect(page.locator(".slide.current .main-svg").first).to_have_attribute("style", "background: rgb(15, 21, 28);")
    assert pages_of(page.pdf(prefer_css_page_size=True)) == count
    page.keyboard.press("Escape")
    expect(page.locator(".plot .main-svg").last).to_be_visible()
    violations = Axe().run(page).response["violations"]
    assert [one["id"] for one in violations if one["impact"] in ("serious", "critical")] == []

    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{file.as_uri()}#1")
    page.reload()
    expect(page.locator(".slide:visible")).to_have_count(count)  # one below the other
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    assert page.evaluate(f"({LETTERS})().words") >= 16
    assert errors == []
    context.close()


def pin(page: Page, key: str) -> None:
    page.locator(f".st-key-pin-{key}").get_by_role("button", name="Pin").click()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_from_an_edge_to_a_talk(studio: Studio, page: Page, chromium: Browser, tmp_path: Path) -> None:
    page.goto(f"{studio.url}/graph?task=nli&other=visual-entailment")
    settle(page)
    expect(page.get_by_text("Both ask whether a statement follows from what is given")).to_be_visible()
    told = page.locator(".st-key-pin_told")
    pin(page, "pair")
    expect(told).to_contain_text("Slide 1 of “My story”: Visual entailment helps Natural language inference: +")
    for address, key, headline in (
        ("Similarity", "matrix", "Grounding by place and Grounding by look are nearest: 0.70"),
        ("Transfer", "transfer_matrix", "helped"),
        ("Transfer", "predicted", "Similarity predicted"),
    ):
        page.get_by_role("link", name=address, exact=True).click()
        settle(page)
        pin(page, key)
        expect(told).to_contain_text(headline)
    told.get_by_role("button", name="Undo").click()
    expect(told).to_have_count(0)
    pin(page, "predicted")
    expect(told).to_contain_text("Slide 4 of “My story”")
    told.get_by_role("button", name="Open the story").click()
    settle(page)

    thumbs = page.locator("#rail .thumb")
    expect(thumbs).to_have_count(4)
    first, last = thumbs.first.inner_text(), thumbs.last.inner_text()
    box, target = thumbs.last.bounding_box(), thumbs.first.bounding_box()
    assert box is not None
    assert target is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(target["x"] + box["width"] / 2, target["y"] + 60, steps=6)
    page.mouse.move(target["x"] + box["width"] / 2, target["y"] + 4, steps=3)
    page.mouse.up()
    expect(thumbs.first).to_contain_text(last.splitlines()[-1])
    expect(page).to_have_url(re.compile("slide=1"))
    expect(thumbs.first).to_have_attribute("aria-current", "true")
    thumbs.first.focus()
    page.keyboard.press("Alt+ArrowDown")
    expect(thumbs.first).to_contain_text(first.splitlines()[-1])
    page.keyboard.press("d")
    expect(thumbs).to_have_count(5)
    settle(page)
    page.keyboard.press("Delete")
    expect(thumbs).to_have_count(4)
    page.get_by_role("button", name="Undo", exact=True).first.click()
    expect(thumbs).to_have_count(5)
    page.get_by_role("button", name="Undo", exact=True).first.click()
    expect(thumbs).to_have_count(4)
    settle(page)
    no_errors(page)

    page.set_viewport_size({"width": 1920, "height": 1080})
    thumbs.first.click()
    expect(page).to_have_url(re.compile("slide=1"))
    settle(page)
    page.get_by_role("button", name="Show", exact=True).click()
    frame = page.frames[-1]
    expect(page.locator("iframe[title=Slide]")).to_be_focused()
    expect(frame.locator("html")).to_have_attribute("data-view", "show")
    expect(frame.locator("#counter")).to_have_text("1 / 4")
    for step in ("All tasks", "Its relatives", "Measured"):
        expect(frame.locator(".slide.current .steps .now")).to_have_text(step)
        if step != "Measured":
            page.keyboard.press("ArrowRight")
    expect(frame.locator(".slide.current .sentence:visible")).to_contain_text("Both ask whether a statement follows")
    for number in range(1, 5):
        expect(frame.locator("#counter")).to_have_text(f"{number} / 4")
        expect(page).to_have_url(re.compile(rf"slide={number}&show=1|show=1.*slide={number}"))
        frame.locator(".slide.current .plot .main-svg").first.wait_for()
        check_letters(frame, 1080)
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Escape")
    expect(page.get_by_role("heading", name="Present")).to_be_visible()
    expect(page).to_have_url(re.compile(r"slide=4(?!.*show)"))
    settle(page)

    page.get_by_role("button", name="Export").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Export HTML").click()
    file = tmp_path / "story.html"
    download.value.save_as(file)
    assert file.stat().st_size > 4_000_000
    no_errors(page)
    errors: list[str] = []
    context = offline(chromium, errors, width=1920, height=1080)
    alone = context.new_page()
    alone.goto(file.as_uri())
    expect(alone.locator(".slide")).to_have_count(4)
    expect(alone.locator(".slide.current .main-svg").first).to_be_visible()
    check_letters(alone, 1080)
    assert pages_of(alone.pdf(prefer_css_page_size=True)) == 4
    assert errors == []
    context.close()
