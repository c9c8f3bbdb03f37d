"""The ``text`` predictor: how alike tasks read, from the words of their instructions and labels, without any model."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

_WORD = re.compile(r"[^\W_]+")


def task_text(instruction: str, labels: Sequence[str] | None) -> str:
    """The words that describe a task: its instruction and, for a closed answer space, its labels."""
    return " ".join([instruction, *(labels or ())])


def text_similarity(texts: Sequence[str]) -> np.ndarray:
    """Cosine of TF-IDF vectors of words, (N, N), in [0, 1], 1 on the diagonal.

    Weights are log(1 + count) · (log((1 + N) / (1 + texts with the word)) + 1), the smooth IDF of scikit-learn.
    """
    rows, columns, values, width = _weights(texts)
    weights = np.zeros((len(texts), width))
    weights[rows, columns] = values
    norms = np.linalg.norm(weights, axis=1, keepdims=True)
    unit = np.divide(weights, norms, out=np.zeros_like(weights), where=norms > 0)
    similarity = np.clip(unit @ unit.T, 0, 1)
    np.fill_diagonal(similarity, 1)
    return similarity


def text_rows(texts: Sequence[str]) -> Callable[[slice], np.ndarray]:
    """The same for very many texts, from sparse vectors: a function that gives S of a slice of them to all, (b, N)."""
    from scipy.sparse import csr_array

    rows, columns, values, width = _weights(texts)
    norms = np.sqrt(np.bincount(rows, values**2, len(texts)))
    unit = csr_array((values / norms[rows], (rows, columns)), shape=(len(texts), width))

    def similarity(at: slice) -> np.ndarray:
        found = np.clip((unit[at] @ unit.T).toarray(), 0, 1)
        found[np.arange(len(found)), np.arange(len(texts))[at]] = 1
        return found

    return similarity


def _weights(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """The TF-IDF weights that are not 0: their rows, columns and values, and the number of columns."""
    counts = [Counter(_WORD.findall(text.lower())) for text in texts]
    number = {word: i for i, word in enumerate(sorted(set().union(*counts)))}
    rows = np.repeat(np.arange(len(texts)), [len(words) for words in counts])
    columns = np.array([number[word] for words in counts for word in words], dtype=int)
    values = np.log1p(np.array([count for words in counts for count in words.values()], dtype=float))
    holders = np.bincount(columns, minlength=len(number))
    return rows, columns, values * (np.log((1 + len(texts)) / (1 + holders)) + 1)[columns], len(number)
