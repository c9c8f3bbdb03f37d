from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pituning.reports.reader import Reader
from pituning.workspace.atomic import write_text
from pituning.workspace.layout import Workspace
from pituning.workspace.similarity import ZooSimilarity, save_similarity
from pituning.workspace.transfer import COLUMNS, NO_DONOR
from tests.app import synthetic

NAMES = ("nli", "rte", "visual-entailment", "digits", "caption", "vqa")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Six tasks, nli nearest to visual-entailment; transfer at 16 shots; one finished run."""
    root = Workspace.open(tmp_path / "w").root
    workspace = Workspace(root, embedded=None)
    rng = np.random.default_rng(0)
    matrix = rng.uniform(0.1, 0.4, (6, 6))
    matrix[0, 2] = 0.9
    matrix = np.maximum(matrix, matrix.T)
    np.fill_diagonal(matrix, 1)
    replicates = np.repeat(matrix[None], 4, axis=0)
    save_similarity(
        workspace.zoo().similarity_path("lora", "probe"),
        ZooSimilarity(names=NAMES, matrix=matrix, replicates=replicates),
    )
    pairs = [(i, j) for i in range(6) for j in range(6) if i != j]
    rows = [(NAMES[i], NAMES[j], 16, 0, 50 + 10 * matrix[i, j], "x") for i, j in pairs]
    rows += [(a, NO_DONOR, 16, 0, 52.0, "x") for a in NAMES]
    write_text(workspace.zoo().new_transfer_path("lora"), pd.DataFrame(rows, columns=list(COLUMNS)).to_csv(index=False))
    return workspace


@pytest.fixture
def reader(workspace: Workspace) -> Reader:
    return Reader(workspace)


@pytest.fixture
def with_run(workspace: Workspace) -> Reader:
    synthetic.done(workspace)
    return Reader(workspace)
