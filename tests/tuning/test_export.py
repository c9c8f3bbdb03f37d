"""A π-expert of the shipped backbone is an ordinary PEFT checkpoint: libraries that know nothing of us run it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from pituning import cli
from pituning.backbones.base import Backbone
from pituning.experts.store import open_expert
from pituning.tasks.registry import load_task
from pituning.tuning.config import TuneConfig
from pituning.tuning.run import tune
from pituning.workspace.layout import Workspace

PLAIN = """
import sys
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import Florence2ForConditionalGeneration

backbone, expert, inputs, outputs = sys.argv[1:]
plain = Florence2ForConditionalGeneration.from_pretrained(backbone, dtype=torch.float32).eval()
batch = load_file(inputs)
with torch.no_grad():
    alone = plain(**batch).logits.clone()
    tuned = PeftModel.from_pretrained(plain, expert).eval()(**batch).logits
assert not any(name.split(".")[0] == "pituning" for name in sys.modules)
save_file({"alone": alone, "tuned": tuned.contiguous()}, outputs)
"""


@pytest.mark.slow
def test_a_shipped_pi_expert_runs_in_plain_peft(tmp_path: Path) -> None:
    workspace = Workspace.open(tmp_path / "ws")
    source = workspace.backbone_dir()
    config = TuneConfig(
        target="vqa", shots=2, steps=6, folds=1, donor_names=("colour", "shape"), baselines=(), test_examples=16
    )
    name = tune(config, workspace)["expert"]
    assert cli.run(["experts", "export", name, str(tmp_path / "out"), "-w", str(workspace.root), "--json"]) == 0

    backbone = Backbone.load(source)
    expert, model = open_expert(workspace.zoo().expert_dir("lora", name), backbone)
    task = load_task("vqa", workspace)
    batch = backbone.encode(task, task.split("test")[:16], keep_pixels=True).batch(range(16))
    with torch.no_grad():
        ours = model.forward(expert.values, batch)
    assert batch.pixel_values is not None
    inputs = {key: getattr(batch, key) for key in ("input_ids", "pixel_values", "attention_mask", "decoder_input_ids")}
    save_file({key: tensor.contiguous() for key, tensor in inputs.items()}, tmp_path / "inputs.safetensors")
    files = [str(path) for path in (source, tmp_path / "out", tmp_path / "inputs.safetensors", tmp_path / "outputs")]
    environment = {**os.environ, "PYTHONPATH": ""}
    subprocess.run([sys.executable, "-c", PLAIN, *files], check=True, cwd=tmp_path, env=environment)
    theirs = load_file(tmp_path / "outputs")
    torch.testing.assert_close(theirs["tuned"], ours, atol=1e-5, rtol=0)
    assert (theirs["tuned"] - theirs["alone"]).abs().max() > 1e-2  # the expert does something
