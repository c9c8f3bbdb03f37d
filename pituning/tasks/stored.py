"""Examples that lie in a file and are read when they are asked for. Torch-free."""

from __future__ import annotations

import json
import os
from array import array
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import IO, Any, overload

from pituning.tasks.base import SPLITS, Example, ImageSource

ImageOf = Callable[[Any], ImageSource]


class StoredExamples(Sequence[Example]):
    """The examples of one split, as lines of a file of JSON.

    Args:
        name: of the task.
        split: which.
        file: that holds the lines; it stays open as long as the examples are used.
        places: (2 N,) where each line begins, and its length in bytes.
        image_of: the image of what a line says of it.
    """

    def __init__(self, name: str, split: str, file: IO[bytes], places: array[int], image_of: ImageOf):
        self._name, self._split, self._file, self._places, self._image_of = name, split, file, places, image_of

    def __len__(self) -> int:
        return len(self._places) // 2

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> list[Example]: ...
    def __getitem__(self, index: int | slice) -> Example | list[Example]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        place = index + len(self) if index < 0 else index
        if not 0 <= place < len(self):
            raise IndexError(index)
        begin, length = self._places[2 * place], self._places[2 * place + 1]
        record = json.loads(os.pread(self._file.fileno(), length, begin))
        image = record["image"]
        return Example(
            uid=f"{self._name}/{self._split}/{place}",
            text=record["text"],
            answer=record["answer"],
            image=None if image is None else self._image_of(image),
            accepted=tuple(record.get("accepted", ())),
        )


def example_line(split: str, text: str, answer: str, image: Any, accepted: Sequence[str] = ()) -> bytes:
    """The line of one example."""
    record: dict[str, Any] = {"split": split, "text": text, "answer": answer, "image": image}
    if accepted:
        record["accepted"] = list(accepted)
    return json.dumps(record, ensure_ascii=False).encode() + b"\n"


def write_examples(file: IO[bytes], lines: Iterable[tuple[str, bytes]]) -> dict[str, array[int]]:
    """Writes lines, each with its split.

    Returns:
        by split where each line begins and its length, as `StoredExamples` wants them.
    """
    places: dict[str, array[int]] = {split: array("q") for split in SPLITS}
    begin = file.tell()
    for split, line in lines:
        file.write(line)
        places[split].extend((begin, len(line)))
        begin += len(line)
    file.flush()
    return places


def find_examples(
    path: Path, check: Callable[[bytes, dict[str, Any]], None]
) -> tuple[IO[bytes], dict[str, array[int]]]:
    """Opens a file of examples and finds where each is.

    Args:
        check: is given every line, and what it holds.
    """
    places: dict[str, array[int]] = {split: array("q") for split in SPLITS}
    file = path.open("rb")
    begin = 0
    for line in file:
        if line.strip():
            record = json.loads(line)
            check(line, record)
            places[record["split"]].extend((begin, len(line)))
        begin += len(line)
    return file, places
