from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from benchmarks import large
from benchmarks.browser import quantile
from pituning.graph.projection import load_projection
from pituning.tasks.registry import list_tasks
from pituning.workspace.affinities import load_affinity
from pituning.workspace.layout import Workspace


@pytest.mark.parametrize("count", [1, 2, 19, 20, 100])
@pytest.mark.parametrize("share", [0.5, 0.95])
def test_the_quantile_is_the_smallest_value_that_enough_do_not_exceed(count: int, share: float) -> None:
    values = np.random.default_rng(count).permutation(count) / 1000
    enough = [one for one in values if np.mean(values <= one) >= share]
    assert quantile(list(values), share) == min(enough)
    assert math.isnan(quantile([], share))


def test_the_large_workspace_is_one_that_pages_can_read(tmp_path: Path) -> None:
    made = large.make(tmp_path / "large", tasks=30, resamplings=4, values=50)
    workspace = Workspace.open(tmp_path / "large")
    assert {f"task-{i:04d}" for i in range(30)} <= {info.name for info in list_tasks(workspace)}
    table = load_affinity(workspace, large.TABLE)
    known = table.values[np.isfinite(table.values)]
    assert (len(table.names), len(known)) == (made.tasks, made.lines) == (30, 50)
    assert known.min() == pytest.approx(made.weakest)
    assert len(workspace.zoo().similarity("lora", "probe").names) == 30
    (path, *_) = workspace.zoo().projection_files("lora")
    assert load_projection(path).maps["umap"].resampled.shape == (4, 30, 2)
