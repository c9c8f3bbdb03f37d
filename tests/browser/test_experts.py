from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from benchmarks.browser import SECOND
from tests.browser.conftest import Studio, no_errors, settle

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_an_expert_is_chosen_downloaded_and_asked(studio: Studio, page: Page, tmp_path: Path) -> None:
    page.goto(f"{studio.url}/experts?of=nli")
    settle(page)
    expect(page.get_by_text("No expert chosen")).to_be_visible()
    expect(page.get_by_text("4 of 80 experts")).to_be_visible()
    table = page.get_by_test_id("stDataFrame").first
    table.click(position={"x": 17, "y": 52})  # the box of the first row
    expect(page.get_by_role("heading", name="Natural language inference")).to_be_visible()
    expect(page).to_have_url(f"{studio.url}/experts?of=nli&expert=lora%2Fnli")
    settle(page)
    with page.expect_download() as download:
        page.get_by_test_id("stDownloadButton").get_by_role("button").click()
    download.value.save_as(tmp_path / "nli.zip")
    with zipfile.ZipFile(tmp_path / "nli.zip") as archive:
        assert "nli/adapter_model.safetensors" in archive.namelist()

    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.get_by_text("loads the foundation model first")).to_be_visible()
    expect(page.get_by_text("Answers to test example 0")).to_be_visible(timeout=400 * SECOND)
    expect(page.get_by_text("A percentage is shown only where it held").first).to_be_visible()
    no_errors(page)
    address = page.url
    page.goto(f"{studio.url}/")
    page.goto(address)
    expect(page.get_by_text("Answers to test example 0")).to_be_visible()
    no_errors(page)
