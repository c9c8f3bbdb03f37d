"""How sure an answer is: the probability that a network gives it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from pituning.backbones.encoded import EncodedExamples
from pituning.backbones.network import Network
from pituning.backbones.prediction import LabelTrie
from pituning.tasks.base import Task

if TYPE_CHECKING:
    from pituning.backbones.base import Backbone

LABEL_BATCH = 64


def answer_probabilities(
    network: Network, backbone: Backbone, encoded: EncodedExamples, task: Task, row: int, answers: Sequence[str]
) -> list[float]:
    """The probability of each of several answers to one example.

    With a closed answer space it is that of the constrained decoding, at each token among those with which a label
    goes on: the probabilities of all labels sum to 1. Open answers have the probability of their tokens.

    Args:
        network: the forward pass, with whatever parameters are swapped in.
        row: which of the examples.
        answers: labels of the task, or any texts where answers are open.
    """
    trie = None if task.labels is None else LabelTrie(task.labels, backbone)
    ids = [[*tokens, backbone.end_token] for tokens in backbone.token_ids(answers)]
    found: list[float] = []
    with torch.no_grad():
        for begin in range(0, len(ids), LABEL_BATCH):
            chunk = ids[begin : begin + LABEL_BATCH]
            asked = replace(
                encoded.subset([row] * len(chunk)), answers=[np.array(tokens, dtype=np.int64) for tokens in chunk]
            )
            logits = network(asked.batch(range(len(chunk))))  # (B, U, V)
            for tokens, scores in zip(chunk, logits, strict=True):
                scores = scores[: len(tokens)]
                if trie is not None:
                    scores = scores.masked_fill(trie.blocked[trie.path(tokens)], -torch.inf)
                steps = torch.log_softmax(scores, dim=-1)
                picked = steps[range(len(tokens)), tokens]
                found.append(math.exp(float(picked.double().sum())))
    return found
