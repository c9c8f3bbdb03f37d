"""Tiny data sets with the columns of the paper's twenty, and a hub of one's own that streams them."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import datasets
import huggingface_hub
import pytest
from PIL import Image

from pituning.tasks.catalogue import CATALOGUE
from tests.hub_server import COMMIT

SIZES = {"train": 12, "validation": 6, "validation_matched": 6, "dev": 6, "test": 6}
ROWS = 24
"""Of a single split, which is cut into three."""

CLASSES = {
    "caltech101": ["Faces_easy", "water_lilly", "wild_cat"],
    "eurosat": ["Annual Crop", "River"],
    "food101": ["apple_pie", "baby_back_ribs"],
}


def picture(seed: int) -> bytes:
    """An encoded photograph of 24 x 16 pixels, as many different ones as there are seeds."""
    stream = io.BytesIO()
    Image.new("RGB", (24, 16), (seed * 37 % 256, seed * 91 % 256, seed % 256)).save(stream, "PNG")
    return stream.getvalue()


def _classified(count: int, first: int, column: str, names: list[str], **more: Any) -> datasets.Dataset:
    features = {"image": datasets.Image(), column: datasets.ClassLabel(names=names)}
    columns = {
        "image": [{"bytes": picture(first + i), "path": None} for i in range(count)],
        column: [i % len(names) for i in range(count)],
        **{name: [value] * count for name, value in more.items()},
    }
    features |= {name: datasets.Value("string") for name in more}
    return datasets.Dataset.from_dict(columns, features=datasets.Features(features))


def _glue(count: int, first: int, texts: tuple[str, ...], names: list[str]) -> datasets.Dataset:
    columns: dict[str, list[Any]] = {
        text: [f"{text} {first + i} is {'good' if i % 2 else 'bad'}" for i in range(count)] for text in texts
    }
    columns |= {"label": [i % len(names) for i in range(count)], "idx": list(range(count))}
    features = {text: datasets.Value("string") for text in texts}
    return datasets.Dataset.from_dict(
        columns,
        features=datasets.Features(
            {**features, "label": datasets.ClassLabel(names=names), "idx": datasets.Value("int32")}
        ),
    )


def _refer(count: int, first: int) -> datasets.Dataset:
    return datasets.Dataset.from_dict(
        {
            "image_id": [first + i for i in range(count)],
            "split": ["whatever"] * count,
            "sentences": [[{"raw": "The left one", "sent": "the left one", "sent_id": 1}]] * count,
            "file_name": [f"COCO_train2014_{first + i}_1.jpg" for i in range(count)],
            "raw_anns": ["{}"] * count,
            "image_path": [f"coco/train2014/COCO_train2014_{first + i}.png" for i in range(count)],
            "bbox": [[1.0 + i % 3, 2.0, 9.0 + i % 5, 12.5] for i in range(count)],
            "captions": [[f"left one {i}", f"thing {i} beside it"] for i in range(count)],
        }
    )


def _vqa(count: int, first: int) -> datasets.Dataset:
    people = [{"answer": "yes" if n < 7 else "no", "answer_confidence": "yes", "answer_id": n} for n in range(10)]
    turned = [{**person, "answer": "no" if person["answer"] == "yes" else "yes"} for person in people]
    return datasets.Dataset.from_dict(
        {
            "question_type": ["is the"] * count,
            "multiple_choice_answer": ["yes"] * count,
            "answers": [people if i % 2 else turned for i in range(count)],
            "image_id": list(range(count)),
            "question": [f"Is the thing {first + i} red?" for i in range(count)],
            "image": [{"bytes": picture(first + i), "path": None} for i in range(count)],
        }
    ).cast_column("image", datasets.Image())


def _captions(count: int, first: int) -> datasets.Dataset:
    return datasets.Dataset.from_dict(
        {
            "image": [{"bytes": picture(first + i // 3), "path": None} for i in range(3 * count)],
            "filename": [f"{first + i // 3}.jpg" for i in range(3 * count)],
            "cocoid": [first + i // 3 for i in range(3 * count)],
            "caption": [f"A man number {i // 3} rides {word}." for i in range(count * 3)
                        for word in [("a horse", "his horse", "a brown animal")[i % 3]]],
        }
    ).cast_column("image", datasets.Image())  # fmt: skip


def _snli_ve(count: int, first: int) -> list[dict[str, str]]:
    names = ("entailment", "neutral", "contradiction")
    return [
        {"Flickr30K_ID": f"{first + i}", "sentence1": "a caption", "sentence2": f"Somebody does {first + i}.",
         "gold_label": names[i % 3]}
        for i in range(count)
    ]  # fmt: skip


def _make(name: str, count: int, first: int) -> datasets.Dataset | list[dict[str, str]]:
    record = CATALOGUE[name]
    if name in ("refcoco", "refcocoplus", "refcocog"):
        return _refer(count, first)
    if name == "vqav2":
        return _vqa(count, first)
    if name == "coco-captions":
        return _captions(count, first)
    if name == "snli-ve":
        return _snli_ve(count, first)
    if record.table == "glue":
        return _glue(count, first, record.text, [f"name{i}" for i in range(len(record.label_names))])
    more = {"family": "a", "manufacturer": "b"} if record.answer == "variant" else {}
    return _classified(count, first, record.answer, CLASSES.get(name, ["one_class", "other_class"]), **more)


def write_data(name: str, folder: Path) -> dict[str, Path]:
    """Writes the splits of a data set as the hub keeps them; gives the file of each."""
    record = CATALOGUE[name]
    files: dict[str, Path] = {}
    for number, theirs in enumerate(dict.fromkeys(record.hub.splits.values())):
        count = ROWS if len(record.hub.splits) == 1 else SIZES[theirs]
        rows = _make(name, count, 100 * number)
        folder.mkdir(parents=True, exist_ok=True)
        if isinstance(rows, list):
            files[theirs] = folder / f"{name}-{theirs}.jsonl"
            files[theirs].write_text("".join(json.dumps(row) + "\n" for row in rows))
        else:
            files[theirs] = folder / f"{name}-{theirs}.parquet"
            rows.to_parquet(files[theirs])
    return files


def write_images(folder: Path) -> Path:
    """The photographs that some data sets name only."""
    for first in (0, 100, 200):
        for i in range(ROWS):
            for path in (f"train2014/COCO_train2014_{first + i}.png", f"{first + i}.jpg"):
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).write_bytes(picture(first + i))
    return folder


def needs_images(name: str) -> bool:
    return CATALOGUE[name].hub.image_name is not None


Hub = Callable[[str], None]


def pretend_hub(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """The library reads local files instead of the hub's: what is asked of it is checked on the way."""
    real = datasets.load_dataset
    by_address = {(record.hub.id, record.hub.config): name for name, record in CATALOGUE.items()}

    def load(path: str, name: str | None = None, **given: Any) -> Any:
        assert given.pop("streaming") is True
        assert "trust_remote_code" not in given
        if path in ("json", "csv", "parquet"):
            [(theirs, address)] = given["data_files"].items()
            identifier, _, file = address.removeprefix("hf://datasets/").partition(f"@{COMMIT}/")
            assert file
        else:
            identifier, theirs = path, given["split"]
            assert given["revision"] == COMMIT
        files = write_data(by_address[identifier, name], folder / identifier.replace("/", "-") / (name or ""))
        if theirs not in files:
            raise ValueError(f"Bad split: {theirs}. Available splits: {sorted(files)}")
        local = files[theirs]
        builder = "json" if local.suffix == ".jsonl" else "parquet"
        return real(builder, data_files={theirs: str(local)}, split=theirs, streaming=True)

    def info(identifier: str, revision: str | None = None) -> Any:
        return SimpleNamespace(sha=COMMIT, card_data=SimpleNamespace(license="cc-by-4.0"))

    monkeypatch.setattr(datasets, "load_dataset", load)
    monkeypatch.setattr(huggingface_hub, "dataset_info", info)
