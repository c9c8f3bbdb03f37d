"""A zip or a folder as a tree of files, without trusting either. Torch-free."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Protocol

from pituning.errors import BadInput
from pituning.tasks.images import MAX_IMAGE_BYTES
from pituning.tasks.reading.base import BytesSource, PathSource, Source, bad_file
from pituning.workspace.zips import open_zip

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff"})
MAX_FILES = 500_000


class Tree(Protocol):
    """Files by their path, with ``/`` between folders.

    Args:
        name: what the user calls the zip or the folder.
        paths: of all files that count, sorted.
    """

    name: str
    paths: tuple[str, ...]

    def source(self, path: str) -> Source:
        """A file."""

    def images(self, beside: str) -> TreeImages:
        """The images, for a table at the path ``beside``."""


class TreeImages:
    """The images of a tree by their name in a table: a path in the tree or beside the table, a bare name, or that
    without its ending."""

    def __init__(self, tree: Tree, beside: str, where: str):
        self._tree, self._where = tree, where
        self._folder = PurePosixPath(beside).parent
        self._paths = frozenset(path for path in tree.paths if is_image(path))
        self._bare: dict[str, str | None] = {}
        for path in self._paths:
            whole = PurePosixPath(path)
            for name in {whole.name, whole.stem}:
                self._bare[name] = None if name in self._bare else path  # None: not unique, the path is needed

    def __bool__(self) -> bool:
        return bool(self._paths)

    def find(self, name: str) -> str:
        """The path of an image.

        Raises:
            BadInput: there is none, as the end of a sentence about the row.
        """
        if "://" in name:
            raise BadInput(f"image {name!r} is a web address, and these are not fetched; {self._put_in()}")
        wanted = PurePosixPath(name.strip().replace("\\", "/"))
        if wanted.is_absolute() or ".." in wanted.parts:
            raise BadInput(f"image {name!r} points outside the {self._where}; use a path inside it")
        for candidate in (str(wanted), str(self._folder / wanted)):
            if candidate in self._paths:
                return candidate
        path = self._bare.get(wanted.name)
        if path is None or (len(wanted.parts) > 1 and wanted.name not in self._bare):
            twice = wanted.name in self._bare
            why = "is there twice; write its path" if twice else f"is not there; {self._add()}"
            raise BadInput(f"image {name!r} {why}")
        return path

    def _add(self) -> str:
        return f"add it to the {self._where}"

    def _put_in(self) -> str:
        return f"put the image files into the {self._where} and write their names"

    def has(self, name: str) -> bool:
        try:
            self.find(name)
        except BadInput:
            return False
        return True

    def read(self, name: str) -> bytes:
        with self._tree.source(self.find(name)).open() as stream:
            return stream.read(MAX_IMAGE_BYTES + 1)  # one more than may be, so that it is refused for its size

    def file(self, name: str) -> Path | None:
        """Where the image lies on disk, if it does."""
        source = self._tree.source(self.find(name))
        return source.path if isinstance(source, PathSource) else None


class ZipTree:
    """The files of a zip, read into memory once, within the limits of `pituning.workspace.zips`.

    Raises:
        BadInput: the zip is damaged, encrypted, a bomb, or holds unsafe paths.
    """

    def __init__(self, data: bytes, name: str, wanted: Iterable[str]):
        self.name = name
        suffixes = tuple(wanted)
        with open_zip(data, name) as archive:
            self._files: Mapping[str, bytes] = {
                path: archive.read(path, MAX_IMAGE_BYTES) if is_image(path) else archive.read(path)
                for path in archive.members
                if is_image(path) or path.lower().endswith(suffixes)
            }
        self.paths = tuple(sorted(self._files))

    def source(self, path: str) -> Source:
        return BytesSource(f"{self.name}:{path}", self._files[path])

    def images(self, beside: str) -> TreeImages:
        return TreeImages(self, beside, "zip")


class FolderTree:
    """The files of a folder; links that lead out of it are passed over.

    Raises:
        BadInput: it holds too many files.
    """

    def __init__(self, folder: Path):
        self.name = folder.name or str(folder)
        self._root = folder.resolve()
        found: list[str] = []
        for base, folders, files in os.walk(self._root):
            folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "__MACOSX")
            for name in files:
                path = Path(base, name)
                if name.startswith(".") or not path.is_file() or not path.resolve().is_relative_to(self._root):
                    continue
                found.append(path.relative_to(self._root).as_posix())
            if len(found) > MAX_FILES:
                raise bad_file(self.name, f"holds more than {MAX_FILES:,} files; give a smaller folder")
        self.paths = tuple(sorted(found))

    def source(self, path: str) -> Source:
        return PathSource(f"{self.name}/{path}", self._root / path)

    def images(self, beside: str) -> TreeImages:
        return TreeImages(self, beside, "folder")


class BesideImages:
    """Images beside a table on disk; nothing outside the table's folder can be reached."""

    def __init__(self, folder: Path):
        self.folder = folder.resolve()

    def file(self, name: str) -> Path | None:
        """Where the image lies.

        Raises:
            BadInput: it is missing or lies outside the folder, as the end of a sentence about the row.
        """
        if "://" in name:
            raise BadInput(f"image {name!r} is a web address, and these are not fetched; save the image files")
        path = (self.folder / name.replace("\\", "/")).resolve()
        if not path.is_relative_to(self.folder):
            raise BadInput(f"image {name!r} lies outside the table's folder; put it beside the table")
        try:
            if path.is_file():  # a pipe or a device would never end
                return path
        except (OSError, ValueError):
            pass
        raise BadInput(f"image {name!r} is not beside the table; add it or correct its name")

    def has(self, name: str) -> bool:
        try:
            return self.file(name) is not None
        except (BadInput, ValueError, OSError):
            return False

    def read(self, name: str) -> bytes:
        """The bytes of an image; errors as of `file`."""
        path = self.file(name)
        assert path is not None
        try:
            with path.open("rb") as stream:
                return stream.read(MAX_IMAGE_BYTES + 1)
        except (OSError, ValueError) as error:
            raise BadInput(f"image {name!r} is not beside the table; add it or correct its name") from error


def is_image(path: str) -> bool:
    """Whether a file is an image by its name."""
    return PurePosixPath(path).suffix.lower() in IMAGE_SUFFIXES
