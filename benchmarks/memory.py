"""What a step of π-tuning with 8 experts needs in memory, against plain PEFT training one LoRA of the same model.

Run with ``python -m benchmarks.memory`` or ``pituning bench memory``. Each is measured in a fresh process on the CPU,
on decoder-only models with random weights: memory does not depend on what the weights are. The peer is the model's own
loss under PEFT (``naive``), whose logits are those of all positions, and the same with logits of the answers alone
(``peft``), as ours are; ratios are to the latter, which is the harder one.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pituning.errors import RunFailed
from pituning.progress import Reporter, Silent

EXPERTS = 8
RANK = 4
BATCH, PROMPT, ANSWER = 8, 120, 8
STEPS = 2
"""The second step is the one that counts: only after the first has the optimiser its moments."""
STEP_VARIANTS = ("pi", "pi checkpointed", "one", "peft", "naive")
VOCABULARY = 32000


@dataclass(frozen=True)
class Shape:
    """Sizes of a Llama-like decoder."""

    width: int
    inner: int
    layers: int
    heads: int


SHAPES = {
    "128": Shape(128, 352, 8, 4),
    "small": Shape(256, 704, 8, 4),
    "512": Shape(512, 1408, 8, 8),
    "768": Shape(768, 2112, 8, 12),
    "large": Shape(1024, 2816, 16, 16),
}
"""By width, from about 10 to 271 million parameters."""


def run(*, shapes: tuple[str, ...] = tuple(SHAPES), reporter: Reporter | None = None) -> dict[str, Any]:
    """Measures every step on every model.

    Returns:
        ``ratio``: the peak of the process with 8 experts over that of PEFT with one, the worst of the models.
        ``step_ratio``: the same of what the step needs beside the loaded model. ``models``: of each the parameters,
        and bytes: ``loaded``, and of each step ``peak`` and ``step``.
    """
    progress = reporter or Silent()
    progress.phase("measure memory", len(shapes) * len(STEP_VARIANTS))
    models: dict[str, Any] = {}
    for shape in shapes:
        measured = {}
        for variant in STEP_VARIANTS:
            measured[variant] = _in_a_process(shape, variant)
            progress.advance()
        models[shape] = {
            "parameters": measured["pi"]["parameters"],
            "steps": {
                variant: {key: one[key] for key in ("loaded", "peak", "step")} for variant, one in measured.items()
            },
            "ratio": round(measured["pi"]["peak"] / measured["peft"]["peak"], 3),
            "step_ratio": round(measured["pi"]["step"] / measured["peft"]["step"], 3),
            "checkpointed_step_ratio": round(measured["pi checkpointed"]["step"] / measured["peft"]["step"], 3),
        }
    return {
        "ratio": max(model["ratio"] for model in models.values()),
        "step_ratio": max(model["step_ratio"] for model in models.values()),
        "peer": "PEFT, one LoRA of the same rank, logits of the answers alone",
        "setting": f"{EXPERTS} experts of rank {RANK}, {BATCH} examples of {PROMPT} + {ANSWER} tokens, float32, CPU",
        "models": models,
    }


def _in_a_process(shape: str, variant: str) -> dict[str, int]:
    command = [sys.executable, "-m", "benchmarks.memory", "--shape", shape, "--step", variant]
    root = Path(__file__).resolve().parent.parent
    path = os.pathsep.join(filter(None, (str(root), os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=root, env={**os.environ, "PYTHONPATH": path}, check=False
    )
    if done.returncode != 0:
        last = (done.stderr.strip() or "no message").splitlines()[-1]
        raise RunFailed(
            f"benchmark memory: the step {variant!r} on the {shape} model failed ({last}); is memory enough?"
        )
    return json.loads(done.stdout.splitlines()[-1])


def measure(shape: str, variant: str) -> dict[str, int]:
    """Takes two steps in this process and reads what they needed, in bytes.

    Returns:
        ``parameters``; ``loaded``, with the model in memory; ``peak``; and ``step``, the difference.
    """
    import torch

    model = _model(SHAPES[shape])
    parameters = sum(each.numel() for each in model.parameters())
    steps = _steps(model, variant)
    ids = torch.randint(10, VOCABULARY, (BATCH, PROMPT + ANSWER), generator=torch.Generator().manual_seed(1))
    _reset_peak()
    loaded = _status("VmRSS")
    steps(ids)
    peak = _status("VmHWM")
    return {"parameters": parameters, "loaded": loaded, "peak": peak, "step": peak - loaded}


def _model(shape: Shape) -> Any:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=shape.width, intermediate_size=shape.inner, num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads, max_position_embeddings=512,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


def _steps(model: Any, variant: str) -> Callable[[Any], None]:
    return _peft(model, naive=variant == "naive") if variant in ("peft", "naive") else _pi(model, variant)


def _pi(model: Any, variant: str) -> Callable[[Any], None]:
    """A step of a mixture through the library, as a tuning takes it."""
    import numpy as np
    import torch

    from pituning.backbones.causal import CausalBackbone
    from pituning.backbones.encoded import EncodedExamples, TokenRows
    from pituning.experts.model import ExpertModel
    from pituning.training.config import TrainConfig
    from pituning.training.loop import fit
    from pituning.tuning.interpolation import Mixture

    backbone = CausalBackbone(model, WordCounter(), name="random", fingerprint="0" * 64)
    expert_model = ExpertModel(backbone, "lora", {"rank": RANK})
    mixture, count = Mixture(expert_model), 1 if variant == "one" else EXPERTS
    generator = torch.Generator().manual_seed(0)
    experts = expert_model.initial(0) + 0.01 * torch.randn(count, expert_model.space.size, generator=generator)
    experts.requires_grad_(True)
    alpha = torch.zeros(len(expert_model.space.sites), count).requires_grad_(True)
    config = TrainConfig(steps=STEPS, batch_size=BATCH, warmup=0, checkpointing="checkpointed" in variant)

    def steps(ids: Any) -> None:
        rows = np.asarray(ids)
        encoded = EncodedExamples(
            prompts=TokenRows(rows[:, :PROMPT]), answers=TokenRows(rows[:, PROMPT:]), backbone=backbone
        )
        fit([experts, alpha], lambda batch: mixture.loss(experts, alpha.softmax(1), batch), encoded, config)

    return steps


def _peft(model: Any, *, naive: bool) -> Callable[[Any], None]:
    """A step of plain PEFT on the maps that our experts take."""
    import torch
    from peft import LoraConfig, get_peft_model
    from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING

    targets = TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING["llama"]
    tuned = get_peft_model(model, LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules=targets))
    tuned.eval()  # no dropout, as ours
    parameters = [each for each in tuned.parameters() if each.requires_grad]
    optimiser = torch.optim.AdamW(parameters, lr=1e-4, fused=True)

    def step(ids: Any) -> None:
        optimiser.zero_grad(set_to_none=True)
        # No cache, as trainers have it: keys and values of every layer would be kept twice.
        if naive:
            labels = ids.clone()
            labels[:, :PROMPT] = -100
            loss = tuned(input_ids=ids, attention_mask=torch.ones_like(ids), labels=labels, use_cache=False).loss
        else:
            fed = ids[:, :-1]
            logits = tuned(
                input_ids=fed, attention_mask=torch.ones_like(fed), logits_to_keep=ANSWER, use_cache=False
            ).logits
            loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, PROMPT:].flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()

    def steps(ids: Any) -> None:
        for _ in range(STEPS):
            step(ids)

    return steps


class WordCounter:
    """As much of a tokenizer as a backbone of ids needs."""

    chat_template, bos_token = None, "s"
    bos_token_id, eos_token_id, pad_token_id = 1, 2, 0

    def __call__(self, text: str, **_: Any) -> dict[str, list[int]]:
        return {"input_ids": [3] * len(text)}


def _reset_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def _status(key: str) -> int:
    """Bytes of a line of ``/proc/self/status``."""
    match = re.search(rf"^{key}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert match is not None
    return int(match[1]) * 1024


def main() -> None:
    """Measures everything, or one step of one model in this process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--shape", choices=SHAPES)
    parser.add_argument("--step", choices=STEP_VARIANTS)
    given = parser.parse_args()
    print(json.dumps(run() if given.step is None else measure(given.shape or "small", given.step)))


if __name__ == "__main__":
    main()
