"""Emoji by their group as a task of pictures, from those that no pretraining has seen; the repository keeps none.

Run with ``python -m benchmarks.real_pictures SOURCE OUT``: SOURCE as for `benchmarks.picture_words`. OUT is the zip
that ``pituning tasks add`` takes, a folder for each group.
"""

from __future__ import annotations

import argparse
import io
import json
import tarfile
import zipfile
from collections import defaultdict
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from benchmarks.picture_words import WITHOUT
from pituning.pretraining.projector.words import SPLITS
from pituning.tasks.mini.world import bucket

SEEN = frozenset().union(*SPLITS.values())
NAMES = {
    "animals-nature": "animals and nature", "food-drink": "food and drink", "objects": "objects",
    "people-body": "people", "smileys-emotion": "faces", "symbols": "symbols", "travel-places": "travel and places",
    "activities": "activities",
}  # fmt: skip
LEAST = 24
"""Pictures of a group that is taken: 16 shots, and some to test."""
MOST = 60
SIDE = 96


def emoji_by_group(source: Path) -> dict[str, list[tuple[str, Image.Image]]]:
    """Name and picture of the emoji of each group that pretraining never showed."""
    groups: dict[str, list[tuple[str, Image.Image]]] = defaultdict(list)
    with tarfile.open(next(source.glob("emojibase-data-*.tgz"))) as archive:
        read = {name: archive.extractfile(f"package/en/{name}.json") for name in ("messages", "data")}
        assert read["messages"] is not None
        assert read["data"] is not None
        keys = {group["order"]: group["key"] for group in json.load(read["messages"])["groups"]}
        rows = json.load(read["data"])
    with tarfile.open(next(source.glob("emoji-datasource-twitter-*.tgz"))) as archive:
        files = {PurePosixPath(name).stem: name for name in archive.getnames() if "/64/" in name}
        for row in rows:
            code, key = row["hexcode"].lower(), keys.get(row.get("group"))
            if key is None or key in WITHOUT or code not in files or bucket(f"emoji {code}") in SEEN:
                continue
            stream = archive.extractfile(files[code])
            assert stream is not None
            with Image.open(io.BytesIO(stream.read())) as image:
                groups[NAMES[key]].append((code, image.convert("RGBA")))
    return groups


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(given.out, "w") as archive:
        for group, pictures in sorted(emoji_by_group(given.source).items()):
            if len(pictures) < LEAST:
                print(f"{group}: {len(pictures)} pictures, too few, left out")
                continue
            chosen = sorted(rng.permutation(len(pictures))[:MOST])
            for code, picture in (pictures[index] for index in chosen):
                canvas = Image.new("RGB", (SIDE, SIDE), tuple(int(value) for value in rng.integers(190, 256, 3)))
                canvas.paste(picture, ((SIDE - picture.width) // 2, (SIDE - picture.height) // 2), picture)
                buffer = io.BytesIO()
                canvas.save(buffer, "PNG")
                archive.writestr(zipfile.ZipInfo(f"{group}/{code}.png"), buffer.getvalue())
            print(f"{group}: {len(chosen)} pictures")


if __name__ == "__main__":
    main()
