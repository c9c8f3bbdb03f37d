"""An expert put to use: answers to new rows, and how sure it is of them. Needs torch.

>>> from pituning.labelling.labeller import Labeller
>>> labeller = Labeller.open("reviews-pi-16-shot-0")
>>> [(one.answer, one.probability) for one in labeller.texts(["cold soup", "lovely food"])]
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pituning.backbones.base import Backbone
from pituning.backbones.certainty import label_scores, open_answer_scores
from pituning.backbones.encoded import EncodedExamples
from pituning.backbones.prediction import predict
from pituning.errors import BadInput
from pituning.experts.model import ExpertModel
from pituning.experts.store import Expert, open_expert
from pituning.labelling.answers import Answer
from pituning.labelling.calibration import temper
from pituning.labelling.experts import find_expert
from pituning.labelling.inputs import Unreadable, example_of, reading_of
from pituning.labelling.rows import AnyRow, chunks, open_rows
from pituning.progress import Silent
from pituning.tasks.base import Example, Task
from pituning.tasks.columns import ColumnMapping
from pituning.tasks.reading import Row, Table
from pituning.tasks.registry import load_task
from pituning.workspace.layout import DEFAULT_BACKBONE, Workspace


@dataclass(kw_only=True)
class Labeller:
    """An expert on its backbone.

    Attributes:
        cut: how many prompts were longer than the backbone reads, so far.
    """

    task: Task
    backbone: Backbone
    expert: Expert
    model: ExpertModel
    cut: int = field(default=0, init=False)

    @classmethod
    def open(
        cls,
        expert: str,
        *,
        workspace: Workspace | Path | str | None = None,
        kind: str | None = None,
        backbone: str = DEFAULT_BACKBONE,
        dtype: str | None = None,
        quantize: str | None = None,
    ) -> Labeller:
        """The labeller of an expert by its name.

        Args:
            workspace: by default ``$PITUNING_WORKSPACE``, else ``./workspace``.
            kind: needed where experts of several kinds have the name.

        Raises:
            BadInput: there is no such expert, task or backbone.
            ArtefactError: the expert or the backbone is damaged.
        """
        place = workspace if isinstance(workspace, Workspace) else Workspace.open(workspace)
        directory, card = find_expert(place, expert, kind=kind, backbone=backbone)
        task = load_task(card.task, place)
        loaded = Backbone.load(place.backbone_dir(backbone), name=backbone, dtype=dtype, quantize=quantize)
        opened, model = open_expert(directory, loaded)
        return cls(task=task, backbone=loaded, expert=opened, model=model)

    @property
    def temperature(self) -> float | None:
        """What calibrates its probabilities; None where they are as the model gives them."""
        return self.expert.card.temperature

    def label(self, examples: Sequence[Example]) -> list[Answer]:
        """The answers to examples, in their order."""
        if not examples:
            return []
        counting = _Cuts()
        encoded = self.model.encode(self.task, examples, reporter=counting)
        self.cut += counting.cut
        with self.model.using(self.expert.values.to(self.model.device)):
            return self._closed(encoded) if self.task.labels is not None else self._open(encoded)

    def texts(self, texts: Sequence[str]) -> list[Answer]:
        """The answers to texts.

        Raises:
            BadInput: the task reads images, or a text is empty.
        """
        rows = [Row(number, {"text": text}) for number, text in enumerate(texts, start=1)]
        table = Table(filename="texts", columns=("text",), form="texts", read=lambda: iter(rows))
        reading = ColumnMapping(text="text", answer=())
        if self.task.modality != "language":
            raise BadInput(f"task {self.task.name!r} reads images; label a file or a folder", field="texts")
        try:
            return self.label([example_of(self.task, reading, row, table) for row in rows])
        except Unreadable as error:
            raise BadInput(f"a text cannot be used: {error}; leave it out", field="texts") from error

    def file(
        self, path: Path | str, *, text_columns: Sequence[str] = (), image_column: str | None = None
    ) -> Iterator[tuple[AnyRow, Answer]]:
        """Every row of a table, a zip or a folder with its answer; a few hundred rows are held at a time.

        Raises:
            BadInput: the file cannot be read, or lacks a column that the task reads.
        """
        table = open_rows(Path(path))
        reading = reading_of(self.task, table, texts=text_columns, image=image_column)
        for chunk in chunks(table):
            yield from zip(chunk, self.rows(table, reading, chunk), strict=True)

    def rows(self, table: Table, reading: ColumnMapping, chunk: Sequence[AnyRow]) -> list[Answer]:
        """The answers to some rows; one that cannot be read has none, and says why."""
        examples: list[Example] = []
        answers: list[Answer | None] = []
        for row in chunk:
            try:
                examples.append(example_of(self.task, reading, row, table))
                answers.append(None)
            except Unreadable as error:
                answers.append(Answer(problem=str(error)))
        labelled = iter(self.label(examples))
        return [next(labelled) if answer is None else answer for answer in answers]

    def _closed(self, encoded: EncodedExamples) -> list[Answer]:
        labels = self.task.labels
        assert labels is not None
        scores = temper(label_scores(self.backbone, encoded, labels), self.temperature or 1.0)
        # The most probable label; that of greedy decoding is another one only where labels share their first token.
        best = scores.argmax(axis=1)
        return [
            Answer(labels[place], float(np.exp(row[place])), dict(zip(labels, np.exp(row).tolist(), strict=True)))
            for place, row in zip(best.tolist(), scores, strict=True)
        ]

    def _open(self, encoded: EncodedExamples) -> list[Answer]:
        texts = predict(self.backbone, encoded, self.task)
        shares = np.exp(open_answer_scores(self.backbone, encoded, texts)).tolist()
        return [Answer(text, share) for text, share in zip(texts, shares, strict=True)]


class _Cuts(Silent):
    """Counts the prompts that `Backbone.encode` says were cut."""

    cut = 0

    def log(self, message: str) -> None:
        first, _, rest = message.partition(" ")
        if first.isdigit() and "were cut" in rest:
            self.cut += int(first)
