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
        return cls.read(Path(path).expanduser()) if path else None

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
        person = address.strip().lower()
        for role in sorted(self.entries, reverse=True):
            if any(_matches(person, entry) for entry in self.entries[role]):
                return Actor(person, role)
        raise NotAllowed(f"{person} may not use this Studio; one of its admins can let you in")


_ENTRY = re.compile(r"\*|(\*|[^@*\s]+)@[^@*\s]+")


def _people(path: Path, key: str, value: object) -> frozenset[str]:
    if not isinstance(value, list):
        raise _bad(path, f'has {key} = {value!r}; it must be a list: {key} = ["ada@example.org"]')
    for entry in value:
        if not isinstance(entry, str) or _ENTRY.fullmatch(entry.strip()) is None:
            raise _bad(path, f'has {entry!r} among its {key}; write an e-mail address, "*@example.org" or "*"')
    return frozenset(entry.strip().lower() for entry in value)


def _matches(person: str, entry: str) -> bool:
    return entry in ("*", person) or (entry.startswith("*@") and person.endswith(entry[1:]))


def _bad(path: Path, why: str) -> BadInput:
    return BadInput(f"{ROLES_VARIABLE}: {path} {why}", field=ROLES_VARIABLE)
