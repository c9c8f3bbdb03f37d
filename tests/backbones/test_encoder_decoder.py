from __future__ import annotations

import torch

from pituning.backbones.encoder_decoder import shortened


def test_prompts_are_cut_before_their_last_token():
    embeds = torch.arange(12.0).view(2, 6, 1)
    mask = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0]])
    actual, kept = shortened(embeds, mask, 4)
    assert actual[:, :, 0].tolist() == [[0, 1, 2, 5], [6, 7, 8, 9]]  # the second row's padding stays padding
    assert kept.tolist() == [[1, 1, 1, 1], [1, 1, 1, 0]]
    assert shortened(embeds, mask, 6)[0] is embeds
