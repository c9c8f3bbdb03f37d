"""A real server and a real Chromium, on the embedded default and a workspace of their own."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import psutil
import pytest
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from benchmarks.browser import ARGUMENTS, CHROMIUM, SECOND, Server, console_error
from pituning.workspace.layout import embedded_data
from tests.conftest import lacking

ROOT = Path(__file__).resolve().parents[2]

expect.set_options(timeout=60 * SECOND)  # a busy machine takes longer than Playwright's five seconds


class Studio(Server):
    """The app as `pituning app` starts it; it can be stopped and started again on the same port."""

    def __init__(self, workspace: Path, log: Path):
        command = [sys.executable, "-m", "streamlit", "run", "app/studio.py"]
        super().__init__(
            workspace, log, [*command, "--server.headless", "true", "--server.port", "{port}"], directory=ROOT
        )
        # Other tests use the second core: two threads of torch would wait for each other at every step.
        self.environment["OMP_NUM_THREADS"] = "1"

    def workers(self) -> list[psutil.Process]:
        """The supervisor and the workers of this workspace, which outlive the app."""
        workers = []
        for process in psutil.process_iter(["cmdline"]):
            words = process.info["cmdline"] or []
            if str(self.workspace) in words and any(word.startswith("pituning.runs.") for word in words):
                workers.append(process)
        return workers


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[Studio]:
    """A running Studio on a new workspace over the embedded default."""
    assert embedded_data() is not None, "the embedded default is not there; make it with `pituning zoo build`"
    made = Studio(folder / "workspace", folder / "app.log")
    made.start()
    yield made
    made.stop()
    workers = made.workers()
    for process in workers:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    psutil.wait_procs(workers, timeout=20)
    assert "Traceback" not in made.log.read_text()


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    """A Studio of a test's own."""
    with opened(tmp_path) as made:
        yield made


@pytest.fixture(scope="session")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """A Studio at which tests only look: it is started once for all of them."""
    with opened(tmp_path_factory.mktemp("standing")) as made:
        yield made


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """Debian's Chromium, which talks to nobody but the app."""
    if not Path(CHROMIUM).exists():
        lacking("Chromium is not installed (apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """A new window of 1440 by 1000 that refuses every address outside this machine."""
    context = chromium.new_context(viewport={"width": 1440, "height": 1000})
    outside: list[str] = []
    errors: list[str] = []

    def guard(route) -> None:  # type: ignore[no-untyped-def]
        outside.append(route.request.url)
        route.abort()

    context.route(lambda url: "127.0.0.1" not in url and url.startswith("http"), guard)
    opened = context.new_page()
    opened.set_default_timeout(60 * SECOND)
    opened.on("console", lambda message: errors.append(error) if (error := console_error(message)) else None)
    opened.on("pageerror", lambda error: errors.append(str(error)))
    yield opened
    context.close()
    assert outside == [], "the app fetched something from outside"
    assert errors == [], "the browser's console has errors"


def settle(page: Page) -> None:
    """Waits until the page has been drawn."""
    page.wait_for_selector('[data-testid="stApp"][data-test-connection-state="CONNECTED"]')
    page.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]')


def no_errors(page: Page) -> None:
    """Neither a traceback nor an error message is on the page."""
    assert page.locator('[data-testid="stException"]').count() == 0
    messages = page.locator('[data-testid="stAlertContentError"]')
    assert messages.count() == 0, messages.all_inner_texts()


def press(label: Locator, delay: float = 0.0) -> None:
    """Clicks where a label of a chart stands: the drawing takes the mouse as a whole, so an ordinary click would wait.

    Args:
        delay: milliseconds until the button is let go.
    """
    label.element_handle().wait_for_element_state("stable")
    label.click(force=True, delay=delay)


def labelled_rows(page: Page, address: str, file: Path) -> pd.DataFrame:
    """What is downloaded once an expert has labelled a file on its page."""
    page.goto(address)
    settle(page)
    page.locator("input[type=file]").set_input_files(file)
    page.get_by_role("button", name="Label them").click()
    button = page.get_by_role("button", name="Download all rows")
    expect(button).to_be_visible(timeout=240 * SECOND)
    with page.expect_download() as download:
        button.click()
    return pd.read_csv(io.BytesIO(Path(download.value.path()).read_bytes()))
