from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pituning.errors import BadInput, NotAllowed
from pituning.runs.roles import LOCAL_OWNER, ROLES_VARIABLE, Actor, Role, Roles, address_of

FILE = """
# who may do what
admins = ["Ada@Example.org"]
runners = ["grace@example.org", "*@lab.example.org", "ada@example.org"]
viewers = ["*@example.org"]
"""


@pytest.fixture
def roles(tmp_path: Path) -> Roles:
    path = tmp_path / "roles.toml"
    path.write_text(FILE)
    return Roles.read(path)


@pytest.mark.parametrize(
    ("address", "role"),
    [
        ("ada@example.org", Role.ADMIN),  # also listed as a runner: the higher role counts
        (" ADA@example.ORG ", Role.ADMIN),
        ("grace@example.org", Role.RUNNER),
        ("anybody@lab.example.org", Role.RUNNER),
        ("else@example.org", Role.VIEWER),
    ],
)
def test_the_highest_role_that_matches_counts(roles: Roles, address: str, role: Role) -> None:
    assert roles.actor(address) == Actor(address.strip().lower(), role)


@pytest.mark.parametrize(
    "address", ["eve@evil.org", "eve@notexample.org", "ada@example.org.evil.org", "", "*", "@example.org.x"]
)
def test_who_is_in_no_list_is_refused(roles: Roles, address: str) -> None:
    with pytest.raises(NotAllowed, match="may not use this Studio"):
        roles.actor(address)


def test_a_star_lets_in_everybody_who_signs_in(tmp_path: Path) -> None:
    path = tmp_path / "roles.toml"
    path.write_text('viewers = ["*"]')

    assert Roles.read(path).actor("whoever@where.ever").role is Role.VIEWER


def test_what_each_role_may() -> None:
    may = {role: [needed for needed in Role if Actor("x@y.z", role).may(needed)] for role in Role}

    assert may == {
        Role.VIEWER: [Role.VIEWER],
        Role.RUNNER: [Role.VIEWER, Role.RUNNER],
        Role.ADMIN: [Role.VIEWER, Role.RUNNER, Role.ADMIN],
    }
    assert LOCAL_OWNER.may(Role.ADMIN)
    with pytest.raises(NotAllowed, match=r"x@y.z is a viewer and may not start runs; that needs the role of runner"):
        Actor("x@y.z", Role.VIEWER).require(Role.RUNNER, "start runs")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("admins = [", "is not TOML"),
        ("\xff", "is not TOML"),
        ('admin = ["ada@example.org"]', "has the key 'admin'; it takes admins, runners, viewers"),
        ('admins = "ada@example.org"', "must be a list"),
        ("admins = [7]", "has 7 among its admins"),
        ('admins = ["ada"]', "has 'ada' among its admins"),
        ('admins = ["a*@example.org"]', "among its admins"),
        ('admins = ["*@*"]', "among its admins"),
        ('admins = ["a@b@c"]', "among its admins"),
        ("", "names nobody"),
        ("admins = []", "names nobody"),
    ],
)
def test_a_bad_file_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, says: str) -> None:
    path = tmp_path / "roles.toml"
    path.write_bytes(text.encode("latin-1"))
    monkeypatch.setenv(ROLES_VARIABLE, str(path))

    with pytest.raises(BadInput) as caught:
        Roles.from_environment()

    message = str(caught.value)
    assert says in message
    assert str(path) in message
    assert message.startswith("PITUNING_ROLES")
    assert "\n" not in message


def test_a_missing_file_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ROLES_VARIABLE, str(tmp_path / "none.toml"))

    with pytest.raises(BadInput, match=r"cannot be read \(No such file"):
        Roles.from_environment()


@pytest.mark.parametrize("value", [None, ""])
def test_without_the_variable_there_are_no_roles(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    monkeypatch.delenv(ROLES_VARIABLE, raising=False)
    if value is not None:
        monkeypatch.setenv(ROLES_VARIABLE, value)

    assert Roles.from_environment() is None


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["true", "false", "", 0, 1]),
    lambda one: st.lists(one, max_size=2) | st.dictionaries(st.text(max_size=3), one, max_size=2),
    max_leaves=3,
)
GOOD = {"is_logged_in": True, "email": "ada@example.org", "email_verified": True}


@settings(deadline=None, max_examples=150)
@given(st.fixed_dictionaries({}, optional={name: VALUES | st.just(value) for name, value in GOOD.items()}))
def test_only_claims_of_the_right_type_let_somebody_in(claims: dict[str, object]) -> None:
    try:
        address = address_of(claims)
    except NotAllowed:
        return
    assert claims["is_logged_in"] is True
    assert claims.get("email_verified", True) is True
    assert type(address) is str
    assert address.count("@") == 1
    assert not any(character.isspace() or character == "*" for character in address)


@pytest.mark.parametrize(
    ("claims", "says"),
    [
        ({"email_verified": "false"}, "neither true nor false"),
        ({"email_verified": "true"}, "neither true nor false"),
        ({"email_verified": 1}, "neither true nor false"),
        ({"email_verified": None}, "neither true nor false"),
        ({"email_verified": False}, "has not been verified"),
        ({"email": ["ada@example.org"]}, "which is none"),
        ({"email": "ada@example.org,eve@evil.org"}, "which is none"),
        ({"email": "ada@example.org\n"}, "which is none"),
        ({"email": "*@example.org"}, "which is none"),
        ({"email": "a" * 300 + "@example.org"}, "which is none"),
        ({"email": None}, "tells no e-mail address"),
        ({"is_logged_in": "true"}, "nobody has signed in"),
    ],
)
def test_odd_claims_are_refused_in_words(claims: dict[str, object], says: str) -> None:
    with pytest.raises(NotAllowed, match=says):
        address_of({**GOOD, **claims})


def test_a_provider_that_does_not_tell_whether_it_verified() -> None:
    assert address_of({"is_logged_in": True, "email": "ada@example.org"}) == "ada@example.org"


def test_a_letter_that_only_looks_like_another_is_another_person(tmp_path: Path) -> None:
    path = tmp_path / "roles.toml"
    path.write_text('admins = ["kate@example.org"]')

    with pytest.raises(NotAllowed):
        Roles.read(path).actor("\u212aate@example.org")  # the sign of kelvin, whose lower case is k
