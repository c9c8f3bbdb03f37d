"""A real server and a real Chromium that talks to nobody else, for what has to be measured or tested in a browser."""

from __future__ import annotations

import contextlib
import math
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pituning.errors import ArtefactError, RunFailed
from pituning.workspace.layout import ENVIRONMENT_VARIABLE

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or "/usr/bin/chromium"
ARGUMENTS = (
    "--no-sandbox", "--disable-background-networking", "--disable-component-update", "--no-first-run",
    "--disable-gpu",  # without one, what draws in its place takes more than drawing without
)  # fmt: skip
SECOND = 1000.0
"""Playwright counts milliseconds."""

_SEARCH = re.compile(r"/_stcore/(health|host-config|stream)\b|when disconnected from server")

START_SECONDS = 240.0
LOOK_SECONDS = 0.02

WINDOW = {"width": 1440, "height": 1000}
PATIENCE = 60 * SECOND
CLOCK = "addEventListener('pointerdown', () => { window.benchClick = performance.now(); }, {capture: true});"


def console_error(message: Any) -> str | None:
    """An error in the browser's console as a line, or None.

    What Streamlit's page asks for while it looks for its server is none: under a deep link it looks below that address
    first and is answered with 404, and while the server is away nobody answers.
    """
    if message.type != "error":
        return None
    address = (message.location or {}).get("url", "")
    return None if _SEARCH.search(f"{address} {message.text}") else f"console: {message.text} ({address})"


class Server:
    """The app as a process of its own.

    Args:
        workspace: the directory that it shows.
        log: the file to which its output is appended.
        command: what starts it; ``{port}`` is filled in.
        directory: where it is started.
    """

    def __init__(self, workspace: Path, log: Path, command: Sequence[str], directory: Path):
        self.workspace, self.log, self.command, self.directory = workspace, log, command, directory
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.environment: dict[str, str] = {}
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Starts it and waits until it answers.

        Raises:
            RunFailed: it ended, or did not answer in `START_SECONDS`.
        """
        environment = os.environ | {ENVIRONMENT_VARIABLE: str(self.workspace)}
        environment.pop("OMP_NUM_THREADS", None)  # real runs take the threads that users' runs take
        environment |= self.environment
        with self.log.open("ab") as stream:
            self.process = subprocess.Popen(
                [word.format(port=self.port) for word in self.command],
                cwd=self.directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.url}/_stcore/health", timeout=2):
                return
            time.sleep(LOOK_SECONDS)
        raise RunFailed(f"the app did not start: {self.log.read_text(errors='replace')[-2000:]}")

    def stop(self) -> None:
        """Ends it; a second call does nothing."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(timeout=30)
            self.process = None


def pituning_app(workspace: Path, log: Path) -> Server:
    """What ``pituning app --headless`` starts."""
    command = [sys.executable, "-m", "pituning.cli", "app", "--headless", "--port", "{port}", "--workspace",
               str(workspace)]  # fmt: skip
    return Server(workspace, log, command, Path.cwd())


@dataclass
class Troubles:
    """What went wrong: in the browser's console, on the pages, in the server's log."""

    messages: list[str] = field(default_factory=list)

    def watch(self, page: Any) -> None:
        """Listens to a page."""
        page.on("console", lambda message: self._add(console_error(message)))
        page.on("pageerror", lambda error: self._add(f"page error: {error}"))

    def _add(self, message: str | None) -> None:
        if message is not None:
            self.messages.append(message)

    def of_log(self, log: Path) -> None:
        """Reads the server's log."""
        tracebacks = log.read_text(errors="replace").count("Traceback")
        self.messages += ["traceback in the server's log"] * tracebacks


@contextlib.asynccontextmanager
async def chromium() -> AsyncIterator[Any]:
    """A running browser.

    Raises:
        ArtefactError: Playwright or Chromium is not installed.
    """
    try:
        from playwright.async_api import async_playwright
    except ImportError as error:
        raise ArtefactError("Playwright is not installed; install it: pip install playwright") from error
    if not Path(CHROMIUM).exists():
        raise ArtefactError("Chromium is not installed; install it: apt-get install chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            await browser.close()


@contextlib.asynccontextmanager
async def serving(workspace: Path, troubles: Troubles) -> AsyncIterator[Server]:
    """A running server of a workspace."""
    server = pituning_app(workspace, workspace.with_suffix(".log"))
    try:
        server.start()
        yield server
    finally:
        server.stop()
        troubles.of_log(server.log)


@contextlib.asynccontextmanager
async def tab(browser: Any, troubles: Troubles) -> AsyncIterator[Any]:
    """A page of its own, whose clicks leave their time in ``window.benchClick``."""
    context = await browser.new_context(viewport=WINDOW)
    await context.add_init_script(CLOCK)
    page = await context.new_page()
    page.set_default_timeout(PATIENCE)
    troubles.watch(page)
    try:
        yield page
    finally:
        await context.close()


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least a share of all does not exceed."""
    ordered = sorted(values)
    return round(ordered[max(0, math.ceil(share * len(ordered)) - 1)], 3) if ordered else math.nan
