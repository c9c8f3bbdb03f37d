"""The bin of a workspace: what people delete lies there, as it was, until it is restored or the bin is emptied.

``bin/ID/`` holds what was moved under its number, copies of the files that a deletion rewrites, the rows of a run, and
``entry.json``, which says what belongs where. That is written first, under a lock that its writer holds until all is
moved: should the writer be killed, whoever gets the lock sees what is left to do (`pituning.runs.restoring.settle`).
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from filelock import FileLock, Timeout

from pituning.errors import ArtefactError, BadInput, DiskFull
from pituning.registry import unknown
from pituning.workspace.atomic import (
    atomic_directory,
    copy_file,
    move,
    read_json,
    remove_directory,
    removing,
    sha256_file,
    write_json,
)
from pituning.workspace.documents import DocumentError, check_fields
from pituning.workspace.layout import check_name, directories

FORMAT_VERSION = 1
DAYS = 30.0
DAYS_VARIABLE = "PITUNING_BIN_DAYS"
DAY = 24 * 3600.0
_ENTRY, _ROWS, _LOCK = "entry.json", "rows.json", ".lock"
_OWN_PLACES = frozenset({"affinities", "backbones", "tasks", "zoos", "runs", "uploads", "questions"})


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One deletion.

    Args:
        what: task, expert, backbone, table or run.
        name: of what was deleted.
        title: what people call it, where that is something else.
        deleted: when, in seconds since the epoch.
        by: who did it, where people sign in.
        places: where the files and directories were, relative to the workspace; the first one is what was deleted.
        rewritten: files that the deletion changed, relative to the workspace, with the SHA-256 they had afterwards.
        done: False until everything is in the bin.
        damage: what is wrong with it, where it cannot be restored.
    """

    id: str
    what: str
    name: str
    deleted: float
    title: str | None = None
    by: str | None = None
    places: tuple[str, ...] = ()
    rewritten: tuple[tuple[str, str], ...] = ()
    done: bool = False
    damage: str | None = None


class Bin:
    """The bin of the workspace at ``root``."""

    def __init__(self, root: Path):
        self.root = root
        self.directory = root / "bin"

    def entries(self) -> Sequence[Entry]:
        """What is in it, newest first; an entry that cannot be read says so in its ``damage``."""
        return sorted((self._read(name) for name in directories(self.directory)), key=lambda one: -one.deleted)

    def entry(self, entry_id: str) -> Entry:
        """One of them.

        Raises:
            BadInput: there is none of that id; the message has those that come close.
        """
        known = directories(self.directory)
        if entry_id not in known:
            raise unknown("entry of the bin", entry_id, list(known))
        return self._read(entry_id)

    def size(self, entry: Entry) -> int:
        """Bytes on the disk."""
        return sum(path.stat().st_size for path in (self.directory / entry.id).rglob("*") if path.is_file())

    @contextmanager
    def deleting(self, what: str, name: str, *, by: str | None = None) -> Iterator[Deletion]:
        """Yields what puts things into the bin as one entry; after an exception all of them are where they were."""
        deletion = Deletion(self, Entry(id=_new_id(what, name), what=what, name=name, deleted=time.time(), by=by))
        try:
            yield deletion
        except BaseException:
            deletion.undo()
            raise
        deletion.finish()

    @contextmanager
    def held(self, entry: Entry) -> Iterator[None]:
        """Nobody else deletes, restores or empties that entry meanwhile.

        Raises:
            BadInput: somebody does so now, or has just done it.
        """
        folder = self.directory / entry.id
        lock = FileLock(folder / _LOCK)
        try:
            if not folder.is_dir():  # which the lock would make
                raise FileNotFoundError
            lock.acquire(timeout=0)
        except Timeout as error:
            raise BadInput(f"{entry.id} is being moved by somebody else; try again in a moment") from error
        except OSError as error:
            raise BadInput(f"{entry.id} is no longer in the bin") from error
        try:
            if not (folder / _ENTRY).exists() and entry.damage is None:
                raise BadInput(f"{entry.id} is no longer in the bin")
            yield
        finally:
            lock.release()

    def rows(self, entry: Entry) -> dict[str, Any] | None:
        """The rows of a run that was deleted; None for others."""
        path = self.directory / entry.id / _ROWS
        return read_json(path) if path.exists() else None

    def taken(self, entry: Entry) -> list[str]:
        """The places of an entry at which there is something else by now."""
        return [
            place for kept, place in self._kept(entry)
            if _is_there(kept) and _is_there(self.root / place) and not _by_content(place)
        ]  # fmt: skip

    def put_back(self, entry: Entry) -> list[str]:
        """Moves everything of an entry to where it was, all or nothing; call it while `held`.

        Returns:
            the rewritten files that have been changed by others since, and therefore stay as they are.

        Raises:
            BadInput: a name has been taken meanwhile.
            ArtefactError: it cannot be moved.
        """
        back: list[tuple[Path, Path]] = []
        try:
            for kept, place in self._kept(entry):
                if not _is_there(kept):
                    continue  # a restoring that was cut short has moved it already
                if move(kept, self.root / place):
                    back.append((kept, self.root / place))
                elif not _by_content(place):
                    raise taken_meanwhile(entry, place)
        except BaseException:
            for kept, place_now in reversed(back):
                with suppress(ArtefactError):
                    move(place_now, kept)
            raise
        changed = []
        for (place, digest), (path, copy) in zip(entry.rewritten, self.copies(entry), strict=True):
            if path.exists() and sha256_file(path) != digest:
                changed.append(place)
            elif copy.exists():
                copy_file(copy, path)
        return changed

    def has_first(self, entry: Entry) -> bool:
        """Whether what was deleted is in the bin, whatever becomes of what hangs on it."""
        return any(_is_there(kept) for kept, _ in self._kept(entry)[:1])

    def is_hollow(self, entry: Entry) -> bool:
        """Whether all of it has been moved back."""
        return bool(entry.places) and not any(_is_there(kept) for kept, _ in self._kept(entry))

    def copies(self, entry: Entry) -> list[tuple[Path, Path]]:
        """The files that a deletion rewrites, each with its copy from before."""
        folder = self.directory / entry.id
        return [(self.root / place, folder / f"before-{n}") for n, (place, _) in enumerate(entry.rewritten)]

    def drop(self, entry: Entry) -> None:
        """Removes an entry for good."""
        remove_directory(self.directory / entry.id)

    def empty(self, *, before: float | None = None, entry_id: str | None = None) -> list[Entry]:
        """Removes what was deleted before a time, one entry, or everything, for good; what is being moved now stays.

        Raises:
            BadInput: there is no entry of that id.
        """
        gone = []
        for entry in self.entries() if entry_id is None else [self.entry(entry_id)]:
            if before is not None and entry.deleted >= before:
                continue
            with suppress(BadInput), self.held(entry):
                if entry.done or entry.damage is not None:
                    self.drop(entry)
                    gone.append(entry)
        return gone

    def _kept(self, entry: Entry) -> list[tuple[Path, str]]:
        return [(self.directory / entry.id / str(number), place) for number, place in enumerate(entry.places)]

    def _read(self, entry_id: str) -> Entry:
        folder = self.directory / entry_id
        try:
            document = read_json(folder / _ENTRY)
            version = document.pop("format_version")
            if version != FORMAT_VERSION:
                raise ArtefactError(f"it has format_version {version!r}, this version reads {FORMAT_VERSION}")
            check_fields(Entry, document)
            entry = Entry(**document)
            entry = replace(
                entry,
                id=entry_id,
                places=tuple(entry.places),
                rewritten=tuple((place, digest) for place, digest in entry.rewritten),
            )
            for place in (*entry.places, *(place for place, _ in entry.rewritten)):
                _check_place(place)
            return entry
        except (ArtefactError, DocumentError, AttributeError, TypeError, LookupError) as error:
            with suppress(OSError):
                return Entry(
                    id=entry_id, what="damaged", name=entry_id, deleted=folder.stat().st_mtime,
                    damage=f"{entry_id} cannot be restored ({str(error)[:200]}); its files are in bin/{entry_id}",
                )  # fmt: skip
            return Entry(id=entry_id, what="damaged", name=entry_id, deleted=0.0, damage=f"{entry_id} has just gone")


class Undone(Exception):
    """Tells `removing` that nothing is to be removed after all."""


class Deletion:
    """An entry while it is made."""

    @property
    def entry_id(self) -> str | None:
        """The id of the entry; None where there was no room for one, and what was deleted is gone."""
        return None if self._for_good is not None else self.entry.id

    def __init__(self, owner: Bin, entry: Entry):
        self.owner = owner
        self.entry = entry
        self._lock: FileLock | None = None
        self._for_good: AbstractContextManager[Callable[[Path], None]] | None = None

    def move(
        self,
        paths: Sequence[Path],
        *,
        rewrites: Sequence[Path] = (),
        rows: Any = None,
        title: str | None = None,
        damage: str | None = None,
    ) -> None:
        """Moves files and directories into the bin, those that are there; the first is what is deleted.

        Args:
            rewrites: files that will be written again without what is deleted; they are copied as they are now.
            rows: of the database, as JSON.
            title: see `Entry`.
            damage: why it could not be restored.
        """
        root, folder = self.owner.root, self.owner.directory / self.entry.id
        self.entry = replace(
            self.entry,
            places=tuple(path.relative_to(root).as_posix() for path in paths if _is_there(path)),
            rewritten=tuple((path.relative_to(root).as_posix(), "") for path in rewrites),
            title=title,
            damage=damage,
        )
        try:
            with atomic_directory(folder) as made:
                self._lock = FileLock(made / _LOCK)
                self._lock.acquire(timeout=0)
                for number, path in enumerate(rewrites):
                    copy_file(path, made / f"before-{number}")
                if rows is not None:
                    write_json(made / _ROWS, rows)
                self._write(made)
        except DiskFull:  # whoever deletes on a full disk wants room, and there is none to write down what was where
            self._for_good = removing()
            remove = self._for_good.__enter__()
            for place in self.entry.places:
                remove(root / place)
            return
        self.move_rest()

    def move_rest(self) -> None:
        """Moves what is not in the bin yet."""
        for kept, place in self.owner._kept(self.entry):
            if not _is_there(kept) and _is_there(self.owner.root / place):
                move(self.owner.root / place, kept)

    def finish(self) -> None:
        """Everything is in the bin, and what had to be rewritten is."""
        if self._for_good is not None:
            self._for_good.__exit__(None, None, None)
            return self._release()
        if not (self.owner.directory / self.entry.id).is_dir():
            return  # there was nothing to delete
        root = self.owner.root
        rewritten = [
            (place, sha256_file(root / place) if (root / place).exists() else "") for place, _ in self.entry.rewritten
        ]
        self.entry = replace(self.entry, done=True, rewritten=tuple(rewritten))
        self._write(self.owner.directory / self.entry.id)
        self._release()

    def undo(self) -> None:
        """Everything is where it was."""
        if self._for_good is not None:
            with suppress(Undone):
                self._for_good.__exit__(Undone, Undone(), None)
        elif (self.owner.directory / self.entry.id).is_dir():
            with suppress(BadInput, ArtefactError):  # what took its name meanwhile stays, and the entry with it
                now = [(place, sha256_file(path) if (path := self.owner.root / place).exists() else "")
                       for place, _ in self.entry.rewritten]  # fmt: skip
                self.owner.put_back(replace(self.entry, rewritten=tuple(now)))
                self.owner.drop(self.entry)
        self._release()

    def _write(self, folder: Path) -> None:
        document = {key: value for key, value in asdict(self.entry).items() if key != "id"}
        write_json(folder / _ENTRY, {"format_version": FORMAT_VERSION, "id": self.entry.id} | document)

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.release()


def days_kept() -> float:
    """For how many days what was deleted can be restored: ``$PITUNING_BIN_DAYS``, or 30.

    Raises:
        BadInput: the variable is no number of days.
    """
    given = os.environ.get(DAYS_VARIABLE)
    if not given:
        return DAYS
    try:
        days = float(given)
    except ValueError:
        days = -1.0
    if not 0 <= days <= 36_500:  # which NaN is not either
        raise BadInput(f"${DAYS_VARIABLE} is {given!r}; give a number of days from 0 to 36500", field="days")
    return days


def taken_meanwhile(entry: Entry, place: str) -> BadInput:
    """The error of a restoring whose place is somebody else's by now."""
    return BadInput(
        f"{entry.what} {entry.name!r} cannot be restored: {place} is there again; remove or rename that first",
        field="name",
    )


def _new_id(what: str, name: str) -> str:
    return f"{what}-{check_name(name)[:40].rstrip('-')}-{secrets.token_hex(4)}"


def _is_there(path: Path) -> bool:
    return path.exists() or path.is_symlink()


def _by_content(place: str) -> bool:
    """Whether what lies there is named by its checksum, so that whatever has the name is the same."""
    return place.startswith(("uploads/", "questions/"))


def _check_place(place: str) -> None:
    parts = PurePosixPath(place).parts
    if len(parts) < 2 or parts[0] not in _OWN_PLACES or ".." in parts or "\0" in place:
        raise ArtefactError(f"it names the place {place[:60]!r}, at which the bin keeps nothing")
