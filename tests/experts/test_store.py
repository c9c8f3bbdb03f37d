from __future__ import annotations

import json

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import Florence2ForConditionalGeneration

from pituning.errors import ArtefactError, BackboneMismatch, BadInput
from pituning.experts import checkpoint
from pituning.experts.card import CARD, CONFIG, TENSORS, read_card
from pituning.experts.checkpoint import read_directory
from pituning.experts.kinds import mixable_kinds
from pituning.experts.model import ExpertModel
from pituning.experts.store import (
    export_expert,
    import_expert,
    load_expert,
    make_expert,
    open_expert,
    save_expert,
)
from pituning.progress import Silent
from pituning.runs.configs import TrainRun
from pituning.runs.jobs import train
from pituning.studies.zoo import ZooConfig, train_zoo_expert
from pituning.workspace.layout import Workspace
from tests.conftest import make_text_task


def noisy(model: ExpertModel, seed: int = 5) -> torch.Tensor:
    return model.initial(0) + 0.3 * torch.randn(model.space.size, generator=torch.Generator().manual_seed(seed))


ROUNDING = {"fourier": 2e-5}
"""How far outputs may be from plain PEFT's where we sum in another order: a product of cosines for its inverse FFT."""


def saved(backbone, directory, kind="lora", **options):
    model = ExpertModel(backbone, kind)
    expert = make_expert(model, noisy(model), name="one", task="tiny-colour", seed=0)
    save_expert(expert, model, directory, **options)
    return model, expert


@pytest.mark.slow
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("kind", mixable_kinds())
def test_checkpoint_loads_in_plain_peft(
    kind, layers, tiny_backbone_dir, tiny_backbone, two_layer_backbone_dir, two_layer_backbone, vision_task, tmp_path
):
    directory, backbone = {
        1: (tiny_backbone_dir, tiny_backbone),
        2: (two_layer_backbone_dir, two_layer_backbone),
    }[layers]
    model, expert = saved(backbone, tmp_path / "zoo", kind)
    export_expert(tmp_path / "zoo", tmp_path / "out")
    plain = Florence2ForConditionalGeneration.from_pretrained(directory, dtype=torch.float32)
    peft_model = PeftModel.from_pretrained(plain, tmp_path / "out").eval()
    encoded = backbone.encode(vision_task, vision_task.split("test")[:5], keep_pixels=True)
    batch = encoded.batch(range(5))
    with torch.no_grad():
        theirs = peft_model(
            input_ids=batch.input_ids,
            pixel_values=batch.pixel_values,
            attention_mask=batch.attention_mask,
            decoder_input_ids=batch.decoder_input_ids,
        ).logits
        ours = model.forward(expert.values, batch)
        alone = backbone.logits(batch)
    torch.testing.assert_close(theirs, ours, atol=ROUNDING.get(kind, 1e-5), rtol=0)
    assert (ours - alone).abs().max() > 1e-2


@pytest.mark.parametrize("kind", mixable_kinds())
def test_save_and_load_give_the_values_back(kind, two_layer_backbone, tmp_path):
    model, expert = saved(two_layer_backbone, tmp_path / "a", kind)
    assert torch.equal(load_expert(tmp_path / "a", model).values, expert.values)
    save_expert(expert, model, tmp_path / "b", half=True)
    rounded = load_expert(tmp_path / "b", model)
    assert torch.equal(rounded.values, expert.values.half().float())
    assert rounded.values.dtype == torch.float32
    assert sum(path.stat().st_size for path in (tmp_path / "b").glob("*.safetensors")) < 3 * model.space.size + 20_000
    card = read_card(tmp_path / "a")
    assert (card.name, card.kind, card.task, card.fingerprint) == (
        "one",
        kind,
        "tiny-colour",
        two_layer_backbone.fingerprint,
    )


def test_open_expert_takes_any_rank(tiny_backbone, tmp_path):
    model = ExpertModel(tiny_backbone, "lora", {"rank": 12})
    save_expert(make_expert(model, noisy(model), name="wide", task="t"), model, tmp_path / "wide")
    expert, wide = open_expert(tmp_path / "wide", tiny_backbone)
    assert wide.space.size == expert.values.numel() == 3 * ExpertModel(tiny_backbone, "lora").space.size
    with pytest.raises(ArtefactError, match="rank"):
        load_expert(tmp_path / "wide", ExpertModel(tiny_backbone, "lora"))


def one_line(error) -> str:
    message = str(error.value)
    assert "\n" not in message
    return message


def test_truncated_tensors(tiny_backbone, tmp_path):
    model, _ = saved(tiny_backbone, tmp_path / "a")
    path = tmp_path / "a" / TENSORS
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ArtefactError, match=r"checksum of its card \(SHA-256 [0-9a-f]{12}…, the card says") as error:
        load_expert(tmp_path / "a", model)
    one_line(error)
    (tmp_path / "a" / CARD).unlink()
    workspace = Workspace(tmp_path / "w", None)
    with pytest.raises(BadInput, match="not a whole safetensors file") as error:
        import_expert(tmp_path / "a", task="t", name="n", backbone=tiny_backbone, workspace=workspace)
    one_line(error)
    assert not (tmp_path / "w").exists()


def test_other_backbone(tiny_backbone, two_layer_backbone, tmp_path):
    saved(tiny_backbone, tmp_path / "a")
    with pytest.raises(BackboneMismatch, match="was made on backbone 'tiny'") as error:
        load_expert(tmp_path / "a", ExpertModel(two_layer_backbone, "lora"))
    one_line(error)


def test_wrong_shapes_and_names(tiny_backbone, tmp_path):
    saved(tiny_backbone, tmp_path / "a")
    (tmp_path / "a" / CARD).unlink()
    tensors = load_file(tmp_path / "a" / TENSORS)
    first = sorted(tensors)[0]
    workspace = Workspace(tmp_path / "w", None)
    for change, match in (
        (lambda t: t | {first: t[first][:, :-1].contiguous()}, "with shape"),
        (lambda t: t | {"foreign": torch.zeros(1)}, "has the tensor 'foreign', which has no place here"),
        (lambda t: {k: v for k, v in t.items() if k != first}, "lacks the tensor"),
        (lambda t: t | {first: torch.full_like(t[first], torch.nan)}, "not finite"),
    ):
        save_file(change(tensors), tmp_path / "a" / TENSORS)
        with pytest.raises(BadInput, match=match) as error:
            import_expert(tmp_path / "a", task="t", name="n", backbone=tiny_backbone, workspace=workspace)
        one_line(error)
    assert not (tmp_path / "w").exists()


def test_import_of_a_bare_checkpoint_and_a_taken_name(tiny_backbone, tmp_path):
    model, expert = saved(tiny_backbone, tmp_path / "a", "bottleneck")
    (tmp_path / "a" / CARD).unlink()
    workspace = Workspace(tmp_path / "w", None)
    imported = import_expert(tmp_path / "a", task="mine", name="n-1", backbone=tiny_backbone, workspace=workspace)
    assert torch.equal(imported.values, expert.values)
    again = load_expert(workspace.zoo(tiny_backbone.name).expert_dir("bottleneck", "n-1"), model)
    assert (again.task, again.name) == ("mine", "n-1")
    with pytest.raises(BadInput, match="already"):
        import_expert(tmp_path / "a", task="mine", name="n-1", backbone=tiny_backbone, workspace=workspace)
    with pytest.raises(BadInput, match="cannot be used"):
        import_expert(tmp_path / "a", task="mine", name="../x", backbone=tiny_backbone, workspace=workspace)
    # What was imported cannot be made again: nothing that is made takes its place, and this is told before the work.
    place = workspace.zoo(tiny_backbone.name).expert_dir("bottleneck", "n-1")
    before = {file.name: file.read_bytes() for file in place.iterdir()}
    run = TrainRun(task="digits", kind="bottleneck", name="n-1", backbone=tiny_backbone.name)
    for make in (
        lambda: save_expert(expert, model, place),
        lambda: train(run, workspace, Silent(), tmp_path),
        lambda: train_zoo_expert(
            workspace.zoo(tiny_backbone.name), model, make_text_task(name="n-1"), ZooConfig(kinds=("bottleneck",))
        ),
    ):
        with pytest.raises(BadInput, match="'n-1' was imported, and this would replace it") as error:
            make()
        one_line(error)
    assert {file.name: file.read_bytes() for file in place.iterdir()} == before


def test_what_is_too_large_for_an_expert_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "MAX_TENSOR_BYTES", 2**20)
    for name, size in ((CONFIG, 10), (TENSORS, 3 * 2**20)):
        (tmp_path / name).write_bytes(bytes(size))
    with pytest.raises(BadInput, match="has a adapter_model.safetensors of 3 MiB, .* may have one of 1 MiB") as error:
        read_directory(tmp_path)
    one_line(error)
    with pytest.raises(BadInput, match="that is not JSON"):  # it is read: half as large as those of a large backbone
        read_directory(tmp_path, weights=6 * 2**20)


def test_import_refuses_what_is_no_checkpoint(tiny_backbone, tmp_path):
    saved(tiny_backbone, tmp_path / "a")
    (tmp_path / "a" / CARD).unlink()
    path = tmp_path / "a" / CONFIG
    document = json.loads(path.read_text())
    workspace = Workspace(tmp_path / "w", None)
    cases = (
        ({"r": 0}, "not a PEFT config"),
        ({"init_lora_weights": "pissa_niter_4"}, "acts on base weights that it changed; save it as a plain LoRA: "),
        ({"init_lora_weights": "OLoRA"}, "acts on base weights that it changed; save it as a plain LoRA: "),
        ({"r": 50_000}, "says rank 50,000, .* at most 128 numbers on a side; save it with a rank of at most 512"),
        ({"init_lora_weights": "loftq"}, "train it again with init_lora_weights=True"),
        ({"peft_type": "NO_SUCH"}, "that PEFT cannot load on this backbone"),
        ({"layer_replication": [[0, 1]]}, "makes another model of the backbone"),
    )
    for change, match in cases:
        path.write_text(json.dumps(document | change))
        with pytest.raises(BadInput, match=match) as error:
            import_expert(tmp_path / "a", task="t", name="n", backbone=tiny_backbone, workspace=workspace)
        one_line(error)
    path.write_text("{")
    with pytest.raises(BadInput, match="that is not JSON"):
        import_expert(tmp_path / "a", task="t", name="n", backbone=tiny_backbone, workspace=workspace)
    path.unlink()
    with pytest.raises(BadInput, match="has no adapter_config"):
        import_expert(tmp_path / "a", task="t", name="n", backbone=tiny_backbone, workspace=workspace)
    assert not (tmp_path / "w").exists()


def test_values_that_are_not_finite_are_never_saved(tiny_backbone, tmp_path):
    model = ExpertModel(tiny_backbone, "lora")
    values = model.initial(0)
    values[3] = torch.inf
    with pytest.raises(ArtefactError, match="not finite"):
        save_expert(make_expert(model, values, name="bad", task="t"), model, tmp_path / "bad")
    values[3] = 1e6  # beyond float16
    with pytest.raises(ArtefactError, match="not finite"):
        save_expert(make_expert(model, values, name="bad", task="t"), model, tmp_path / "bad", half=True)
    assert list(tmp_path.iterdir()) == []


def test_damaged_cards(tiny_backbone, tmp_path):
    model, _ = saved(tiny_backbone, tmp_path / "a")
    path = tmp_path / "a" / CARD
    document = json.loads(path.read_text())
    for change in ({"sha256": None}, {"format_version": 99}, {"kind": "magic"}, {"config": 3}):
        path.write_text(json.dumps(document | change))
        with pytest.raises(ArtefactError) as error:
            load_expert(tmp_path / "a", model)
        one_line(error)
    path.unlink()
    with pytest.raises(ArtefactError, match="experts import"):
        load_expert(tmp_path / "a", model)


def test_export_never_overwrites(tiny_backbone, tmp_path):
    saved(tiny_backbone, tmp_path / "a")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "precious.txt").write_text("keep")
    with pytest.raises(BadInput, match="exists already"):
        export_expert(tmp_path / "a", tmp_path / "out")
    assert (tmp_path / "out" / "precious.txt").read_text() == "keep"
