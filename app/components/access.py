"""Who is looking: signed in through OpenID Connect where that is set up, the local owner elsewhere.

What somebody may do is decided where it is done, by the queue that gets this actor; pages only ask early, so that
nobody is offered a button that would be refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app.components.guard import plain, say
from pituning.errors import BadInput, PiTuningError
from pituning.runs.roles import LOCAL_OWNER, ROLES_VARIABLE, Actor, Role, Roles, address_of

_CREDENTIAL = "client_id"


def actor() -> Actor:
    """Who is looking, with their role of this moment.

    Raises:
        NotAllowed: they have not signed in, nobody vouches for their address, or they are in no list.
        BadInput: the file of roles, or the sign-in, is not set up as it should be.
    """
    return actor_of(st.user.to_dict())


def actor_of(claims: Mapping[str, object]) -> Actor:
    """Who that is, of whom the identity provider tells ``claims``; errors as of `actor`."""
    roles = Roles.from_environment()
    providers = _providers()
    if roles is None and not providers:
        return LOCAL_OWNER
    if not providers:
        raise BadInput(
            f"{ROLES_VARIABLE} is set, but there is no sign-in to tell people apart; add [auth] to secrets.toml as "
            "docs/deploy.md shows, or unset it"
        )
    address = address_of(claims)
    # Where the provider alone decides who comes in, all who do are equal.
    return Actor(address, Role.ADMIN) if roles is None else roles.actor(address)


def admit() -> bool:
    """Lets the page be drawn, with a line that says who is signed in; else draws what stands in the way."""
    try:
        if _providers() and st.user.get("is_logged_in") is not True:
            _ask_to_sign_in()
            return False
        visitor = actor()
    except PiTuningError as error:
        say("The Studio stays closed", error)
        if _providers() and st.user.get("is_logged_in"):
            st.button("Sign in as somebody else", icon=":material/logout:", key="sign_out", on_click=st.logout)
        return False
    if visitor.name is not None:
        with st.container(horizontal=True, horizontal_alignment="right", vertical_alignment="center", key="visitor"):
            st.caption(f":material/person: {plain(visitor.name)} · {visitor.role}", width="content")
            st.button("Sign out", type="tertiary", key="sign_out", on_click=st.logout)
    return True


def why_not(role: Role) -> str | None:
    """A word on why something is not offered; None where it is."""
    visitor = actor()
    return None if visitor.may(role) else f"You are signed in as a {visitor.role}; this needs the role of {role}."


def button(
    label: str, *, role: Role = Role.RUNNER, help: str | None = None, disabled: bool = False, **options: Any
) -> bool:
    """A button for those with that role; others see it, and why they may not press it."""
    reason = why_not(role)
    return st.button(label, help=reason or help, disabled=disabled or reason is not None, **options)


def popover(label: str, *, role: Role = Role.RUNNER, **options: Any) -> DeltaGenerator:
    """A popover that opens for those with that role; others see why it does not."""
    reason = why_not(role)
    return st.popover(label, help=reason, disabled=reason is not None, **options)


def uploader(label: str, *, key: str, role: Role = Role.RUNNER, help: str, **options: Any) -> Any:
    """A file uploader for those with that role, of whom alone the Studio takes files; others see why, and get None."""
    reason = why_not(role)
    with st.container(key=f"files-{key}"):  # for its style (frame.css)
        file = st.file_uploader(label, key=key, help=reason or help, disabled=reason is not None, **options)
    return file if reason is None else None


def _ask_to_sign_in() -> None:
    with st.container(horizontal_alignment="center", gap="medium"):
        st.title("π-Tuning Studio", text_alignment="center")
        st.markdown("This Studio wants to know who you are.", text_alignment="center")
        for provider in _providers():
            label = "Sign in" if provider is None else f"Sign in with {provider.capitalize()}"
            st.button(label, icon=":material/login:", type="primary", key=f"sign_in_{provider or 'default'}",
                      on_click=st.login, args=(provider,))  # fmt: skip


def _providers() -> list[str | None]:
    """The names of the identity providers of secrets.toml; None is the only one, which has no name."""
    section = st.secrets.get("auth", {}) if st.secrets.load_if_toml_exists() else {}
    if _CREDENTIAL in section:
        return [None]
    return [name for name, value in section.items() if hasattr(value, "items") and _CREDENTIAL in value]
