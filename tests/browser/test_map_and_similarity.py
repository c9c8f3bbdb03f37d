from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Studio, no_errors, settle

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture
def studio(standing: Studio) -> Studio:
    """Here nothing is changed."""
    return standing


def test_a_click_on_a_cell_opens_its_pair(studio: Studio, page: Page) -> None:
    page.emulate_media(reduced_motion="reduce")  # what a click opens is scrolled to at once
    page.goto(f"{studio.url}/similarity?order=Name")
    settle(page)
    cells = page.locator(".st-key-matrix .nsewdrag").first
    expect(cells).to_be_visible()
    expect(page.get_by_text("No pair chosen")).to_be_visible()
    for row, column in ((3, 7), (12, 2)):
        cells.evaluate("cells => cells.scrollIntoView({block: 'center'})")
        box = cells.bounding_box()
        assert box is not None
        before = page.url
        page.mouse.click(box["x"] + box["width"] * (column + 0.3) / 20, box["y"] + box["height"] * (row + 0.7) / 20)
        expect(page.get_by_text("Where they are alike")).to_be_visible()
        expect(page.get_by_role("heading", name="One pair")).to_be_in_viewport()
        expect(page).not_to_have_url(before)  # the pair of the first click is not that of the second
        expect(page).to_have_url(re.compile(r"task=[a-z-]+&other=[a-z-]+"))
        settle(page)
    names = re.search(r"task=([a-z-]+)&other=([a-z-]+)", page.url)
    assert names is not None
    no_errors(page)

    page.locator('[data-testid="stPageLink"]').first.click()
    settle(page)
    expect(page).to_have_url(re.compile(rf"/graph\?.*task={names[1]}"))
    no_errors(page)


def test_a_lasso_on_the_map_picks_tasks_out_on_all_pages(studio: Studio, page: Page) -> None:
    page.goto(f"{studio.url}/map?large=PCA")
    settle(page)
    canvas = page.locator(".st-key-map_pca .nsewdrag").first
    expect(canvas).to_be_visible()
    box = canvas.bounding_box()
    assert box is not None
    left, right = box["x"] + 4, box["x"] + box["width"] * 0.55
    top, bottom = box["y"] + 4, box["y"] + box["height"] - 4
    page.mouse.move(left, top)
    page.mouse.down()
    for x, y in ((right, top), (right, bottom), (left, bottom), (left, top)):
        page.mouse.move(x, y, steps=8)
    page.mouse.up()

    expect(page).to_have_url(re.compile(r"tasks=[a-z-]+(%2C|,)"))
    settle(page)
    no_errors(page)
    picked = page.locator('[data-testid="stMultiSelect"] [data-baseweb="tag"]').count()
    page.get_by_role("link", name=re.compile("Compare these")).click()
    expect(page.get_by_role("heading", name="Similarity", exact=True)).to_be_visible()
    settle(page)
    expect(page.get_by_text(re.compile(r"\d+ of 20 tasks\."))).to_be_visible()
    if picked:
        expect(page.get_by_text(f"{picked} of 20 tasks.")).to_be_visible()
    no_errors(page)
