"""The ``text`` predictor: how alike tasks read, from the words of their instructions and labels, without any model."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

_WORD = re.compile(r"[^\W_]+")


def task_text(instruction: str, labels: Sequence[str] | None) -> str:
    """The words that describe a task: its instruction and, for a closed answer space, its labels."""
    return " ".join([instruction, *(labels or ())])


def text_similarity(texts: Sequence[str]) -> np.ndarray:
    """Cosine of TF-IDF vectors of words, (N, N), in [0, 1], 1 on the diagonal.

    Weights are log(1 + count) · (log((1 + N) / (1 + texts with the word)) + 1), the smooth IDF of scikit-learn.
    """
    counts = [Counter(_WORD.findall(text.lower())) for text in texts]
    columns = {word: i for i, word in enumerate(sorted(set().union(*counts)))}
    weights = np.zeros((len(texts), len(columns)))
    for i, words in enumerate(counts):
        for word, count in words.items():
            weights[i, columns[word]] = np.log1p(count)
    holders = np.count_nonzero(weights, axis=0)
    weights *= np.log((1 + len(texts)) / (1 + holders)) + 1
    norms = np.linalg.norm(weights, axis=1, keepdims=True)
    unit = np.divide(weights, norms, out=np.zeros_like(weights), where=norms > 0)
    similarity = np.clip(unit @ unit.T, 0, 1)
    np.fill_diagonal(similarity, 1)
    return similarity
