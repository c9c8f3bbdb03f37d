"""What the catalogue knows of a data set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pituning.tasks.hub_source import HubSource

PaperTable = Literal["vision", "glue", "vl"]
COOP_SEEDS = (1, 2, 3)
"""Few-shot sets as of CoOp (Zhou et al., IJCV 2022): K training examples per class, drawn with each of these seeds."""


@dataclass(frozen=True, kw_only=True)
class DataSetRecord:
    """A data set of the paper, and how it becomes a task.

    Args:
        name: of the task.
        title: what people read.
        table: in which of the paper's tables it is.
        hub: where it is, and its splits.
        instruction: opens every prompt; with ``template`` it is the paper's wording.
        text: columns that the model reads.
        answer: the column with the answer.
        image: the column with the image.
        template: how the columns become the text.
        answers: what they are, a name of `pituning.tasks.answers.ANSWER_KINDS`.
        label_names: of coded labels, by code.
        labels: how many there are; None for open answers.
        metric: the paper's.
        missing: what becomes of rows without an answer.
        box_format: of four numbers.
        part: of the paper's figures, that of the same test examples.
        seeds: of few-shot sets.
        licence: of the data, as their makers say.
        origin: who made them.
        note: in what this differs from the paper's data; empty where it does not.
    """

    name: str
    title: str
    table: PaperTable
    hub: HubSource
    instruction: str
    text: tuple[str, ...] = ()
    answer: str = "label"
    image: str | None = None
    template: str | None = None
    answers: str = "labels"
    label_names: Mapping[str, str] = field(default_factory=dict)
    labels: int | None = None
    metric: str = "accuracy"
    missing: str | None = None
    box_format: str | None = None
    part: str = ""
    seeds: tuple[int, ...] = COOP_SEEDS
    licence: str
    origin: str
    note: str = ""

    def card(self) -> dict[str, Any]:
        """The record as a task's card, which can be written to a file, changed and added."""
        roles = {column: "pair" if len(self.text) > 1 else "text" for column in self.text}
        roles |= {self.image: "image"} if self.image is not None else {}
        optional = ("template", "missing", "box_format")
        return {
            "title": self.title,
            "instruction": self.instruction,
            "columns": {**roles, self.answer: "answer"},
            **{name: value for name in optional if (value := getattr(self, name))},
            "answers": self.answers,
            **({"label_names": dict(self.label_names)} if self.label_names else {}),
            "metric": self.metric,
            "licence": self.licence,
            "origin": self.origin,
            "hub": self.hub.card(),
        }

    @property
    def prompt(self) -> str:
        """What the model reads, with places for the columns."""
        text = self.template or " ".join(f"{{{column}}}" for column in self.text)
        return f"{self.instruction} {text}".strip()
