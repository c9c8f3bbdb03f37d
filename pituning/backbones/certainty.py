"""How sure an answer is: the probability that a backbone gives it, with whatever expert acts on it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from pituning.backbones.encoded import EncodedExamples, TokenRows
from pituning.backbones.prediction import LabelTrie
from pituning.progress import Reporter, Silent
from pituning.tasks.base import Task

if TYPE_CHECKING:
    from pituning.backbones.base import Backbone


def answer_probabilities(
    backbone: Backbone, encoded: EncodedExamples, task: Task, row: int, answers: Sequence[str]
) -> list[float]:
    """The probability of each of several answers to one example.

    With a closed answer space it is that of the constrained decoding, at each token among those with which a label
    goes on: the probabilities of all labels sum to 1. Open answers have the probability of their tokens.

    Args:
        row: which of the examples.
        answers: labels of the task, or any texts where answers are open.
    """
    with torch.no_grad():
        if task.labels is not None:
            scores = LabelTrie(task.labels, backbone).log_probabilities(backbone, encoded.batch([row]))[0]
            return [math.exp(float(scores[task.labels.index(answer)])) for answer in answers]
        ids = TokenRows([*tokens, backbone.end_token] for tokens in backbone.answer_ids(answers))
        repeated = replace(encoded.subset([row] * len(ids)), answers=ids)
        return [math.exp(-float(loss)) for loss in backbone.loss(repeated.batch(range(len(ids)))).double()]


def label_scores(
    backbone: Backbone, encoded: EncodedExamples, labels: Sequence[str], *, reporter: Reporter | None = None
) -> np.ndarray:
    """(N, L) log probability of every label for every example; those of an example sum to 1.

    Args:
        reporter: told of each example; the phase is the caller's.
    """
    trie, reporter = LabelTrie(labels, backbone), reporter or Silent()
    scores = np.empty((len(encoded), len(labels)))
    with torch.no_grad():
        for rows in encoded.by_length(backbone.evaluation_batch):
            scores[rows] = trie.log_probabilities(backbone, encoded.batch(rows)).numpy()
            reporter.advance(len(rows))
    return scores


def open_answer_scores(backbone: Backbone, encoded: EncodedExamples, answers: Sequence[str]) -> np.ndarray:
    """(N,) log probability of one answer to each example, where answers are open: that of its tokens."""
    ids = TokenRows([*tokens, backbone.end_token] for tokens in backbone.answer_ids(answers))
    asked = replace(encoded, answers=ids)
    scores = np.empty(len(encoded))
    with torch.no_grad():
        for rows in asked.by_length(backbone.evaluation_batch):
            scores[rows] = -backbone.loss(asked.batch(rows)).double().cpu().numpy()
    return scores
