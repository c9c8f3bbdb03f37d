"""Answers as text: greedy decoding, constrained to the labels where the answer space is closed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pituning.backbones.encoded import Batch, EncodedExamples
from pituning.errors import BadInput
from pituning.progress import Reporter, Silent
from pituning.tasks.base import Task
from pituning.tasks.metrics import METRICS

if TYPE_CHECKING:
    from pituning.backbones.base import Backbone


def predict(
    backbone: Backbone,
    encoded: EncodedExamples,
    task: Task,
    *,
    batch_size: int | None = None,
    reporter: Reporter | None = None,
) -> list[str]:
    """The answer to every example, in order; each prompt runs once.

    With a closed answer space the decoding is greedy along the trie of the tokenised labels, and ends as soon as one
    label is left: one step where the labels' first tokens differ.

    Args:
        backbone: with whatever expert acts on it.
        batch_size: examples that run together; by default `Backbone.evaluation_batch`.
        reporter: told of each example; the phase is the caller's.
    """
    reporter, batch_size = reporter or Silent(), batch_size or backbone.evaluation_batch
    trie = None if task.labels is None else LabelTrie(task.labels, backbone)
    record = METRICS[task.metric]
    longest = record.longest_answer
    limit = longest if isinstance(longest, int) else len(backbone.answer_ids([longest])[0]) + 1
    answers = [""] * len(encoded)
    with torch.no_grad():
        for rows in encoded.by_length(batch_size):
            batch = encoded.batch(rows)
            texts = trie.decode(backbone, batch) if trie is not None else _greedy(backbone, batch, limit)
            if record.boxes:
                texts = [text if (box := backbone.read_box(text)) is None else box.text() for text in texts]
            for row, text in zip(rows, texts, strict=True):
                answers[int(row)] = text
            reporter.advance(len(rows))
    return answers


class LabelTrie:
    """The labels as paths of tokens, each with the end token.

    Attributes:
        children: of each node the next node by token; node 0 is the root.
        below: labels that can be reached from each node.

    Raises:
        BadInput: when there is no label or two labels become the same tokens.
    """

    def __init__(self, labels: Sequence[str], backbone: Backbone):
        if not labels:
            raise BadInput("the task has no labels; give at least two classes", field="answer")
        self.labels = tuple(labels)
        self.device = backbone.device
        self.children: list[dict[int, int]] = [{}]
        self.below: list[list[int]] = [list(range(len(labels)))]
        for index, ids in enumerate(backbone.answer_ids(self.labels)):
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
        # Of each node only the tokens that go on: a table over the vocabulary would not fit for large ones.
        self._tokens = [torch.tensor(list(children), device=self.device) for children in self.children]
        self._routes: dict[int, tuple[Tensor, Tensor]] = {}

    def routes(self, node: int) -> tuple[Tensor, Tensor]:
        """The labels below a node that can still differ, and of each by which of the node's tokens it goes on."""
        if node not in self._routes:
            children = list(self.children[node].values())
            labels = [label for child in children for label in self.below[child]]
            which = [place for place, child in enumerate(children) for _ in self.below[child]]
            self._routes[node] = torch.tensor(labels), torch.tensor(which)
        return self._routes[node]

    @property
    def deep(self) -> bool:
        """Whether one step may not be enough."""
        return any(len(self.below[node]) > 1 for node in self.children[0].values())

    def best(self, nodes: Sequence[int], logits: Tensor) -> list[int]:
        """The token with the largest logit among those that go on from each row's node; logits are (B, V)."""
        chosen = [0] * len(nodes)
        rows_of: dict[int, list[int]] = {}
        for row, node in enumerate(nodes):
            rows_of.setdefault(node, []).append(row)
        for node, rows in rows_of.items():
            allowed = self._tokens[node]
            if len(allowed):
                picked = allowed[logits[rows][:, allowed].argmax(dim=1)]
                for row, token in zip(rows, picked.tolist(), strict=True):
                    chosen[row] = token
        return chosen

    def decode(self, backbone: Backbone, batch: Batch) -> list[str]:
        """One label per row of the batch."""
        nodes = [0] * len(batch)
        if len(self.labels) > 1:
            decoding = backbone.start(batch, steps=None if self.deep else 1)
            while True:
                tokens = self.best(nodes, decoding.logits)
                # A row that is decided keeps its node; what is fed for it no longer matters.
                nodes = [
                    self.children[node][token] if len(self.below[node]) > 1 else node
                    for node, token in zip(nodes, tokens, strict=True)
                ]
                if all(len(self.below[node]) == 1 for node in nodes):
                    break
                decoding = backbone.step(decoding, torch.tensor(tokens, device=self.device))
        return [self.labels[self.below[node][0]] for node in nodes]

    def log_probabilities(self, backbone: Backbone, batch: Batch) -> Tensor:
        """(B, L) log probability of every label under constrained decoding: those of a row sum to 1.

        The prompt runs once; the trie is walked a level at a time, all its open nodes in one step, so that labels share
        the steps of what they have in common.
        """
        count = len(batch)
        scores = torch.zeros(count, len(self.labels), dtype=torch.float64)
        decoding = backbone.start(batch, steps=None if self.deep else 1)
        frontier = [(row, 0) for row in range(count)]  # in the order of the decoding's rows
        while frontier:
            going: list[tuple[int, int]] = []
            parents: list[int] = []
            fed: list[int] = []
            for place, (row, node) in enumerate(frontier):
                labels, which = self.routes(node)
                steps = torch.log_softmax(decoding.logits[place, self._tokens[node]].double(), dim=0).cpu()
                scores[row, labels] += steps[which]
                for token, child in self.children[node].items():
                    if len(self.below[child]) > 1:
                        going.append((row, child))
                        parents.append(place)
                        fed.append(token)
            frontier = going
            if frontier:
                decoding = backbone.step(
                    decoding.select(torch.tensor(parents, device=self.device)), torch.tensor(fed, device=self.device)
                )
        return scores


def _greedy(backbone: Backbone, batch: Batch, limit: int) -> list[str]:
    """Greedy decoding of open answers, at most ``limit`` tokens."""
    done = torch.zeros(len(batch), dtype=torch.bool, device=backbone.device)
    decoding = backbone.start(batch, steps=limit)
    steps: list[Tensor] = []
    while True:
        tokens = decoding.logits.argmax(dim=1)
        tokens[done] = backbone.end_token
        steps.append(tokens)
        done |= tokens == backbone.end_token
        if bool(done.all()) or len(steps) == limit:
            break
        decoding = backbone.step(decoding, tokens)
    return backbone.text_of(torch.stack(steps, dim=1).tolist())
