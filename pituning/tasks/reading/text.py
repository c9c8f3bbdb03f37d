"""Text files: their encoding, found or named, and their lines one after another. Torch-free."""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator
from contextlib import contextmanager

from pituning.errors import BadInput
from pituning.tasks.reading.base import ReadOptions, Source, bad_file

HEAD = 2**18
"""Bytes from which encoding, delimiter and header are guessed."""

_MAGIC = {
    b"PK\x03\x04": "a zip archive or an Excel workbook",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"%PDF": "a PDF document",
    b"\x1f\x8b": "a gzip archive",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"PAR1": "a Parquet table",
}
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_USUAL = "cp1252"


def find_encoding(source: Source, options: ReadOptions) -> str:
    """The encoding of a text file: the one that is named, what its byte order mark says, or UTF-8.

    Raises:
        BadInput: the encoding is unknown, or the file is none of text or empty.
    """
    with source.open() as stream:
        head = stream.read(HEAD)
    if not head.strip(b"\x00 \t\r\n"):
        raise bad_file(source.name, "is empty; give a table with a header and at least a few rows")
    for magic, what in _MAGIC.items():
        if head.startswith(magic):
            raise bad_file(source.name, f"is {what}, not a table; save it as CSV (UTF-8)")
    if options.encoding is not None:
        try:
            io.TextIOWrapper(io.BytesIO(), encoding=options.encoding)  # refuses what is not of text, such as rot13
            return codecs.lookup(options.encoding).name
        except (LookupError, ValueError) as error:
            raise BadInput(
                f"encoding {options.encoding!r} is unknown; give one such as utf-8, windows-1252, shift_jis",
                field="encoding",
            ) from error
    marked = next((encoding for mark, encoding in _BYTE_ORDER_MARKS if head.startswith(mark)), None)
    return marked or _unmarked(head[:4096])


def _unmarked(head: bytes) -> str:
    """UTF-16 without a mark shows itself by zeros in every other byte; everything else must be UTF-8."""
    even, odd = head[0::2].count(0), head[1::2].count(0)
    if odd > 0.3 * len(head) and even == 0:
        return "utf-16-le"
    if even > 0.3 * len(head) and odd == 0:
        return "utf-16-be"
    return "utf-8"


def lines(source: Source, encoding: str) -> Iterator[str]:
    """The lines of a text file with their ends, whichever these are.

    Raises:
        BadInput: the file is not in that encoding; the message names the line and, where it can, the right one.
    """
    return _checked(source, encoding, "")


def json_lines(source: Source, encoding: str) -> Iterator[str]:
    """Like `lines`, but only a line feed ends one: JSON text may hold everything else."""
    return _checked(source, encoding, "\n")


def _checked(source: Source, encoding: str, newline: str) -> Iterator[str]:
    with source.open() as stream, _decoding(source, encoding):
        for line in io.TextIOWrapper(stream, encoding=encoding, newline=newline):
            if "\x00" in line:
                raise bad_file(source.name, "is not a text file (it contains zero bytes); save it as CSV (UTF-8)")
            yield line


def whole_text(source: Source, data: bytes, encoding: str) -> str:
    """The text of a file that was read whole; errors as of `lines`."""
    with _decoding(source, encoding):
        return data.decode(encoding)


@contextmanager
def _decoding(source: Source, encoding: str) -> Iterator[None]:
    try:
        yield
    except UnicodeError as error:
        raise bad_file(source.name, _where(source, encoding, error)) from error


def _where(source: Source, encoding: str, error: UnicodeError) -> str:
    """Which byte of which line is wrong, and how the file could be read."""
    decoder = codecs.getincrementaldecoder(encoding)()
    number, place, sample = 1, "", b""
    with source.open() as stream:
        for number, line in enumerate(stream, start=1):
            try:
                decoder.decode(line)
            except UnicodeDecodeError as inner:
                bad = inner.object[inner.start : inner.start + 1]
                place = f" (byte 0x{bad.hex()} near line {number})" if bad else f" (near line {number})"
                sample = line + stream.read(HEAD)
                break
            except UnicodeError:  # no byte is to blame: the mark is missing, or the encoding is of no text at all
                place = f" (near line {number})"
                break
    guess = _likely(sample) if encoding.startswith("utf-8") else None
    fix = (
        f"it looks like {guess}: read it with --encoding {guess}, or save it as UTF-8" if guess else "save it as UTF-8"
    )
    return f"is not valid {encoding.upper()}{place}; {fix}"


def _likely(sample: bytes) -> str | None:
    """The name of the encoding that a piece of text is likely in; the most usual one where it reads as words."""
    from charset_normalizer import from_bytes

    try:
        text = sample.decode(_USUAL)
    except UnicodeDecodeError:
        text = ""
    foreign = [c for c in text if not c.isascii()]
    words = [c for c in foreign if c.isalpha() or c in "‘’“”–—…€«»°§"]
    if foreign and len(words) == len(foreign) and len(foreign) < 0.25 * sum(map(str.isalpha, text)):
        return "windows-1252"
    best = from_bytes(sample).best()
    return None if best is None else best.encoding.replace("cp125", "windows-125")
