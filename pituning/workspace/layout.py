"""The workspace: one directory with everything a user makes, over the embedded default that ships with the package."""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pituning.errors import ArtefactError, BadInput
from pituning.registry import unknown
from pituning.workspace.atomic import TEMPORARY_PREFIX, read_json, storage_error, write_json
from pituning.workspace.paths import expanded

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from pituning.workspace.zoo import Zoo

FORMAT_VERSION = 2
ENVIRONMENT_VARIABLE = "PITUNING_WORKSPACE"
DATA_VARIABLE = "PITUNING_DATA"
DEFAULT_ROOT = Path("workspace")
DEFAULT_BACKBONE = "mini"
BACKBONE_VARIABLE = "PITUNING_BACKBONE"
BACKBONE_HELP = "Backbone whose zoo it is; default: $PITUNING_BACKBONE, else mini."
MOST_NAME = 60
_NAME = re.compile(rf"[a-z0-9][a-z0-9-]{{0,{MOST_NAME - 1}}}")
_PACKAGE = Path(__file__).resolve().parent.parent


def embedded_data() -> Path | None:
    """``data/`` of a checkout or ``pituning/_data`` of an installed wheel; None when neither is there.

    ``$PITUNING_DATA`` names another directory, for example a zoo that is not shipped yet; empty, it means none.
    """
    given = os.environ.get(DATA_VARIABLE)
    if given is not None:
        return Path(given).resolve() if given else None
    return _first_existing(_PACKAGE / "_data", _PACKAGE.parent / "data")


def resources() -> Path:
    """The directory that holds ``app/``, ``benchmarks/`` and ``.streamlit/``: a checkout, or ``_app`` of a wheel."""
    return _first_existing(_PACKAGE / "_app") or _PACKAGE.parent


def _first_existing(*candidates: Path) -> Path | None:
    return next((path for path in candidates if path.is_dir()), None)


def check_name(name: str, *, what: str = "name") -> str:
    """The name itself when it can name a thing of the workspace.

    Raises:
        BadInput: unless it matches ``[a-z0-9][a-z0-9-]{0,59}``, which also keeps it inside its directory.
    """
    if _NAME.fullmatch(name) is None:
        raise BadInput(
            f"{what} {name!r} cannot be used: take 1 to 60 of a-z, 0-9 and '-', not beginning with '-'", field=what
        )
    return name


def free_name(name: str, taken: Collection[str]) -> str:
    """The name itself where it is not taken, else the first of ``name-2``, ``name-3`` … that is not; no longer than
    `check_name` takes."""
    ends = (f"-{number}" for number in range(2, len(taken) + 3))
    names = (name, *(name[: MOST_NAME - len(end)].rstrip("-") + end for end in ends))
    return next(one for one in names if one not in taken)


def zoo_command(words: str, backbone: str) -> str:
    """A command line about the zoo of a backbone, for messages that say what to run."""
    return f"pituning {words}" + ("" if backbone == DEFAULT_BACKBONE else f" --backbone {backbone}")


@dataclass(frozen=True)
class Workspace:
    """A workspace directory. Look-ups go to the workspace first, then to the embedded data; nothing is copied.

    Args:
        root: the directory, absolute.
        embedded: the embedded data, ``data/`` of a checkout; None for a workspace that stands alone.
        adopting: whether it may open a PostgreSQL database that belongs to another, in order to take it over.
    """

    root: Path
    embedded: Path | None = field(default_factory=embedded_data)
    adopting: bool = False

    @classmethod
    def open(cls, path: Path | str | None = None) -> Workspace:
        """Opens a workspace and makes it on first use; one of an earlier version is upgraded.

        Args:
            path: its directory; by default ``$PITUNING_WORKSPACE``, else ``./workspace``.

        Raises:
            BadInput: when the path is a file or a directory that holds something else.
            ArtefactError: when it cannot be written or was made by a later version.
        """
        root = expanded(path or os.environ.get(ENVIRONMENT_VARIABLE) or DEFAULT_ROOT).resolve()
        manifest = root / "workspace.json"
        if root.exists() and not root.is_dir():
            raise BadInput(f"workspace {root} is a file; name a directory with --workspace", field="workspace")
        if not manifest.exists():
            try:
                if root.is_dir() and any(not p.name.startswith(".") for p in root.iterdir()):
                    raise BadInput(
                        f"workspace {root} holds other files and no workspace.json; name an empty or new directory",
                        field="workspace",
                    )
                root.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise storage_error(error, root) from error
            write_json(
                manifest,
                {"format_version": FORMAT_VERSION, "created": int(time.time()), "id": secrets.token_hex(8)},
            )
        document = read_json(manifest)
        version = document.get("format_version") if isinstance(document, dict) else None
        if not isinstance(version, int) or version > FORMAT_VERSION:
            raise ArtefactError(
                f"{manifest} has format_version {version!r}, this version reads up to {FORMAT_VERSION}; "
                "upgrade pituning-studio or name another --workspace"
            )
        if version < FORMAT_VERSION:
            from pituning.workspace.upgrade import upgrade

            upgrade(root, FORMAT_VERSION)
        return cls(root)

    def __getstate__(self) -> dict[str, object]:
        """Without the database: a process that gets a workspace opens its own."""
        return {name: value for name, value in vars(self).items() if name != "engine"}

    # What only the workspace holds.

    def task_dir(self, name: str) -> Path:
        return self.root / "tasks" / check_name(name, what="task")

    def task_names(self) -> list[str]:
        """The user's tasks, sorted."""
        return sorted(directories(self.root / "tasks"))

    def run_dir(self, run_id: str) -> Path:
        return self.root / "runs" / check_name(run_id, what="run")

    @property
    def database_path(self) -> Path:
        return self.root / "studio.db"

    @cached_property
    def engine(self) -> Engine:
        """The database, migrated to the current schema; one engine for each workspace object.

        ``$PITUNING_DATABASE_URL`` names a PostgreSQL database in place of ``studio.db``.

        Raises:
            BadInput: that database belongs to another workspace, or the variable cannot be used.
            ArtefactError: as `open_database`.
        """
        from pituning.workspace.database import DATABASE_VARIABLE, open_database
        from pituning.workspace.ownership import take_ownership

        url = os.environ.get(DATABASE_VARIABLE)
        engine = open_database(url or self.database_path)
        if url and not self.adopting:
            take_ownership(engine, self.root)
        return engine

    # What may be in the workspace or embedded.

    def backbone_dir(self, name: str = DEFAULT_BACKBONE) -> Path:
        """The directory of a backbone.

        Raises:
            BadInput: when there is no backbone of that name.
        """
        check_name(name, what="backbone")
        existing = next((base / name for base in self._backbones() if (base / name).is_dir()), None)
        if existing is None:
            raise unknown("backbone", name, self.backbone_names())
        return existing

    def backbone_names(self) -> list[str]:
        """The backbones of the workspace and those that ship, sorted."""
        return sorted({name for base in self._backbones() for name in directories(base)})

    def check_backbone(self, name: str) -> str:
        """The name itself where there is a backbone, or a zoo of one; the usual one may yet be made.

        Raises:
            BadInput: there is none; the message lists close names.
        """
        known = sorted({*self.backbone_names(), *self.zoo_names()})
        if check_name(name, what="backbone") != DEFAULT_BACKBONE and name not in known:
            raise unknown("backbone", name, known)
        return name

    def zoo_names(self) -> list[str]:
        """The backbones of which there is a zoo, of the workspace or shipped, sorted."""
        bases = [self.root] if self.embedded is None else [self.root, self.embedded]
        return sorted({name for base in bases for name in directories(base / "zoos")})

    def zoo(self, backbone: str = DEFAULT_BACKBONE) -> Zoo:
        """The zoo of a backbone, which may be empty yet.

        Raises:
            BadInput: no backbone can have that name.
        """
        from pituning.workspace.zoo import Zoo

        own = self.root / "zoos" / check_name(backbone, what="backbone")
        shipped = None if self.embedded is None else self.embedded / "zoos" / backbone
        return Zoo(backbone, own, shipped if shipped is not None and shipped.is_dir() else None)

    def _backbones(self) -> list[Path]:
        own = self.root / "backbones"
        return [own] if self.embedded is None else [own, self.embedded / "backbones"]


def directories(parent: Path) -> dict[str, Path]:
    """The finished directories in another one by name, sorted; none where that is not there."""
    if not parent.is_dir():
        return {}
    return {p.name: p for p in sorted(parent.iterdir()) if p.is_dir() and not p.name.startswith(TEMPORARY_PREFIX)}
