from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from pituning.errors import BadInput
from pituning.graph.predict import agreement, most_similar, neighbors

NAMES = ["a", "b", "c", "d"]
S = np.array([[1, 0.9, 0.2, 0.5], [0.9, 1, 0.3, 0.4], [0.2, 0.3, 1, 0.8], [0.5, 0.4, 0.8, 1]])


def test_neighbors() -> None:
    actual = neighbors(S, NAMES, "d", 2)
    assert [(n.task, n.similarity, n.rank, n.confidence) for n in actual] == [("c", 0.8, 1, None), ("a", 0.5, 2, None)]


def test_confidence_is_the_share_of_replicates_in_the_top_k() -> None:
    replicates = np.stack([S, S, S, S])
    replicates[3, 0] = [1, 0.1, 0.2, 0.5]  # in one of four replicates, a's neighbours are d and c
    actual = neighbors(S, NAMES, "a", 2, replicates=replicates)
    assert [(n.task, n.confidence) for n in actual] == [("b", 0.75), ("d", 1.0)]
    assert actual[0].low is not None
    assert 0.1 <= actual[0].low < 0.9 == actual[0].high


def test_ties_go_by_order() -> None:
    assert [n.task for n in most_similar(np.array([0.5, 0.5, 0.5]), ["x", "y", "z"], 2)] == ["x", "y"]


def test_unfit_questions_are_refused() -> None:
    with pytest.raises(BadInput, match="unknown task 'e'"):
        neighbors(S, NAMES, "e", 2)
    for k in (0, 4):
        with pytest.raises(BadInput, match="choose 1 to 3") as caught:
            neighbors(S, NAMES, "a", k)
        assert caught.value.field == "k"


def test_agreement_against_scikit_learn() -> None:
    generator = np.random.default_rng(0)
    matrix = generator.integers(0, 6, size=(12, 12)).astype(float)  # many ties
    matrix = (matrix + matrix.T) / 2
    names = [f"t{i}" for i in range(12)]
    families = [[["x"], ["y"], ["x", "z"], ["z"], []][i % 5] for i in range(12)]
    rows, columns = np.triu_indices(12, k=1)
    related = [bool(set(families[i]) & set(families[j])) for i, j in zip(rows, columns, strict=True)]
    result = agreement(matrix, names, families)
    assert result.auc == pytest.approx(roc_auc_score(related, matrix[rows, columns]))
    assert set(result.found) == {name for i, name in enumerate(names) if i % 5 != 4}


def test_relatives_in_the_top() -> None:
    result = agreement(S, NAMES, [["f"], ["f"], ["g"], ["f"]], top=1)
    assert result.found == {"a": 1, "b": 1, "d": 0}
    assert result.possible == {"a": 1, "b": 1, "d": 1}
    assert result.share == pytest.approx(2 / 3)
    assert agreement(S, NAMES, [[], [], [], []]).auc is None
