"""People sign in at a provider and find what their role lets them do; a real server, a real browser, a real token."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from joserfc.jwk import RSAKey
from playwright.sync_api import Browser, BrowserContext, Page, expect

from benchmarks.browser import SECOND
from pituning.runs.queue import RunQueue
from pituning.runs.roles import ROLES_VARIABLE
from pituning.runs.spec import RunSpec
from pituning.workspace.layout import Workspace
from tests.browser.conftest import Studio, settle
from tests.browser.oidc import Provider

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(1200)]

PEOPLE = {
    name: {"name": name, "email": f"{name.lower()}@example.org", "email_verified": name != "Mallory"}
    for name in ("Ada", "Grace", "Alan", "Eve", "Mallory")
}
ROLES = """
admins = ["ada@example.org"]
runners = ["grace@example.org", "mallory@example.org"]
viewers = ["alan@example.org"]
"""


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider(PEOPLE) as running:
        yield running


@pytest.fixture
def guarded(studio: Studio, provider: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Studio:
    """The Studio, started again with sign-in and roles."""
    studio.stop()
    (tmp_path / "roles.toml").write_text(ROLES)
    (tmp_path / "secrets.toml").write_text(provider.secrets_toml(f"{studio.url}/oauth2callback"))
    monkeypatch.setenv(ROLES_VARIABLE, str(tmp_path / "roles.toml"))
    monkeypatch.setenv("STREAMLIT_SECRETS_FILES", str(tmp_path / "secrets.toml"))
    studio.start()
    return studio


def a_cancelled_run(studio: Studio) -> str:
    queue = RunQueue(Workspace.open(studio.workspace))
    run_id = queue.submit(RunSpec(kind="train", config={"task": "digits", "shots": 1, "steps": 1, "name": "one"}))
    queue.cancel(run_id)
    return run_id


def sign_in(context: BrowserContext, studio: Studio, name: str) -> Page:
    page = context.new_page()
    page.set_default_timeout(120 * SECOND)
    page.goto(f"{studio.url}/runs")
    settle(page)
    expect(page.get_by_text("This Studio wants to know who you are.")).to_be_visible()
    assert page.locator('[data-testid="stTopNavLink"]').count() == 0
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("link", name=name).click()
    page.wait_for_url(f"{studio.url}/**")
    settle(page)
    return page


def test_each_role_finds_what_it_may_do(guarded: Studio, provider: Provider, chromium: Browser) -> None:
    run_id = a_cancelled_run(guarded)
    queue = RunQueue(Workspace.open(guarded.workspace))

    with chromium.new_context() as context:  # a viewer looks
        page = sign_in(context, guarded, "Alan")
        expect(page.get_by_text("alan@example.org · viewer")).to_be_visible()
        page.goto(f"{guarded.url}/runs?run={run_id}")
        settle(page)
        expect(page.get_by_role("button", name="Retry")).to_be_disabled()
        expect(page.get_by_role("button", name="Delete")).to_be_disabled()
        page.goto(f"{guarded.url}/new-run?target=digits")
        settle(page)
        expect(page.get_by_role("button", name="Start", exact=True)).to_be_disabled()
        expect(page.get_by_text("this needs the role of runner")).to_be_visible()

    with chromium.new_context() as context:  # a runner launches
        page = sign_in(context, guarded, "Grace")
        page.goto(f"{guarded.url}/new-run?target=digits")
        settle(page)
        page.get_by_role("button", name="Start", exact=True).click()
        page.wait_for_url("**/runs?run=*")
        started = page.url.rsplit("run=", 1)[1]
        assert queue.get(started).submitted_by == "grace@example.org"
        page.get_by_role("button", name="Cancel").click()
        page.goto(f"{guarded.url}/runs?run={run_id}")
        settle(page)
        expect(page.get_by_role("button", name="Retry")).to_be_enabled()
        expect(page.get_by_role("button", name="Delete")).to_be_disabled()

    with chromium.new_context() as context:  # an admin deletes
        page = sign_in(context, guarded, "Ada")
        page.goto(f"{guarded.url}/runs?run={run_id}")
        settle(page)
        page.get_by_role("button", name="Delete").click()
        page.get_by_role("button", name="Delete it").click()
        deadline = time.monotonic() + 120
        while run_id in [run.id for run in queue.list()] and time.monotonic() < deadline:
            page.wait_for_timeout(200)
        assert [run.id for run in queue.list()] == [started]
        settle(page)
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_text("This Studio wants to know who you are.")).to_be_visible()

    assert provider.refused == []


def test_who_is_not_meant_stays_outside(guarded: Studio, chromium: Browser) -> None:
    for name, says in (("Eve", "may not use this Studio"), ("Mallory", "has not been verified")):
        with chromium.new_context() as context:
            page = sign_in(context, guarded, name)

            expect(page.get_by_text(says)).to_be_visible()
            assert page.locator('[data-testid="stDataFrame"]').count() == 0
            assert page.locator('[data-testid="stTopNavLink"]').count() == 0


def test_a_token_that_somebody_else_signed_opens_nothing(
    guarded: Studio, provider: Provider, chromium: Browser
) -> None:
    provider.signing_key = RSAKey.generate_key(2048, {"kid": "first"})
    with chromium.new_context() as context:
        page = sign_in(context, guarded, "Ada")

        expect(page.get_by_text("This Studio wants to know who you are.")).to_be_visible()

    # The server logs why; the fixture of the Studio accepts no traceback that is not expected.
    log = guarded.log.read_text()
    assert "OAuth token exchange failed" in log
    guarded.log.write_text(log.replace("Traceback", "expected traceback"))
