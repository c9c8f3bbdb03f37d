"""Runs that are started in the browser, watched there, and outlive a reload and the app."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Page, expect

from benchmarks.browser import SECOND
from pituning.runs.queue import RunQueue
from pituning.workspace.layout import Workspace
from tests.browser.conftest import Studio, labelled_rows, no_errors, settle

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(900)]

PATIENCE = 420 * SECOND
WORDS = {"good": ("lovely", "friendly", "fresh"), "bad": ("cold", "rude", "bland")}
TABLE = "text,label\n" + "".join(
    f"the {thing} was {WORDS[label][i % 3]} on visit {i},{label}\n"
    for i in range(20)
    for label, thing in (("good", "soup"), ("bad", "waiter"))
)


# What a browser shows beside its window cannot be seen from within: it is written down instead.
NOTICES = """
window.Notification = class {
  static permission = "granted"
  static requestPermission = async () => "granted"
  constructor(title) { (window.notices ??= []).push(title) }
}
"""


def make_small(page: Page, *, steps: int, by_hand: bool = False) -> None:
    """Few steps, one donor, and only the baselines that a verdict needs.

    Args:
        by_hand: the expected donor is chosen by hand, which saves the run to embed all tasks.
    """
    pills = page.locator(".st-key-baselines_full")
    expect(pills.get_by_role("button").first).to_be_visible()
    for name in [text.strip() for text in pills.get_by_role("button", pressed=True).all_inner_texts()]:
        if name not in ("Single expert", "Placebo donors"):
            pills.get_by_role("button", name=name, exact=True).click()
            settle(page)
    page.get_by_text("Advanced: steps, learning rates, seed").click()
    for key, value in (("tune_full_steps", steps), ("tune_full_test_examples", 100)):
        field = page.locator(f".st-key-{key} input")
        field.fill(str(value))
        field.press("Enter")
        settle(page)
    slider = page.locator(".st-key-donors_count").get_by_role("slider")
    slider.focus()
    for _ in range(2):
        slider.press("ArrowLeft")
        settle(page)
    if by_hand:
        page.get_by_text("Chosen by me", exact=True).click()
        settle(page)


def start(page: Page) -> str:
    """Presses start; the run's id from the address of the page that opens."""
    page.get_by_role("button", name="Start", exact=True).click()
    page.wait_for_url("**/runs?run=*")
    settle(page)
    no_errors(page)
    return page.url.rsplit("run=", 1)[1]


def running_worker(studio: Studio, run_id: str) -> psutil.Process:
    """The process that does a run, once it has told of its first step."""
    queue = RunQueue(Workspace.open(studio.workspace))
    deadline = time.monotonic() + PATIENCE / SECOND
    while queue.get(run_id).phase is None:
        assert time.monotonic() < deadline, "the run did not begin"
        time.sleep(0.2)
    return psutil.Process(queue.get(run_id).pid)


def has_result(page: Page) -> None:
    """The run is done, and its verdict, scores and donors are on the page."""
    expect(page.get_by_role("button", name="Result as JSON")).to_be_visible(timeout=PATIENCE)
    settle(page)  # until the page is whole, what the run had shown before stands beside what it shows now
    expect(page.locator(".st-key-verdict").get_by_role("heading")).to_have_text(re.compile("[Uu]se it"))
    expect(page.locator(".st-key-scores")).to_be_visible()
    expect(page.get_by_text("Whose experts were mixed, and how much each counts")).to_be_visible()
    no_errors(page)


def test_a_run_of_digits_outlives_a_reload_the_app_and_its_worker(studio: Studio, page: Page, tmp_path: Path) -> None:
    page.add_init_script(NOTICES)
    page.goto(f"{studio.url}/new-run?target=digits")
    settle(page)
    expect(page.get_by_text("160 examples")).to_be_visible()
    expect(page).to_have_title("Handwritten digits · New run · π-Tuning Studio")
    make_small(page, steps=8, by_hand=True)
    run_id = start(page)
    expect(page.locator('[data-testid="stProgress"]')).to_be_visible()

    page.reload()
    settle(page)
    expect(page.get_by_role("heading", name="Handwritten digits · LoRA · 16 shots · seed 0")).to_be_visible()
    expect(page).to_have_title(re.compile("^● 1 running · .*Handwritten digits · LoRA · 16 shots · seed 0 · Runs"))
    page.get_by_role("button", name="Tell me when a run ends").click()
    expect(page.get_by_role("button", name="You are told when a run ends")).to_be_visible()
    expect(page.locator(".st-key-stages").get_by_text("160 rows to learn from")).to_be_visible(timeout=PATIENCE)

    worker = running_worker(studio, run_id)
    page.goto("about:blank")  # a window that stays open would tell of the code that it fetched when the app stopped
    studio.stop()
    assert worker.is_running(), "the work stopped with the app"
    worker.kill()
    studio.start()
    page.goto(f"{studio.url}/runs?run={run_id}")
    settle(page)
    has_result(page)
    expect(page.get_by_text("attempt 2")).to_be_visible()
    assert page.evaluate("window.notices") == ["Handwritten digits · LoRA · 16 shots · seed 0 is done"]

    run = RunQueue(Workspace.open(studio.workspace)).get(run_id)
    assert (run.state, run.attempt) == ("succeeded", 2)
    with page.expect_download() as download:
        page.get_by_role("button", name="Result as JSON").click()
    kept = tmp_path / "result.json"
    download.value.save_as(kept)
    result = json.loads(kept.read_text())
    assert result["target"] == "digits"
    assert result["shots"] == 16
    assert set(result["baselines"]) == {"single", "placebo"}
    assert len(result["donors"]) == 1

    for view in ("Donor weights", "Predictions", "Log", "Settings", "Curves"):
        page.locator(".st-key-run_view").get_by_text(view, exact=True).click()
        settle(page)
        no_errors(page)


def test_a_table_of_ones_own_from_upload_to_labels(studio: Studio, page: Page, tmp_path: Path) -> None:
    table = tmp_path / "restaurant.csv"
    table.write_text(TABLE, encoding="utf-8")
    page.goto(studio.url)
    page.get_by_role("button", name="Upload a table of your own").click()
    page.locator("input[type=file]").set_input_files(table)
    instruction = page.get_by_role("textbox", name="Instruction")
    instruction.fill("is this review good or bad?")
    instruction.press("Enter")
    expect(page.get_by_text("As the model will read it")).to_be_visible()
    settle(page)

    # Its relatives, and its place on the graph, before anything is trained.
    page.get_by_role("button", name="Keep the task and find its relatives").click()
    door = page.get_by_role("link", name="Restaurant on the task graph")
    expect(door).to_be_visible(timeout=60 * SECOND)
    settle(page)
    expect(page.get_by_text("Ranked by a few of its rows")).to_be_visible()
    door.click()
    page.wait_for_url("**/graph?task=restaurant*")
    settle(page)
    expect(page.locator(".st-key-graph_chart svg text", has_text="Restaurant").first).to_be_visible()
    expect(page.get_by_role("heading", name="Restaurant")).to_be_visible()
    no_errors(page)
    page.get_by_role("button", name="Use as target of a run").click()
    page.wait_for_url("**/new-run?target=restaurant*")
    settle(page)

    # A tenth of 40 rows would tell nothing: it is tested on all that it does not learn from.
    page.get_by_role("radio", name="8", exact=True).click()
    settle(page)
    expect(page.get_by_text("24 test rows: differences under about 24 points cannot be seen")).to_be_visible()
    make_small(page, steps=10)
    run_id = start(page)
    has_result(page)
    expect(page.locator(".st-key-stages").get_by_text("16 rows to learn from, 24 rows to test on")).to_be_visible()
    assert Workspace.open(studio.workspace).task_names() == ["restaurant"]
    assert RunQueue(Workspace.open(studio.workspace)).result_of(run_id)["test_examples"] == 24

    page.get_by_role("button", name="Try it").click()
    page.wait_for_url(re.compile(r"/experts\?expert=lora(/|%2F)restaurant-pi-"))
    settle(page)
    no_errors(page)
    page.go_back()
    settle(page)

    # Labels for two hundred rows that have none.
    rows = tmp_path / "new.csv"
    rows.write_text("id,text\n" + "".join(f"{n},the soup was {WORDS['good'][n % 3]} on day {n}\n" for n in range(200)))
    page.get_by_role("button", name="Predict a file").click()
    page.wait_for_url(re.compile(r"/label\?expert=lora(/|%2F)restaurant-pi-"))
    answers = labelled_rows(page, page.url, rows)
    assert list(answers["id"]) == list(range(200))
    assert set(answers["answer"]) <= set(WORDS)
    no_errors(page)


def test_a_file_that_cannot_be_used_is_told_beside_the_field(studio: Studio, page: Page, tmp_path: Path) -> None:
    broken = tmp_path / "broken.csv"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(64))
    page.goto(f"{studio.url}/new-run?source=A+table+of+my+own")
    page.locator("input[type=file]").set_input_files(broken)

    expect(page.get_by_text("PNG image")).to_be_visible()
    expect(page.get_by_role("button", name="Start", exact=True)).to_have_count(0)
    assert page.locator('[data-testid="stException"]').count() == 0
