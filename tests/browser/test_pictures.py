"""Charts saved as pictures in Chromium: the files are what they are called and show what the page shows."""

from __future__ import annotations

import io
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.browser.conftest import Studio, no_errors, settle

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture
def studio(standing: Studio) -> Studio:
    """Here nothing is changed."""
    return standing


SVG = "{http://www.w3.org/2000/svg}"
NEAR = 5
"""Mean difference of grey levels, of 255, between a page and a picture of it."""


def save(page: Page, chart: str, file_format: str) -> tuple[str, bytes]:
    """Clicks on the button below a chart; name and content of the file that comes."""
    with page.expect_download() as download:
        page.locator(f".st-key-save-{chart}").get_by_role("button", name=f"as {file_format}").click()
    return download.value.suggested_filename, Path(download.value.path()).read_bytes()


def grey(picture: Image.Image, size: tuple[int, int]) -> np.ndarray:
    return np.asarray(picture.convert("L").resize(size, Image.Resampling.BOX), dtype=float)


@pytest.mark.parametrize(
    ("scheme", "address", "chart", "stem", "inner", "words"),
    [
        ("light", "graph", "graph_chart", "task-graph-lora-probe", "svg:has(text)", "Sentiment"),
        ("dark", "graph", "graph_chart", "task-graph-lora-probe", "svg:has(text)", "Sentiment"),
        ("dark", "transfer", "transfer_matrix", "transfer-matrix", "svg.main-svg", "Sentiment"),
    ],
)
def test_a_chart_is_saved_as_it_is_seen(
    studio: Studio, page: Page, scheme: str, address: str, chart: str, stem: str, inner: str, words: str
) -> None:
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    page.goto(f"{studio.url}/{address}")
    settle(page)
    drawn = page.locator(f".st-key-{chart} {inner}").first
    expect(page.locator(f".st-key-{chart} text", has_text=words).first).to_be_visible()
    page.wait_for_timeout(2000)  # the graph moves into place
    page.mouse.move(2, 2)
    seen = Image.open(io.BytesIO(drawn.screenshot()))
    box = drawn.bounding_box()
    assert box is not None

    name, data = save(page, chart, "PNG")
    assert name == f"{stem}.png"
    picture = Image.open(io.BytesIO(data))
    assert picture.format == "PNG"
    assert picture.size == pytest.approx((2 * box["width"], 2 * box["height"]), abs=2)
    small = (seen.width // 4, seen.height // 4)
    assert np.abs(grey(picture, small) - grey(seen, small)).mean() < NEAR
    assert grey(picture, small).std() > NEAR  # not a blank sheet

    name, data = save(page, chart, "SVG")
    assert name == f"{stem}.svg"
    root = ET.fromstring(data)
    assert root.tag == f"{SVG}svg"
    assert any(words in "".join(text.itertext()) for text in root.iter(f"{SVG}text"))
    assert b"http" not in data.replace(b"http://www.w3.org/", b"")  # it needs nothing from elsewhere …
    assert b'@font-face{font-family:"Source Sans"' in data  # … not even a font
    no_errors(page)


def test_the_graph_is_saved_for_other_programs(studio: Studio, page: Page) -> None:
    page.goto(f"{studio.url}/graph")
    settle(page)
    page.get_by_role("button", name="Options").click()
    for label, begins in (("GraphML", b"<?xml"), ("GEXF", b"<?xml"), ("JSON", b"{"), ("CSV", b"source")):
        with page.expect_download() as download:
            page.get_by_role("button", name=label).click()
        assert download.value.suggested_filename == f"task-graph-lora-probe.{label.lower()}"
        assert Path(download.value.path()).read_bytes().lstrip().startswith(begins), label
    no_errors(page)
