"""Reads a zip with one table and its images without trusting it: nothing is unpacked to disk, everything is bounded."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import PurePosixPath

from pituning.errors import BadInput
from pituning.tasks.images import MAX_IMAGE_BYTES

MAX_MEMBERS = 20_000
MAX_UNPACKED_BYTES = 512 * 2**20
MAX_RATIO = 200
"""Deflate packs text or images 2 to 20 times; only a bomb comes near 1,000."""

_RATIO_FLOOR = 2**20
_CHUNK = 2**16
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
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
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = _members(archive, name)
            tables = [path for path in members if PurePosixPath(path).suffix.lower() in table_suffixes]
            if len(tables) != 1:
                found = f"{len(tables)} tables ({', '.join(sorted(tables)[:3])})" if tables else "no table"
                raise _bad(name, f"has {found}; put exactly one .csv, .tsv or .jsonl file into it")
            table, budget = _read(archive, members[tables[0]], name, MAX_UNPACKED_BYTES, MAX_UNPACKED_BYTES)
            images: dict[str, bytes] = {}
            for path, info in members.items():
                if PurePosixPath(path).suffix.lower() in _IMAGE_SUFFIXES:
                    images[path], budget = _read(archive, info, name, MAX_IMAGE_BYTES, budget)
    except zipfile.BadZipFile as error:
        raise _bad(name, "is not a zip, or it is damaged or cut off; make it again") from error
    except (EOFError, ValueError, OverflowError) as error:  # an offset or a size that points nowhere
        raise _bad(name, "is damaged or cut off; make it again") from error
    except (zlib.error, OSError, NotImplementedError, RuntimeError) as error:
        raise _bad(name, f"cannot be unpacked ({error}); make it again as an ordinary zip") from error
    return tables[0], table, ArchiveImages(images, PurePosixPath(tables[0]).parent)


def _bad(name: str, what: str) -> BadInput:
    return BadInput(f"file {name!r} {what}", field="file")


def _members(archive: zipfile.ZipFile, name: str) -> dict[str, zipfile.ZipInfo]:
    infos = [info for info in archive.infolist() if not info.is_dir()]
    if len(infos) > MAX_MEMBERS:
        raise _bad(name, f"holds {len(infos):,} files; put at most {MAX_MEMBERS:,} into it")
    members: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        path = PurePosixPath(info.filename.replace("\\", "/"))
        if not path.parts or path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
            raise _bad(name, f"holds the unsafe path {info.filename!r}; use paths inside the zip")
        if info.flag_bits & 0x1:
            raise _bad(name, "is encrypted; make it without a password")
        if path.parts[0] == "__MACOSX" or path.name.startswith("."):
            continue  # what Finder adds
        if info.compress_type not in _METHODS:
            raise _bad(name, f"packs {info.filename!r} with an unusual method; make it again as an ordinary zip")
        if str(path) in members:
            raise _bad(name, f"holds {str(path)!r} twice; keep one of them")
        members[str(path)] = info
    return members


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str, limit: int, budget: int) -> tuple[bytes, int]:
    """One member, read in pieces and stopped at a limit, since the sizes that a zip declares can lie."""
    pieces: list[bytes] = []
    size = 0
    with archive.open(info) as member:
        while piece := member.read(_CHUNK):
            size += len(piece)
            if size > limit or size > budget:
                what = f"{info.filename!r} unpacks to more than {min(limit, budget) // 2**20} MiB"
                raise _bad(name, f"is too large: {what}; make it smaller")
            if size > _RATIO_FLOOR and size > MAX_RATIO * max(info.compress_size, 1):
                raise _bad(
                    name, f"looks like a zip bomb ({info.filename!r} unpacks to over {MAX_RATIO} times its size)"
                )
            pieces.append(piece)
    return b"".join(pieces), budget - size
