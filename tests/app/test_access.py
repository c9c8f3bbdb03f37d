"""What the pages offer to each role, and that what they do not offer is refused all the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from pituning.runs.queue import RunQueue
from pituning.runs.roles import ROLES_VARIABLE
from pituning.workspace.layout import Workspace
from tests.app import synthetic
from tests.app.conftest import ENTRY, SECONDS, healthy, texts

AUTH = {"client_id": "studio", "client_secret": "x", "redirect_uri": "http://127.0.0.1/oauth2callback",
        "cookie_secret": "y" * 32, "server_metadata_url": "http://127.0.0.1/"}  # fmt: skip
ROLES = 'admins = ["ada@example.org"]\nrunners = ["grace@example.org"]\nviewers = ["alan@example.org"]\n'


@pytest.fixture
def roles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "roles.toml"
    path.write_text(ROLES)
    monkeypatch.setenv(ROLES_VARIABLE, str(path))
    return path


def visit(page: str, email: str | None, *, auth: bool = True, **claims: object) -> AppTest:
    """The page as somebody sees it whom the provider calls by that address; None has not signed in."""
    at = AppTest.from_file(str(ENTRY), default_timeout=SECONDS)
    if auth:
        at.secrets["auth"] = AUTH
    at.user = {"is_logged_in": False} if email is None else {"is_logged_in": True, "email": email, **claims}
    at.run()
    if page != "home":
        at.switch_page(f"app_pages/{page}.py").run()
    return at


def test_nobody_sees_anything_before_signing_in(workspace: Workspace, roles: Path) -> None:
    at = healthy(visit("runs", None))

    assert [button.label for button in at.button] == ["Sign in"]
    assert [title.value for title in at.title] == ["π-Tuning Studio"]
    assert not at.dataframe


@pytest.mark.parametrize(
    ("email", "claims", "says"),
    [
        ("eve@example.org", {}, "may not use this Studio"),
        ("ada@example.org", {"email_verified": False}, "has not been verified"),
        ("ada@example.org", {"email_verified": "false"}, "neither true nor false"),
        ("", {}, "tells no e-mail address"),
    ],
)
def test_who_is_not_let_in_is_told_why(
    workspace: Workspace, roles: Path, email: str, claims: dict[str, object], says: str
) -> None:
    synthetic.done(workspace)
    at = visit("runs", email, **claims)

    assert says in at.error[0].value
    assert [button.key for button in at.button] == ["sign_out"]
    assert not at.dataframe


def test_roles_without_a_sign_in_keep_the_door_shut(workspace: Workspace, roles: Path) -> None:
    at = visit("runs", "ada@example.org", auth=False)

    assert "there is no sign-in" in at.error[0].value
    assert not at.button


def test_a_mistake_in_the_roles_keeps_the_door_shut(workspace: Workspace, roles: Path) -> None:
    roles.write_text("admins = 7")

    at = visit("runs", "ada@example.org")

    assert "roles.toml has admins = 7; it must be a list" in at.error[0].value.replace("\\", "")
    assert roles.parent.name not in at.error[0].value  # where it lies is the owner's business
    assert [button.key for button in at.button] == ["sign_out"]


def test_without_roles_whoever_signs_in_may_do_all(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ROLES_VARIABLE, raising=False)
    run = synthetic.failed(workspace)

    at = healthy_but_for_the_run(visit("runs", "eve@example.org"))

    assert not at.button(key="run_delete").disabled
    assert "eve@example.org · admin" in texts(at)
    at.button(key="run_retry").click().run()
    assert RunQueue(workspace).get(run.id).state == "queued"


@pytest.mark.parametrize(
    ("email", "may_run", "may_delete"),
    [("alan@example.org", False, False), ("grace@example.org", True, False), ("Ada@example.org", True, True)],
)
def test_what_a_role_may_not_do_is_refused_even_when_its_button_is_pressed(
    workspace: Workspace, roles: Path, email: str, may_run: bool, may_delete: bool
) -> None:
    run = synthetic.failed(workspace)
    at = healthy_but_for_the_run(visit("runs", email))
    assert at.button(key="run_retry").disabled is not may_run

    at.button(key="run_delete").click().run()
    left = [one.id for one in RunQueue(workspace).list()]
    assert left == ([] if may_delete else [run.id])
    if may_delete:
        return
    assert any("may not delete runs" in alert.value for alert in at.error)

    if may_run:
        at.button(key="run_retry").click().run()
        assert RunQueue(workspace).get(run.id).state == "queued"


def test_a_role_that_is_taken_away_is_gone_with_the_next_click(workspace: Workspace, roles: Path) -> None:
    run = synthetic.failed(workspace)
    at = visit("runs", "grace@example.org")
    assert not at.button(key="run_retry").disabled

    roles.write_text('admins = ["ada@example.org"]')
    at.button(key="run_retry").click().run()

    assert RunQueue(workspace).get(run.id).state == "failed"
    assert not at.dataframe


def test_a_viewer_is_told_why_nothing_starts(workspace: Workspace, roles: Path) -> None:
    at = visit("new_run", "alan@example.org")

    assert at.button(key="launch").disabled
    assert "You are signed in as a viewer; this needs the role of runner." in texts(at)


def test_what_a_page_still_offers_is_refused_to_who_has_become_a_viewer(workspace: Workspace, roles: Path) -> None:
    at = visit("new_run", "grace@example.org")
    assert not at.button(key="launch").disabled

    roles.write_text('viewers = ["grace@example.org"]')
    at.button(key="launch").click().run()

    assert RunQueue(workspace).list() == []
    run = synthetic.failed(workspace)
    roles.write_text(ROLES)
    at = visit("runs", "grace@example.org")
    roles.write_text('viewers = ["grace@example.org"]')
    at.button(key="run_retry").click().run()
    assert RunQueue(workspace).get(run.id).state == "failed"
    assert any("may not start runs" in alert.value for alert in at.error)


def test_a_run_knows_who_queued_it(workspace: Workspace, roles: Path) -> None:
    at = visit("new_run", "grace@example.org")

    at.button(key="launch").click().run()

    (run,) = RunQueue(workspace).list()
    assert run.submitted_by == "grace@example.org"
    assert "queued by grace" in texts(visit("runs", "alan@example.org"))


def healthy_but_for_the_run(at: AppTest) -> AppTest:
    """No error is on the page but the failed run's own."""
    assert not at.exception
    assert all("NaN" in alert.value for alert in at.error)
    return at
