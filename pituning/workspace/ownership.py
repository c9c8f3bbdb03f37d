"""One database belongs to one workspace: two that share it would take each other's runs and find no files."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import Engine

from pituning.errors import BadInput
from pituning.workspace.atomic import read_json
from pituning.workspace.database import DATABASE_VARIABLE, SettingRow, database_error, database_name, writing

KEY = "workspace"


def identity(root: Path) -> str:
    """What tells a workspace from another wherever it is mounted; those made before they had an id have their age."""
    manifest = read_json(root / "workspace.json")
    return str(manifest.get("id") or f"created {manifest.get('created')}")


def take_ownership(engine: Engine, root: Path) -> None:
    """Writes down whose database this is when nobody has yet.

    Raises:
        BadInput: it belongs to another workspace.
    """
    own = identity(root)
    try:
        with engine.connect() as connection:
            owner = connection.scalar(sa.select(SettingRow.value).where(SettingRow.key == KEY))
        if owner is None:
            with writing(engine) as connection:
                connection.execute(sa.insert(SettingRow).values(key=KEY, value=own))
            return
    except sa.exc.IntegrityError:
        return take_ownership(engine, root)  # another process was first
    except sa.exc.DBAPIError as error:
        raise database_error(error, database_name(engine)) from error
    if owner != own:
        raise BadInput(
            f"database {database_name(engine)} belongs to another workspace than {root}; "
            f"name a database of its own in ${DATABASE_VARIABLE}"
        )
