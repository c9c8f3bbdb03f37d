"""One database belongs to one workspace: two that share it would take each other's runs and find no files.

A workspace is known by its id, which a copy of it has, too, and by the numbers of its directory and manifest on the
disk, which a copy has not, and which stay the same when it is moved or mounted elsewhere.

The clone of a whole machine has those, too. What it has not is the name of a supervisor that has worked for the other
since: each is written into its directory before the database learns of it.
"""

from __future__ import annotations

import secrets
import socket
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Engine

from pituning.errors import ArtefactError, BadInput
from pituning.workspace.atomic import read_json, write_json
from pituning.workspace.database import DATABASE_VARIABLE, SettingRow, database_error, database_name, writing

KEY, PLACE, SUPERVISOR = "workspace", "place", "supervisor"
"""Settings: the id, where the workspace is, and which supervisor works on the queue, with its slots."""

KEPT_SUPERVISORS = 100
_SUPERVISORS = "supervisors.json"


def identity(root: Path) -> str:
    """What tells a workspace from another wherever it is mounted; those made before they had an id have their age."""
    manifest = read_json(root / "workspace.json")
    return str(manifest.get("id") or f"created {manifest.get('created')}")


def take_ownership(engine: Engine, root: Path) -> None:
    """Writes down whose database this is when nobody has yet, and where that workspace is now.

    Raises:
        BadInput: it belongs to another workspace, or to one of which this is a copy or a clone.
    """
    own, here = identity(root), _place(root)
    try:
        with engine.connect() as connection:
            owner, place = _known(connection)
            if owner is not None:
                _check_id(connection, owner, own, root)
        if owner is None or (place != here and _takes_its_place(own, place, here)):
            with writing(engine) as connection:
                _write(connection, own, here)
            return
    except sa.exc.IntegrityError:
        return take_ownership(engine, root)  # another process was first
    except sa.exc.DBAPIError as error:
        raise database_error(error, database_name(engine)) from error
    if place != here:
        raise BadInput(
            f"workspace {root} is a copy of {place['path']} on {place['host']}, to whose runs database "
            f"{database_name(engine)} belongs; name a database of its own in ${DATABASE_VARIABLE}, or, where this one "
            "takes the other's place: pituning runs adopt"
        )
    with engine.connect() as connection:
        check_owner(connection, root)


def check_owner(connection: sa.Connection, root: Path) -> None:
    """Whether the database belongs to the workspace.

    Raises:
        BadInput: it belongs to another, or to a clone of it.
        ArtefactError: it cannot be read who has worked here.
    """
    query = sa.select(SettingRow.key, SettingRow.value).where(SettingRow.key.in_((KEY, SUPERVISOR)))
    known = {row.key: row.value for row in connection.execute(query)}
    _check_id(connection, known.get(KEY), identity(root), root)
    own, last = _supervisors(root), known.get(SUPERVISOR)
    if own and last is not None and last["owner"] not in own:
        raise BadInput(
            f"database {database_name(connection.engine)} is in use by a clone of workspace {root} on {last['host']}, "
            f"or this one is an older state of it; name a database of its own in ${DATABASE_VARIABLE}, or, where this "
            "one takes the other's place: pituning runs adopt"
        )


def _check_id(connection: sa.Connection, owner: Any, own: str, root: Path) -> None:
    if owner != own:
        raise BadInput(
            f"database {database_name(connection.engine)} belongs to another workspace than {root}; "
            f"name a database of its own in ${DATABASE_VARIABLE}"
        )


def remember_supervisor(root: Path, owner: str) -> None:
    """Writes down in the workspace who will work on its queue; call it before the database learns of it."""
    known = _supervisors(root)
    if owner not in known:
        write_json(root / _SUPERVISORS, [*known, owner][-KEPT_SUPERVISORS:])


def _supervisors(root: Path) -> list[str]:
    path = root / _SUPERVISORS
    known = read_json(path) if path.exists() else []
    if not isinstance(known, list):
        raise ArtefactError(f"{path} is damaged; remove it, which is safe where no clone of the workspace is in use")
    return [str(owner) for owner in known]


def adopt(connection: sa.Connection, root: Path) -> None:
    """Makes a database that of this workspace, under a new id: whoever has the old one has no part in it any more."""
    manifest = read_json(root / "workspace.json")
    own = secrets.token_hex(8)
    write_json(root / "workspace.json", {**manifest, "id": own})
    connection.execute(sa.delete(SettingRow).where(SettingRow.key == SUPERVISOR))
    _write(connection, own, _place(root))


def _known(connection: sa.Connection) -> tuple[Any, Any]:
    query = sa.select(SettingRow.key, SettingRow.value).where(SettingRow.key.in_((KEY, PLACE)))
    known = {row.key: row.value for row in connection.execute(query)}
    return known.get(KEY), known.get(PLACE)


def _write(connection: sa.Connection, own: str, here: Any) -> None:
    connection.execute(sa.delete(SettingRow).where(SettingRow.key.in_((KEY, PLACE))))
    rows = [{"key": KEY, "value": own}, {"key": PLACE, "value": here}]
    connection.execute(sa.insert(SettingRow), rows)


def _place(root: Path) -> dict[str, Any]:
    numbers = [path.stat().st_ino for path in (root, root / "workspace.json")]
    return {"host": socket.gethostname(), "path": str(root), "numbers": numbers}


def _takes_its_place(own: str, place: Any, here: dict[str, Any]) -> bool:
    """Whether this directory is the one that was there, or on the same machine the only one that is left."""
    if place is None or place["numbers"] == here["numbers"]:  # never written down; moved, or seen from elsewhere
        return True
    if place["host"] != here["host"]:
        return False
    if place["path"] == here["path"]:  # restored, or upgraded
        return True
    try:
        return identity(Path(place["path"])) != own
    except (ArtefactError, AttributeError):
        return True  # it is gone, as after a move to another disk
