"""How the frozen weights are held: precision, packing, and more than one device."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from pituning.backbones import loading
from pituning.backbones.base import Backbone
from pituning.backbones.device import DEVICE_VARIABLE, best_device
from pituning.backbones.precision import DTYPE_VARIABLE, QUANTIZE_VARIABLE, chosen_dtype, use_dtype
from pituning.errors import BadInput
from pituning.experts.kinds import mixable_kinds
from pituning.experts.model import ExpertModel
from pituning.tasks.base import Task
from pituning.tuning.interpolation import Mixture
from tests.backbones.tiny import TINY
from tests.experts.contract import noisy

LLAMA = next(tiny for tiny in TINY if tiny.id == "llama")


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tiny") / "llama"
    LLAMA.make(path)
    return path


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What transformers was told when it loaded a model; what it cannot do here it is not asked for."""
    seen: dict[str, Any] = {}
    original = AutoModelForCausalLM.from_pretrained

    def from_pretrained(path: Path, **given: Any) -> Any:
        seen.update(given)
        return original(path, **{key: given[key] for key in given if key not in ("device_map", "quantization_config")})

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", from_pretrained)
    return seen


def test_the_environment_decides_where_nothing_is_said(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DTYPE_VARIABLE, "float32")
    use_dtype(None)
    assert chosen_dtype() == "float32"
    use_dtype("bfloat16")
    assert chosen_dtype() == "bfloat16"
    assert Backbone.load(directory).dtype == torch.bfloat16
    assert Backbone.load(directory, dtype="float32").dtype == torch.float32
    with pytest.raises(BadInput, match="dtype 'half' is unknown"):
        use_dtype("half")


def test_nothing_is_placed_that_needs_not_be(directory: Path, told: dict[str, Any]) -> None:
    Backbone.load(directory, device="cpu")
    assert not {"device_map", "quantization_config"} & set(told)


def test_packing_needs_bitsandbytes(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "find_spec", lambda name: None)
    with pytest.raises(BadInput, match="needs bitsandbytes, which is not installed; install it with: pip install") as e:
        Backbone.load(directory, quantize="4bit")
    assert e.value.field == "quantize"
    with pytest.raises(BadInput, match="quantize '2bit' is unknown; choose 4bit or 8bit"):
        Backbone.load(directory, quantize="2bit")


@pytest.mark.parametrize("packing", ["4bit", "8bit"])
def test_packing_is_what_transformers_is_told(
    directory: Path, packing: str, told: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "find_spec", lambda name: SimpleNamespace(name=name))
    monkeypatch.setenv(QUANTIZE_VARIABLE, packing)
    Backbone.load(directory, device="cpu", dtype="bfloat16")
    config = told["quantization_config"]
    assert (config.load_in_4bit, config.load_in_8bit) == (packing == "4bit", packing == "8bit")
    assert packing == "8bit" or (config.bnb_4bit_quant_type, config.bnb_4bit_compute_dtype) == ("nf4", torch.bfloat16)
    assert told["device_map"] == {"": "cpu"}
    told.clear()
    monkeypatch.delenv(QUANTIZE_VARIABLE)
    Backbone.load(directory, device="cpu")
    assert "quantization_config" not in told


def test_several_gpus_are_taken_where_one_is_too_small(
    directory: Path, told: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    size = sum(file.stat().st_size for file in directory.glob("*.safetensors"))
    gpu = torch.device("cuda")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for free, too_large in ((size, True), (2 * size, False)):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device, free=free: (free, free))
        assert loading._too_large(directory, gpu) == too_large
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1, 1))
    assert not loading._too_large(directory, gpu)
    assert not loading._too_large(directory, torch.device("cpu"))
    monkeypatch.setattr(loading, "_too_large", lambda path, device: True)
    Backbone.load(directory)
    assert told.pop("device_map") == "auto"
    Backbone.load(directory, device="cpu")  # whoever names a device gets it
    assert "device_map" not in told


def test_spread_over_what_there_is(directory: Path, text_task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DEVICE_VARIABLE, "auto")
    assert best_device().type in ("cpu", "cuda")
    spread, plain = Backbone.load(directory), Backbone.load(directory, device="cpu")
    examples = text_task.split("train")[:3]
    with torch.no_grad():
        actual = spread.loss(spread.encode(text_task, examples).batch(range(3)))
        expected = plain.loss(plain.encode(text_task, examples).batch(range(3)))
    torch.testing.assert_close(actual.cpu(), expected)


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=() if kind == "lora" else pytest.mark.slow) for kind in mixable_kinds()]
)
def test_experts_go_to_where_their_map_is(directory: Path, kind: str, text_task: Task) -> None:
    """A model that is spread over two devices; the second takes no tensor of the first."""
    backbone = Backbone.load(directory)
    model = ExpertModel(backbone, kind)
    batch = backbone.encode(text_task, text_task.split("train")[:3]).batch(range(3))
    experts = torch.stack([noisy(model, seed) for seed in range(2)])
    with torch.no_grad():
        expected = model.forward(experts[0], batch), Mixture(model).forward(experts, Mixture(model).uniform(2), batch)
    from tests.pretend_device import pretended_device

    with pretended_device() as other:
        layer = backbone.layers[-1]
        layer.to(other)
        handles = [
            layer.register_forward_pre_hook(lambda _, args, kwargs: moved((args, kwargs), other), with_kwargs=True),
            layer.register_forward_hook(lambda _module, _inputs, output: moved(output, torch.device("cpu"))),
        ]
        try:
            with torch.no_grad():
                actual = (
                    model.forward(experts[0], batch),
                    Mixture(model).forward(experts, Mixture(model).uniform(2), batch),
                )
        finally:
            for handle in handles:
                handle.remove()
    for one, two in zip(actual, expected, strict=True):
        torch.testing.assert_close(one, two, atol=1e-5, rtol=1e-4)


def moved(given: Any, device: torch.device) -> Any:
    from torch.utils._pytree import tree_map

    return tree_map(lambda each: each.to(device) if isinstance(each, torch.Tensor) else each, given)
