"""The examples that a backbone is checked on: a few short texts, and a few drawn pictures."""

from __future__ import annotations

from pituning.tasks.base import Example, Task
from pituning.tasks.disc import COLOURS, Disc

LONG_TEXT = "It is big and old. " * 8
"""Several times as long as any other text."""


def text_task() -> Task:
    """Six short texts of different lengths, one of them empty; two of the three labels begin alike."""
    rows = (
        ("It works.", "very good"),
        ("It broke after two days.", "very bad"),
        ("Lovely!", "very good"),
        ("Never again: too late, too loud.", "very bad"),
        ("", "unsure"),
        ("In a box.", "unsure"),
    )
    examples = [Example(uid=f"text/{i}", text=text, answer=answer) for i, (text, answer) in enumerate(rows)]
    return Task(
        name="check-text", title="Check: texts", instruction="Good or bad?", modality="language", metric="accuracy",
        labels=("very good", "very bad", "unsure"), splits={"train": examples},
    )  # fmt: skip


def picture_task() -> Task:
    """A disc of each of three colours, drawn."""
    texts = ("", "Say it in one word.", "Of the disc.")
    examples = [
        Example(uid=f"picture/{i}", text=texts[i], answer=colour, image=Disc(colour, 0.3 + 0.2 * i))
        for i, colour in enumerate(COLOURS)
    ]
    return Task(
        name="check-pictures", title="Check: pictures", instruction="Which colour is it?", modality="vision-language",
        metric="accuracy", labels=tuple(COLOURS), splits={"train": examples},
    )  # fmt: skip
