"""PaliGemma (Beyer et al., 2024): the image and the prompt are seen in both directions, the answer in one.

transformers builds that from token types, but not always: behind a cache it leaves them out, and without them its
attention is causal where a batch has padding and open in both directions, answers included, where it has none. So what
each token sees is said here in full, as a mask of four dimensions, which transformers takes as it is. Without padding
it is what transformers makes of token types.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from pituning.backbones.encoded import Batch
from pituning.backbones.families import FAMILIES
from pituning.backbones.image_text import ImageTextBackbone, Look
from pituning.tasks.base import Example

TYPES = "token_type_ids"


class PaliGemmaBackbone(ImageTextBackbone):
    """PaliGemma, of Gemma or of Gemma 2."""

    record = FAMILIES["paligemma"]
    both_directions: ClassVar[bool] = True
    corner_order: ClassVar[tuple[int, int, int, int]] = (1, 0, 3, 2)

    def __init__(self, model: Any, tokenizer: Any, **given: Any):
        super().__init__(model, tokenizer, **given)
        if not self.templated:
            self.frame = replace(self.frame, tail="")  # the processor puts the end of the line, too
        window = getattr(model.config.get_text_config(), "sliding_window", None)
        # Within the window of Gemma 2's layers, all of them see the same, and one mask is enough.
        self.max_tokens = min(self.max_tokens, int(window or self.max_tokens))

    def look(self, example: Example, processor: Any) -> Look:
        turn, made, types = super().look(example, processor)
        return turn, {name: value for name, value in made.items() if name != "labels"}, types

    def beside(self, batch: Batch, ids: Tensor, mask: Tensor) -> dict[str, Tensor]:
        given = super().beside(batch, ids, mask)
        given.pop(TYPES, None)  # `visible` says it
        return {**given, "position_ids": given["position_ids"] + 1}  # counted from 1

    def beside_ids(self, ids: Tensor, answers: int = 0) -> dict[str, Tensor]:
        types = torch.zeros_like(ids)
        types[:, ids.shape[1] - answers :] = 1
        return {TYPES: types}

    def visible(self, mask: Tensor, queries: int, answers: int) -> Tensor:
        """(B, 1, queries, S), added to the scores: what stands before the answers sees all of that, they see it too
        and of themselves what came before."""
        every = torch.arange(mask.shape[1], device=mask.device)
        asking = every[-queries:, None]
        seen = (every < mask.shape[1] - answers) | (every <= asking)
        seen = seen & mask[:, None, None, :].bool()
        return torch.zeros_like(seen, dtype=self.dtype).masked_fill(~seen, torch.finfo(self.dtype).min)
