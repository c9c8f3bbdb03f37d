"""Takes the pictures of `docs/screenshots`, one of each page.

    python -m tests.browser.screenshots [--workspace DIR] [--out DIR] [--width 1280] [--dark] [--long-names]

The workspace should hold a finished run, so that there is one to show.
"""

from __future__ import annotations

import argparse
import io
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from benchmarks.browser import ARGUMENTS, CHROMIUM, SECOND
from tests.app.long_names import ADDRESSES
from tests.browser.conftest import ROOT, Studio

COLOURS = 256
"""Of a picture, which makes it a third as large."""

PAGES = {
    "home": "",
    "task-graph": "graph?task=nli",
    "map": "map",
    "similarity": "similarity?task=nli&other=visual-entailment",
    "transfer": "transfer?task=shape&other=vqa",
    "new-run": "new-run?target=rte",
    "runs": "runs",
    "experts": "experts?expert=lora%2Fnli",
    "label": "label?expert=lora%2Fnli",
    "present": "present",
}
PARTS = {
    "low-shot": ("transfer", ".st-key-study_gains"),
    "transfer-matrix": ("transfer", ".st-key-transfer_matrix"),
}
"""Pictures of one part of a page, for the documents: its address and what finds it."""


def take(
    workspace: Path, out: Path, *, addresses: dict[str, str], parts: dict[str, tuple[str, str]], width: int, dark: bool
) -> None:
    """One picture of each page and each part, ``out/NAME.png``."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        studio = Studio(workspace, Path(folder) / "log.txt")
        studio.start()
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        try:
            page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme="dark" if dark else "light")
            for name, address in addresses.items():
                page.goto(f"{studio.url}/{address}")
                page.get_by_role("heading").first.wait_for(timeout=60 * SECOND)
                page.wait_for_function(
                    "() => !document.querySelector('[data-testid=stStatusWidget]')", timeout=60 * SECOND
                )
                page.wait_for_timeout(2.5 * SECOND)  # charts move into place
                page.get_by_text("Drawing the slide …").wait_for(state="hidden", timeout=60 * SECOND)
                _keep(page.screenshot(), out / f"{name}.png")
            for name, (address, part) in parts.items():
                page.goto(f"{studio.url}/{address}")
                element = page.locator(part)
                element.locator(".main-svg").first.wait_for(timeout=60 * SECOND)
                element.scroll_into_view_if_needed()
                page.wait_for_timeout(2.5 * SECOND)
                _keep(element.screenshot(), out / f"{name}.png")
        finally:
            browser.close()
            studio.stop()


def _keep(picture: bytes, path: Path) -> None:
    # Median cut would give a few green marks among many blue cells the blue of these.
    few = Image.open(io.BytesIO(picture)).convert("RGB").quantize(COLOURS, method=Image.Quantize.MAXCOVERAGE)
    few.save(path, optimize=True)
    print(path, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.browser.screenshots")
    parser.add_argument("--workspace", type=Path, default=Path("workspace"))
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "screenshots")
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--dark", action="store_true")
    parser.add_argument(
        "--long-names", action="store_true", help="the pages of a workspace that tests.app.long_names made"
    )
    given = parser.parse_args()
    take(
        given.workspace.resolve(), given.out, addresses=ADDRESSES if given.long_names else PAGES,
        parts={} if given.long_names else PARTS, width=given.width, dark=given.dark,
    )  # fmt: skip
