"""Somebody's pictures from a zip to labels for new ones, in a real browser on smolvision, each stage with its time.

Run with ``python -m benchmarks.journey PICTURES.zip --instruction "What kind of land does the picture show?"``: a zip
with a folder of pictures for each answer. Fifty of them are kept back, and labelled at the end by the expert of a run
at the settings that the app offers; how many labels are right is told as well.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import random
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from benchmarks.browser import SECOND, Troubles, chromium, serving, tab
from pituning import cli
from pituning.errors import RunFailed

NEW = 50
"""Pictures that are kept back."""
RUN_SECONDS = 3600.0
"""How long a run may take."""


class Stages:
    """Seconds of each stage, in their order."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - began, 1)
        print(f"{name}: {self.seconds[name]} s", flush=True)


def split(pictures: Path, directory: Path, seed: int) -> tuple[Path, Path, list[str]]:
    """The zip to learn from, that of the new pictures without folders, and what these show."""
    learn, new = directory / f"{pictures.stem}.zip", directory / "new.zip"
    with zipfile.ZipFile(pictures) as archive:
        names = sorted(name for name in archive.namelist() if name.lower().endswith((".png", ".jpg", ".jpeg")))
        kept_back = set(random.Random(seed).sample(names, NEW))
        truth = []
        with zipfile.ZipFile(learn, "w") as told, zipfile.ZipFile(new, "w") as untold:
            for name in names:
                if name in kept_back:
                    untold.writestr(f"{len(truth):02}{PurePosixPath(name).suffix}", archive.read(name))
                    truth.append(PurePosixPath(name).parent.name)
                else:
                    told.writestr(name, archive.read(name))
    return learn, new, truth


async def settled(page: Any) -> None:
    """Waits until the page has been drawn."""
    await page.wait_for_selector('[data-testid="stApp"][data-test-connection-state="CONNECTED"]')
    await page.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]')


async def journey(pictures: Path, instruction: str, workspace: Path, seed: int) -> dict[str, Any]:
    """Goes all the way.

    Raises:
        RunFailed: something went wrong on a page, or what was asked for did not come in time.
    """
    stage, troubles = Stages(), Troubles()
    with stage("pituning backbones add smolvision"):
        if cli.run(["backbones", "add", "smolvision", "--workspace", str(workspace)]) != 0:
            raise RunFailed("smolvision could not be added")
    learn, new, truth = split(pictures, workspace.parent, seed)
    async with chromium() as browser, serving(workspace, troubles) as server, tab(browser, troubles) as page:
        with stage("open the app and choose smolvision"):
            await page.goto(server.url)
            await settled(page)
            await page.get_by_role("button", name="Compare", exact=True).click()
            card = page.get_by_role("dialog").locator(".st-key-offer-smolvision")
            await card.get_by_role("button", name="Use this").click()
            await page.wait_for_url("**/*backbone=smolvision*")
            await settled(page)
        with stage("upload the pictures, and its untrained answers to three"):
            await page.goto(f"{server.url}/new-run?backbone=smolvision&source=A+table+of+my+own")
            await page.locator("input[type=file]").set_input_files(learn)
            asked = page.get_by_role("textbox", name="Instruction")
            await asked.fill(instruction)
            await asked.press("Enter")
            answers = page.locator(".st-key-untrained").get_by_text("of 3 right")
            await answers.wait_for(timeout=240 * SECOND)
            untrained = await answers.inner_text()
            await settled(page)
        with stage("the run, from start to verdict"):
            await page.get_by_role("button", name="Start", exact=True).click()
            await page.wait_for_url("**/runs?run=*")
            await page.get_by_role("button", name="Result as JSON").wait_for(timeout=RUN_SECONDS * SECOND)
            await settled(page)
        verdict = await page.locator(".st-key-verdict").inner_text()
        scores = await page.locator(".st-key-scores").inner_text()
        expert = f"lora%2F{learn.stem.replace('_', '-')}-pi-16-shot-0"
        with stage(f"label {NEW} new pictures"):
            await page.goto(f"{server.url}/label?backbone=smolvision&expert={expert}")
            await settled(page)
            await page.locator("input[type=file]").set_input_files(new)
            await page.get_by_role("button", name="Label them").click()
            button = page.get_by_role("button", name="Download all rows")
            await button.wait_for(timeout=600 * SECOND)
            async with page.expect_download() as download:
                await button.click()
            labelled = pd.read_csv(io.BytesIO(Path(await (await download.value).path()).read_bytes()))
    if troubles.messages:
        raise RunFailed("; ".join(troubles.messages))
    right = sum(answer == shown for answer, shown in zip(labelled["answer"], truth, strict=True))
    return {"stages": stage.seconds, "whole": round(sum(stage.seconds.values()), 1), "untrained": untrained,
            "verdict": verdict, "scores": scores, "right": right, "of": NEW}  # fmt: skip


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--instruction", required=True)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pituning-journey-") as directory:
        workspace = Path(directory) / "workspace"
        print(json.dumps(asyncio.run(journey(given.pictures, given.instruction, workspace, given.seed)), indent=1))


if __name__ == "__main__":
    main()
