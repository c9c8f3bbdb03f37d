"""Every scored row of a run as a table: its true answer, what each method predicted, and how sure of it. Torch-free."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from pituning.errors import ArtefactError
from pituning.labelling.answers import safe_cell
from pituning.tasks.base import Example

PREDICTIONS = "predictions.csv"
"""Where a run keeps the table, in its own directory."""

FIXED = ("row", "text", "answer", "prediction", "score", "loss")
PROBABILITY = "probability"
MOST_LABELS = 20
"""With more labels each row has the probability of its prediction alone."""

_DIGITS = 6


def predictions_csv(
    examples: Sequence[Example],
    predictions: Mapping[str, Sequence[str]],
    scores: np.ndarray,
    losses: np.ndarray,
    *,
    labels: Sequence[str] | None = None,
    probabilities: Sequence[Sequence[float]] = (),
) -> str:
    """The table as CSV, a row for each example, in which no cell is a formula to a spreadsheet.

    Args:
        examples: the N rows that were scored.
        predictions: by method, N each; the first one is what was chosen, the others are what it is compared with.
        scores: (N,) points of the first method.
        losses: (N,) −log p of the true answer by the first method.
        labels: the L labels of a closed answer space.
        probabilities: (N, L) calibrated ones of the first method; empty where there are none.
    """
    chosen, *others = predictions
    shares = list(labels or ()) if len(probabilities) and len(labels or ()) <= MOST_LABELS else []
    with io.StringIO(newline="") as out:
        writer = csv.writer(out)
        writer.writerow(
            safe_cell(name)
            for name in (
                *FIXED,
                *([PROBABILITY] if len(probabilities) else []),
                *(f"p({label})" for label in shares),
                *(f"{name}_prediction" for name in others),
            )
        )
        for i, example in enumerate(examples):
            row = list(probabilities[i]) if len(probabilities) else []
            cells = [example.uid, example.text, " | ".join(dict.fromkeys(example.accepted)) or example.answer]
            cells += [predictions[chosen][i], f"{scores[i]:.{_DIGITS}g}", f"{losses[i]:.{_DIGITS}g}"]
            cells += [f"{max(row):.{_DIGITS}g}"] if row else []
            cells += [f"{share:.{_DIGITS}g}" for share in row] if shares else []
            writer.writerow(safe_cell(cell) for cell in (*cells, *(predictions[name][i] for name in others)))
        return out.getvalue()


def read_predictions(path: Path) -> pd.DataFrame:
    """The table that a run has kept; numbers are numbers, every other cell is the text that it was.

    Raises:
        ArtefactError: it is not there, or is not such a table.
    """
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise ArtefactError(f"{path} cannot be read ({error}); run it again to have its predictions") from None
    missing = [name for name in FIXED if name not in frame.columns]
    if missing:
        raise ArtefactError(f"{path} has no column {missing[0]}; run it again to have its predictions")
    numbers = ["score", "loss", *(name for name in frame.columns if name == PROBABILITY or name.startswith("p("))]
    return frame.assign(**{name: pd.to_numeric(frame[name], errors="coerce") for name in numbers})
