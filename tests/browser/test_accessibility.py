"""Every page by axe-core (WCAG 2.1 A and AA, and its best practices), in light and in dark, with work to show."""

from __future__ import annotations

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from benchmarks.browser import SECOND
from pituning.workspace.layout import Workspace
from tests.app import synthetic
from tests.browser.conftest import Studio, no_errors, settle

AT_ONCE = "*, *::before, *::after { transition: none !important; animation: none !important }"
"""What fades in has another contrast meanwhile."""

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(600)]

DARK = "getComputedStyle(document.querySelector('.stApp')).colorScheme === 'dark'"

RULES = {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]}
CONTRAST = {"type": "rule", "values": ["color-contrast"]}
"""All that depends on the scheme."""


def violations(page: Page, rules: dict[str, Any] = RULES) -> list[dict[str, Any]]:
    violations = Axe().run(page, options={"runOnly": rules}).response["violations"]
    return [
        {"rule": one["id"], "impact": one["impact"], "where": [node["html"][:200] for node in one["nodes"][:3]],
         "why": [check["message"] for check in one["nodes"][0]["any"]][:2]}
        for one in violations
    ]  # fmt: skip


def test_no_page_keeps_anybody_out(studio: Studio, page: Page) -> None:
    workspace = Workspace.open(studio.workspace)
    synthetic.failed(workspace)
    done, more = synthetic.done(workspace), synthetic.done(workspace, seed=1)
    synthetic.cancelled(workspace)
    addresses = (
        "", "graph?task=nli", "graph?task=nli&other=rte&view=Measured+transfer", "map",
        "similarity?task=nli&other=visual-entailment", "transfer?task=shape&other=vqa",
        "transfer?task=shape&other=vqa&shown=Graph", "new-run?target=vqa", "new-run?source=file",
        "experts?expert=lora%2Fnli", f"runs?run={done.id}", f"runs?compare={done.id},{more.id}",
        "present?story=overview&slide=2",
    )  # fmt: skip
    actual = []
    for address in addresses:
        page.emulate_media(color_scheme="light")
        page.goto(f"{studio.url}/{address}")
        settle(page)
        no_errors(page)
        page.add_style_tag(content=AT_ONCE)
        actual += [(address, "light", one) for one in violations(page)]
        page.emulate_media(color_scheme="dark")
        page.wait_for_function(DARK)
        page.wait_for_timeout(0.2 * SECOND)  # the script is told, which draws charts anew
        settle(page)
        actual += [(address, "dark", one) for one in violations(page, CONTRAST)]
    assert actual == []


def test_axe_finds_what_is_wrong(page: Page) -> None:
    page.set_content('<main><h1>A page</h1><img src="data:,"><p style="color: #bbb">faint</p></main>')
    assert {"image-alt", "color-contrast"} <= {one["rule"] for one in violations(page)}
