"""Pages with names as long as they may be: nothing sticks out, and nothing lies over anything else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from benchmarks.browser import SECOND
from pituning.workspace.layout import DATA_VARIABLE
from tests.app import long_names
from tests.browser.conftest import Studio, no_errors, settle

pytestmark = [pytest.mark.browser, pytest.mark.slow]

LEAST_ELEMENTS = 8
"""Of any page; fewer would mean that it was looked at too early."""

LAYOUT = """() => {
    const root = document.scrollingElement, main = document.querySelector('[data-testid="stMain"]')
    const boxes = [...document.querySelectorAll('[data-testid="stMain"] [data-testid="stElementContainer"]')]
        .map((element) => [element, element.getBoundingClientRect()])
        .filter(([element, box]) => box.width > 1 && box.height > 1 && element.checkVisibility())
        .filter(([element]) => !element.closest('[data-testid="stBottom"]')) // pinned
    const name = (element) => `${element.className.match(/st-key-[^ ]+/) ?? ''} “${element.innerText.slice(0, 40)}”`
    const over = []
    for (const [i, [a, p]] of boxes.entries())
        for (const [b, q] of boxes.slice(i + 1)) {
            const across = Math.min(p.right, q.right) - Math.max(p.left, q.left)
            const down = Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top)
            if (across > 2 && down > 2 && !a.contains(b) && !b.contains(a)) over.push([name(a), name(b), across, down])
        }
    return {
        page: root.scrollWidth - root.clientWidth,
        main: main.scrollWidth - main.clientWidth,
        outside: boxes.filter(([, box]) => box.right > root.clientWidth + 1 || box.left < -1).map(([one]) => name(one)),
        over,
        count: boxes.length,
    }
}"""


@pytest.fixture(scope="module")
def studio_of_long_names(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """A Studio on the workspace of `long_names`, without the data that ships."""
    folder = tmp_path_factory.mktemp("long")
    long_names.make(folder / "workspace").engine.dispose()
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv(DATA_VARIABLE, "")
        made = Studio(folder / "workspace", folder / "app.log")
        made.start()
        yield made
        made.stop()
    assert "Traceback" not in made.log.read_text()


def layout(page: Page) -> dict[str, Any]:
    measures: dict[str, Any] = page.evaluate(LAYOUT)
    return measures


@pytest.mark.timeout(600)
def test_long_names_break_no_page(studio_of_long_names: Studio, page: Page) -> None:
    for name, address in long_names.ADDRESSES.items():
        page.set_viewport_size({"width": 1280, "height": 900})
        page.goto(f"{studio_of_long_names.url}/{address}")
        for width in (1280, 800):
            page.set_viewport_size({"width": width, "height": 900})
            settle(page)
            page.get_by_role("heading").first.wait_for()
            page.wait_for_timeout(1.5 * SECOND)  # charts take their size

            actual = layout(page)

            assert actual["count"] >= LEAST_ELEMENTS, name
            assert (max(actual["page"], 0), max(actual["main"], 0)) == (0, 0), (name, width)
            assert (actual["outside"], actual["over"]) == ([], []), (name, width)
            no_errors(page)


def test_a_broken_layout_would_be_seen(studio_of_long_names: Studio, page: Page) -> None:
    page.set_viewport_size({"width": 800, "height": 900})
    page.goto(f"{studio_of_long_names.url}/{long_names.ADDRESSES['experts']}")
    settle(page)
    page.get_by_role("heading", name=long_names.TITLE).wait_for()
    page.add_style_tag(content="h2 { white-space: nowrap } h2 * { overflow: visible !important; font-size: 4rem }")
    page.add_style_tag(content='[data-testid="stButton"] { width: 900px }')
    page.add_style_tag(content='[data-testid="stElementContainer"] { margin-bottom: -30px; flex-shrink: 0 }')

    actual = layout(page)

    assert actual["over"]
    assert actual["main"] > 0 or actual["outside"]


def test_the_first_visit_begins_with_a_tour_and_the_second_does_not(studio_of_long_names: Studio, page: Page) -> None:
    page.add_init_script("Object.defineProperty(navigator, 'webdriver', {get: () => false})")  # as people have it
    page.goto(f"{studio_of_long_names.url}/graph")  # a deep link leads where it leads
    settle(page)
    expect(page.get_by_role("dialog")).to_have_count(0)

    page.goto(studio_of_long_names.url)
    expect(page.get_by_text("Step 1 of 4")).to_be_visible()
    page.get_by_role("button", name="Next").press("Enter")
    expect(page.get_by_text("Step 2 of 4")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)

    page.reload()
    settle(page)
    page.wait_for_timeout(SECOND)  # it would be asked for by now
    expect(page.get_by_role("dialog")).to_have_count(0)
    no_errors(page)
