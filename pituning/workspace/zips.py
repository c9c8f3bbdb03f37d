"""Opens a zip of others without trusting it: everything is bounded, and nothing has a path outside."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import BinaryIO

from pituning.errors import BadInput

MAX_MEMBERS = 20_000
MAX_UNPACKED_BYTES = 512 * 2**20
MAX_RATIO = 200
"""Deflate packs text or images 2 to 20 times; only a bomb comes near 1,000."""

_RATIO_FLOOR = 2**20
_CHUNK = 2**16
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}


class Zip:
    """The files of a zip by their path in it, without those that a Mac adds.

    Args:
        archive: is read while the zip is open.
        name: the file's name, for messages.
        most_files: how many files it may hold.
        most_bytes: to which they may unpack, all together.
    """

    def __init__(self, archive: zipfile.ZipFile, name: str, *, most_files: int, most_bytes: int):
        self._archive = archive
        self._name = name
        self.members: Mapping[str, zipfile.ZipInfo] = _members(archive, name, most_files)
        self._budget = most_bytes

    def read(self, path: str, limit: int = MAX_UNPACKED_BYTES) -> bytes:
        """A file of the zip, read in pieces and stopped at a limit, since the sizes that a zip declares can lie.

        Raises:
            BadInput: it is too large, or unpacks to far more than it takes in the zip.
        """
        return b"".join(self.pieces(path, limit))

    def pieces(self, path: str, limit: int = MAX_UNPACKED_BYTES) -> Iterator[bytes]:
        """`read`, piece by piece, for files of any size."""
        info, size = self.members[path], 0
        most = min(limit, self._budget)
        with self._archive.open(info) as member:
            while piece := member.read(_CHUNK):
                size += len(piece)
                if size > most:
                    what = f"{info.filename!r} unpacks to more than {most // 2**20} MiB"
                    raise bad_file(self._name, f"is too large: {what}; make it smaller")
                if size > _RATIO_FLOOR and size > MAX_RATIO * max(info.compress_size, 1):
                    what = f"{info.filename!r} unpacks to over {MAX_RATIO} times its size"
                    raise bad_file(self._name, f"looks like a zip bomb ({what})")
                yield piece
        self._budget -= size


@contextmanager
def open_zip(
    data: bytes | BinaryIO, name: str, *, most_files: int | None = None, most_bytes: int | None = None
) -> Iterator[Zip]:
    """The zip in ``data``, or in a file that is open; whatever goes wrong while it is read is told in words.

    Args:
        most_files: as `Zip`; by default `MAX_MEMBERS`.
        most_bytes: as `Zip`; by default `MAX_UNPACKED_BYTES`.

    Raises:
        BadInput: the zip is damaged, encrypted, a bomb, or holds unsafe paths.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data) if isinstance(data, bytes) else data) as archive:
            files = MAX_MEMBERS if most_files is None else most_files
            yield Zip(archive, name, most_files=files, most_bytes=most_bytes or MAX_UNPACKED_BYTES)
    except zipfile.BadZipFile as error:
        raise bad_file(name, "is not a zip, or it is damaged or cut off; make it again") from error
    except (EOFError, ValueError, OverflowError) as error:  # an offset or a size that points nowhere
        raise bad_file(name, "is damaged or cut off; make it again") from error
    except (zlib.error, OSError, NotImplementedError, RuntimeError) as error:
        raise bad_file(name, f"cannot be unpacked ({error}); make it again as an ordinary zip") from error


def bad_file(name: str, what: str) -> BadInput:
    """The error of an uploaded file: ``what`` is wrong with it, and the fix."""
    return BadInput(f"file {name!r} {what}", field="file")


def _members(archive: zipfile.ZipFile, name: str, most: int) -> dict[str, zipfile.ZipInfo]:
    infos = [info for info in archive.infolist() if not info.is_dir()]
    if len(infos) > most:
        raise bad_file(name, f"holds {len(infos):,} files; put at most {most:,} into it")
    members: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        path = PurePosixPath(info.filename.replace("\\", "/"))
        if not path.parts or path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
            raise bad_file(name, f"holds the unsafe path {info.filename!r}; use paths inside the zip")
        if info.flag_bits & 0x1:
            raise bad_file(name, "is encrypted; make it without a password")
        if path.parts[0] == "__MACOSX" or path.name.startswith("."):
            continue  # what Finder adds
        if info.compress_type not in _METHODS:
            raise bad_file(name, f"packs {info.filename!r} with an unusual method; make it again as an ordinary zip")
        if str(path) in members:
            raise bad_file(name, f"holds {str(path)!r} twice; keep one of them")
        members[str(path)] = info
    return members
