"""Answers drawn from the model itself, for the Fisher information proper."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from pituning.backbones.encoded import EncodedExamples, TokenRows
from pituning.experts.model import ExpertModel


def sample_answers(
    model: ExpertModel, values: Tensor, encoded: EncodedExamples, *, batch_size: int = 32, seed: int = 0
) -> EncodedExamples:
    """The examples with answers y ~ p(y | x; θ, φ), token by token, at most as long as the longest answer given.

    Args:
        values: (P,) the expert φ.
        seed: of the draw, which does not touch global random state.
    """
    generator = torch.Generator().manual_seed(seed)
    longest = int(encoded.answers.lengths.max())
    end = model.backbone.end_token
    answers: list[np.ndarray] = [np.empty(0, dtype=np.int64)] * len(encoded)
    with torch.no_grad(), model.using(values.detach()):
        for rows in encoded.by_length(batch_size):
            batch = encoded.batch(rows)
            decoding = model.backbone.start(batch, steps=longest)
            drawn: list[Tensor] = []
            while True:
                probabilities = decoding.logits.float().softmax(1).cpu()  # (B, V)
                drawn.append(torch.multinomial(probabilities, 1, generator=generator))
                if len(drawn) == longest:
                    break
                decoding = model.backbone.step(decoding, drawn[-1][:, 0].to(model.device))
            for row, ids in zip(rows, torch.cat(drawn, dim=1).numpy(), strict=True):
                stop = np.flatnonzero(ids == end)
                answers[int(row)] = ids[: int(stop[0]) + 1] if len(stop) else ids
    return replace(encoded, answers=TokenRows(answers))
