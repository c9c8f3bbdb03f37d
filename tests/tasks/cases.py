# ruff: noqa: E501 (a case a line)
"""What people have, and what becomes of it: one case for each way in which tables, images and boxes are kept."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet
from PIL import Image

from pituning.errors import BadInput
from pituning.tasks.adding import AddOptions, TaskPlan, plan_task
from pituning.tasks.base import SPLITS, Task

WORDS = {"good": "the pump runs smooth and quiet", "bad": "the pump leaks at the seal"}
PAIRS = [(f"{WORDS[label]}, order {i}", label) for i in range(24) for label in ("good", "bad")]


def csv(header: str, rows: list[str], end: str = "\n") -> str:
    return end.join([header, *rows]) + end if header else end.join(rows) + end


def labelled(change: Callable[[int, str], str] = lambda i, label: label) -> str:
    return csv("text,label", [f'"{text}",{change(i, label)}' for i, (text, label) in enumerate(PAIRS)])


def lines(record: Callable[[int, str, str], Any]) -> str:
    return "".join(json.dumps(record(i, text, label)) + "\n" for i, (text, label) in enumerate(PAIRS))


def picture(colour: str = "red", size: tuple[int, int] = (12, 8), mode: str = "RGB", kind: str = "png") -> bytes:
    stream = io.BytesIO()
    Image.new("RGB" if mode not in ("1", "F") else mode, size, colour if mode != "F" else 1.0).convert(mode).save(
        stream, kind.replace("jpg", "jpeg")
    )
    return stream.getvalue()


ODD = (("CMYK", "jpg"), ("P", "png"), ("LA", "png"), ("RGBA", "png"), ("P", "gif"), ("RGB", "webp"), ("RGB", "bmp"),
       ("L", "tiff"))  # fmt: skip
"""Modes and kinds of image files."""


def zipped(members: Mapping[str, str | bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


COLOURS = ("red", "blue", "green")
NAMES = [(f"{colour}-{i}.png", colour) for colour in COLOURS for i in range(8)]
PICTURES = {name: picture(colour, (12 + i, 8)) for i, (name, colour) in enumerate(NAMES)}
TABLE = csv("image,label", [f"{name},{colour}" for name, colour in NAMES])
SCENES = {f"scene-{i}.png": picture("white", (96, 64 + i)) for i in range(24)}
CORNERS = [(i, i + 1, i + 24, i + 20) for i in range(24)]
COCO = {
    "images": [{"id": i, "file_name": name, "width": 96, "height": 64 + i} for i, name in enumerate(SCENES)],
    "annotations": [
        {"image_id": i, "category_id": 1, "bbox": [a, b, c - a, d - b]} for i, (a, b, c, d) in enumerate(CORNERS)
    ],
    "categories": [{"id": 1, "name": "red block"}],
}
VOC_XML = "".join(
    [
        "<annotation><filename>{name}</filename><size><width>96</width><height>64</height></size><object>",
        "<name>block</name><bndbox><xmin>{0}</xmin><ymin>{1}</ymin><xmax>{2}</xmax><ymax>{3}</ymax></bndbox>",
        "</object></annotation>",
    ]
)
VOTES = [{"answer": "red"}] * 6 + [{"answer": "dark red"}] * 3 + [{"answer": "blue"}]


def tokens(box: tuple[int, ...], grid: int) -> str:
    shares = (box[0] / 96, box[1] / 64, box[2] / 96, box[3] / 64)
    return "".join(f"<loc_{min(grid - 1, int(grid * share))}>" for share in shares)


def parquet(table: pa.Table) -> bytes:
    stream = io.BytesIO()
    pyarrow.parquet.write_table(table, stream)
    return stream.getvalue()


def arrow(table: pa.Table) -> bytes:
    stream = io.BytesIO()
    with pyarrow.ipc.new_stream(stream, table.schema) as writer:
        writer.write_table(table)
    return stream.getvalue()


ARROW = pa.table({"text": [text for text, _ in PAIRS], "label": [label for _, label in PAIRS]})
CODED = pa.table({"text": [text for text, _ in PAIRS], "label": [int(label == "good") for _, label in PAIRS]})
CLASS_LABEL = {
    "label": {"names": ["bad", "good"], "_type": "ClassLabel"},
    "text": {"dtype": "string", "_type": "Value"},
}
HUB = CODED.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": CLASS_LABEL}})})


def excel(**sheets: list[list[Any]]) -> bytes:
    book = openpyxl.Workbook()
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


SHEET = [["text", "label"], *map(list, PAIRS)]


@dataclass(frozen=True)
class Case:
    """A file, and what becomes of it.

    Args:
        want: of the task: labels, metric, text (columns), sizes.
        notes: pieces of what is said of it.
        refused: a piece of the error, for what cannot be taken.
    """

    file: str
    content: str | bytes
    want: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    refused: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)


TWO = {"labels": ("bad", "good"), "metric": "accuracy"}
NUMBERS = {"labels": ("0", "1"), "metric": "accuracy"}
DROP = {"missing": "drop"}
CASES = {
    "labels by case and blanks": Case(
        "t.csv", labelled(lambda i, x: [x, x.upper(), f"{x} "][i % 3 if x == "bad" else 0]), TWO,
        ("'BAD' and 'bad' and 'bad ' are taken as one answer, 'bad': they differ only in blanks and case",),
    ),
    "labels by case and blanks at once": Case(
        "t.csv", labelled(lambda i, x: " Bad" if i % 8 == 1 else x.upper()),
        {"labels": ("BAD", "GOOD")}, ("' Bad' and 'BAD' are taken as one answer, 'BAD': they differ only in blanks and case",),
    ),
    "blanks of another width": Case(
        "t.csv", labelled(lambda i, x: f"so{' ' if i % 4 < 2 else chr(160)}{x}"), {"labels": ("so bad", "so good")},
        ("are taken as one answer, 'so bad': they differ only in blanks",),
    ),
    "a class that only the test split has": Case(
        "t.csv",
        csv("text,label,split", [f"{t},{x},{'test' if i > 35 else 'train'}" for i, (t, x) in enumerate(
            (text.replace(",", ""), label) for text, label in PAIRS)] + ["who knows,unsure,test"] * 3),
        refused="answer 'unsure' has no training row", options={"answers": "labels"},
    ),
    "an Excel workbook": Case("t.xlsx", excel(Data=SHEET), TWO),
    "a workbook with a sheet for each split": Case(
        "t.xlsx", excel(train=SHEET, test=SHEET[:1] + [[f"again {text}", label] for text, label in PAIRS[:8]]),
        TWO | {"rows": 56, "test": 8},
    ),
    "a workbook with several sheets": Case("t.xlsx", excel(a=SHEET, b=SHEET), refused="choose one with --table"),
    "empty texts": Case("t.csv", labelled().replace(f'"{PAIRS[3][0]}"', ""), refused="or leave it out with --skip-bad-rows"),
    "empty texts left out": Case(
        "t.csv", labelled().replace(f'"{PAIRS[3][0]}"', ""), TWO, ("1 row cannot be used and is left out: row 5",),
        options={"skip_bad_rows": True},
    ),
    "labels 0 and 1": Case(
        "t.csv", labelled(lambda i, x: str(int(x == "good"))), NUMBERS, ("--label-names 0=…,1=… gives them names",)
    ),
    "labels with names given": Case(
        "t.csv", labelled(lambda i, x: str(int(x == "good"))), TWO, options={"label_names": "0=bad,1=good"}
    ),
    "labels with names beside": Case(
        "t.csv",
        csv("text,label,label_text", [f'"{t}",{int(x == "good")},{x}' for t, x in PAIRS]), TWO,
        ("the labels are named by the column 'label_text'",),
    ),
    "labels 1 and 1.0": Case(
        "t.csv", labelled(lambda i, x: "0" if x == "bad" else ["1", "1.0"][i // 2 % 2]), NUMBERS,
        ("'1' and '1.0' are taken as one answer, '1': they differ only in the way a number is written",),
    ),
    "-1 among classes": Case(
        "t.csv", labelled(lambda i, x: "-1" if i % 6 == 0 else str(i % 2)),
        refused="8 of 48 rows have no answer in 'label' ('-1'; rows 2, 8, 14, …); leave them out with --drop-missing",
    ),
    "-1 left out": Case(
        "t.csv", labelled(lambda i, x: "-1" if i % 6 == 0 else str(i % 2)), NUMBERS | {"rows": 40},
        ("8 of 48 rows have no answer in 'label' ('-1'; rows 2, 8, 14, …): they are left out",), options=DROP,
    ),
    "-1 kept": Case(
        "t.csv", labelled(lambda i, x: "-1" if i % 6 == 0 else str(i % 2)), {"labels": ("-1", "0", "1")},
        options={"missing": "keep"},
    ),
    "empty labels": Case(
        "t.csv", labelled(lambda i, x: "" if i % 8 == 0 else x), refused="6 of 48 rows have no answer in 'label' (empty"
    ),
    "empty labels left out": Case(
        "t.csv", labelled(lambda i, x: "" if i % 8 == 0 else x), TWO | {"rows": 42}, options=DROP
    ),
    "labels NaN": Case(
        "t.csv", labelled(lambda i, x: "NaN" if i % 8 == 0 else x), refused="or take those words as a label with --keep"
    ),
    "labels None kept": Case(
        "t.csv", labelled(lambda i, x: "none" if i % 8 == 0 else x), {"labels": ("bad", "good", "none")},
        options={"missing": "keep"},
    ),
    "labels null": Case(
        "t.jsonl", lines(lambda i, t, x: {"text": t, "label": None if i % 8 == 0 else x}), refused="6 of 48 rows have no"
    ),
    "several labels as a list": Case(
        "t.jsonl", lines(lambda i, t, x: {"text": t, "labels": [x, "phone"] if i % 3 == 0 else [x]}),
        {"labels": None, "metric": "multilabel_f1", "answers": {"good", "bad", "bad, phone", "good, phone"}},
    ),
    "several labels in columns": Case(
        "t.csv",
        csv("text,good,bad,phone", [f'"{t}",{int(x == "good")},{int(x == "bad")},{i % 3 // 2}' for i, (t, x) in
                                     enumerate(PAIRS)]),
        {"metric": "multilabel_f1", "answers": {"good", "bad", "bad, phone", "good, phone"}},
        ("columns 'good', 'bad', 'phone' hold 0 and 1 each",),
    ),
    "one row a class": Case(
        "t.csv", csv("text,label", [f"a line about topic {i},topic {i}" for i in range(12)]),
        {"labels": None, "metric": "token_f1"}, ("labels would need 3 rows each",),
    ),
    "120 classes": Case(
        "t.csv", csv("utterance,intent", [f"please help me with {i} of {k},intent_{k:03}" for k in range(120)
                                          for i in range(6)]),
        {"count": 120, "metric": "accuracy"},
    ),
    "uneven labels": Case(
        "t.csv", csv("text,label", [f"sentence number {i},{'bad' if i < 6 else 'good'}" for i in range(200)]), TWO,
        ("always answering 'good' would score 97.0",),
    ),
    "truth values first": Case(
        "t.csv", csv("col_one,col_two", [f'{str(x == "good").upper()},"{t}"' for t, x in PAIRS]),
        {"labels": ("FALSE", "TRUE"), "text": ("col_two",)},
    ),
    "scores": Case(
        "t.csv", csv("sentence1,sentence2,score", [f"{i} seen from left,{i} seen from right,{i / 10}" for i in range(48)]),
        {"metric": "pearson", "labels": None, "text": ("sentence1", "sentence2")},
    ),
    "a running number first": Case(
        "t.tsv",
        csv("index\tsentence1\tsentence2\tlabel", [f"{i}\t{t}\tsomebody is content\t{x}" for i, (t, x) in
                                                   enumerate(PAIRS)]),
        TWO | {"text": ("sentence1", "sentence2"), "first": "sentence1: the pump runs smooth and quiet, order 0 "
                                                            "sentence2: somebody is content"},
    ),
    "premise and hypothesis": Case(
        "t.csv", csv("premise,hypothesis,label", [f'"{t}",somebody is content,{x}' for t, x in PAIRS]),
        {"text": ("premise", "hypothesis")},
    ),
    "a template": Case(
        "t.csv", csv("premise,hypothesis,label", [f'"{t}",somebody is content,{x}' for t, x in PAIRS]),
        {"first": "the pump runs smooth and quiet, order 0? So: somebody is content"},
        options={"template": "{premise}? So: {hypothesis}"},
    ),
    "long texts": Case(
        "t.csv", csv("text,label", [f"{'nothing happened for hours. ' * 200}{t.replace(',', '')},{x}" for t, x in PAIRS]), TWO
    ),
    "a long pair": Case(
        "t.csv", csv("premise,hypothesis,label", [f"{'nothing happened for hours. ' * 60},{t.replace(',', '')},{x}" for t, x in
                                                  PAIRS]), {"text": ("premise", "hypothesis")},
    ),
    "long answers": Case(
        "t.jsonl", lines(lambda i, t, x: {"question": t, "answer": f"{i} because of this and that " * 20}),
        refused="'answer' has", options={"instruction": "why?"},
    ),
    "line breaks inside quotes": Case("t.csv", labelled().replace(", order", ",\norder"), TWO),
    "semicolons": Case(
        "t.csv", csv("text;label;price", [f"{t};{x};{i},5" for i, (t, x) in enumerate(PAIRS)]), TWO | {"text": ("text",)}
    ),
    "Excel's Unicode text": Case("t.txt", csv("text\tlabel", [f"{t}\t{x}" for t, x in PAIRS]).encode("utf-16"), TWO),
    "Windows-1252": Case(
        "t.csv", labelled().replace("pump", "Gerät").encode("cp1252"),
        refused="it looks like windows-1252: read it with --encoding windows-1252",
    ),
    "Windows-1252 named": Case(
        "t.csv", labelled().replace("pump", "Gerät").encode("cp1252"),
        TWO | {"first": "the Gerät runs smooth and quiet, order 0"}, options={"encoding": "windows-1252"},
    ),
    "a byte order mark": Case("t.csv", labelled().encode("utf-8-sig"), TWO | {"text": ("text",)}),
    "Windows' line ends": Case("t.csv", labelled().replace("\n", "\r\n"), TWO),
    "old line ends": Case("t.csv", labelled().replace("\n", "\r"), TWO),
    "blanks in the header": Case("t.csv", labelled().replace("text,label", " text ,label  "), TWO | {"text": ("text",)}),
    "capitals in header and suffix": Case("t.CSV", labelled().replace("text,label", "Text,LABEL"), TWO | {"text": ("Text",)}),
    "no header": Case("t.csv", labelled().partition("\n")[2], TWO | {"rows": 48}, ("--header reads it as the header",)),
    "no header, said so": Case(
        "t.csv", labelled().partition("\n")[2], TWO | {"rows": 48}, options={"header": False}
    ),
    "pandas' index": Case(
        "t.csv", csv(",text,label", [f'{i},"{t}",{x}' for i, (t, x) in enumerate(PAIRS)]), TWO | {"text": ("text",)}
    ),
    "two columns of one name": Case("t.csv", csv("text,label,text", ["a,b,c"] * 8), refused="two columns called 'text'"),
    "formulas": Case(
        "t.csv", csv("text,label", [f'"=SUM(A{i}:A9)",{"=good" if i % 2 else "-bad"}' for i in range(48)]),
        {"labels": ("-bad", "=good"), "first": "=SUM(A0:A9)"},
    ),
    "one column": Case("t.csv", csv("text", [t.replace(",", "") for t, _ in PAIRS]), refused="has one column only ('text')"),
    "quotes that are text": Case(
        "t.tsv", csv("sentence\tlabel", [f'"the 5" pipe {i}"\t{x}' if i % 2 else f'the 5" pipe {i}\t{x}'
                                         for i, (_, x) in enumerate(PAIRS)]), TWO | {"first": 'the 5" pipe 0'},
    ),
    "tabs, label first, no header": Case(
        "t.tsv", csv("", [f"{'ham' if x == 'good' else 'spam'}\t{t}" for t, x in PAIRS]),
        {"labels": ("ham", "spam"), "text": ("column 2",), "rows": 48},
    ),
    "emoji": Case("t.csv", csv("text,label", [f"{'😀🎉' if i % 2 else '😡💔'} {i},{i % 2}" for i in range(40)]), NUMBERS),
    "Chinese": Case(
        "t.csv", csv("text,label", [f"这个产品很好用 第{i}单,{'好评' if i % 2 else '差评'}" for i in range(40)]),
        {"labels": ("好评", "差评"), "text": ("text",)},
    ),
    "invisible characters": Case(
        "t.csv", labelled(lambda i, x: f"{x}\u200b" if i % 4 < 2 else x), TWO,
        ("'good' and 'good\\u200b' are taken as one answer, 'good': they differ only in invisible characters",),
    ),
    "special tokens": Case(
        "t.csv", labelled().replace("the pump", "<s></s><image><loc_3> the pump"),
        TWO | {"first": "<s></s><image><loc_3> the pump runs smooth and quiet, order 0"},
    ),
    "each row three times": Case("t.csv", csv("text,label", [f'"{t}",{x}' for t, x in PAIRS * 3]), TWO,
                                 ("96 rows repeat the question of another row",)),
    "one text, two labels": Case(
        "t.csv", labelled() + "".join(f'"{t}",{"bad" if x == "good" else "good"}\n' for t, x in PAIRS[:10]), TWO,
        ("10 questions come with different answers",),
    ),
    "test texts that are training texts": Case(
        "t.csv",
        csv("text,label,split", [f'"{t}",{x},train' for t, x in PAIRS] + [f'"{t}",{x},test' for t, x in PAIRS[:20]]), TWO,
        ("in the training split and in another one",),
    ),
    "a JSON list": Case("t.json", json.dumps([{"input": t, "output": x} for t, x in PAIRS], indent=1), TWO),
    "JSON by column": Case("t.json", json.dumps({"text": [t for t, _ in PAIRS], "label": [x for _, x in PAIRS]}), TWO),
    "JSON by split": Case(
        "t.json", json.dumps({"train": [[t, x] for t, x in PAIRS], "oos_test": [["new " + t, x] for t, x in PAIRS[:8]]}),
        TWO | {"test": 8},
    ),
    "alpaca": Case(
        "t.jsonl", lines(lambda i, t, x: {"instruction": "is it good or bad?", "input": t, "output": x}),
        TWO | {"instruction": "is it good or bad?", "text": ("input",)}, options={"instruction": ""},
    ),
    "prompt and completion": Case("t.jsonl", lines(lambda i, t, x: {"prompt": f"{t}\n\n###\n\n", "completion": f" {x}"}), TWO),
    "chat": Case(
        "t.jsonl",
        lines(lambda i, t, x: {"messages": [{"role": "user", "content": t}, {"role": "assistant", "content": x}]}),
        TWO | {"text": ("user",)},
    ),
    "SQuAD": Case(
        "t.json",
        json.dumps({"data": [{"title": "t", "paragraphs": [{"context": f"c {i} is here", "qas": [
            {"id": i, "question": f"what is {i} then?", "answers": [{"text": f"c {i}"}, {"text": f"{i} here"}]}]}]}
            for i in range(20)]}),
        {"metric": "token_f1", "accepted": 2},
    ),
    "VQA's ten answers": Case(
        "t.zip", zipped(PICTURES | {"t.jsonl": "".join(
            json.dumps({"question": f"what colour is {i}?", "image": name, "answers": VOTES if i % 2 else VOTES[5:] * 2}) + "\n"
            for i, name in enumerate(PICTURES))}),
        {"metric": "vqa_accuracy", "answers": {"red", "dark red"}, "accepted": 10},
    ),
    "VQA without its images": Case(
        "t.jsonl", lines(lambda i, t, x: {"question": t, "image": "red.png", "answers": VOTES}),
        refused="column 'image' names images ('red.png')",
    ),
    "Parquet": Case("t.parquet", parquet(ARROW), TWO),
    "Parquet from the hub": Case("t.parquet", parquet(HUB), TWO),
    "Arrow": Case("t.arrow", arrow(ARROW), TWO),
    "a saved data set": Case(
        "t.zip",
        zipped({"dataset_dict.json": '{"splits": ["train", "test"]}'} | {
            f"{split}/{name}": content for split in ("train", "test") for name, content in {
                "data-00000-of-00001.arrow": arrow(CODED),
                "dataset_info.json": json.dumps({"features": CLASS_LABEL}),
                "state.json": json.dumps({"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}),
            }.items()}),
        TWO | {"test": 48},
    ),
    "a table and images": Case("t.zip", zipped({"labels.csv": TABLE} | PICTURES), {"labels": ("blue", "green", "red")}),
    "folders in folders, and a Mac's": Case(
        "t.zip",
        zipped({"my data/labels.csv": TABLE, "__MACOSX/my data/._labels.csv": "x", "my data/.DS_Store": "x"}
               | {f"my data/{name}": data for name, data in PICTURES.items()}), {"count": 3},
    ),
    "backslashes": Case(
        "t.zip", zipped({"labels.csv": csv("image,label", [f"pics\\{n},{c}" for n, c in NAMES])}
                        | {f"pics/{name}": data for name, data in PICTURES.items()}), {"count": 3},
    ),
    "a README beside": Case(
        "t.zip", zipped({"README.txt": "x", "LICENSE.csv": "x", "labels.csv": TABLE} | PICTURES), {"count": 3}
    ),
    "several tables": Case(
        "t.zip", zipped({"one.csv": labelled(), "two.csv": labelled()}), refused="has 2 tables (one.csv, two.csv); choose"
    ),
    "one of several tables": Case(
        "t.zip", zipped({"one.csv": labelled(), "two.csv": labelled()}), TWO, options={"table": "two.csv"}
    ),
    "web addresses": Case(
        "t.zip", zipped({"labels.csv": csv("image,label", [f"https://a.invalid/{n},{c}" for n, c in NAMES])} | PICTURES),
        refused="holds web addresses ('https://a.invalid/red-0.png'), which are not fetched",
    ),
    "a folder for each label": Case(
        "t.zip", zipped({f"{'test' if '-7' in n else 'train'}/{c}/{n}": PICTURES[n] for n, c in NAMES}),
        {"labels": ("blue", "green", "red"), "test": 3},
    ),
    "metadata in each split": Case(
        "t.zip",
        zipped({f"{s}/metadata.csv": csv("file_name,label", [f"{n},{c}" for n, c in NAMES if ("-7" in n) == (s == "test")])
                for s in ("train", "test")} | {f"{'test' if '-7' in n else 'train'}/{n}": d for n, d in PICTURES.items()}),
        {"labels": ("blue", "green", "red"), "test": 3},
    ),
    "a truncated image": Case(
        "t.zip", zipped({"labels.csv": TABLE} | PICTURES | {"red-0.png": picture()[:50]}),
        refused="'red-0.png' is a damaged or truncated image",
    ),
    "images of odd kinds": Case(
        "t.zip", zipped({"labels.csv": csv("image,label", [
            f"{c}-{i}.{kind},{c}" for c in COLOURS for i, (_, kind) in enumerate(ODD)])} | {
            f"{c}-{i}.{kind}": picture(c, (12 + i, 8), mode, kind) for c in COLOURS for i, (mode, kind) in enumerate(ODD)}),
        {"labels": ("blue", "green", "red"), "rows": 24},
    ),
    "54 million pixels": Case(
        "t.zip", zipped({"labels.csv": TABLE} | PICTURES | {"red-0.png": picture("white", (9000, 6000), "1")}),
        refused="'red-0.png' has 9000 x 6000 pixels; make it smaller than 40 million pixels",
    ),
    "32 bits per channel": Case(
        "t.zip", zipped({"labels.csv": TABLE.replace("red-0.png", "red-0.tiff"), "red-0.tiff": picture("white", mode="F",
                                                                                                       kind="tiff")}
                        | PICTURES),
        refused="'red-0.tiff' has 32 bits per channel, whose black and white nobody knows; save it with 8 or 16",
    ),
    "VOC columns": Case(
        "t.zip",
        zipped({"t.csv": csv("filename,width,height,class,xmin,ymin,xmax,ymax", [
            f"{n},96,64,block,{a},{b},{c},{d}" for n, (a, b, c, d) in zip(SCENES, CORNERS, strict=True)])} | SCENES),
        {"metric": "box_iou", "text": ("class",), "box": "box 0 1 24 20 of 96 x 64"},
    ),
    "VOC columns without images": Case(
        "t.csv", csv("filename,width,height,class,xmin,ymin,xmax,ymax", ["a.jpg,96,64,cat,1,2,3,4"] * 8),
        refused="give a zip or a folder with this table and the image files: t.csv beside a.jpg, where each row is an "
        "image ('filename'), what to look for in it ('class') and a box in its pixels ('xmin', 'ymin', 'xmax', 'ymax')",
    ),
    "VOC files": Case(
        "t.zip",
        zipped({f"Annotations/{n[:-4]}.xml": VOC_XML.format(*box, name=n) for n, box in zip(SCENES, CORNERS, strict=True)}
               | {f"JPEGImages/{n}": d for n, d in SCENES.items()}),
        {"metric": "box_iou", "box": "box 0 1 24 20 of 96 x 64"},
    ),
    "COCO": Case(
        "t.zip", zipped({"annotations/instances.json": json.dumps(COCO)} | {f"images/{n}": d for n, d in SCENES.items()}),
        {"metric": "box_iou", "text": ("category",), "box": "box 0 1 24 20 of 96 x 64"},
    ),
    "boxes x y width height": Case(
        "t.zip",
        zipped({"t.jsonl": "".join(json.dumps({"image": n, "text": "the block", "bbox": [a, b, c - a, d - b]}) + "\n"
                                   for n, (a, b, c, d) in zip(SCENES, CORNERS, strict=True))} | SCENES),
        {"box": "box 0 1 24 20 of 96 x 64"}, ("boxes are read as xywh, which alone fits",),
    ),
    "boxes outside of their image": Case(
        "t.zip", zipped({"t.csv": csv("image,x1,y1,x2,y2", [f"{n},0,0,500,10" for n in SCENES])} | SCENES),
        refused="does not lie within the image of 96 x 64 pixels",
    ),
    "location tokens": Case(
        "t.zip", zipped({"t.csv": csv("image,text,answer", [f"{n},the block,{tokens(b, 48)}" for n, b in
                                                            zip(SCENES, CORNERS, strict=True)])} | SCENES),
        {"metric": "box_iou", "box": "<loc_0><loc_0><loc_12><loc_15>"},
    ),
    "location tokens to 999": Case(
        "t.zip", zipped({"t.csv": csv("image,text,answer", [f"{n},the block,{tokens(b, 1000)}" for n, b in
                                                            zip(SCENES, CORNERS, strict=True)])} | SCENES),
        {"metric": "box_iou", "box": "box 0 15 250 312 of 1000 x 1000"}, ("read as cells of a grid of 1000 x 1000",),
    ),
    "five captions an image": Case(
        "t.zip", zipped({"t.csv": csv("image,caption", [f"{n},{w} block at the left {i % 2}" for i, n in enumerate(SCENES)
                                                        for w in ("a", "one", "the", "some", "a single")])} | SCENES),
        {"metric": "token_f1", "labels": None, "rows": 24, "accepted": 5}, ("each is one example with several right",),
    ),
}  # fmt: skip


def plan(path: Path, case: Case) -> TaskPlan:
    return plan_task(path, AddOptions(name="mine", **{"instruction": "which?", **case.options}))


def differences(case: Case, planned: TaskPlan, task: Task) -> list[str]:
    """What is not as it should be of a file that was taken, a line each."""
    seen, lines = outcome(planned, task), (*planned.warnings, *planned.questions)
    found = [f"{key} is {seen[key]!r}, not {value!r}" for key, value in case.want.items() if seen[key] != value]
    found += [f"nothing says {note!r}: {lines}" for note in case.notes if not any(note in line for line in lines)]
    if columns := set(planned.table.columns) ^ {use.column for use in planned.account}:
        found.append(f"columns {columns} are not accounted for")
    return found + [f"is not refused: {case.refused}"] * bool(case.refused)


def refusal_differences(case: Case, error: BadInput) -> list[str]:
    """The same of a file that was refused."""
    if not case.refused or case.refused not in str(error) or "\n" in str(error):
        return [f"is refused: {error}"]
    return []


def outcome(planned: TaskPlan, task: Task) -> dict[str, Any]:
    examples = [example for split in SPLITS for example in task.split(split)]
    return {
        "labels": task.labels,
        "count": len(task.labels or ()),
        "metric": task.metric,
        "text": planned.columns.texts,
        "rows": len(examples),
        "test": len(task.split("test")),
        "instruction": task.instruction,
        "answers": {example.answer for example in examples},
        "accepted": max(len(example.accepted) for example in examples),
        "box": next((e.answer for e in examples if e.answer.startswith(("box 0 ", "<loc_0>"))), None),
        "first": next((e.text for e in examples if " 0" in e.text or "A0" in e.text), examples[0].text),
    }
