"""Who may do what: viewers look, runners also start and stop runs, admins also delete. Torch-free.

`PITUNING_ROLES` names a TOML file of up to three lists, ``admins``, ``runners`` and ``viewers``. An entry is an e-mail
address, ``"*@example.org"`` for everybody of a domain, or ``"*"`` for everybody who signs in; the highest role that
matches counts. The file is read at every use, so a change holds from the next click on. Without the variable there
are no roles: whoever reaches the workspace is its owner.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from pituning.errors import BadInput, NotAllowed
from pituning.text import literal
from pituning.workspace.paths import expanded

ROLES_VARIABLE = "PITUNING_ROLES"


class Role(IntEnum):
    """What somebody may do; a higher role may do all that a lower one may."""

    VIEWER = 1
    RUNNER = 2
    ADMIN = 3

    def __str__(self) -> str:
        return self.name.lower()


@dataclass(frozen=True)
class Actor:
    """Somebody who asks something of the queue.

    Args:
        name: the e-mail address; None for the local owner, whom nobody asked to sign in.
        role: what they may do.
    """

    name: str | None
    role: Role

    def may(self, role: Role) -> bool:
        """Whether they may do what that role may."""
        return self.role >= role

    def require(self, role: Role, what: str) -> None:
        """Does nothing for those who may.

        Args:
            role: the lowest role that may.
            what: for the message, for example ``"delete runs"``.

        Raises:
            NotAllowed: for the others.
        """
        if not self.may(role):
            raise NotAllowed(
                f"{self.name or 'this visitor'} is a {self.role} and may not {what}; that needs the role of {role}, "
                "which an admin of this Studio can give"
            )


LOCAL_OWNER = Actor(None, Role.ADMIN)
"""Whoever has an account on the machine and uses the command line, and everybody where there are no roles."""

_LISTS = {"admins": Role.ADMIN, "runners": Role.RUNNER, "viewers": Role.VIEWER}


@dataclass(frozen=True)
class Roles:
    """The entries of each role, in lower case."""

    entries: Mapping[Role, frozenset[str]]

    @classmethod
    def from_environment(cls) -> Roles | None:
        """The roles of the file that `PITUNING_ROLES` names; None where it is not set.

        Raises:
            BadInput: as `read`.
        """
        path = os.environ.get(ROLES_VARIABLE)
        return cls.read(expanded(path)) if path else None

    @classmethod
    def read(cls, path: Path) -> Roles:
        """The roles of a file.

        Raises:
            BadInput: it cannot be read, is not TOML, has other keys or values, or names nobody.
        """
        try:
            document = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise _bad(
                path, f"cannot be read ({error.strerror or error}); correct the path or its permissions"
            ) from error
        except ValueError as error:  # not TOML, or not UTF-8
            raise _bad(path, f'is not TOML ({error}); a line reads: admins = ["ada@example.org"]') from error
        for key in document:
            if key not in _LISTS:
                raise _bad(path, f"has the key {key!r}; it takes {', '.join(_LISTS)}")
        people = {role: _people(path, key, document.get(key, [])) for key, role in _LISTS.items()}
        if not any(people.values()):
            raise _bad(path, 'names nobody; a line reads: admins = ["ada@example.org"]')
        return cls(people)

    def actor(self, address: str) -> Actor:
        """The person of that e-mail address with their role.

        Raises:
            NotAllowed: they are in no list.
        """
        person = _lower(address.strip())
        for role in sorted(self.entries, reverse=True):
            if any(_matches(person, entry) for entry in self.entries[role]):
                return Actor(person, role)
        raise NotAllowed(f"{person} may not use this Studio; one of its admins can let you in")


def address_of(claims: Mapping[str, object]) -> str:
    """The e-mail address that an identity provider vouches for, of the claims of somebody who has signed in.

    Claims are taken as OpenID Connect defines them (Core 1.0, section 5.1) and in no other form: a text ``"false"`` is
    no false, and a list with one address is no address.

    Args:
        claims: with ``is_logged_in``, ``email`` and, where the provider tells it, ``email_verified``.

    Raises:
        NotAllowed: they have not signed in, or the provider tells no address, an odd one, or one that it has not
            verified.
    """
    if claims.get("is_logged_in") is not True:
        raise NotAllowed("nobody has signed in; reload the page and sign in")
    address = claims.get("email")
    if address is None or address == "":
        raise NotAllowed('the identity provider tells no e-mail address; let it grant the scope "email"')
    if not isinstance(address, str) or len(address) > _MOST_IN_ADDRESS or _ADDRESS.fullmatch(address) is None:
        raise NotAllowed(
            f"the identity provider tells {literal(address)} as the e-mail address, which is none; "
            "correct it there, then sign in"
        )
    verified = claims.get("email_verified", True)  # some providers only have addresses of their own, and do not say
    if verified is False:
        raise NotAllowed(f"{address} has not been verified by the identity provider; verify it there, then sign in")
    if verified is not True:
        raise NotAllowed(
            f"the identity provider tells {literal(verified)} as email_verified of {address}, which is "
            "neither true nor false; let it tell one of the two"
        )
    return address


def _lower(text: str) -> str:
    """In lower case as far as ASCII goes: some foreign letters, such as the sign K of kelvin, become ASCII ones."""
    return "".join(character.lower() if character.isascii() else character for character in text)


_MOST_IN_ADDRESS = 254  # RFC 5321, section 4.5.3.1.3
_ADDRESS = re.compile(r"[^@*\s\x00-\x1f\x7f-\x9f]+@[^@*\s\x00-\x1f\x7f-\x9f]+")
_ENTRY = re.compile(r"\*|(\*|[^@*\s]+)@[^@*\s]+")


def _people(path: Path, key: str, value: object) -> frozenset[str]:
    if not isinstance(value, list):
        raise _bad(path, f'has {key} = {value!r}; it must be a list: {key} = ["ada@example.org"]')
    for entry in value:
        if not isinstance(entry, str) or _ENTRY.fullmatch(entry.strip()) is None:
            raise _bad(path, f'has {entry!r} among its {key}; write an e-mail address, "*@example.org" or "*"')
    return frozenset(_lower(entry.strip()) for entry in value)


def _matches(person: str, entry: str) -> bool:
    return entry in ("*", person) or (entry.startswith("*@") and person.endswith(entry[1:]))


def _bad(path: Path, why: str) -> BadInput:
    return BadInput(f"{ROLES_VARIABLE}: {path} {why}", field=ROLES_VARIABLE)
