"""The conformance run: every tiny family passes, and a model that does something wrong is told by the right line."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pituning.backbones.base import Backbone, Decoding
from pituning.backbones.encoded import Batch
from pituning.backbones.families import FAMILIES
from pituning.backbones.places import FILE as PLACES_FILE
from pituning.conformance import run as running
from pituning.conformance.measure import Measured, measured
from pituning.conformance.restore import as_it_was
from pituning.conformance.run import Conformance, check_backbone, check_loaded
from pituning.experts.kinds import mixable_kinds
from tests.backbones.tiny import TINY, Tiny

LLAMA = next(tiny for tiny in TINY if tiny.id == "llama")
KIND_CHECKS = ("places", "training", "disk", "PEFT", "gradients", "mixture")


@pytest.fixture(autouse=True)
def two_kinds(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a fault is told by needs no more kinds than these; all of them are for the long tests."""
    if not request.node.get_closest_marker("slow"):
        monkeypatch.setattr(running, "mixable_kinds", lambda: ("lora", "bottleneck"))


@pytest.fixture
def llama(tmp_path: Path) -> Path:
    LLAMA.make(tmp_path / "llama")
    return tmp_path / "llama"


def failed(conformance: Conformance) -> set[str]:
    return {check.name for check in conformance.failed}


@pytest.mark.slow
@pytest.mark.parametrize("tiny", TINY, ids=lambda tiny: tiny.id)
def test_every_family_passes(tiny: Tiny, tmp_path: Path) -> None:
    tiny.make(tmp_path / tiny.id)
    actual = check_backbone(tmp_path / tiny.id)
    assert actual.passed, actual.failed
    assert (actual.backbone, actual.dtype) == (tiny.id, "float32")
    names = [check.name for check in actual.checks]
    assert len(names) == len(set(names))
    without = set(FAMILIES[tiny.family].without) & set(mixable_kinds())
    kinds = {f"{kind}: {check}" for kind in set(mixable_kinds()) - without for check in KIND_CHECKS}
    if Backbone.load(tmp_path / tiny.id, name="any").eyes:
        kinds |= {f"lora in the vision tower: {check}" for check in KIND_CHECKS}
    assert {name for name in names if ": " in name} == kinds | {f"{kind}: places" for kind in without}
    not_for_it = {check.name for check in actual.checks if check.outcome == "not applicable"}
    assert not_for_it - {"pictures"} == {f"{kind}: places" for kind in without}
    assert {"places", "answers", "batch", "padding", "steps", "labels", "generate"} <= set(names)
    assert ("pictures" in names) != ("batch, with pictures" in names)
    for check in actual.checks:
        assert check.meaning.endswith(".")
        assert check.outcome == "passed" or check.name in not_for_it
        assert (check.difference is None) or check.difference <= (check.tolerance or 0)
    # Nothing of the model is left as a check made it, so that it can be checked again.
    assert not any(name.startswith("base_model") for name in (path.name for path in tmp_path.iterdir()))


@pytest.mark.slow
def test_half_precision_has_wider_limits(llama: Path) -> None:
    actual = check_backbone(llama, dtype="bfloat16")
    assert actual.passed, actual.failed
    assert {check.tolerance for check in actual.checks if check.name in ("batch", "lora: PEFT")} == {5e-2}


def test_missing_places_are_written_and_wrong_ones_found(llama: Path) -> None:
    first = check_backbone(llama).checks[0]
    assert first.note.startswith("it was missing and has been written")
    document = json.loads((llama / PLACES_FILE).read_text())
    document["width"] += 1
    (llama / PLACES_FILE).write_text(json.dumps(document))
    actual = check_backbone(llama)
    assert failed(actual) == {"places"}
    assert actual.checks[0].note == f"width differ; delete {llama / PLACES_FILE} and check again"


def sabotaged(llama: Path, **methods: Callable[..., Any]) -> Conformance:
    """The run on a backbone with other methods."""
    backbone = Backbone.load(llama)
    backbone.__class__ = type("Sabotaged", (type(backbone),), methods)
    return check_loaded(backbone, llama)


def test_logits_that_ignore_the_mask(llama: Path) -> None:
    def _run(self: Any, batch: Batch, ids: Tensor, mask: Tensor, kept: int, *, keep: bool) -> Any:
        return super(type(self), self)._run(batch, ids, torch.ones_like(mask), kept, keep=keep)

    actual = failed(sabotaged(llama, _run=_run))
    assert {"batch", "padding", "generate"} <= actual
    assert not actual & {"places", "answers", "lora: training", "lora: disk", "lora: PEFT"}


def test_steps_that_miscount_positions(llama: Path) -> None:
    def step(self: Any, decoding: Decoding, tokens: Tensor) -> Decoding:
        wrong = super(type(self), self).step(decoding, tokens)
        wrong.logits = wrong.logits.flip(-1)
        return wrong

    assert failed(sabotaged(llama, step=step)) == {"steps", "labels", "generate"}


def test_what_is_not_a_number(llama: Path) -> None:
    def logits(self: Any, batch: Batch) -> Tensor:
        return super(type(self), self).logits(batch) * float("nan")

    actual = sabotaged(llama, logits=logits)
    assert {"batch", "padding", "steps", "labels", "lora: training", "lora: gradients"} <= failed(actual)
    json.dumps([check.difference for check in actual.checks], allow_nan=False)


def test_an_expert_that_is_not_what_peft_runs(llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pituning.experts.kinds.lora import Lora

    attach = Lora.attach

    def weaker(self: Any, backbone: Any, space: Any, tensors: Any, tape: Any = None) -> Any:
        return attach(self, backbone, space, [tensor * 0.7 for tensor in tensors], tape)

    monkeypatch.setattr(Lora, "attach", weaker)
    actual = failed(check_backbone(llama))
    assert "lora: PEFT" in actual
    assert not {name for name in actual if not name.startswith("lora")}


def test_a_kind_without_places_does_not_apply(llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pituning.experts.kinds.bottleneck import Bottleneck

    monkeypatch.setattr(Bottleneck, "targets", lambda self, backbone: [])
    actual = check_backbone(llama)
    mine = [check for check in actual.checks if check.name.startswith("bottleneck")]
    assert [check.outcome for check in mine] == ["not applicable"]
    assert "finds no module" in mine[0].note
    assert actual.passed


def test_what_a_check_raises_is_its_failure() -> None:
    def work() -> Measured:
        raise IndexError("no\nsuch row")

    actual = measured("x", "X.", work)
    assert (actual.outcome, actual.note) == ("failed", "IndexError: no such row")
    assert measured("x", "X.", lambda: Measured(float("nan"), 1.0)).outcome == "failed"
    assert measured("x", "X.", lambda: Measured(0.5, 1.0)).outcome == "passed"
    assert measured("x", "X.", lambda: Measured(2.0, 1.0)).outcome == "failed"
    assert measured("x", "X.", lambda: Measured(fine=None)).outcome == "not applicable"


def test_a_model_is_put_back_as_it_was() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)).eval().requires_grad_(False)
    before, modules = copy.deepcopy(model.state_dict()), list(model.named_modules())
    with pytest.raises(KeyError), as_it_was(model):
        model[0] = nn.Linear(2, 3)
        model[1].register_forward_hook(lambda *_: None)
        model.train().requires_grad_(True)
        model.extra = 5
        raise KeyError
    assert list(model.named_modules()) == modules
    assert not model.training
    assert not model[1]._forward_hooks
    assert not hasattr(model, "extra")
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_the_run_tells_of_every_check(llama: Path) -> None:
    told: list[tuple[str, int]] = []
    advanced = [0]

    class Listening(running.Silent):
        def phase(self, name: str, total: int) -> None:
            told.append((name, total))

        def advance(self, steps: int = 1) -> None:
            advanced[0] += steps

    actual = check_backbone(llama, reporter=Listening())
    assert told == [("load", 1), ("check llama", len(actual.checks) - 1)]  # that of pictures does not apply
    assert advanced[0] == len(actual.checks)
