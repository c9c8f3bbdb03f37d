"""The paper's data sets: where each is on the hub, and how it becomes a task. Torch-free.

A family of data sets is a file here with its records; other packages add theirs by entry points.
"""

from __future__ import annotations

from pituning.registry import Registry
from pituning.tasks.catalogue import captions, entailment, glue, grounding, vision, vqa
from pituning.tasks.catalogue.record import DataSetRecord

CATALOGUE: Registry[DataSetRecord] = Registry(
    "data set of the catalogue",
    [
        *vision.RECORDS, *glue.RECORDS, *grounding.RECORDS, *vqa.RECORDS, *entailment.RECORDS, *captions.RECORDS,
    ],
    group="pituning.catalogue",
    field="file",
)  # fmt: skip


def catalogue_table() -> str:
    """The catalogue as a table of Markdown, which docs/tasks.md shows."""
    lines = ["| name | data set | answers | metric | prompt | splits | licence |", "|---|---|---|---|---|---|---|"]
    for record in CATALOGUE.values():
        answers = f"{record.labels} labels" if record.labels else record.answers
        splits = ", ".join(f"{ours} = {theirs}" for ours, theirs in record.hub.splits.items())
        lines.append(
            f"| `{record.name}` | {record.title}, [`{record.hub.address}`]({record.hub.page}) | {answers} "
            f"| `{record.metric}` | {record.prompt} | {splits} | {record.licence} |"
        )
    return "\n".join(lines)
