"""Data sets of the Hugging Face hub as tables: streamed once into a temporary folder, never run as code. Torch-free."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from pituning.errors import BadInput
from pituning.hub import explained, of_transport
from pituning.progress import Reporter, Silent
from pituning.tasks.hub_source import HubSource
from pituning.tasks.reading.base import SPLIT_COLUMN, Images, Row, Table
from pituning.tasks.reading.splits import SPLIT_NAMES, split_of
from pituning.tasks.reading.trees import BesideImages, FolderTree

WINDOW, WINDOWS = 1_000, 10
"""Rows among which those that ``limit`` takes are drawn, at least, and as a multiple of them: many data sets are sorted
by their labels."""

REPORT_EVERY, LOG_EVERY = 100, 10_000
IMAGE = "image"
_BUILDERS = {".jsonl": "json", ".json": "json", ".parquet": "parquet", ".csv": "csv", ".tsv": "csv"}


@dataclass(frozen=True)
class HubFacts:
    """What the hub says of a repository.

    Args:
        commit: of the revision that was asked for.
        licence: as its card names it; empty where it names none.
    """

    commit: str
    licence: str


def describe(source: HubSource) -> HubFacts:
    """What the hub says of a data set, which pins its revision.

    Raises:
        BadInput: there is no such data set or revision, it is gated, or the hub cannot be reached.
    """
    import huggingface_hub
    from huggingface_hub import errors

    where = f"hub data set {source.id}"
    with explained(where, source.page, source.revision, instead="give the data as a file"):
        try:
            info = huggingface_hub.dataset_info(source.id, revision=source.revision)
        except Exception as error:
            if isinstance(error, errors.OfflineModeIsEnabled | ConnectionError | TimeoutError) or of_transport(error):
                raise BadInput(
                    f"the hub cannot be reached for {where}; connect this machine, or give the data as a file",
                    field="source",
                ) from error
            raise
    licence = getattr(info.card_data, "license", None) or ""
    return HubFacts(str(info.sha), ", ".join(licence) if isinstance(licence, list) else str(licence))


@contextmanager
def hub_table(
    source: HubSource,
    commit: str,
    *,
    limit: int | None = None,
    images: Path | None = None,
    seed: int = 0,
    reporter: Reporter | None = None,
) -> Iterator[Table]:
    """A data set as a table; the table, and a task made of it, can be used as long as the context lasts.

    Args:
        commit: that is read.
        limit: most rows of each split, drawn within a window of rows as they come.
        images: a folder with the image files, where the repository holds their names only.
        seed: of the draw.

    Raises:
        BadInput: the library is not installed, or the data set cannot be read.
    """
    check_source(source, images)
    with tempfile.TemporaryDirectory(prefix="pituning-hub-") as folder:
        spool = _Spool(source, Path(folder))
        for split, theirs in _splits(source, commit).items():
            spool.add(split, _stream(source, commit, theirs), limit, seed, reporter or Silent())
        yield spool.table(BesideImages(spool.folder) if images is None else FolderTree(images).images(""))


def check_source(source: HubSource, images: Path | None) -> None:
    """Says before anything is fetched what is lacking on this side: the library, or the folder with the images.

    Raises:
        BadInput: one of them is.
    """
    _library()
    if source.image_name is not None and images is None:
        whence = f" ({source.images_from})" if source.images_from else ""
        raise BadInput(
            f"hub data set {source.id} holds the names of its images only; give the folder with the files{whence}: "
            "--images DIR",
            field="images",
        )
    if images is not None and not images.is_dir():
        raise BadInput(f"images {str(images)!r} is no directory; give the folder with the image files", field="images")


def _library() -> Any:
    try:
        import datasets
    except ImportError as error:
        raise BadInput(
            "data sets of the hub need the package datasets; install it: pip install 'pituning-studio[hub]'",
            field="source",
        ) from error
    datasets.disable_progress_bars()
    return datasets


@contextmanager
def _reading(source: HubSource) -> Iterator[None]:
    """Makes what the library says into one line."""
    where = f"hub data set {source.id}"
    try:
        with explained(where, source.page, source.revision, instead="give the data as a file"):
            yield
    except (ValueError, RuntimeError, OSError, KeyError, TypeError, NotImplementedError) as error:
        words = " ".join(str(error).split())
        if "script" in words and "no longer supported" in words:
            raise BadInput(
                f"{where} is made by a script, and scripts of others are never run; name its data files in a card "
                "(hub: files), or give the data as a file",
                field="source",
            ) from error
        raise BadInput(f"{where} cannot be read: {words[:240]}", field="source") from error


def _splits(source: HubSource, commit: str) -> dict[str, str]:
    """The data set's splits by ours; a single one of another name, which is cut into ours, by an empty text."""
    if source.splits:
        return dict(source.splits)
    library = _library()
    with _reading(source):
        theirs = list(library.get_dataset_split_names(source.id, config_name=source.config, revision=commit))
    named = {ours: name for name in reversed(theirs) if (ours := SPLIT_NAMES.get(name.lower()) or split_of(name))}
    if "train" in named:
        return {split: named[split] for split in ("train", "validation", "test") if split in named}
    if len(theirs) == 1:
        return {"": theirs[0]}
    raise BadInput(
        f"hub data set {source.id} has the splits {', '.join(theirs)}; say which is which: "
        f"--split train={theirs[0]},test={theirs[-1]}",
        field="split",
    )


def _stream(source: HubSource, commit: str, theirs: str) -> Any:
    """The rows of a split, one after another, with images as they are encoded."""
    library = _library()
    with _reading(source):
        if source.files:
            file = source.files.get(theirs)
            if file is None:
                raise BadInput(f"files in the card name no file of the split {theirs!r}; add it", field="card")
            builder = _BUILDERS.get(Path(file).suffix.lower())
            if builder is None:
                raise BadInput(f"file {file!r} in the card ends in none of {', '.join(_BUILDERS)}", field="card")
            address = f"hf://datasets/{source.id}@{commit}/{file}"
            rows = library.load_dataset(builder, data_files={theirs: address}, split=theirs, streaming=True)
        else:
            rows = library.load_dataset(source.id, name=source.config, revision=commit, split=theirs, streaming=True)
        for column, feature in dict(rows.features or {}).items():
            if isinstance(feature, library.Image):
                rows = rows.cast_column(column, library.Image(decode=False))
            elif isinstance(feature, library.Audio | getattr(library, "Video", library.Audio)):
                rows = rows.remove_columns(column)
    return rows


def _drawn(rows: Iterable[Any], limit: int, seed: int) -> list[Any]:
    """At most ``limit`` rows, drawn among the first ones (Vitter's algorithm R), which holds no more in memory."""
    source = np.random.default_rng(seed)
    kept: list[Any] = []
    for place, row in enumerate(islice(rows, max(WINDOW, WINDOWS * limit))):
        if place < limit:
            kept.append(row)
        elif (other := int(source.integers(place + 1))) < limit:
            kept[other] = row
    return kept


class _Spool:
    """Rows as lines of JSON and images as files, so that a table of any size is read several times for one stream."""

    def __init__(self, source: HubSource, folder: Path):
        self.source, self.folder = source, folder
        self.columns: dict[str, None] = {}
        self.label_names: dict[str, tuple[str, ...]] = {}
        self._path = folder / "rows.jsonl"
        self._left_out = {name.casefold() for name in source.leave_out}
        self._split = False

    def add(self, split: str, rows: Any, limit: int | None, seed: int, reporter: Reporter) -> None:
        """Writes the rows of a split."""
        self._split = self._split or bool(split)
        names = getattr(getattr(rows, "info", None), "splits", None) or {}
        total = getattr(names.get(str(getattr(rows, "split", ""))), "num_examples", None) or 0
        self._learn_labels(rows)
        with _reading(self.source):
            if limit is not None:
                rows = _drawn(rows, limit, seed)
                total = min(total, limit) if total else limit
            what = f"stream {split or 'rows'}"
            if total:
                reporter.phase(what, total)
            else:
                reporter.log(f"{what}; the hub does not say how many rows there are")
            with self._path.open("a", encoding="utf-8") as file:
                taken = islice((each for row in rows for each in self._rows(row)), limit)
                for count, row in enumerate(taken, 1):
                    cells = {column: self._cell(value) for column, value in row.items()}
                    if split:
                        cells[SPLIT_COLUMN] = split
                    self.columns.update(dict.fromkeys(cells))
                    file.write(json.dumps(cells, ensure_ascii=False, default=str) + "\n")
                    if total and count % REPORT_EVERY == 0:
                        reporter.advance(REPORT_EVERY)
                    elif count % LOG_EVERY == 0:
                        reporter.log(f"{what}: {count:,} rows")

    def table(self, images: Images) -> Table:
        """The rows that were written."""

        def read() -> Iterator[Row]:
            with self._path.open(encoding="utf-8") as file:
                for number, line in enumerate(file, 1):
                    yield Row(number, json.loads(line))

        if not self.columns:
            raise BadInput(f"hub data set {self.source.id} has no rows; choose another configuration", field="source")
        return Table(
            filename=self.source.address,
            columns=tuple(self.columns),
            form="hub data set",
            read=read,
            images=images,
            label_names=self.label_names,
        )

    def _learn_labels(self, rows: Any) -> None:
        for column, feature in dict(rows.features or {}).items():
            names = getattr(getattr(feature, "feature", feature), "names", None)
            if names:
                spaced = [name.replace("_", " ") for name in names] if self.source.spaced_labels else names
                self.label_names[column] = tuple(map(str, spaced))

    def _rows(self, row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """The rows that one row of the data set makes: none, one, or one for each item of a list."""
        cells = dict(row)
        if self._split:
            cells.pop(SPLIT_COLUMN, None)  # ours says it
        for column, names in self.label_names.items():
            code = cells.get(column)
            if isinstance(code, int) and 0 <= code < len(names) and names[code].casefold() in self._left_out:
                return
        if self.source.image_name is not None:
            try:
                cells[IMAGE] = self.source.image_name.format_map(cells)
            except (KeyError, IndexError, ValueError) as error:
                raise BadInput(
                    f"hub data set {self.source.id} has no column {error!s}, of which image_name speaks",
                    field="card",
                ) from error
        if self.source.each is None:
            yield cells
            return
        items = cells.get(self.source.each)
        if not isinstance(items, list):
            raise BadInput(
                f"column {self.source.each!r} of hub data set {self.source.id} holds no lists; correct 'each' in the "
                "card",
                field="card",
            )
        for item in items:
            yield {**cells, self.source.each: item}

    def _cell(self, value: Any) -> Any:
        """A cell as JSON knows it; an image becomes a file of that name."""
        if not (isinstance(value, dict) and set(value) == {"bytes", "path"}):
            return None if isinstance(value, bytes) else value
        data = value["bytes"]
        if data is None:
            if not value["path"]:
                return None
            import fsspec

            with fsspec.open(value["path"], "rb") as file:
                data = file.read()
        name = f"{hashlib.sha256(data).hexdigest()[:32]}.img"
        path = self.folder / name
        if not path.exists():
            path.write_bytes(data)
        return name
