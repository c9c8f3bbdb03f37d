"""How methods did on few shots, as it was measured: the rows of ``<kind>/results/lowshot.csv``. Torch-free.

A row is one method on one target with the shots of one seed: its test ``score`` in points, and what cross-validation on
the shots chose (``learning_rate``, ``steps``) and found (``held_out_loss``, empty where nothing could be held out, is a
mean over ``held_out`` examples).
``donors`` are the tasks whose experts took part, joined by ``+``. ``spec`` is a digest of all that the row depends on.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from pituning.errors import ArtefactError, BadInput
from pituning.workspace.shots import ALL_SHOTS, parse_shots, shots_name

COLUMNS = (
    "target", "kind", "shots", "seed", "method", "score", "held_out_loss", "held_out", "learning_rate", "steps",
    "donors", "test_examples", "spec",
)  # fmt: skip


def read_lowshot(path: Path) -> pd.DataFrame:
    """The rows, none where there is no file; ``shots`` are numbers.

    Raises:
        ArtefactError: when the file cannot be read as what it should be.
    """
    if not path.exists():
        return pd.DataFrame(columns=list(COLUMNS))
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)[list(COLUMNS)]
        frame["shots"] = frame["shots"].map(parse_shots)
        for column in ("seed", "held_out", "steps", "test_examples"):
            frame[column] = frame[column].map(int)
        for column in ("score", "held_out_loss", "learning_rate"):
            frame[column] = frame[column].map(_number)  # exactly what was written, so that equals stay equals
        return frame
    except (ValueError, KeyError, TypeError, OSError, BadInput) as error:
        raise ArtefactError(f"{path} is damaged ({error}); make it again: pituning study lowshot") from error


def measured_shots(frame: pd.DataFrame) -> list[int]:
    """The numbers of shots that rows have, fewest first; `ALL_SHOTS` is the most."""
    return sorted({int(shots) for shots in frame["shots"]}, key=lambda shots: (shots == ALL_SHOTS, shots))


def usual_shots(frame: pd.DataFrame) -> int:
    """The number of shots at which most was measured, of equals the larger; zero-shot only where there is nothing else.

    Args:
        frame: rows, at least one.
    """
    counted = {shots: int((frame["shots"] == shots).sum()) for shots in measured_shots(frame)}
    return max(counted, key=lambda shots: (shots != 0, counted[shots], shots))


def lowshot_csv(frame: pd.DataFrame) -> str:
    """Rows as the text of the file."""
    return frame.assign(shots=frame["shots"].map(shots_name)).to_csv(index=False)


def _number(text: str) -> float:
    return float(text) if text else float("nan")
