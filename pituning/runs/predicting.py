"""The work of a run that labels rows. This module needs torch: import it only where work is done."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from pituning.errors import BadInput
from pituning.labelling.answers import AnswersFile, Layout, check_layout
from pituning.labelling.experts import find_expert
from pituning.labelling.inputs import reading_of
from pituning.labelling.labeller import Labeller
from pituning.labelling.rows import chunks, count_rows, look, open_rows
from pituning.labelling.sources import find_source
from pituning.progress import Reporter
from pituning.runs.configs import PredictRun
from pituning.runs.outline import LABEL_ROWS, LOAD_BACKBONE
from pituning.tasks.registry import load_task
from pituning.workspace.atomic import copy_file
from pituning.workspace.layout import Workspace

ANSWERS = "answers.csv"
"""In the directory of the run."""


def predict(config: PredictRun, workspace: Workspace, reporter: Reporter, checkpoint: Path) -> dict[str, Any]:
    """Labels the rows of a file with an expert, a chunk at a time.

    What has been written survives in ``checkpoint``; a run that goes on writes what is missing, so that in the end the
    file is the same byte for byte. It is kept in the directory of the run, the parent of ``checkpoint``.

    Raises:
        BadInput: the expert, its task or the file is not there, or the file lacks a column that the task reads.
        ArtefactError: the expert is damaged, or the disk is full.
    """
    _, card = find_expert(workspace, config.expert, kind=config.kind, backbone=config.backbone)
    source = find_source(config.source, workspace)
    source.check_unchanged()
    # What an upload takes is found out in a process of its own; read row by row here, it takes no more than there.
    rows = look(source.path, source.filename)[1] if source.uploaded else None
    task = load_task(card.task, workspace)
    table = open_rows(source.path, source.filename)
    reading = reading_of(task, table, texts=config.text_columns, image=config.image_column)
    layout = Layout(inputs=table.columns, labels=task.labels, probabilities=config.probabilities, top=config.top)
    check_layout(layout, task.name)
    reporter.phase(LOAD_BACKBONE, 1)
    labeller = Labeller.open(
        config.expert, workspace=workspace, kind=config.kind, backbone=config.backbone, dtype=config.dtype,
        quantize=config.quantize,
    )  # fmt: skip
    reporter.advance()
    key = {**asdict(config), "file": source.mark, "weights": card.sha256, "temperature": card.temperature}
    answers = AnswersFile(checkpoint, layout, key)
    try:
        reporter.phase(LABEL_ROWS, count_rows(table) if rows is None else rows)
        if answers.tally.rows:
            reporter.log(f"goes on after {answers.tally.rows:,} rows")
            reporter.advance(answers.tally.rows)
        for chunk in chunks(table, answers.tally.rows):
            cut = labeller.cut
            found = labeller.rows(table, reading, chunk)
            answers.tally.cut += labeller.cut - cut
            answers.add(chunk, found)
            reporter.advance(len(chunk))
    finally:
        answers.close()
    if not answers.tally.rows:
        raise BadInput(f"file {source.filename!r} has no rows; give one with some", field="file")
    kept = checkpoint.parent / ANSWERS
    copy_file(answers.path, kept)
    if source.out is not None:
        copy_file(kept, source.out)
    tally = answers.tally
    read = tally.rows - tally.unread
    return {
        "expert": config.expert,
        "task": task.name,
        "kind": card.kind,
        "backbone": config.backbone,
        "file": source.filename,
        "answers": ANSWERS,
        "out": None if source.out is None else str(source.out),
        "columns": layout.columns(),
        "own_columns": layout.own(),
        "read": {"text": list(reading.texts), "image": reading.image},
        "rows": tally.rows,
        "unread": tally.unread,
        "problems": tally.problems,
        "cut": tally.cut,
        "counts": dict(tally.answers.most_common()),
        "mean_probability": round(tally.probability / read, 4) if read else None,
        "below_half": tally.unsure,
        "temperature": card.temperature,
        "calibration": dict(card.calibration),
    }
