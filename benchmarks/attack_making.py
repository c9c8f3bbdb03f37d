"""What attacks are made of: odd texts, numbers and documents, tables, pictures, archives and checkpoints.

All of it comes from the `random.Random` that is given, so that a try can be repeated by its number alone. The lists are
also what property-based tests draw from.
"""

from __future__ import annotations

import csv
import io
import json
import math
import random
import struct
import zipfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from PIL import Image

ODD_NUMBERS: Sequence[Any] = (math.nan, math.inf, -math.inf, 2**63, -(2**63) - 1, 10**5000)
"""What no document may hold; the last one cannot even be written by Python itself."""
HARD_NUMBERS: Sequence[Any] = (0, -0.0, -1, 1e308, 5e-324, 2**63 - 1, -(2**63), 2**53 + 1, 1e12, 0.1, True, 1e-300)
ODD_TEXTS: Sequence[str] = ("\ud800", "a\udfff")
"""Half characters, which no encoding has."""
HARD_TEXTS: Sequence[str] = (
    "", " ", "\t", "\n", "\r\n", "\0", "\x1b[2J\x1b]0;x\x07", "\u202e\u2066x", "\ufeff", "😀" * 40, "é", "e\u0301",
    "ﬁ", "İ", "ß", "../../etc/passwd", "/etc/passwd", "C:\\x", "..", ".", ".hidden", "~", "-", "--help", "=1+1",
    "'; DROP TABLE runs; --", "`![x](https://evil.example/p.png)", "<img src=x onerror=alert(1)>", "{0.__class__}",
    "%s%n", "${HOME}", "nan", "inf", "1e999", "null", "true", "a,b;c\td|e", '"', '""', "\\", "x" * 5000, "con", "nul",
)  # fmt: skip
NAMES = ("moods", "nli", "digits", "lora", "probe", "mini", "a", "a-b", "x" * 60)


def text(luck: random.Random) -> str:
    """A short text, plain or hard."""
    if luck.random() < 0.5:
        return luck.choice(HARD_TEXTS)
    letters = "abc xyz019-_.,;:'\"/\\#*`~éß中\u202e\x07"
    return "".join(luck.choice(letters) for _ in range(luck.randrange(1, 20)))


def value(luck: random.Random, *, odd: float = 0.2) -> Any:
    """A value of a document; odd ones are those that none may hold."""
    if luck.random() < odd:
        return luck.choice((*ODD_NUMBERS, *ODD_TEXTS))
    return luck.choice(
        (None, True, False, text(luck), luck.choice(HARD_NUMBERS), luck.randrange(-9, 99), luck.random())
    )


def document(luck: random.Random, depth: int = 3, *, odd: float = 0.2) -> Any:
    """A document of lists and objects."""
    kind = luck.random()
    if depth == 0 or kind < 0.4:
        return value(luck, odd=odd)
    if kind < 0.7:
        return [document(luck, depth - 1, odd=odd) for _ in range(luck.randrange(4))]
    return {text(luck): document(luck, depth - 1, odd=odd) for _ in range(luck.randrange(4))}


def with_odd(luck: random.Random, given: Any) -> Any:
    """A document with one value somewhere replaced, added or left out."""
    if isinstance(given, dict) and given and luck.random() < 0.9:
        key = luck.choice(sorted(given))
        what = luck.random()
        if what < 0.1:
            return {name: one for name, one in given.items() if name != key}
        if what < 0.2:
            return {**given, text(luck): document(luck)}
        return {**given, key: with_odd(luck, given[key])}
    if isinstance(given, list) and given and luck.random() < 0.8:
        at = luck.randrange(len(given))
        return [*given[:at], with_odd(luck, given[at]), *given[at + 1 :]]
    return document(luck)


def written(luck: random.Random, given: Any) -> bytes:
    """A document as JSON, as people and programs write it: sometimes cut off, nested, or in another encoding."""
    try:
        plain = json.dumps(given, ensure_ascii=luck.random() < 0.5)
    except ValueError:  # more digits than Python writes
        plain = '{"seed": ' + "9" * 5000 + "}"
    what = luck.random()
    if what < 0.03:
        plain = "[" * luck.choice((70, 5000)) + plain
    elif what < 0.06:
        plain = plain[: luck.randrange(len(plain) + 1)]
    elif what < 0.09:
        plain = plain.replace(":", ": 1e999,", 1)
    data = plain.encode(luck.choice((*("utf-8",) * 9, "utf-16", "latin-1")), "replace")
    return changed(luck, data) if luck.random() < 0.08 else data


def changed(luck: random.Random, data: bytes) -> bytes:
    """Bytes with some of them changed, cut off, doubled or added."""
    if not data:
        return luck.randbytes(8)
    made, what = bytearray(data), luck.random()
    if what < 0.25:
        return bytes(made[: luck.randrange(len(made))])
    if what < 0.4:
        at = luck.randrange(len(made))
        return bytes(made[:at] + luck.randbytes(luck.randrange(1, 64)) + made[at:])
    if what < 0.5:
        at = luck.randrange(len(made))
        return bytes(made[at:] + made[:at])
    for _ in range(luck.choice((1, 3, 30))):
        made[luck.randrange(len(made))] = luck.randrange(256)
    return bytes(made)


def table(luck: random.Random) -> tuple[str, bytes, bool]:
    """A table with the name of its file; and whether it is no table at all, which must not be read as one."""
    rows = [[_cell(luck), _cell(luck), luck.choice(("good", "bad"))] for _ in range(luck.choice((0, 1, 8, 40, 40, 40)))]
    if luck.random() < 0.4:
        for row in rows:
            if luck.random() < 0.1:
                row[luck.randrange(3)] = text(luck)
            if luck.random() < 0.03:
                row.append(text(luck))
    header = ["text", "other", "label"]
    if luck.random() < 0.2:
        header[luck.randrange(3)] = text(luck)
    form = luck.choice(("csv", "csv", "tsv", "json", "jsonl", "parquet", "arrow", "noise", "txt"))
    if form == "noise":
        return f"noise.{luck.choice(('csv', 'parquet', 'arrow', 'json', 'zip'))}", b"\0\xff" + luck.randbytes(300), True
    data = _FORMS[form](luck, header, rows)
    return f"table.{form}", changed(luck, data) if luck.random() < 0.3 else data, False


def _cell(luck: random.Random) -> str:
    return " ".join(luck.choice(("the", "pump", "leaks", "runs", "smooth", "12")) for _ in range(4))


def _delimited(luck: random.Random, header: Sequence[str], rows: Sequence[Sequence[str]]) -> bytes:
    stream = io.StringIO(newline="")
    writer = csv.writer(
        stream, delimiter=luck.choice(",;\t|"), quoting=luck.choice((csv.QUOTE_ALL, csv.QUOTE_MINIMAL)),
        lineterminator=luck.choice(("\n", "\r\n")),
    )  # fmt: skip
    writer.writerows([header, *rows] if luck.random() < 0.9 else rows)
    encoding = luck.choice(("utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "windows-1252"))
    return stream.getvalue().encode(encoding, "replace")


def _records(luck: random.Random, header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[Any]:
    records: list[Any] = [dict(zip(header, row, strict=False)) for row in rows]
    if records and luck.random() < 0.4:
        at = luck.randrange(len(records))
        records[at] = with_odd(luck, records[at])
    return records


def _json(luck: random.Random, header: Sequence[str], rows: Sequence[Sequence[str]]) -> bytes:
    return written(luck, _records(luck, header, rows))


def _jsonl(luck: random.Random, header: Sequence[str], rows: Sequence[Sequence[str]]) -> bytes:
    lines = [json.dumps(dict(zip(header, row, strict=False))).encode() for row in rows]
    if lines and luck.random() < 0.4:
        lines[luck.randrange(len(lines))] = written(luck, document(luck))
    return b"\n".join(lines)


def _columns(luck: random.Random, header: Sequence[str], rows: Sequence[Sequence[str]]) -> Any:
    import pyarrow as pa

    columns: list[Any] = [[row[at].encode("utf-8", "replace").decode() for row in rows] for at in range(3)]
    if luck.random() < 0.3:
        columns[luck.randrange(3)] = [
            luck.choice((None, 1.5, math.nan, -1.0)) if luck.random() < 0.2 else 1.0 for _ in rows
        ]
    elif luck.random() < 0.3:
        columns[luck.randrange(3)] = [{"bytes": luck.randbytes(9), "path": text(luck)} for _ in rows]
    return pa.table(columns, names=[name.encode("utf-8", "replace").decode() for name in header])


def _parquet(luck: random.Random, header: Sequence[str], rows: Sequence[Sequence[str]]) -> bytes:
    import pyarrow.parquet

    stream = io.BytesIO()
    pyarrow.parquet.write_table(_columns(luck, header, rows), stream)
    return stream.getvalue()


def _arrow(luck: random.Random, header: Sequence[str], rows: Sequence[Sequence[str]]) -> bytes:
    import pyarrow.ipc

    stream, columns = io.BytesIO(), _columns(luck, header, rows)
    with pyarrow.ipc.new_file(stream, columns.schema) as writer:
        writer.write_table(columns)
    return stream.getvalue()


_FORMS: Mapping[str, Callable[[random.Random, Sequence[str], Sequence[Sequence[str]]], bytes]] = {
    "csv": _delimited, "tsv": _delimited, "txt": _delimited, "json": _json, "jsonl": _jsonl, "parquet": _parquet,
    "arrow": _arrow,
}  # fmt: skip


def picture(luck: random.Random) -> tuple[bytes, bool]:
    """An image file; and whether it has more pixels than may be read."""
    mode = luck.choice(("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F"))
    size = (luck.choice((1, 2, 17, 64)), luck.choice((1, 3, 40)))
    image = Image.new(mode, size)
    if mode in ("RGB", "L"):
        image.putdata(
            [luck.randrange(256) if mode == "L" else tuple(luck.randbytes(3)) for _ in range(size[0] * size[1])]
        )
    stream = io.BytesIO()
    form = luck.choice(("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "MPO", "PPM", "ICO"))
    options: dict[str, Any] = {}
    if form in ("JPEG", "PNG", "TIFF", "WEBP") and luck.random() < 0.3:
        exif = Image.Exif()
        exif[0x0112] = luck.choice((0, 1, 6, 8, 9, 65535))
        options["exif"] = exif.tobytes() if luck.random() < 0.7 else b"Exif\0\0" + luck.randbytes(20)
    if form in ("GIF", "MPO", "TIFF", "WEBP") and luck.random() < 0.4:
        options |= {"save_all": True, "append_images": [image.copy()]}
    try:
        image.save(stream, form, **options)
    except (OSError, ValueError, KeyError, SyntaxError, struct.error):  # a form without that mode, or odd metadata
        stream = io.BytesIO()
        Image.new("RGB", size, "red").save(stream, "PNG")
    data = stream.getvalue()
    if data[:4] == b"\x89PNG" and luck.random() < 0.3:  # says that it is larger than it is
        sides = struct.pack(">II", luck.choice((7000, 100_000, 2**31 - 1)), 7000)
        return data[:16] + sides + data[24:], True
    return (changed(luck, data) if luck.random() < 0.5 else data), False


UNSAFE_PATHS = ("../x", "a/../../x", "/x", "C:/x", "..\\x", "\\x", "a/..", "C:\\x")


def archive(luck: random.Random, members: Mapping[str, bytes]) -> tuple[bytes, bool]:
    """A zip of files; and whether it is one that must be refused."""
    stream = io.BytesIO()
    method = luck.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    what = luck.choice(
        ("plain", "plain", "changed", "unsafe", "bomb", "twice", "locked", "many", "odd method", "linked")
    )
    with zipfile.ZipFile(stream, "w", method) as packed:
        for name, data in members.items():
            packed.writestr(name, data)
        first = next(iter(members))
        if what == "unsafe":
            packed.writestr(zipfile.ZipInfo(luck.choice(UNSAFE_PATHS)), b"x")
        elif what == "bomb":
            packed.writestr("bomb.csv", bytes(40 * 2**20), zipfile.ZIP_DEFLATED)
        elif what == "many":
            for number in range(20_001):
                packed.writestr(f"n/{number}", b"")
        elif what == "odd method":
            packed.writestr("odd.csv", b"x" * 99, zipfile.ZIP_BZIP2)
        elif what == "linked":
            info = zipfile.ZipInfo("linked.png")
            info.external_attr = 0o120777 << 16
            packed.writestr(info, "/etc/passwd")
        elif what == "twice":
            twice = zipfile.ZipInfo(first.replace("/", "\\") if "/" in first else f"./{first}")
            packed.writestr(twice, b"x")
    data = stream.getvalue()
    if what == "locked":
        at = data.rindex(b"PK\x01\x02")
        data = data[: at + 8] + struct.pack("<H", struct.unpack("<H", data[at + 8 : at + 10])[0] | 1) + data[at + 10 :]
    if what == "changed":
        data = changed(luck, data)
    return data, what in ("unsafe", "twice", "locked", "many", "odd method")


def tensors(header: Mapping[str, Any], data: bytes) -> bytes:
    """A safetensors file with a header of one's own, whatever it says."""
    written_header = json.dumps(header).encode()
    return struct.pack("<Q", len(written_header)) + written_header + data
