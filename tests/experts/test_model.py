from __future__ import annotations

import pytest
import torch

from pituning.experts.model import ExpertModel
from pituning.experts.space import KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_forward_equals_the_peft_model(kind, two_layer_backbone, vision_task, text_task):
    model = ExpertModel(two_layer_backbone, kind)
    generator = torch.Generator().manual_seed(3)
    values = model.initial(0) + 0.3 * torch.randn(model.space.size, generator=generator)
    model.load_values(values)
    for task in (vision_task, text_task):
        encoded = two_layer_backbone.encode(task, task.split("train")[:7])
        batch = encoded.batch(range(7))
        with torch.no_grad():
            ours = model.forward(values, batch)
            theirs = model.peft_model(
                inputs_embeds=batch.inputs_embeds,
                attention_mask=batch.attention_mask,
                decoder_input_ids=batch.decoder_input_ids,
            ).logits
            plain = two_layer_backbone.network(batch)
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)
        assert (ours - plain).abs().max() > 1e-2
