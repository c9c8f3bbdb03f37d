"""The table of all predictions of a run."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest

from pituning.errors import ArtefactError
from pituning.tasks.base import Example
from pituning.tuning.predictions import MOST_LABELS, predictions_csv, read_predictions

EXAMPLES = [
    Example(uid="mood/test/0", text="=HYPERLINK(1), two\nlines", answer="NA"),
    Example(uid="mood/test/1", text="-5", answer="-5", accepted=("-5", "-5", "five")),
]
SCORES, LOSSES = np.array([0.0, 100.0]), np.array([1.25, 0.5])


def table(**more: object) -> str:
    said = {"pi": ["+cmd", "-5"], "single": ["NA", ""]}
    return predictions_csv(EXAMPLES, said, SCORES, LOSSES, **more)  # type: ignore[arg-type]


def test_no_cell_is_a_formula_and_texts_stay_texts(tmp_path: Path) -> None:
    path = tmp_path / "predictions.csv"
    path.write_text(table(labels=["NA", "-5"], probabilities=[[0.75, 0.25], [0.4, 0.6]]), encoding="utf-8", newline="")

    rows = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8"), newline="")))
    assert all(not cell.startswith(("=", "+", "@")) for row in rows for cell in row)
    frame = read_predictions(path)

    assert frame["text"].tolist() == ["'=HYPERLINK(1), two\nlines", "-5"]
    assert frame["answer"].tolist() == ["NA", "'-5 | five"]
    assert frame["prediction"].tolist() == ["'+cmd", "-5"]
    assert frame["single_prediction"].tolist() == ["NA", ""]
    np.testing.assert_allclose(frame[["p(NA)", "p(-5)", "probability"]], [[0.75, 0.25, 0.75], [0.4, 0.6, 0.6]])
    np.testing.assert_allclose(frame[["score", "loss"]], np.stack([SCORES, LOSSES], axis=1))


def test_many_labels_have_no_columns_and_without_calibration_there_is_no_probability() -> None:
    labels = [str(i) for i in range(MOST_LABELS + 1)]
    many = table(labels=labels, probabilities=np.full((2, len(labels)), 1 / len(labels)).tolist())
    assert many.splitlines()[0] == "row,text,answer,prediction,score,loss,probability,single_prediction"
    assert "probability" not in table(labels=["NA"])


@pytest.mark.parametrize("text", [None, "", "row,text\n1,2\n"])
def test_what_is_no_such_table_is_refused(text: str | None, tmp_path: Path) -> None:
    path = tmp_path / "predictions.csv"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(ArtefactError, match="run it again"):
        read_predictions(path)
