"""What short probes of donors said: the rows of ``<kind>/results/short-probe.csv``. Torch-free.

A row is a donor on a target's shots of one seed: the loss of the held-out half of the shots after a few steps from the
donor's expert on the other half (`pituning.tuning.short_probe`). An empty donor is a new expert.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from pituning.workspace.transfer import NO_DONOR, read_cells

COLUMNS = ("target", "donor", "shots", "seed", "loss", "wrong", "spec")
FILE = "short-probe.csv"


def read_rows(path: Path) -> pd.DataFrame:
    """The rows, none where there is no file.

    Raises:
        ArtefactError: when the file cannot be read as what it should be.
    """
    return read_cells(path, COLUMNS, made_by="pituning study short-probe")


def load_probes(path: Path, shots: int, names: Sequence[str]) -> dict[int, np.ndarray]:
    """For each seed (N, N): by how much the loss of target i is smaller from donor j than from a new expert; NaN where
    that was not measured, and on the diagonal.

    Raises:
        ArtefactError: when the file is damaged.
    """
    place = {name: number for number, name in enumerate(names)}
    rows = read_rows(path)
    rows = rows[(rows["shots"] == shots) & rows["target"].isin(place)]
    found = {}
    for seed, part in rows.groupby("seed"):
        alone = part[part["donor"] == NO_DONOR].set_index("target")["loss"].to_dict()
        gains = np.full((len(names), len(names)), np.nan)
        for row in part[part["donor"].isin(place)].to_dict("records"):
            gains[place[row["target"]], place[row["donor"]]] = alone.get(row["target"], np.nan) - row["loss"]
        found[int(str(seed))] = gains
    return found
