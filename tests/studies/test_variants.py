"""All ways to take a Fisher embedding: what ships agrees with the predictors, and is measured once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from pituning.errors import ArtefactError, BadInput
from pituning.graph.embeddings import TaskEmbedding
from pituning.graph.ranking import spearman
from pituning.graph.similarity import KEPT_TOLERANCE
from pituning.progress import Silent
from pituning.studies import variants
from pituning.studies.predictors import sets_of_pairs
from pituning.studies.variants import (
    ESTIMATES,
    FORMS,
    GRADES_FILE,
    MATRICES_FILE,
    PROBES,
    compared,
    grade_variants,
    load_variants,
    measure_variants,
    variants_markdown,
)
from pituning.tasks.mini import TASK_NAMES, mini_task
from pituning.workspace.layout import embedded_data
from pituning.workspace.transfer import load_transfer
from pituning.workspace.zoo import Zoo

ZOO, BACKBONE = Zoo.at(embedded_data() / "zoos" / "mini"), embedded_data() / "backbones" / "mini"
PREDICTORS = {
    "paper": "own-data-example-cosine",
    "probe": "common-data-centred-centred",
    "scaled": "common-data-centred-scaled",
}


def embedding(task: str, values: np.ndarray, size: int) -> TaskEmbedding:
    return TaskEmbedding.from_flat(
        values.astype(np.float32), task=task, kind="lora", probe="own", names=["a", "b"],
        sizes=[size, values.size - size],
    )  # fmt: skip


def test_ranks_are_compared_by_spearmans_correlation_of_each_tensor() -> None:
    rng = np.random.default_rng(0)
    values = rng.exponential(size=(3, 40))
    values[:, :5] = 0  # ties
    actual = compared([embedding(str(i), row, 15) for i, row in enumerate(values)], "rank")
    for i in range(3):
        for j in range(3):
            parts = [spearmanr(values[i, part], values[j, part]).statistic for part in (slice(15), slice(15, 40))]
            assert actual[i, j] == pytest.approx(np.mean(parts), abs=1e-6)


def test_what_ships_has_every_variant_and_agrees_with_the_predictors() -> None:
    actual = load_variants(ZOO.result_path(MATRICES_FILE, "lora"))
    assert set(actual) == {f"{p}-{labels}-{e}-{form}" for p in PROBES for labels, e in ESTIMATES for form in FORMS}
    for predictor, name in PREDICTORS.items():
        stored = ZOO.similarity("lora", predictor)
        assert stored.names == TASK_NAMES
        # Fisher information of another build of torch differs by rounding.
        np.testing.assert_allclose(actual[name], stored.matrix, atol=KEPT_TOLERANCE)


@pytest.mark.slow
def test_grades_are_those_of_the_measured_transfer(tmp_path: Path) -> None:
    zoo = Zoo.at(tmp_path)
    for file in (MATRICES_FILE, "transfer.csv"):
        zoo.new_result_path(file, "lora").parent.mkdir(parents=True, exist_ok=True)
        zoo.new_result_path(file, "lora").symlink_to(ZOO.result_path(file, "lora"))
    frame = grade_variants(zoo, "lora")
    shipped = pd.read_csv(ZOO.result_path(GRADES_FILE, "lora"))
    pd.testing.assert_frame_equal(frame, shipped, check_dtype=False, atol=1e-3)
    transfer = load_transfer(ZOO.transfer_path("lora"), 16, TASK_NAMES)
    assert transfer is not None
    matrix = load_variants(ZOO.result_path(MATRICES_FILE, "lora"))["own-model-example-rank"]
    expected = np.mean([
        spearman(np.delete(matrix[i], i), np.delete(transfer.gains[i], i)) for i in range(len(TASK_NAMES))
    ])  # fmt: skip
    here = "shots == 16 and probe == 'own' and labels == 'model' and estimator == 'example' and form == 'rank'"
    actual = frame.query(f"{here} and measure == 'spearman'").set_index("pairs")["mean"]
    assert actual["all"] == pytest.approx(expected, abs=1e-4)
    # Among the six language tasks each target has five donors.
    language = [i for i, name in enumerate(TASK_NAMES) if mini_task(name).modality == "language"]
    expected = np.mean([
        spearman(matrix[i, donors], transfer.gains[i, donors])
        for i in language if (donors := [j for j in language if j != i])
    ])  # fmt: skip
    assert actual["language alone"] == pytest.approx(expected, abs=1e-4)
    assert set(actual.index) == set(sets_of_pairs())


def test_the_documents_show_them() -> None:
    page = (embedded_data().parent / "docs" / "science.md").read_text()
    assert variants_markdown(ZOO, "lora", 16) in page


def test_what_is_missing_or_damaged_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no variants of lora measured"):
        grade_variants(Zoo.at(tmp_path), "lora")
    path = Zoo.at(tmp_path).new_result_path(MATRICES_FILE, "lora")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"nothing")
    with pytest.raises(ArtefactError, match="is damaged"):
        load_variants(path)


@pytest.mark.slow
def test_what_was_measured_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few examples and two ways suffice; the second time nothing is embedded, with another way only that."""
    (tmp_path / "lora").mkdir()
    (tmp_path / "lora" / "experts").symlink_to(ZOO.root / "lora" / "experts")
    embedded: list[str] = []
    embed = variants.embed_task

    def counted(model: Any, values: Any, task: str, *rest: Any, **settings: Any) -> Any:
        embedded.append(f"{settings['probe']}-{settings['labels']}-{settings['estimator']}")
        return embed(model, values, task, *rest, **settings)

    monkeypatch.setattr(variants, "embed_task", counted)
    monkeypatch.setattr(variants, "EXAMPLES", 4)
    monkeypatch.setattr(variants, "ESTIMATES", (("data", "example"),))
    measure: Callable[[], dict[str, np.ndarray]] = lambda: measure_variants(  # noqa: E731
        Zoo.at(tmp_path), BACKBONE, "lora", Silent()
    )
    actual = measure()
    assert len(embedded) == 2 * 20
    assert all(matrix.shape == (20, 20) and np.isfinite(matrix).all() for matrix in actual.values())
    again = measure()
    assert len(embedded) == 2 * 20
    assert again.keys() == actual.keys()
    assert all((again[name] == actual[name]).all() for name in actual)
    monkeypatch.setattr(variants, "ESTIMATES", (("data", "example"), ("model", "centred")))
    assert len(measure()) == 2 * 2 * len(FORMS)
    assert set(embedded[40:]) == {"own-model-centred", "common-model-centred"}
