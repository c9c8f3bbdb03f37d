"""A story in Chromium: shown in the app, and as a file that is opened from disk without any network."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from benchmarks.browser import SECOND
from pituning.reports.document import report
from pituning.reports.reader import Reader
from pituning.reports.suggestion import suggested_story
from tests.app import synthetic
from tests.browser.conftest import Studio, no_errors, settle

pytestmark = pytest.mark.browser


def test_an_exported_story_works_offline(chromium: Browser, tmp_path: Path) -> None:
    workspace = synthetic.make_workspace(tmp_path / "w")
    synthetic.done(workspace)
    story = suggested_story(Reader(workspace))
    file = tmp_path / "story.html"
    file.write_text(report(Reader(workspace), story).text, encoding="utf-8")
    context = chromium.new_context(viewport={"width": 1280, "height": 800}, offline=True, accept_downloads=True)
    page = context.new_page()
    page.set_default_timeout(60 * SECOND)
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: errors.append(str(error)))

    page.goto(file.as_uri())
    count = len(story.slides)
    expect(page.locator("#counter")).to_have_text(f"1 / {count}")
    for number in range(2, count + 1):
        page.keyboard.press("ArrowRight")
        expect(page.locator("#counter")).to_have_text(f"{number} / {count}")
        expect(page.locator(".slide.current .plot .main-svg").first).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#counter")).to_have_text(f"{count - 1} / {count}")
    page.keyboard.press("Home")
    expect(page.get_by_role("heading", name="Which tasks help each other?")).to_be_visible()

    page.goto(f"{file.as_uri()}#2")
    expect(page.locator(".slide.current h2")).to_have_text("What is alike")
    for suffix, magic in (("png", b"\x89PNG"), ("svg", b"<svg")):
        with page.expect_download() as download:
            page.locator(f".slide.current [data-save={suffix}]").click()
        assert download.value.suggested_filename == f"task-graph-lora-probe.{suffix}"
        assert Path(download.value.path()).read_bytes().startswith(magic)
        page.locator(".slide.current .plot").hover()
        with page.expect_download() as download:
            page.locator(f'.slide.current .modebar-btn[data-title="Download as {suffix.upper()}"]').click()
        assert Path(download.value.path()).read_bytes().startswith(magic)
    with page.expect_download() as download:
        page.get_by_role("link", name="GraphML").click()
    assert b"<graphml" in Path(download.value.path()).read_bytes()

    page.emulate_media(color_scheme="dark")
    expect(page.locator(".slide.current .main-svg").first).to_have_attribute("style", "background: rgb(15, 21, 28);")
    page.keyboard.press("Escape")
    expect(page.locator(".plot .main-svg").last).to_be_visible()
    assert len(page.pdf()) > 10_000
    assert errors == []
    context.close()


@pytest.mark.slow
def test_a_story_is_shown_with_the_keyboard_and_exported(studio: Studio, page: Page) -> None:
    page.goto(f"{studio.url}/present?story=overview&slide=2")
    settle(page)
    page.get_by_role("button", name="Show", exact=True).click()
    expect(page.locator("nav.bar output")).to_have_text(re.compile(r"2 / \d+"))
    expect(page.get_by_role("heading", name="What is alike")).to_be_visible()
    for key, number, heading in (
        ("ArrowRight", 3, "Every pair"), ("ArrowLeft", 2, "What is alike"), ("Home", 1, "Which tasks help each other?"),
    ):  # fmt: skip
        page.keyboard.press(key)
        expect(page.get_by_role("heading", name=heading)).to_be_visible()
        expect(page.locator("nav.bar output")).to_have_text(re.compile(rf"{number} / \d+"))
        expect(page).to_have_url(f"{studio.url}/present?story=overview&slide={number}&show=1")
        no_errors(page)
    page.keyboard.press("Escape")
    expect(page.get_by_role("heading", name="Present")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("button", name="Export HTML").click()
    assert download.value.suggested_filename == "overview.html"
    assert Path(download.value.path()).stat().st_size > 4_000_000
    no_errors(page)
