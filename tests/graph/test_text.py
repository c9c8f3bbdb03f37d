from __future__ import annotations

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer

from pituning.graph.text import task_text, text_similarity

TEXTS = [
    task_text("does the first sentence imply the second?", ["yes", "no", "maybe"]),
    task_text("do the sentences mean the same?", ["yes", "no"]),
    task_text("name the colour of the shape", None),
    "",
]


def test_equals_scikit_learn() -> None:
    unigrams = TfidfVectorizer(token_pattern=r"[^\W_]+", norm="l2").fit(TEXTS)
    counts = unigrams.transform(TEXTS).toarray()
    raw = counts / np.where(unigrams.idf_ > 0, unigrams.idf_, 1)
    # Only the damping of counts differs: rebuild it from scikit-learn's vocabulary and IDF.
    tokens = [[unigrams.vocabulary_[w] for w in unigrams.build_analyzer()(t)] for t in TEXTS]
    damped = np.array([np.log1p(np.bincount(t, minlength=raw.shape[1])) * unigrams.idf_ for t in tokens[:3]])
    unit = damped / np.linalg.norm(damped, axis=1, keepdims=True)
    np.testing.assert_allclose(text_similarity(TEXTS)[:3, :3], unit @ unit.T, atol=1e-12)


def test_order_case_and_nothing() -> None:
    matrix = text_similarity(["Red circle", "circle, red!", "blue", ""])
    assert matrix[0, 1] == 1
    assert matrix[0, 2] == 0
    assert matrix[3].tolist() == [0, 0, 0, 1]
    assert text_similarity([]).shape == (0, 0)
