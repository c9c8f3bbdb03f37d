"""Reading tables: round trips with the standard library's writers, and one clear line for every broken file."""

from __future__ import annotations

import csv
import datetime
import io
import json
import os
import struct
import zipfile
from dataclasses import dataclass

import openpyxl
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pituning.errors import BadInput
from pituning.tasks.reading import ReadOptions, Row, RowProblem, Table, open_table

cell = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=12)
DATA = "text,label\na,yes\nb,no\nc,yes\nd,no\n"


def workbook(sheets: dict[str, list[list]]) -> bytes:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


@dataclass(frozen=True)
class Whole:
    """A table that was read to its end."""

    table: Table
    rows: list[dict]
    numbers: tuple[int, ...]
    problems: list[RowProblem]


def read_table(source, name: str | None = None) -> Whole:
    table = open_table(source, filename=name)
    entries = list(table.read())
    rows = [entry for entry in entries if isinstance(entry, Row)]
    return Whole(
        table, [dict(row.cells) for row in rows], tuple(row.number for row in rows),
        [entry for entry in entries if isinstance(entry, RowProblem)],
    )  # fmt: skip


def png(colour: str = "red", size: int = 8) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (size, size), colour).save(stream, "PNG")
    return stream.getvalue()


def archive(members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in members.items():
            packed.writestr(name, data)
    return stream.getvalue()


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(cell, cell, cell), min_size=3, max_size=8),
    delimiter=st.sampled_from(",;\t|"),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_csv_round_trip(rows, delimiter, encoding):
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, delimiter=delimiter, quoting=csv.QUOTE_ALL)
    writer.writerow(["first", "second", "third"])
    writer.writerows(rows)
    kept = [row for row in rows if any(value.strip() for value in row)]
    if not kept:
        return
    parsed = read_table(stream.getvalue().encode(encoding), "t.csv")
    assert parsed.table.columns == ("first", "second", "third")
    assert [tuple(row.values()) for row in parsed.rows] == kept
    assert not parsed.problems


@settings(max_examples=60, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from(["a", "b", "c"]), cell, min_size=1), min_size=1, max_size=8))
def test_jsonl_round_trip(records):
    content = "\n".join(json.dumps(record, ensure_ascii=False) for record in records)
    parsed = read_table(content.encode(), "t.jsonl")
    assert set(parsed.table.columns) == {key for record in records for key in record}
    assert parsed.numbers == tuple(range(1, len(records) + 1))
    for row, record in zip(parsed.rows, records, strict=True):
        assert {key: row[key] for key in record} == record
        assert all(row[key] is None for key in parsed.table.columns if key not in record)


def read_or_refuse(data: bytes, name: str) -> None:
    """Any other exception than `BadInput` fails the test that calls this."""
    refused: BadInput | None = None
    try:
        read_table(data, name)
    except BadInput as error:
        refused = error
    assert refused is None or (refused.field == "file" and "\n" not in str(refused))


def test_a_workbook_is_read_row_by_row_with_its_numbers():
    day = datetime.date(2026, 11, 30)
    sheet = [["text", "label", "when"], ["a, b\nc", "yes", day], [], ["=1+1", True, None], [3, 1.5, day, "x"]]
    read = read_table(workbook({"notes": [], "data": sheet}), "t.xlsx")
    assert (read.table.form, read.table.columns) == ("Excel", ("text", "label", "when"))
    assert read.rows == [
        {"text": "a, b\nc", "label": "yes", "when": "2026-11-30"},
        {"text": None, "label": True, "when": None},  # a formula whose value was never computed
    ]
    assert read.numbers == (2, 4)
    assert [str(problem) for problem in read.problems] == ["row 5: has 4 cells, the header has 3"]
    parts = workbook({"Training": [["text"], ["a"]], "test": [["text", "note"], ["b", "n"]]})
    read = read_table(parts, "t.xlsx")
    assert read.rows == [
        {"text": "a", "note": None, "split": "train"},
        {"text": "b", "note": "n", "split": "test"},
    ]
    assert [row.file for row in read.table.rows()] == ["sheet 'Training'", "sheet 'test'"]
    one = open_table(parts, ReadOptions(table="test"), filename="t.xlsx")
    assert one.columns == ("text", "note")
    with pytest.raises(BadInput, match="has no sheet 'dev' with rows; it has 'Training', 'test'"):
        open_table(parts, ReadOptions(table="dev"), filename="t.xlsx")


@settings(max_examples=150, deadline=None)
@given(
    data=st.binary(max_size=200),
    suffix=st.sampled_from(["csv", "tsv", "jsonl", "json", "parquet", "arrow", "zip", "xlsx"]),
)
def test_any_bytes_are_read_or_refused_in_one_line(data, suffix):
    read_or_refuse(data, f"t.{suffix}")


@settings(max_examples=100, deadline=None)
@given(content=st.text(max_size=80), suffix=st.sampled_from(["csv", "tsv", "txt", "json", "jsonl"]))
def test_any_text_is_read_or_refused(content, suffix):
    read_or_refuse(content.encode("utf-8", "surrogatepass"), f"t.{suffix}")


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_damaged_zip_is_read_or_refused(data):
    packed = bytearray(archive({"t.csv": DATA.encode() * 20, "a.png": png()}))
    for _ in range(data.draw(st.integers(1, 4))):
        packed[data.draw(st.integers(0, len(packed) - 1))] = data.draw(st.integers(0, 255))
    read_or_refuse(bytes(packed[: data.draw(st.integers(len(packed) // 2, len(packed)))]), "t.zip")


def columnar(form: str) -> bytes:
    """A small file with every type of which Python makes something of its own: texts, times, codes, lists."""
    times = pa.array([0, 10**9, None], pa.timestamp("us"))
    codes = pa.array(["yes", "no", "yes"]).dictionary_encode()
    table = pa.table({"naïve": ["né", "ö", ""], "when": times, "label": codes, "many": [["a"], [], ["b", "c"]]})
    stream = io.BytesIO()
    if form == "parquet":
        pyarrow.parquet.write_table(table, stream, compression="none")
    else:
        with pyarrow.ipc.new_file(stream, table.schema) as writer:
            writer.write_table(table)
    return stream.getvalue()


@settings(max_examples=60, deadline=None)
@given(form=st.sampled_from(["arrow", "parquet"]), data=st.data())
def test_a_damaged_columnar_file_is_read_or_refused(form, data):
    packed = bytearray(columnar(form))
    what = data.draw(st.sampled_from(["anywhere", "naïve".encode(), "né".encode(), (10**9).to_bytes(8, "little")]))
    if what == "anywhere":
        for _ in range(data.draw(st.integers(1, 4))):
            packed[data.draw(st.integers(0, len(packed) - 1))] = data.draw(st.integers(0, 255))
    else:  # at every place where it is kept
        packed = packed.replace(what, bytes([what[0], *(0xCF for _ in what[1:])]))
    read_or_refuse(bytes(packed), f"t.{form}")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_encodings(encoding):
    content = "text,label\n" + "ein schöner Film,gut\nschwach,schlecht\n" * 3
    parsed = read_table(content.encode(encoding), "t.csv")
    assert parsed.rows[0] == {"text": "ein schöner Film", "label": "gut"}


@pytest.mark.parametrize(
    ("content", "delimiter"),
    [("a,b\n1;2,3\n4;5,6\n", ","), ("a;b\n1,5;2\n2,5;3\n", ";"), ("a\tb, c\n1\t2\n", "\t"), ("a|b\nx, y|z\n", "|")],
)
def test_the_delimiter_is_found(content, delimiter):
    assert read_table(content.encode(), "t.csv").table.delimiter == delimiter


def test_rows_are_numbered_as_an_editor_does():
    parsed = read_table(b'text,label\n"two\nlines",yes\n\nb,no\nc,yes,too many\nd\ne,no,\n', "t.csv")
    assert parsed.numbers == (2, 5, 8)
    assert [str(p) for p in parsed.problems] == [
        "row 6: has 3 fields, the header has 2",
        "row 7: has 1 fields, the header has 2",
    ]


def test_jsonl_problems_have_rows():
    lines = ['{"a": "x", "n": 1}', "[1]", '{"a": ["x"], "n": true}', "oops", '{"a": "\\ud800"}', '{"a": "y", "n', ""]
    parsed = read_table("\n".join(lines).encode(), "t.jsonl")
    assert [(p.row, p.column) for p in parsed.problems] == [(2, None), (4, None), (5, "a"), (6, None)]
    assert "cut off" in parsed.problems[-1].message
    assert [row["n"] for row in parsed.rows] == [1, True, None]


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("t.csv", b"", "is empty"),
        ("t.csv", b"\xff\xfe", "is empty"),
        ("t.csv", b" \n \n", "is empty"),
        ("t.csv", b"text,label\n", "no usable rows"),
        ("t.csv", b"text,label\ncaf\xe9,x\n", r"0xe9 near line 2\); it looks like windows-1252: read it with --enc"),
        ("t.csv", b"text,label\na\x00b,c\n", "zero bytes"),
        ("t.csv", png(), "is a PNG image, not a table"),
        ("t.csv", archive({"x": b"y"}), "a zip archive or an Excel workbook"),
        ("t.csv", b'text,label\n"a,b\nc,d\n', "a quote that opens in row 2 never closes"),
        ("t.csv", b'text,label\n"a"x,b\n', "row 2"),
        ("t.csv", b"a,b,a\n1,2,3\n", "two columns called 'a'"),
        ("t.csv", b"a,b\n" + b"x" * 200_000 + b",y\n", "row 2 has a cell of over"),
        ("t.jsonl", b"{]\n[]\n", "no usable rows.*write one JSON object on each line"),
        ("t.zip", archive({"t.csv": DATA.encode(), "a.png": png()})[60:], "is damaged or cut off"),
        ("t.xls", b"PK", "type .xls is not read; give .csv, .tsv, .txt, .xlsx"),
        ("t.xlsx", b"PK", "no Excel workbook"),
        ("t.xlsx", workbook({"a": [["x"]], "b": [["y"]]}), "2 sheets .'a', 'b'.; choose one with --table"),
        ("t.xlsx", workbook({"empty": []}), "is empty"),
        ("t.xlsx", workbook({"a": [["x", "x"], [1, 2]]}), "two columns called 'x'"),
        ("noname", b"a,b", r"type \(none\) is not read"),
        ("t.zip", b"PK not really", "is not a zip"),
        ("t.zip", archive({"t.csv": DATA.encode()})[:-30], "is not a zip"),
        ("t.zip", archive({"a.png": png()}), "has no table"),
        ("t.zip", archive({"a.csv": b"x", "b.csv": b"x"}), "has 2 tables"),
        ("t.zip", archive({"a.csv": b""}), "t.zip:a.csv' is empty"),
        ("t.zip", archive({"../t.csv": DATA.encode()}), "unsafe path"),
        ("t.zip", archive({"/etc/t.csv": DATA.encode()}), "unsafe path"),
        ("t.zip", archive({"C:\\t.csv": DATA.encode()}), "unsafe path"),
        ("t.zip", archive({"t.csv": DATA.encode(), "big.png": bytes(8 * 2**20)}), "zip bomb"),
    ],
)  # fmt: skip
def test_broken_files_give_one_clear_line(name, data, message):
    with pytest.raises(BadInput, match=message) as caught:
        read_table(data, name)
    assert caught.value.field == "file"
    assert "\n" not in str(caught.value)


def test_a_zip_that_lies_about_its_sizes_is_stopped(monkeypatch):
    monkeypatch.setattr("pituning.tasks.reading.trees.MAX_IMAGE_BYTES", 1000)
    packed = bytearray(archive({"t.csv": DATA.encode(), "big.png": bytes(range(256)) * 40}))
    place = packed.rfind(b"PK\x01\x02")  # the central directory's entry of big.png
    struct.pack_into("<I", packed, place + 24, 10)
    with pytest.raises(BadInput, match=r"big.png|cannot be unpacked|damaged"):
        read_table(bytes(packed), "t.zip")


def test_many_members_are_refused(monkeypatch):
    monkeypatch.setattr("pituning.workspace.zips.MAX_MEMBERS", 3)
    with pytest.raises(BadInput, match="holds 4 files"):
        read_table(archive({f"{i}.png": b"x" for i in range(4)}), "t.zip")


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(BadInput, match="does not exist"):
        read_table(tmp_path / "none.csv")
    with pytest.raises(BadInput, match="has no table"):
        read_table(tmp_path)
    (tmp_path / "t.csv").write_text(DATA)
    assert len(read_table(tmp_path / "t.csv").rows) == 4


def test_images_of_a_zip_are_found_by_path_or_name():
    pictures = {"set/img/a.png": png(), "b.png": png(), "c/b.png": png("blue"), "__MACOSX/a.png": b"junk"}
    packed = archive({"set/t.csv": b"image,label\nx,y\n", **pictures})
    images = read_table(packed, "t.zip").table.images
    assert images is not None
    for name in ("set/img/a.png", "img/a.png", "img\\a.png", "a.png", "./img/a.png"):
        assert images.read(name) == png()
    assert images.read("c/b.png") == png("blue")
    assert images.read("b.png") == png()
    for name, message in [("d.png", "is not there"), ("../b.png", "outside the zip"), ("/b.png", "outside the zip")]:
        with pytest.raises(BadInput, match=message):
            images.read(name)


def test_images_beside_a_table_stay_in_its_folder(tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    (tmp_path / "secret.png").write_bytes(png())
    (folder / "a.png").write_bytes(png())
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    (folder / "t.csv").write_text(DATA)
    images = read_table(folder / "t.csv").table.images
    assert images is not None
    assert images.read("a.png") == png()
    for name in ("../secret.png", str(tmp_path / "secret.png"), "link.png"):
        with pytest.raises(BadInput, match="outside the table's folder"):
            images.read(name)
    with pytest.raises(BadInput, match="is not beside the table"):
        images.read("b.png")


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "t.csv")
    with pytest.raises(BadInput, match="is a pipe or a device"):
        read_table(tmp_path / "t.csv")
    (tmp_path / "u.csv").write_text(DATA)
    images = read_table(tmp_path / "u.csv").table.images
    assert images is not None
    with pytest.raises(BadInput, match="is not beside the table"):
        images.read("t.csv")


def test_a_number_of_too_many_digits_is_a_problem_of_its_row():
    parsed = read_table(b'{"a": ' + b"9" * 10_000 + b'}\n{"a": 1}\n', "t.jsonl")
    assert [str(p) for p in parsed.problems] == ["row 1: is not JSON (a number with too many digits)"]


@pytest.mark.parametrize("encoding", ["rot13", "base64", "no\0ne", "\ud800", "utf-16", "idna"])
def test_an_encoding_that_is_none_of_this_text_is_told(encoding):
    with pytest.raises(BadInput, match=r"is unknown; give one such as|is not valid"):
        list(open_table("tëxt,label\né,yes\n".encode(), ReadOptions(encoding=encoding), filename="t.csv").read())


def test_arrow_whose_offsets_point_elsewhere_is_damaged():
    offsets = pa.py_buffer(struct.pack("<3i", 0, 2**30, 1))
    column = pa.StringArray.from_buffers(2, offsets, pa.py_buffer(b"ab"))
    stream = io.BytesIO()
    with pyarrow.ipc.new_stream(stream, pa.schema([("text", pa.string())])) as writer:
        writer.write_batch(pa.RecordBatch.from_arrays([column], ["text"]))
    with pytest.raises(BadInput, match="'t.arrow' is (damaged|not) Arrow"):
        read_table(stream.getvalue(), "t.arrow")
