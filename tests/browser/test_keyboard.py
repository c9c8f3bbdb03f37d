"""From a first look to a run that has begun, without a mouse."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from benchmarks.browser import SECOND
from pituning.runs.queue import RunQueue
from pituning.workspace.layout import Workspace
from tests.browser.conftest import Studio, no_errors, settle

pytestmark = [pytest.mark.browser, pytest.mark.slow]

MOST_TABS = 120
FOCUSED = """() => {
    let focused = document.activeElement
    while (focused?.shadowRoot?.activeElement) focused = focused.shadowRoot.activeElement
    const label = focused?.getAttribute('aria-label')
    const text = focused?.matches('button, a, [role=button], [role=link]') ? focused.innerText : ''  // no whole page
    const box = focused?.getBoundingClientRect()
    return { name: (label || text || '').trim(), seen: box && box.top >= 0 && box.bottom <= innerHeight + 1 }
}"""


def tab_to(page: Page, name: str) -> None:
    """Presses Tab until what has that name has the focus, and can be seen."""
    passed = []
    for _ in range(MOST_TABS):
        page.keyboard.press("Tab")
        focused = page.evaluate(FOCUSED)
        if name in focused["name"].split("\n"):
            page.wait_for_function(f"() => ({FOCUSED})().seen")  # the browser scrolls to it
            return
        passed.append(focused["name"])
    raise AssertionError(f"{name!r} cannot be reached by Tab; on the way: {passed}")


def test_a_run_is_started_by_the_keyboard_alone(studio: Studio, page: Page) -> None:
    page.goto(studio.url)
    settle(page)
    tab_to(page, "Explore the task graph")
    page.keyboard.press("Enter")
    page.wait_for_url("**/graph*")
    settle(page)

    tab_to(page, "Task")
    page.keyboard.type("Sentiment")
    page.keyboard.press("Enter")
    settle(page)
    expect(page).to_have_url(f"{studio.url}/graph?task=sentiment")
    expect(page.get_by_role("heading", name="Sentiment")).to_be_visible()

    tab_to(page, "Use as target of a run")
    page.keyboard.press("Enter")
    page.wait_for_url("**/new-run?target=sentiment")
    settle(page)
    tab_to(page, "Start")
    page.keyboard.press("Enter")
    page.wait_for_url("**/runs?run=*", timeout=60 * SECOND)
    settle(page)
    tab_to(page, "Cancel")
    page.keyboard.press("Enter")
    settle(page)
    queue = RunQueue(Workspace.open(studio.workspace))
    (run,) = queue.list()
    page.wait_for_function("() => /Stopping|Cancelled/.test(document.body.innerText)")
    assert queue.get(run.id).cancel_requested or queue.get(run.id).state == "cancelled"
    no_errors(page)
