"""Draws how far the probabilities of an expert can be trusted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pituning.errors import ArtefactError
from pituning.experts.card import read_card
from pituning.experts.kinds import KINDS
from pituning.figures.reliability import reliability_figure
from pituning.labelling.calibration import Reliability, measured
from pituning.reports.asked import named
from pituning.reports.drawn import Drawn, Panel
from pituning.reports.reader import Reader

TITLES = {"before": "As the model says", "after": "Calibrated"}
Curve = tuple[str, list[tuple[int, float, float]]]


def reliabilities(calibration: Mapping[str, Any]) -> dict[str, Reliability]:
    """How well probabilities fit, before and after calibration; empty where the card does not say."""
    found = {name: curve for name in TITLES if (curve := measured(calibration, name)) is not None}
    return found if len(found) == len(TITLES) else {}


def reliability_curves(calibration: Mapping[str, Any]) -> list[Curve]:
    """The same as `pituning.figures.reliability.reliability_figure` takes it."""
    return [
        (TITLES[name], [(each.count, each.confidence, each.accuracy) for each in curve.bins])
        for name, curve in reliabilities(calibration).items()
    ]


def draw_calibration(reader: Reader, settings: Mapping[str, Any]) -> Drawn:
    """How often an expert is right, by how sure it says it is.

    Raises:
        ArtefactError: there is no such expert, or nothing is known of that.
    """
    kind, name = KINDS.check(str(settings.get("kind") or next(iter(KINDS)))), settings.get("expert")
    if name is None:
        raise ArtefactError("no expert is chosen for this slide; pin its chart on the page Label")
    known = reliabilities(read_card(reader.kept.expert_dir(kind, str(name))).calibration)
    if not known:
        raise ArtefactError(f"how sure the expert {name!r} may be is not known: it has not been calibrated")
    curves = reliability_curves({key: one.to_json() for key, one in known.items()})
    off = {key: f"{100 * one.ece:.1f}" for key, one in known.items()}
    return Drawn(
        title=f"What {named(str(name))} says of its own sureness is off by {off['after']} points",
        sentence=f"Before calibration it was {off['before']}; on the dotted line an expert is right as often as it "
        "says.",
        reading=f"Expected calibration error over {known['after'].rows:,} test rows. {KINDS[kind].label} expert.",
        panels=(
            Panel(
                figure=lambda dark: reliability_figure(curves),
                alt="How often answers are right, by how sure they are, before and after calibration",
                stem=f"calibration-{kind}-{name}",
            ),
        ),
    )
