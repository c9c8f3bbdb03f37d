"""What is known of donors before a run: what they did for the target as measured, and what past runs came to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import streamlit as st

from app.components import context, runs_data
from app.components.guard import guarded, plain
from app.components.links import to
from app.components.pages import RUNS, TRANSFER
from app.components.target import Target
from app.components.words import KINDS, label
from pituning.graph.harm import HARM, points
from pituning.reports.reader import by_seeds
from pituning.reports.verdict import judge
from pituning.runs.records import Run

SHOWN_RUNS = 3
GUARD = (
    "π-tuning guards against harm, but only as well as a few held-out shots can tell: on them it chooses among the "
    "mixture, the target’s own expert alone, the best donor trained further, and the donors as is."
)


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What each donor did for one target, as measured.

    Args:
        kind: of the experts that were measured; another than that of the run where its own was not.
        shots: examples per class that the donor was trained on.
        seeds: how many seeds a gain is a mean of.
        gains: points of the target's metric over a new expert with the same shots and steps, by donor.
    """

    kind: str
    shots: int
    seeds: int
    gains: Mapping[str, float]

    def mean(self, donors: Sequence[str]) -> float | None:
        """The mean gain of those of the donors that were measured; None where none was."""
        known = [self.gains[name] for name in donors if name in self.gains]
        return float(np.mean(known)) if known else None

    def harmful(self, donors: Sequence[str]) -> list[str]:
        """Those that cost at least `HARM` points, the worst first."""
        harmful = [name for name in donors if self.gains.get(name, 0.0) <= -HARM]
        return sorted(harmful, key=lambda name: self.gains[name])

    @property
    def help_text(self) -> str:
        """What a column of the gains says."""
        seeds = "one seed" if self.seeds == 1 else f"{self.seeds} seeds"
        return (
            f"Points that the donor’s {label(KINDS, self.kind)} expert, trained on {self.shots} shots per class, "
            f"scored above a new expert with the same budget; {seeds}. Below zero: harm. It was measured on the "
            "target’s test examples, so a choice of donors by this column flatters the result."
        )


def measured(target: str, kind: str) -> Evidence | None:
    """What was measured for a target with experts of a kind, else with those of another kind; None where nothing was.

    Raises:
        ArtefactError: a table of measurements is damaged.
    """
    names = tuple(context.tasks())
    if target not in names:
        return None
    for measured_kind in sorted(KINDS, key=lambda name: name != kind):  # the run's own kind first
        shots = max(context.transfer_shots(measured_kind), default=0)
        transfer = context.transfer(measured_kind, shots, names) if shots else None
        if transfer is None:
            continue
        row = transfer.gains[names.index(target)]
        gains = {name: float(gain) for name, gain in zip(names, row, strict=True) if np.isfinite(gain)}
        if gains:
            return Evidence(kind=measured_kind, shots=shots, seeds=transfer.seeds, gains=gains)
    return None


def tell(evidence: Evidence | None, target: Target, kind: str, donors: Sequence[str], *, by_hand: bool) -> None:
    """Says what the evidence is, and warns where it speaks against the donors.

    Args:
        donors: who is chosen, or expected to be.
        by_hand: whether they were chosen by hand.
    """
    if evidence is None:
        st.caption(
            f":material/help: It has not been measured what the experts of other tasks do for {plain(target.title)}: "
            "whether donors help is open, and this run will show it."
        )
        return
    if donors:
        _warn(evidence, target, kind, donors, by_hand=by_hand)
    every = list(evidence.gains.values())
    harm = sum(gain <= -HARM for gain in every)
    text = (
        f"Measured with {_kind(evidence)} and {evidence.shots} shots: of {len(every)} donors, {harm or 'none'} cost "
        f"this task a point or more; the mean over all is {points(float(np.mean(every)))}."
    )
    if evidence.kind != kind:
        text += f" The evidence is of {_kind(evidence)}; it has not been measured for {label(KINDS, kind)} experts."
    with st.container(gap="small"):
        st.caption(text)
        st.page_link(
            TRANSFER.path, label="All that was measured", icon=TRANSFER.icon, query_params=to(task=target.name)
        )


def _warn(evidence: Evidence, target: Target, kind: str, donors: Sequence[str], *, by_hand: bool) -> None:
    harmful, mean = evidence.harmful(donors), evidence.mean(donors)
    if not harmful and (mean is None or mean >= 0):
        return
    tasks = context.tasks()
    named = [f"**{plain(tasks[name].title)}** {points(evidence.gains[name])}" for name in harmful]
    what = f"{_kind(evidence)}, {evidence.shots} shots, against a new expert with the same budget"
    if evidence.kind != kind:
        what += f"; {label(KINDS, kind)} experts were not measured"
    lines = [f"Measured for this task ({what}): {', '.join(named)}."] if named else []
    if mean is not None and mean < 0:
        lines.append(f"The mean over these donors is {points(mean)}.")
    whom = "it" if len(harmful) == 1 else "them"
    if not harmful:
        lines.append("Choose other donors." if by_hand else "Choose donors by hand instead.")
    elif by_hand:
        lines.append(f"Remove {whom}.")
    else:
        lines.append(f"Set “Donors are” to “Chosen by me” and leave {whom} out.")
    title = "These donors did harm on average"
    if harmful:
        title = "One of these donors did harm" if len(harmful) == 1 else f"{len(harmful)} of these donors did harm"
    st.warning(" ".join([*lines, GUARD]), title=title, icon=":material/trending_down:")


def _kind(evidence: Evidence) -> str:
    return f"{label(KINDS, evidence.kind)} experts"


def tell_past_harm(target: str) -> None:
    """Names the runs of this workspace on the target in which the donors did harm, with links."""
    with guarded("Results of earlier runs"):
        for run, title in past_harm(target)[:SHOWN_RUNS]:
            with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                st.caption(f":orange[:material/trending_down:] {title} in an earlier run:", width="content")
                st.page_link(RUNS.path, label=plain(runs_data.title(run)), icon=RUNS.icon, query_params=to(run=run.id))


def past_harm(target: str) -> list[tuple[Run, str]]:
    """The finished runs on a target, seeds together, whose verdict is harm: the newest run and the verdict's title."""
    backbone = context.backbone()
    runs = runs_data.queue().list(states=("succeeded",), kind="tune", backbone=backbone)
    harmed: list[tuple[Run, str]] = []
    for together in by_seeds([run for run in runs if run.spec.subject == target]):
        results = runs_data.results(together)
        if results and (verdict := judge(results)).outcome == "harm":
            harmed.append((max(together, key=lambda run: run.created), verdict.title))
    return harmed
