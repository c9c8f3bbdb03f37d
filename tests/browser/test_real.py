"""Journeys on real models: of somebody who brings reviews, and of somebody who brings pictures and labels new ones."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from benchmarks.browser import SECOND
from pituning.workspace.layout import Workspace
from tests.browser.conftest import Studio, labelled_rows, no_errors, press, settle
from tests.browser.test_runs import TABLE, has_result, start
from tests.conftest import link_backbones

pytestmark = [pytest.mark.real, pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(900)]

SMALL = {"steps": 2, "test_examples": 6}
NEW_PICTURES = 50
GROUNDS = {"grass": (60, 150, 50), "brick": (170, 60, 40)}


@pytest.fixture
def real(studio: Studio, real_backbones: Path) -> Studio:
    """The Studio on a workspace that has them."""
    Workspace.open(studio.workspace)
    link_backbones(real_backbones, studio.workspace)
    return studio


def search_little(page: Page, backbone: str, usual: str) -> None:
    """The search that is usual there, made shorter."""
    chosen = page.locator(f".st-key-search_{backbone}_{usual}")
    chosen.get_by_role("radio", name=usual.capitalize(), checked=True).wait_for()
    page.get_by_text("Advanced: steps, learning rates, seed").click()
    for key, value in SMALL.items():
        field = page.locator(f".st-key-tune_{usual}_{key} input")
        field.fill(str(value))
        field.press("Enter")
        settle(page)


def write_instruction(page: Page, words: str) -> None:
    instruction = page.get_by_role("textbox", name="Instruction")
    instruction.fill(words)
    instruction.press("Enter")
    expect(page.get_by_text("As the model will read it")).to_be_visible()
    settle(page)


def test_a_journey_with_reviews(real: Studio, page: Page, tmp_path: Path) -> None:
    # The graph of its zoo, and who is near.
    page.goto(f"{real.url}/graph?backbone=smollm2")
    settle(page)
    label = page.locator(".st-key-graph_chart svg text", has_text="Shop reviews")
    expect(label).to_be_visible()
    press(label)
    expect(page.get_by_role("heading", name="Shop reviews")).to_be_visible()
    expect(page.get_by_text("Nearest tasks")).to_be_visible()
    no_errors(page)

    # A table of one's own becomes the target of a short run.
    table = tmp_path / "restaurant.csv"
    table.write_text(TABLE, encoding="utf-8")
    page.goto(f"{real.url}/new-run?backbone=smollm2&source=A+table+of+my+own")
    page.locator("input[type=file]").set_input_files(table)
    write_instruction(page, "is this review good or bad?")
    expect(page.locator(".st-key-fitting")).to_contain_text("smollm2 fits")
    search_little(page, "smollm2", "short")
    start(page)
    has_result(page)

    # The expert as an ordinary PEFT checkpoint.
    page.goto(f"{real.url}/experts?backbone=smollm2")
    settle(page)
    page.goto(f"{real.url}/experts?backbone=smollm2&expert=lora%2Frestaurant-pi-8-shot-0")
    settle(page)
    with page.expect_download() as download:
        page.get_by_role("button", name="Download", exact=True).click()
    kept = tmp_path / "expert.zip"
    download.value.save_as(kept)
    members = {Path(name).name for name in zipfile.ZipFile(kept).namelist()}
    assert {"adapter_config.json", "adapter_model.safetensors"} <= members
    no_errors(page)


def ground(name: str, rng: np.random.Generator) -> bytes:
    """A picture of 32 x 32 pixels: a colour with noise, brick with joints."""
    pixels = np.clip(np.array(GROUNDS[name]) + rng.normal(0, 25, (32, 32, 3)), 0, 255).astype(np.uint8)
    if name == "brick":
        pixels[::8] = pixels[:, ::16] = 200
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def test_a_journey_with_pictures(real: Studio, page: Page, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labelled, new = tmp_path / "grounds.zip", tmp_path / "new.zip"
    with zipfile.ZipFile(labelled, "w") as archive:
        for name in GROUNDS:
            for number in range(28):
                archive.writestr(f"{name}/{number}.png", ground(name, rng))
    truth = [list(GROUNDS)[number % len(GROUNDS)] for number in range(NEW_PICTURES)]
    with zipfile.ZipFile(new, "w") as archive:
        for number, name in enumerate(truth):
            archive.writestr(f"{number:02}.png", ground(name, rng))

    # The one that is made for pictures is chosen among all that are offered.
    page.goto(real.url)
    settle(page)
    page.get_by_role("button", name="Compare", exact=True).click()
    card = page.get_by_role("dialog").locator(".st-key-offer-smolvision")
    expect(card).to_contain_text("Real pictures")
    card.get_by_role("button", name="Use this").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.wait_for_url("**/*backbone=smolvision*")
    settle(page)

    # Pictures in folders: what it answers as it is, then a run.
    page.goto(f"{real.url}/new-run?backbone=smolvision&source=A+table+of+my+own")
    page.locator("input[type=file]").set_input_files(labelled)
    write_instruction(page, "what ground is this?")
    expect(page.locator(".st-key-fitting")).to_contain_text("smolvision fits")
    expect(page.locator(".st-key-untrained")).to_contain_text("of 3 right", timeout=240 * SECOND)
    settle(page)
    expect(page.locator(".st-key-untrained img")).to_have_count(3)
    page.get_by_text("Chosen by me", exact=True).click()  # which saves the run to embed the shots
    settle(page)
    donors = page.get_by_role("combobox", name="Donors")
    donors.fill("EuroSAT")  # the first line of the list would take all sixteen
    donors.press("Enter")
    donors.press("Tab")  # while the list is open, the rest of the page has no roles
    settle(page)
    expect(page.locator('[data-testid="stMarkdown"]', has_text="16 per class = 32 examples").first).to_be_visible()
    search_little(page, "smolvision", "medium")
    pills = page.locator(".st-key-baselines_medium")
    for name in ("Placebo donors", "Best donor"):  # which the journey with reviews has
        pills.get_by_role("button", name=name, exact=True).click()
        settle(page)
    start(page)
    has_result(page)

    # Fifty new pictures.
    answers = labelled_rows(page, f"{real.url}/label?backbone=smolvision&expert=lora%2Fgrounds-pi-16-shot-0", new)
    assert len(answers) == NEW_PICTURES
    assert set(answers["answer"]) <= set(GROUNDS)
    assert answers["probability"].between(1 / len(GROUNDS), 1).all()
    no_errors(page)
