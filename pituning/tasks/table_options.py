"""How a table becomes a task, where the table leaves a choice. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class TableOptions:
    """How a table becomes a task, where the table leaves a choice.

    Args:
        answers: the kind of answers, a name of `ANSWER_KINDS`; None to find out.
        missing: what becomes of rows without an answer: ``refuse``, ``drop``, or ``keep`` words such as "none" as
            answers.
        skip_bad_rows: whether rows that cannot be used are left out, counted and named, instead of refused; so are
            rows without an answer, unless ``missing`` keeps their words.
        label_names: of coded labels, by code.
        box_format: how four numbers are a box, see `pituning.tasks.boxes.FORMATS`; None to find out.
        metric: how answers are scored; None for the usual way of their kind.
        seed: of the split.
    """

    answers: str | None = None
    missing: str = "refuse"
    skip_bad_rows: bool = False
    label_names: Mapping[str, str] = field(default_factory=dict)
    box_format: str | None = None
    metric: str | None = None
    seed: int = 0

    @property
    def drops_missing(self) -> bool:
        """Whether rows without an answer are left out."""
        return self.missing == "drop" or (self.missing == "refuse" and self.skip_bad_rows)

    @property
    def refuses_missing(self) -> bool:
        """Whether there is no task while there are rows without an answer."""
        return self.missing == "refuse" and not self.skip_bad_rows
