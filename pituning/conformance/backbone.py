"""What a backbone must do by itself: padding, company in the batch, steps, scores and answers.

``tests/backbones/contract.py`` holds every family to the same on tiny models; here it is the user's checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import GenerationConfig

from pituning.backbones.base import Backbone
from pituning.backbones.encoded import IGNORED, Batch, EncodedExamples, TokenRows
from pituning.backbones.loading import quiet
from pituning.backbones.places import FILE as PLACES_FILE
from pituning.backbones.places import Places
from pituning.backbones.prediction import LabelTrie, predict
from pituning.conformance.examples import LONG_TEXT
from pituning.conformance.measure import Measured, apart, outputs_tolerance
from pituning.conformance.restore import as_it_was
from pituning.tasks.base import Example, Task
from pituning.tasks.metrics import METRICS

EXTRA = 5
"""Columns of padding that are put on either side by hand."""
GENERATED = 2
"""Examples whose answers are compared with those of transformers."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A backbone and the examples of one task.

    Args:
        pictures: whether the examples have them.
    """

    backbone: Backbone
    task: Task
    pictures: bool

    @property
    def examples(self) -> Sequence[Example]:
        return self.task.split("train")

    def encoded(self, examples: Sequence[Example] | None = None, *, keep_pixels: bool = False) -> EncodedExamples:
        return self.backbone.encode(self.task, examples or self.examples, keep_pixels=keep_pixels)

    @property
    def tolerance(self) -> float:
        return outputs_tolerance(self.backbone.dtype)


Work = Callable[[Subject], Measured]

CHECKS: dict[str, tuple[str, Work]] = {}
"""The checks of a backbone by name: what each means, and its work."""


def _check(name: str, meaning: str) -> Callable[[Work], Work]:
    def keep(work: Work) -> Work:
        CHECKS[name] = (meaning, torch.no_grad()(work))
        return work

    return keep


def places(directory: Path, backbone: Backbone, written: bool) -> Measured:
    """Whether ``places.json`` agrees with the model.

    Args:
        written: it was missing, and loading the backbone wrote it.
    """
    if not (directory / PLACES_FILE).is_file():
        backbone.places().save(directory)  # which says why it cannot be written
        written = True
    kept, measured = Places.read(directory), backbone.places()
    if kept != measured:
        parts = ("width", "attention", "blocks", "eyes")
        what = next(part for part in parts if getattr(kept, part) != getattr(measured, part))
        return Measured(fine=False, note=f"{what} differ; delete {directory / PLACES_FILE} and check again")
    attached = f"{len(measured.blocks)} linear maps, {len(measured.attention.layers)} attention layers"
    return Measured(note=f"it was missing and has been written: {attached}" if written else attached)


@_check("answers", "An answer comes back from its tokens as the text that it was.")
def answers(subject: Subject) -> Measured:
    """Whether labels survive their tokens."""
    backbone, labels = subject.backbone, subject.task.labels or ()
    back = backbone.text_of(backbone.answer_ids(labels))
    wrong = [f"{label!r} comes back as {text!r}" for label, text in zip(labels, back, strict=True) if label != text]
    return Measured(fine=not wrong, note="; ".join(wrong))


@_check("batch", "The loss of an example is the same alone and in a batch.")
def batch(subject: Subject) -> Measured:
    """Losses in a batch against those alone."""
    encoded, count = subject.encoded(), len(subject.examples)
    together = subject.backbone.loss(encoded.batch(range(count)))
    alone = torch.stack([subject.backbone.loss(encoded.batch([row]))[0] for row in range(count)])
    return Measured(apart(together, alone), subject.tolerance)


@_check("padding", "Padding changes nothing: a much longer text in the batch, more padding before and after.")
def padding(subject: Subject) -> Measured:
    """Losses with more padding against those without."""
    backbone, count = subject.backbone, len(subject.examples)
    mate = replace(subject.examples[0], uid="long", text=LONG_TEXT)
    encoded = subject.encoded([*subject.examples, mate])
    alone = torch.stack([backbone.loss(encoded.batch([row]))[0] for row in range(count)])
    worst = apart(backbone.loss(encoded.batch(range(count + 1)))[:count], alone)
    if backbone.attention.encoder_decoder or subject.pictures:
        return Measured(worst, subject.tolerance, "by a longer text")
    worst = max(worst, apart(backbone.loss(_widened(encoded.batch(range(count)), backbone.pad_token)), alone))
    return Measured(worst, subject.tolerance, "by a longer text, and by hand on both sides")


@_check("steps", "Answers that are fed token by token get the logits that they get as a whole.")
def steps(subject: Subject) -> Measured:
    """Logits by steps against those under teacher forcing."""
    backbone = subject.backbone
    given = subject.encoded().batch(range(len(subject.examples)))
    forced = backbone.logits(given)
    decoding = backbone.start(given)
    logits = [decoding.logits]
    for token in given.labels[:, :-1].T:
        decoding = backbone.step(decoding, token.clamp_min(0))
        logits.append(decoding.logits)
    inside = given.labels != IGNORED
    once = apart(backbone.start(given, steps=1).logits, forced[:, 0])
    return Measured(max(once, apart(torch.stack(logits, 1)[inside], forced[inside])), subject.tolerance)


@_check("labels", "The probabilities of the labels are those that a slow loop over all of them finds.")
def labels(subject: Subject) -> Measured:
    """`LabelTrie` against every label fed whole."""
    backbone, encoded, names = subject.backbone, subject.encoded(), subject.task.labels or ()
    count = len(encoded)
    paths = [(*ids, backbone.end_token) for ids in backbone.answer_ids(names)]
    expected = torch.zeros(count, len(paths), dtype=torch.float64)
    for number, path in enumerate(paths):
        fed = replace(encoded, answers=TokenRows([path] * count))
        logits = backbone.logits(fed.batch(range(count))).double()
        for place in range(len(path)):
            allowed = sorted({p[place] for p in paths if p[:place] == path[:place]})
            shares = torch.log_softmax(logits[:, place, allowed], dim=1)
            expected[:, number] += shares[:, allowed.index(path[place])].cpu()
    scores = LabelTrie(names, backbone).log_probabilities(backbone, encoded.batch(range(count)))
    sums = float((scores.exp().sum(1) - 1).abs().max())
    return Measured(max(apart(scores, expected), sums), subject.tolerance)


@_check("generate", "Open answers are those of transformers' own greedy `generate`.")
def generate(subject: Subject) -> Measured:
    """`predict` against greedy search in transformers, one example at a time without padding."""
    backbone = subject.backbone
    if not (hasattr(backbone.model, "can_generate") and backbone.model.can_generate()):
        return Measured(fine=None, note="the model has no `generate` of its own")
    task = replace(subject.task, labels=None, metric="token_f1")
    encoded = backbone.encode(task, subject.examples[:GENERATED], keep_pixels=subject.pictures)
    ours = predict(backbone, encoded, task)
    worst, note = 0.0, ""
    for row, text in enumerate(ours):
        tokens = _generated(backbone, encoded.batch([row]))
        if len(tokens) == 0:
            return Measured(fine=False, note="transformers generated nothing")
        fed = replace(encoded.subset([row]), answers=TokenRows([tokens]))
        logits = backbone.logits(fed.batch([0]))[0].double()
        chosen = torch.from_numpy(tokens).to(logits.device)[:, None]
        # How far below the best token theirs is: 0 where they agree, and rounding where two are as good as equal.
        below = float((logits.amax(1) - logits.gather(1, chosen)[:, 0]).max() / logits.abs().max())
        worst = max(worst, below)
        theirs = backbone.text_of([tokens.tolist()])[0]
        if text != theirs and below == 0:
            return Measured(fine=False, note=f"the answer is {text!r}, that of transformers {theirs!r}")
        if text != theirs:
            note = "two tokens were as good as equal"
    return Measured(worst, subject.tolerance, note)


def _generated(backbone: Backbone, given: Batch) -> np.ndarray:
    """The tokens that transformers' greedy search answers to a batch of one, whatever the checkpoint's own defaults."""
    images = backbone.beside_pictures(given)
    told = backbone.beside_ids(given.input_ids)
    inputs: dict[str, Any] = {"input_ids": given.input_ids, "attention_mask": given.attention_mask, **told, **images}
    config = GenerationConfig(
        max_new_tokens=METRICS["token_f1"].longest_answer, do_sample=False, num_beams=1,
        eos_token_id=backbone.end_token, pad_token_id=backbone.pad_token, bos_token_id=backbone.tokenizer.bos_token_id,
        decoder_start_token_id=getattr(backbone, "start_token", None),
    )  # fmt: skip
    with quiet(), as_it_was(backbone.model):
        # The model's own config would fill up what this does not set, a repetition penalty for one.
        backbone.model.generation_config = config
        ids: Tensor = backbone.model.generate(**inputs, generation_config=config)[0]
    new = ids[1:] if backbone.attention.encoder_decoder else ids[given.input_ids.shape[1] :]
    return new.cpu().numpy()


def _widened(given: Batch, fill: int) -> Batch:
    """The batch of a decoder-only model with more padding before its prompts and after its answers."""
    pad = torch.nn.functional.pad
    return replace(
        given,
        input_ids=pad(given.input_ids, (EXTRA, 0), value=fill),
        attention_mask=pad(given.attention_mask, (EXTRA, 0)),
        labels=pad(given.labels, (0, EXTRA), value=IGNORED),
    )
