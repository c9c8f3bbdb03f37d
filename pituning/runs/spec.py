"""What a run is to do: a kind and its configuration, as the queue keeps it. Torch-free."""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from pituning.errors import BadInput
from pituning.registry import load
from pituning.runs.kinds import RUN_KINDS, SUBMIT, RunKindRecord
from pituning.workspace.documents import DocumentError, check_document, check_fields
from pituning.workspace.layout import BACKBONE_VARIABLE, DEFAULT_BACKBONE

SCHEMA_VERSION = 1
_MAIN = ("kind", "shots", "donors", "seed")


@dataclass(frozen=True, kw_only=True)
class RunSpec:
    """A unit of work. It never changes once made; ``config`` is a deep copy of what was given.

    Args:
        kind: a name of `RUN_KINDS`.
        config: the fields of the kind's configuration, as JSON; those left out have their defaults. The backbone is
            always there: runs from before there was a choice had the usual one.
        schema_version: of this record.

    Raises:
        BadInput: for a configuration that JSON cannot hold. An unknown kind shows when the run is to start, so that one
            that was queued stays in the lists when the package that brought its kind is gone.
    """

    kind: str
    config: Mapping[str, Any]
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        if self.schema_version != SCHEMA_VERSION:
            raise BadInput(
                f"run has schema version {self.schema_version!r}, this program reads {SCHEMA_VERSION}; start it again"
            )
        try:
            check_document(dict(self.config))
            copied = json.loads(json.dumps(dict(self.config), allow_nan=False))
        except DocumentError as error:
            raise BadInput(f"run configuration cannot be kept: {error}", field=error.field) from error
        except (TypeError, ValueError) as error:
            raise BadInput(f"run configuration is not plain JSON ({error}); use text, numbers and lists") from error
        record = RUN_KINDS.get(self.kind)
        if record is not None and record.on_backbone:
            copied.setdefault("backbone", DEFAULT_BACKBONE)
        object.__setattr__(self, "config", MappingProxyType(copied))

    @classmethod
    def of(cls, kind: str, config: Any) -> RunSpec:
        """The spec of a configuration object (a dataclass)."""
        return cls(kind=kind, config=dataclasses.asdict(config))

    @property
    def record(self) -> RunKindRecord:
        """What the program knows of runs of this kind.

        Raises:
            BadInput: it knows no such kind; a package that brought it may be gone.
        """
        return RUN_KINDS[self.kind]

    def _fields(self) -> tuple[Any, dict[str, Any]]:
        """The configuration's class, and its fields with their defaults (MISSING where there is none)."""
        config_class = load(self.record.config)
        return config_class, {field.name: field.default for field in dataclasses.fields(config_class)}

    def defaults(self) -> dict[str, Any]:
        """The settings that there are with their defaults; `dataclasses.MISSING` where one must be given."""
        return self._fields()[1]

    def settings(self) -> Any:
        """The configuration object, whose own checks have passed.

        Raises:
            BadInput: for an unknown field or a value that its class refuses.
        """
        config_class, defaults = self._fields()
        for field in self.config:
            if field not in defaults:
                raise BadInput(f"{self.kind} has no setting {field!r}; it has {', '.join(defaults)}", field=field)
        for field, default in defaults.items():
            if default is dataclasses.MISSING and field not in self.config:
                raise BadInput(f"{self.kind} needs the setting {field!r}; give it", field=field)
        try:
            check_fields(config_class, self.config)
        except DocumentError as error:
            raise BadInput(str(error), field=error.field) from error
        # JSON has lists only; the configurations are hashable and hold tuples.
        values = {key: tuple(value) if isinstance(value, list) else value for key, value in self.config.items()}
        try:
            return config_class(**values)
        except (TypeError, ValueError) as error:
            raise BadInput(f"a setting of {self.kind} has a value of the wrong type ({error}); correct it") from error

    def validate(self) -> None:
        """Raises BadInput, with the field at fault, unless the run could start."""
        self.settings()

    @property
    def backbone(self) -> str:
        """Name of the backbone that the run is on; the usual one where it needs none."""
        return str(self.config.get("backbone", DEFAULT_BACKBONE))

    @property
    def subject(self) -> str:
        """What the run is about: the name of its task or expert, or of the first of several."""
        record = RUN_KINDS.get(self.kind)
        value = "" if record is None else self.config.get(record.subject, "")
        names = value if isinstance(value, list) else [value]
        return str(names[0]) if names else "all"

    def command(self) -> str:
        """The command line that does the same; settings at their defaults are left out, but for the main ones."""
        record = RUN_KINDS.get(self.kind)
        if record is None or not record.command:
            return shlex.join(["pituning", *SUBMIT, self.kind, *self._assignments()])
        subject, by_option = record.subject, record.subject_by_option
        defaults = self._fields()[1]
        value = self.config.get(subject, [])
        words = ["pituning", *record.command]
        if not by_option:
            words += map(str, value if isinstance(value, list) else [value])
        for key, value in self.config.items():
            default = defaults.get(key)
            if (key == subject and not by_option) or value is None:
                continue
            if key == "backbone" and os.environ.get(BACKBONE_VARIABLE):
                default = None  # where the variable is set, the command has another default, or will have
            if key not in _MAIN and value == (list(default) if isinstance(default, tuple) else default):
                continue
            option = "--" + key.replace("_", "-")
            if isinstance(value, bool):
                words.append(option if value else "--no-" + option[2:])
            else:
                words += [option, ",".join(map(str, value)) if isinstance(value, list) else str(value)]
        return shlex.join(words)

    def _assignments(self) -> list[str]:
        """What is not at its default, as ``--set NAME=VALUE``."""
        defaults: dict[str, Any] = self._fields()[1] if self.kind in RUN_KINDS else {}
        words: list[str] = []
        for key, value in self.config.items():
            default = defaults.get(key)
            if value is None or value == (list(default) if isinstance(default, tuple) else default):
                continue
            words += ["--set", f"{key}={','.join(map(str, value)) if isinstance(value, list) else value}"]
        return words

    def to_json(self) -> dict[str, Any]:
        return {"kind": self.kind, "config": dict(self.config), "schema_version": self.schema_version}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> RunSpec:
        try:
            return cls(kind=data["kind"], config=data["config"], schema_version=data["schema_version"])
        except (KeyError, TypeError) as error:
            raise BadInput(f"run record is damaged ({error}); start the run again") from error
