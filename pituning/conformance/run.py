"""The conformance run: every check on one checkpoint, on a handful of built-in examples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pituning.backbones.base import Backbone
from pituning.backbones.families import LANGUAGE, VISION, VISION_LANGUAGE
from pituning.backbones.places import Places
from pituning.conformance import backbone as alone
from pituning.conformance.backbone import Subject
from pituning.conformance.examples import picture_task, text_task
from pituning.conformance.kinds import KindChecks
from pituning.conformance.measure import Check, Measured, measured
from pituning.errors import BadInput
from pituning.experts.kinds import KINDS, mixable_kinds
from pituning.experts.model import ExpertModel
from pituning.progress import Reporter, Silent

PICTURES = "with pictures"


@dataclass(frozen=True, kw_only=True)
class Conformance:
    """What a conformance run found.

    Args:
        backbone: its name.
        dtype: in which it ran, as PyTorch calls it.
        device: on which.
    """

    backbone: str
    fingerprint: str
    dtype: str
    device: str
    checks: tuple[Check, ...]

    @property
    def failed(self) -> list[Check]:
        return [check for check in self.checks if check.outcome == "failed"]

    @property
    def passed(self) -> bool:
        """Whether none failed."""
        return not self.failed


def check_backbone(
    directory: Path, *, name: str | None = None, dtype: str | None = "float32", reporter: Reporter | None = None
) -> Conformance:
    """Checks the backbone in a directory; nothing of it is changed, but a missing ``places.json`` is written.

    Args:
        dtype: see `Backbone.load`; in float32 rounding is small enough to tell it from a fault.
        reporter: is told of every check.

    Raises:
        BadInput, ArtefactError: the backbone cannot be loaded; see `Backbone.load`.
    """
    reporter = reporter or Silent()
    reporter.phase("load", 1)
    written = not Places.is_kept(directory)
    backbone = Backbone.load(directory, name=name, dtype=dtype)
    reporter.advance()
    return check_loaded(backbone, directory, written=written, reporter=reporter)


def check_loaded(
    backbone: Backbone, directory: Path, *, written: bool = False, reporter: Reporter | None = None
) -> Conformance:
    """As `check_backbone`, of a backbone that is loaded.

    Args:
        directory: of its files.
        written: whether loading it wrote ``places.json``.
    """
    reporter = reporter or Silent()
    checks: list[Check] = []
    sees = {VISION, VISION_LANGUAGE} & set(backbone.modalities)
    subjects = [Subject(backbone=backbone, task=text_task(), pictures=False)] if LANGUAGE in backbone.modalities else []
    subjects += [Subject(backbone=backbone, task=picture_task(), pictures=True)] if sees else []

    seeing = [kind for kind in mixable_kinds() if KINDS[kind].sees and sees and backbone.eyes]

    def do(check: str, meaning: str, work: Callable[[], Measured]) -> Check:
        checks.append(measured(check, meaning, work))
        reporter.advance()
        return checks[-1]

    reporter.phase(
        f"check {backbone.name}", 1 + len(subjects) * len(alone.CHECKS) + 6 * len([*mixable_kinds(), *seeing])
    )
    do("places", "places.json says where experts attach, and agrees with the model.",
       lambda: alone.places(directory, backbone, written))  # fmt: skip
    for subject in subjects:
        for check, (meaning, work) in alone.CHECKS.items():
            do(f"{check}, {PICTURES}" if subject.pictures else check, meaning, partial(work, subject))
    if not sees:
        note = "this backbone reads text alone"
        checks.append(Check(name="pictures", meaning="The same with pictures.", outcome="not applicable", note=note))
    for kind in mixable_kinds():
        _check_kind(subjects[0], kind, kind, partial(ExpertModel, backbone, kind), do)
    for kind in seeing:
        _check_kind(subjects[-1], kind, f"{kind} in the vision tower", partial(_seeing, backbone, kind), do)
    return Conformance(
        backbone=backbone.name,
        fingerprint=backbone.fingerprint,
        dtype=str(backbone.dtype).removeprefix("torch."),
        device=str(backbone.device),
        checks=tuple(checks),
    )


def _seeing(backbone: Backbone, kind: str) -> ExpertModel:
    return ExpertModel(backbone, kind).with_eyes()


def _check_kind(
    subject: Subject,
    kind: str,
    name: str,
    model: Callable[[], ExpertModel],
    do: Callable[[str, str, Callable[[], Measured]], Check],
) -> None:
    made: list[ExpertModel] = []

    def make() -> Measured:
        try:
            made.append(model())
        except BadInput as error:
            return Measured(fine=None, note=str(error))
        space = made[0].space
        return Measured(note=f"{space.size} parameters at {len(space.sites)} sites")

    do(f"{name}: places", f"The model has places for {KINDS[kind].label} experts.", make)
    if made:
        for check, (meaning, work) in KindChecks(subject, made[0]).meanings.items():
            do(f"{name}: {check}", meaning, work)
