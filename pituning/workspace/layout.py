"""The workspace: one directory with everything a user makes, over the embedded default that ships with the package."""

from __future__ import annotations

import os
import re
import secrets
import time
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pituning.errors import ArtefactError, BadInput
from pituning.registry import unknown
from pituning.workspace.atomic import TEMPORARY_PREFIX, read_json, storage_error, write_json

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from pituning.workspace.similarity import ZooSimilarity

FORMAT_VERSION = 1
ENVIRONMENT_VARIABLE = "PITUNING_WORKSPACE"
DATA_VARIABLE = "PITUNING_DATA"
DEFAULT_ROOT = Path("workspace")
DEFAULT_BACKBONE = "mini"
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,59}")
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


def transfer_file(kind: str) -> str:
    """Where, in a workspace or the embedded data, the measured transfer of a kind is."""
    return f"results/transfer-{check_name(kind, what='kind')}.csv"


def lowshot_file(kind: str, steps: int | None = None) -> str:
    """Where, in a workspace or the embedded data, the low-shot results of a kind are.

    Args:
        steps: of a budget other than the usual one, which has a file of its own.
    """
    budget = "" if steps is None else f"-{steps}-steps"
    return f"results/lowshot-{check_name(kind, what='kind')}{budget}.csv"


@dataclass(frozen=True)
class Workspace:
    """A workspace directory. Look-ups go to the workspace first, then to the embedded data; nothing is copied.

    Args:
        root: the directory, absolute.
        embedded: the embedded data, ``data/`` of a checkout; None for a workspace that stands alone.
    """

    root: Path
    embedded: Path | None = field(default_factory=embedded_data)

    @classmethod
    def open(cls, path: Path | str | None = None) -> Workspace:
        """Opens a workspace and makes it on first use.

        Args:
            path: its directory; by default ``$PITUNING_WORKSPACE``, else ``./workspace``.

        Raises:
            BadInput: when the path is a file or a directory that holds something else.
            ArtefactError: when it cannot be written or was made by a later version.
        """
        root = Path(path or os.environ.get(ENVIRONMENT_VARIABLE) or DEFAULT_ROOT).expanduser().resolve()
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
        return cls(root)

    # What only the workspace holds.

    def task_dir(self, name: str) -> Path:
        return self.root / "tasks" / check_name(name, what="task")

    def task_names(self) -> list[str]:
        """The user's tasks, sorted."""
        return sorted(_directories(self.root / "tasks"))

    def run_dir(self, run_id: str) -> Path:
        return self.root / "runs" / check_name(run_id, what="run")

    @property
    def results_dir(self) -> Path:
        """Where new study results are written; shipped ones are in ``embedded_results_dir``."""
        return self.root / "results"

    @property
    def embedded_results_dir(self) -> Path | None:
        return self.embedded / "mini" / "results" if self.embedded is not None else None

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
        if url:
            take_ownership(engine, self.root)
        return engine

    # What may be in the workspace or embedded.

    def backbone_dir(self, name: str = DEFAULT_BACKBONE) -> Path:
        """The directory of a backbone.

        Raises:
            BadInput: when there is no backbone of that name.
        """
        own = self.root / "backbones" / check_name(name, what="backbone")
        if own.is_dir():
            return own
        if name == DEFAULT_BACKBONE and self.embedded is not None and (self.embedded / "mini" / "backbone").is_dir():
            return self.embedded / "mini" / "backbone"
        raise unknown("backbone", name, self.backbone_names())

    def backbone_names(self) -> list[str]:
        names = set(_directories(self.root / "backbones"))
        if self.embedded is not None and (self.embedded / "mini" / "backbone").is_dir():
            names.add(DEFAULT_BACKBONE)
        return sorted(names)

    def all_expert_dirs(self, kind: str) -> dict[str, Path]:
        """Every expert of a kind by name, the zoo's and those that runs and imports made; sorted by name."""
        found: dict[str, Path] = {}
        for base in reversed(self._bases()):  # the workspace comes last and wins
            found.update(_directories(base / "experts" / kind))
        return dict(sorted(found.items()))

    def expert_dirs(self, kind: str) -> dict[str, Path]:
        """The zoo: each task's own full-data expert, by task. Its directory has the task's name."""
        return {name: path for name, path in self.all_expert_dirs(kind).items() if _is_of_zoo(path)}

    def expert_dir(self, kind: str, name: str) -> Path:
        """Where an expert is; for one that does not exist, where in the workspace it would be written."""
        check_name(name, what="expert")
        own = self.root / "experts" / check_name(kind, what="kind") / name
        if own.is_dir():
            return own
        return self.all_expert_dirs(kind).get(name, own)

    def new_expert_dir(self, kind: str, name: str) -> Path:
        """Where the workspace writes an expert, embedded namesakes notwithstanding."""
        return self.root / "experts" / check_name(kind, what="kind") / check_name(name, what="expert")

    def embedding_path(self, kind: str, probe: str, task: str) -> Path:
        """The tensors of an embedding (card: same name, ``.json``); for one not made yet, where to write it."""
        return self._read_through(f"embeddings/{kind}/{check_name(probe, what='probe')}/{check_name(task)}.safetensors")

    def new_embedding_path(self, kind: str, probe: str, task: str) -> Path:
        """Where the workspace writes an embedding, embedded namesakes notwithstanding."""
        return self.root / "embeddings" / kind / check_name(probe, what="probe") / f"{check_name(task)}.safetensors"

    def embedded_tasks(self, kind: str, probe: str) -> list[str]:
        """The tasks that have an embedding of this kind at this probe, sorted."""
        found: set[str] = set()
        for base in self._bases():
            found.update(path.stem for path in (base / "embeddings" / kind / probe).glob("[!.]*.safetensors"))
        return sorted(found)

    def similarity_path(self, kind: str, predictor: str) -> Path:
        """The zoo's similarity matrix (tensors; card: same name, ``.json``)."""
        return self._read_through(f"similarity/{kind}/{check_name(predictor, what='predictor')}.safetensors")

    def projection_files(self, kind: str) -> list[Path]:
        """The maps of a kind, those of the workspace first."""
        return [path for base in self._bases() for path in sorted((base / "projections" / kind).glob("[!.]*.json"))]

    def zoo_similarity(self, kind: str, predictor: str) -> ZooSimilarity:
        """The zoo's similarity matrix with its names and bootstrap replicates.

        Raises:
            ArtefactError: when it has not been made or is damaged.
        """
        from pituning.workspace.similarity import load_similarity

        return load_similarity(self.similarity_path(kind, predictor))

    def transfer_path(self, kind: str) -> Path:
        """The measured transfer between tasks; see `pituning.workspace.transfer`."""
        return self._read_through(transfer_file(kind))

    def lowshot_path(self, kind: str) -> Path:
        """The low-shot results; see `pituning.workspace.lowshot`."""
        return self._read_through(lowshot_file(kind))

    def _bases(self) -> list[Path]:
        return [self.root] if self.embedded is None else [self.root, self.embedded / "mini"]

    def _read_through(self, relative: str) -> Path:
        return next((base / relative for base in self._bases() if (base / relative).exists()), self.root / relative)


def _directories(parent: Path) -> dict[str, Path]:
    if not parent.is_dir():
        return {}
    return {p.name: p for p in sorted(parent.iterdir()) if p.is_dir() and not p.name.startswith(TEMPORARY_PREFIX)}


def _is_of_zoo(directory: Path) -> bool:
    """Whether an expert's card says it is its task's own full-data expert. A damaged card shows when it is loaded."""
    try:
        card = read_json(directory / "card.json")
    except ArtefactError:
        return False
    return isinstance(card, dict) and card.get("task") == directory.name
