"""Pictures with words from packages, as the pretraining of a projector reads them; the repository keeps none.

Run with ``python -m benchmarks.picture_words SOURCE OUT``. SOURCE is a directory with what ``npm pack`` made of
``emoji-datasource-twitter`` (Twemoji, CC BY 4.0) and ``emojibase-data`` (their labels and tags, MIT), and, where it is
there, with Debian's package ``openclipart-png`` (public domain), as ``apt-get download`` gets it. OUT gets the pictures
and ``pictures.jsonl``.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from PIL import Image

SIDE = 160
"""Pixels of the longer side, at most."""
LARGEST = 120_000
"""Bytes of a file; some clip art has hundreds of millions of pixels."""
WITHOUT = ("component", "flags")
"""Groups of emoji that are left out: parts of others, and flags, which are names of countries."""
KINDS = {
    "animals/mammals": "mammal", "animals/birds": "bird", "animals/bugs": "insect", "animals/fish": "fish",
    "animals/dinosaurs": "dinosaur", "food/fruit": "fruit", "food/desserts": "dessert", "food/beverages": "drink",
    "food/meats_and_eggs": "meat", "food/breads_and_carbs": "bread", "food/vegetables": "vegetable",
    "plants/flowers": "flower", "plants/trees": "tree", "transportation/vehicles": "vehicle",
    "transportation/boating": "boat", "transportation/roadsigns": "road sign", "buildings/homes": "house",
    "buildings/furniture": "furniture", "people/clothing": "clothing", "people/smilies": "face",
    "recreation/music": "musical instrument", "recreation/sports": "sport", "recreation/toys": "toy",
    "tools/weapons": "weapon", "computer/hardware": "computer", "education/books": "book",
    "office/telephone": "telephone", "geography/astronomy": "planet or star", "signs_and_symbols/weather": "weather",
    "signs_and_symbols/clocks": "clock",
}  # fmt: skip
"""Directories of the clip art whose name says what is in them; the rest are icons and ornaments."""


def twemoji(source: Path, out: Path) -> Iterator[dict[str, Any]]:
    """Emoji without skin tones, with their labels and tags."""
    with tarfile.open(next(source.glob("emojibase-data-*.tgz"))) as archive:
        messages = _json(archive, "package/en/messages.json")
        rows = _json(archive, "package/en/data.json")
    skipped = {group["order"] for group in messages["groups"] if group["key"] in WITHOUT}
    with tarfile.open(next(source.glob("emoji-datasource-twitter-*.tgz"))) as archive:
        files = {PurePosixPath(name).stem: name for name in archive.getnames() if "/64/" in name}
        for row in rows:
            code = row["hexcode"].lower()
            if row.get("group") is None or row["group"] in skipped or code not in files:
                continue
            stream = archive.extractfile(files[code])
            assert stream is not None
            file = f"emoji-{code}.png"
            (out / file).write_bytes(stream.read())
            label = str(row["label"]).replace(":", ",")
            words = [tag for tag in row.get("tags", []) if re.fullmatch(r"[a-z][a-z -]{2,}", tag)]
            yield {"file": file, "name": label, "words": words, "key": f"emoji {code}"}


def clip_art(source: Path, out: Path) -> Iterator[dict[str, Any]]:
    """Clip art with the kind of thing that it shows."""
    for package in source.glob("openclipart-png_*.deb"):
        subprocess.run(["dpkg-deb", "-x", package, out / "unpacked"], check=True)
        base = out / "unpacked/usr/share/openclipart/png"
        for directory, kind in KINDS.items():
            for number, path in enumerate(sorted((base / directory).rglob("*.png"))):
                if path.stat().st_size > LARGEST:
                    continue
                file = f"clip-{directory.replace('/', '-')}-{number}.png"
                with Image.open(path) as image:
                    made = image.convert("RGBA")
                made.thumbnail((SIDE, SIDE))
                made.save(out / file)
                words = [directory.partition("/")[0], kind]
                yield {"file": file, "name": kind, "words": words, "key": f"clip {path.stem}"}
        subprocess.run(["rm", "-r", out / "unpacked"], check=True)


def _json(archive: tarfile.TarFile, name: str) -> Any:
    stream = archive.extractfile(name)
    assert stream is not None
    return json.load(stream)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    rows = [*twemoji(given.source, given.out), *clip_art(given.source, given.out)]
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (given.out / "pictures.jsonl").write_text(lines, encoding="utf-8")
    print(f"{len(rows)} pictures in {given.out}")


if __name__ == "__main__":
    main()
