"""Reads a zip with one table and its images without trusting it: nothing is unpacked to disk, everything is bounded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath

from pituning.errors import BadInput
from pituning.tasks.images import MAX_IMAGE_BYTES
from pituning.workspace.zips import bad_file, open_zip

_IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff"}


class ArchiveImages:
    """The images of a zip by their name in the table: a path in the archive or beside the table, or a bare name."""

    def __init__(self, members: Mapping[str, bytes], table_folder: PurePosixPath):
        self._members = members
        self._folder = table_folder
        bare: dict[str, str | None] = {}
        for member in members:
            name = PurePosixPath(member).name
            bare[name] = None if name in bare else member  # None: not unique, the path is needed
        self._bare = bare

    def read(self, name: str) -> bytes:
        """The bytes of an image.

        Raises:
            BadInput: the archive has no such image, as the end of a sentence about the row.
        """
        wanted = PurePosixPath(name.strip().replace("\\", "/"))
        if wanted.is_absolute() or ".." in wanted.parts:
            raise BadInput(f"image {name!r} points outside the zip; use a path inside it")
        for candidate in (str(wanted), str(self._folder / wanted)):
            if candidate in self._members:
                return self._members[candidate]
        member = self._bare.get(wanted.name) if len(wanted.parts) == 1 else None
        if member is None:
            why = "is there twice; write its path" if wanted.name in self._bare else "is not there; add it to the zip"
            raise BadInput(f"image {name!r} {why}")
        return self._members[member]


def read_archive(data: bytes, name: str, table_suffixes: tuple[str, ...]) -> tuple[str, bytes, ArchiveImages]:
    """The one table of a zip, and its images.

    Args:
        data: the zip.
        name: the file's name, for messages.
        table_suffixes: what a table's name may end with.

    Returns:
        the table's path in the archive, its bytes, its images.

    Raises:
        BadInput: the zip is damaged, encrypted, a bomb, holds unsafe paths, or no table or several.
    """
    with open_zip(data, name) as archive:
        tables = [path for path in archive.members if PurePosixPath(path).suffix.lower() in table_suffixes]
        if len(tables) != 1:
            found = f"{len(tables)} tables ({', '.join(sorted(tables)[:3])})" if tables else "no table"
            raise bad_file(name, f"has {found}; put exactly one .csv, .tsv or .jsonl file into it")
        table = archive.read(tables[0])
        images = {
            path: archive.read(path, MAX_IMAGE_BYTES)
            for path in archive.members
            if PurePosixPath(path).suffix.lower() in _IMAGE_SUFFIXES
        }
    return tables[0], table, ArchiveImages(images, PurePosixPath(tables[0]).parent)
