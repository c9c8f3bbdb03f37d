"""Answers as text: greedy decoding, constrained to the labels where the answer space is closed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from pituning.backbones.encoded import Batch, EncodedExamples
from pituning.backbones.network import Network, empty_cache
from pituning.errors import BadInput
from pituning.progress import Reporter, Silent
from pituning.tasks.base import Task

if TYPE_CHECKING:
    from pituning.backbones.base import Backbone

BOX_TOKENS = 5
"""Four location tokens and the end."""
TEXT_TOKENS = 48
"""Longest open answer that is decoded."""


def predict(
    network: Network,
    backbone: Backbone,
    encoded: EncodedExamples,
    task: Task,
    *,
    batch_size: int = 64,
    reporter: Reporter | None = None,
) -> list[str]:
    """The answer to every example, in order; the encoder runs once per batch.

    With a closed answer space the decoding is greedy along the trie of the tokenised labels, and ends as soon as one
    label is left: one decoder step where the labels' first tokens differ.

    Args:
        network: the forward pass, with whatever parameters are swapped in.
        backbone: gives the tokenizer.
        reporter: told of each example; the phase is the caller's.
    """
    reporter = reporter or Silent()
    trie = None if task.labels is None else LabelTrie(task.labels, backbone)
    limit = BOX_TOKENS if task.metric == "box_iou" else TEXT_TOKENS
    order = np.argsort(encoded.prompt_lengths, kind="stable")
    answers = [""] * len(encoded)
    with torch.no_grad():
        for begin in range(0, len(order), batch_size):
            rows = order[begin : begin + batch_size]
            batch = encoded.batch(rows)
            texts = trie.decode(network, batch) if trie is not None else _greedy(network, backbone, batch, limit)
            for row, text in zip(rows, texts, strict=True):
                answers[int(row)] = text
            reporter.advance(len(rows))
    return answers


class LabelTrie:
    """The labels as paths of tokens, each ending with ``</s>``.

    Raises:
        BadInput: when there is no label or two labels become the same tokens.
    """

    def __init__(self, labels: Sequence[str], backbone: Backbone):
        if not labels:
            raise BadInput("the task has no labels; give at least two classes", field="answer")
        self.labels = tuple(labels)
        self.start = backbone.start_token
        self.device = backbone.device
        self.children: list[dict[int, int]] = [{}]
        self.below: list[list[int]] = [list(range(len(labels)))]  # labels reachable from each node
        vocabulary = backbone.model.config.text_config.vocab_size
        for index, ids in enumerate(backbone.token_ids(self.labels)):
            node = 0
            for token in (*ids, backbone.end_token):
                if token not in self.children[node]:
                    self.children[node][token] = len(self.children)
                    self.children.append({})
                    self.below.append([])
                node = self.children[node][token]
                self.below[node].append(index)
            if len(self.below[node]) > 1:
                twin = self.labels[self.below[node][0]]
                raise BadInput(
                    f"labels {twin!r} and {self.labels[index]!r} are the same to the backbone; rename one",
                    field="answer",
                )
        blocked = torch.ones(len(self.children), vocabulary, dtype=torch.bool)
        for node, children in enumerate(self.children):
            blocked[node, list(children)] = False
        self.blocked = blocked.to(self.device)  # as a whole: a GPU is slow at many small writes

    def decode(self, network: Network, batch: Batch) -> list[str]:
        """One label per row of the batch."""
        nodes = [0] * len(batch)
        if len(self.labels) > 1:
            states = network.states(batch)
            cache = network.start_cache(len(batch)) or (empty_cache() if self._deep else None)
            tokens = torch.full((len(batch), 1), self.start, device=self.device)
            while any(len(self.below[node]) > 1 for node in nodes):
                logits = network.decode(states, batch.attention_mask, tokens, cache)[:, -1]  # (B, V)
                allowed = logits.masked_fill(self.blocked[torch.tensor(nodes, device=self.device)], -torch.inf)
                tokens = allowed.argmax(dim=1, keepdim=True)
                # A row that is decided keeps its node; what is fed for it no longer matters.
                nodes = [
                    self.children[node][int(token)] if len(self.below[node]) > 1 else node
                    for node, token in zip(nodes, tokens[:, 0].tolist(), strict=True)
                ]
        return [self.labels[self.below[node][0]] for node in nodes]

    @property
    def _deep(self) -> bool:
        """Whether one decoder step may not be enough."""
        return any(len(self.below[node]) > 1 for node in self.children[0].values())


def _greedy(network: Network, backbone: Backbone, batch: Batch, limit: int) -> list[str]:
    """Greedy decoding of open answers, at most ``limit`` tokens."""
    states = network.states(batch)
    cache = network.start_cache(len(batch)) or empty_cache()
    tokens = torch.full((len(batch), 1), backbone.start_token, device=backbone.device)
    done = torch.zeros(len(batch), dtype=torch.bool, device=backbone.device)
    steps: list[Tensor] = []
    for _ in range(limit):
        tokens = network.decode(states, batch.attention_mask, tokens, cache)[:, -1].argmax(dim=1, keepdim=True)
        tokens[done] = backbone.end_token
        steps.append(tokens)
        done |= tokens[:, 0] == backbone.end_token
        if bool(done.all()):
            break
    ids = torch.cat(steps, dim=1).tolist()
    return [text.strip() for text in backbone.tokenizer.batch_decode(ids, skip_special_tokens=True)]
