"""What was measured around one task: arrows from donors to the targets that they helped or harmed, with intervals."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from pituning.graph.directed import BEST


@dataclass(frozen=True, kw_only=True)
class Arrow:
    """A measured effect.

    Args:
        gain: of the target with the donor's expert over without, in points.
        half: half of the 95 % interval of the gain over seeds; None where one seed was measured.
    """

    donor: str
    target: str
    gain: float
    half: float | None = None

    @property
    def certain(self) -> bool:
        """Whether the interval leaves 0 out."""
        return self.half is not None and abs(self.gain) > self.half


def arrows_into(
    target: str, gains: Mapping[str, float], near: Collection[str], halves: Mapping[str, float], *, best: int = BEST
) -> list[Arrow]:
    """Arrows into a task from those near to it and from its best donors, the largest gain first.

    Args:
        gains: what each donor did for the target; of NaN nothing is known.
        near: tasks whose arrows are wanted whatever they did.
        halves: half of the interval of each gain, where it is known.
    """
    known = [donor for donor in gains if donor != target and np.isfinite(gains[donor])]
    return [
        Arrow(donor=donor, target=target, gain=float(gains[donor]), half=halves.get(donor))
        for place, donor in enumerate(sorted(known, key=lambda one: -gains[one]))
        if place < best or donor in near
    ]
