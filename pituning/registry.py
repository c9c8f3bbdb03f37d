"""Doors: a name leads to a torch-free record, and the record says where the class is that does the work.

Every plural thing of this package (expert kinds, backbone families, predictors, metrics, kinds of run) is one registry
of records. A record is a frozen dataclass with ``name``; what needs torch is named by its ``path`` and imported only
by whoever calls `load`. Other packages add records by entry points, whose group the registry names.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from importlib.metadata import entry_points
from typing import Any, Protocol, TypeVar

from pituning.errors import BadInput


class Named(Protocol):
    """What a record must have."""

    @property
    def name(self) -> str: ...


Record = TypeVar("Record", bound=Named)


def unknown(what: str, value: str, known: Sequence[str], *, field: str | None = None) -> BadInput:
    """The error for a name that is not there: the close matches, or else everything that is known.

    Args:
        field: the form field or option at fault; by default ``what``.
    """
    close = get_close_matches(value, known, n=3)
    hint = f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(known) or 'none'}"
    return BadInput(f"unknown {what} {value!r}; {hint}", field=field or what)


class Registry(Mapping[str, Record]):
    """Records by name, in the order in which they were registered.

    Args:
        what: what a record is, for messages, such as ``expert kind``.
        records: the built-in ones.
        group: of the entry points by which other packages add records; each names a record, or a function that
            gives one.
        field: the form field or option that names one; by default ``what``.
    """

    def __init__(self, what: str, records: Sequence[Record], *, group: str | None = None, field: str | None = None):
        self.what, self.group, self.field = what, group, field or what
        self._records: dict[str, Record] = {}
        self._complete = group is None
        for record in records:
            self.register(record)

    def register(self, record: Record) -> Record:
        """Adds a record.

        Raises:
            ValueError: the name is taken.
        """
        if record.name in self._records:
            raise ValueError(f"{self.what} {record.name!r} is registered already; choose another name")
        self._records[record.name] = record
        return record

    def unregister(self, name: str) -> None:
        """Takes a record away again, as a test does."""
        del self._records[name]

    def __getitem__(self, name: str) -> Record:
        """The record of that name.

        Raises:
            BadInput: there is none; the message lists close names.
        """
        records = self._all()
        if name not in records:
            raise unknown(self.what, str(name), list(records), field=self.field)
        return records[name]

    def __contains__(self, name: object) -> bool:
        return name in self._all()

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def get(self, name: str, default: Any = None) -> Any:
        """The record of that name, else ``default``: for names that somebody wrote down, who may have had more."""
        return self._all().get(name, default)

    def check(self, name: str) -> str:
        """The name itself; errors as for looking it up."""
        return self[name].name

    def _all(self) -> dict[str, Record]:
        if not self._complete and self.group is not None:
            self._complete = True  # first, for a plug-in may look things up itself
            for point in entry_points(group=self.group):
                loaded = point.load()
                self.register(loaded() if callable(loaded) and not hasattr(loaded, "name") else loaded)
        return self._records


def load(path: str) -> Any:
    """What stands at ``package.module:name``."""
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)
