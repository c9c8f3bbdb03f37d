"""What experts of a kind must do on a backbone: learn, survive the disk, be what PEFT runs, be embedded, be mixed.

``tests/experts/contract.py`` holds every kind to the same on tiny models; here it is the user's checkpoint.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import torch
from peft import PeftModel
from torch import Tensor, nn

import pituning.experts.bottleneck  # noqa: F401 (registers the method with PEFT)
from pituning.backbones.encoded import Batch, EncodedExamples
from pituning.backbones.loading import quiet
from pituning.conformance.backbone import Subject
from pituning.conformance.measure import GRADIENT_TOLERANCE, Measured, apart
from pituning.conformance.restore import as_it_was
from pituning.embedding.fisher import example_gradients, fisher
from pituning.experts.kinds import KINDS
from pituning.experts.model import ExpertModel
from pituning.experts.plain import plain_logits
from pituning.experts.store import load_expert, make_expert, save_expert
from pituning.training.config import TrainConfig
from pituning.training.single import train_expert
from pituning.tuning.interpolation import Mixture, collapse, identity_check

STEPS = 6
FEW = 3
"""Examples of which each is run alone."""
NOISE = 0.01
"""Deviation of what is added to trained values, so that none of them is zero."""


class KindChecks:
    """The checks of one kind on one backbone.

    Args:
        model: of the experts that are checked.
    """

    def __init__(self, subject: Subject, model: ExpertModel):
        self.subject, self.model, self.backbone = subject, model, subject.backbone
        self.values = self._noisy(model.initial(0), seed=1)
        self.meanings: dict[str, tuple[str, Callable[[], Measured]]] = {
            "training": (f"The loss falls within {STEPS} steps, and the backbone stays as it is.", self.training),
            "disk": ("Saved and loaded, an expert gives the same outputs.", self.disk),
            "PEFT": ("Plain PEFT loads the saved expert and gives the same outputs.", self.peft),
            "gradients": ("Gradients of examples and the Fisher information are those of a slow loop.", self.gradients),
            "mixture": (
                "One expert at weight 1 is itself; a mixture and what it collapses to are equal.",
                self.mixture,
            ),
        }

    @cached_property
    def encoded(self) -> EncodedExamples:
        return self.model.prepare(self.subject.encoded(keep_pixels=self.model.sees))

    def batch(self, count: int = FEW) -> Batch:
        return self.encoded.batch(range(count))

    def training(self) -> Measured:
        plain = self._plain()
        rate = KINDS[self.model.kind].rate * self.backbone.rate_factor
        config = TrainConfig(steps=STEPS, batch_size=len(self.encoded), learning_rate=rate, warmup=1)
        trained = train_expert(self.model, self.encoded, config)
        losses = trained.fit.losses
        self.values = self._noisy(trained.values, seed=2)
        if not torch.equal(self._plain(), plain):
            return Measured(fine=False, note="the backbone's own outputs have changed")
        return Measured(fine=min(losses[-2:]) < losses[0], note=f"loss {losses[0]:.2f} to {losses[-1]:.2f}")

    def disk(self) -> Measured:
        with tempfile.TemporaryDirectory(prefix="pituning-check-") as folder, torch.no_grad():
            place = self._saved(Path(folder))
            loaded = load_expert(place, self.model).values.to(self.values)
            before = self.model.forward(self.values, self.batch())
            return Measured(apart(self.model.forward(loaded, self.batch()), before), 0.0)

    def peft(self) -> Measured:
        # Without what `prepare` computed ahead, since PEFT runs the whole model; one at a time, without padding.
        encoded = self.subject.encoded(keep_pixels=self.model.sees)
        batches = [encoded.batch([row]) for row in range(FEW)]
        with torch.no_grad():
            plain = self._plain()
            ours = [self.model.forward(self.values, batch) for batch in batches]
            with self._in_peft() as injected:
                theirs = [plain_logits(injected, self.backbone, batch) for batch in batches]
            if not torch.equal(self._plain(), plain):
                return Measured(fine=False, note="PEFT has changed the model for good")
            effect = max(apart(a, self.backbone.logits(b)) for a, b in zip(ours, batches, strict=True))
        worst = max(apart(a, b) for a, b in zip(theirs, ours, strict=True))
        return Measured(worst, self.subject.tolerance, f"the expert moves outputs by {effect:.1e}", fine=effect > 0)

    def gradients(self) -> Measured:
        expected = []
        for row in range(FEW):
            leaf = self.values.clone().requires_grad_(True)
            (gradient,) = torch.autograd.grad(self.model.loss(leaf, self.encoded.batch([row])).sum(), leaf)
            expected.append(gradient)
        slow = torch.stack(expected)
        worst = apart(example_gradients(self.model, self.values, self.batch()), slow)
        mean = torch.from_numpy(fisher(self.model, self.values, self.encoded.subset(range(FEW)), batch_size=FEW).mean)
        # A square differs by about twice what its root does.
        worst = max(worst, apart(mean, slow.square().mean(0).float().cpu()) / 2)
        silent = [
            slot.name
            for slot in self.model.space.slots()
            if slot.module not in self.backbone.picture_modules and not slow[:, slot.start : slot.stop].any()
        ]
        eyes = {block.module for block in self.backbone.eyes}
        seen = [slow[:, slot.start : slot.stop].any() for slot in self.model.space.slots() if slot.module in eyes]
        if seen and not any(seen):
            silent.append("what sees pictures")
        return Measured(worst, GRADIENT_TOLERANCE[self.backbone.dtype], fine=not silent,
                        note=f"no gradient reaches {silent[0]}" if silent else "")  # fmt: skip

    def mixture(self) -> Measured:
        mixture = Mixture(self.model)
        experts = torch.stack([self.values, self._noisy(self.model.initial(1), seed=3)])
        generator = torch.Generator().manual_seed(4)
        weights = torch.randn(len(self.model.space.sites), 2, generator=generator).softmax(1).to(experts)
        collapsed = collapse(mixture, experts, weights)
        identity = identity_check(mixture, experts, weights, collapsed, self.batch())
        return Measured(max(identity.values()), self.subject.tolerance)

    def _plain(self) -> Tensor:
        with torch.no_grad():
            return self.backbone.logits(self.batch())

    def _noisy(self, values: Tensor, *, seed: int) -> Tensor:
        noise = torch.randn(len(values), generator=torch.Generator().manual_seed(seed))
        return values + NOISE * noise.to(values)

    def _saved(self, folder: Path) -> Path:
        expert = make_expert(self.model, self.values, name="check", task=self.subject.task.name)
        save_expert(expert, self.model, folder / "check")
        return folder / "check"

    @contextmanager
    def _in_peft(self) -> Iterator[nn.Module]:
        """The backbone's own model with the expert as PEFT puts it in; afterwards it is as it was."""
        with (
            tempfile.TemporaryDirectory(prefix="pituning-check-") as folder,
            as_it_was(self.backbone.model),
            quiet(),
            warnings.catch_warnings(),
            torch.random.fork_rng(devices=[]),
        ):
            warnings.simplefilter("ignore")
            yield PeftModel.from_pretrained(self.backbone.model, self._saved(Path(folder))).eval()
