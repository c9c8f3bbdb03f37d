"""The verdict of a run: one large answer, why, and what to do next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from app.components import access, expert_table, guessing, pin, runs_data
from app.components.guard import say
from app.components.links import to
from app.components.pages import EXPERTS, LABEL, NEW_RUN, PageEntry
from app.components.target import SOURCES
from pituning.errors import PiTuningError
from pituning.reports.reader import seeds_taken
from pituning.reports.usable import Answer, Judgement, judge_run
from pituning.reports.verdict import Outcome
from pituning.runs.records import Run

ANSWERS: dict[Answer, tuple[str, str]] = {
    "use": ("green", ":material/check_circle:"),
    "care": ("orange", ":material/error:"),
    "not": ("red", ":material/block:"),
    "unknown": ("gray", ":material/help:"),
}
"""Colour and icon of the large answer."""

OUTCOMES: dict[Outcome, str] = {
    "transfer": ":green[:material/trending_up:]",
    "helped": ":blue[:material/help:]",
    "regularisation": ":blue[:material/blur_on:]",
    "none": ":gray[:material/drag_handle:]",
    "harm": ":red[:material/trending_down:]",
    "unknown": ":gray[:material/help:]",
}
DONORS_HELP = (
    "Only a gain over both a single expert on the same shots and placebo donors, random parameters of the same size, "
    "is transfer; a gain over the single expert alone is regularisation."
)
GUARD_HELP = (
    "π-tuning guards against harm: it is the mixture with the donors, unless its own expert alone, the best donor "
    "trained further, or the donors as is have a loss on held-out shots that is smaller by more than chance."
)
TEST_HELP = (
    "Half the width of the 95 % interval of the difference of two methods on the same test rows, π-tuning and the "
    "single expert where both were measured. Other shots or seeds may change more."
)
MORE_SEEDS = 2
"""Runs that one click adds: with the first one three, the fewest that tell luck from a gain."""


def of(run: Run, results: Sequence[Mapping[str, Any]]) -> Judgement:
    """What is told of a run; ``results`` are its own, first, and those of its other seeds."""
    return judge_run(results, _guessed(run))


def with_guessing(run: Run, result: Mapping[str, Any]) -> Mapping[str, Any]:
    """A result that says what guessing scores; of an older run, on the task as it is now."""
    return result if result.get("guessing") else {**result, "guessing": _guessed(run)}


def _guessed(run: Run) -> Mapping[str, float | None] | None:
    guessed = guessing.of(run.spec.subject)
    return None if guessed is None else guessed.to_json()


def show(
    judgement: Judgement,
    run: Run | None = None,
    result: Mapping[str, Any] | None = None,
    *,
    key: str = "verdict",
) -> None:
    """The answer and why; with a run also what its guard chose, and with its result what to do next."""
    colour, icon = ANSWERS[judgement.usable.answer]
    donors = judgement.donors
    reasons = [
        ("Did the donors matter?", DONORS_HELP, f"{OUTCOMES[donors.outcome]} **{donors.title}**  \n{donors.text}"),
        ("What did the guard choose?", GUARD_HELP, _first_in_bold(judgement.guard if run is not None else "")),
        ("What can this test tell?", TEST_HELP, _first_in_bold(judgement.test)),
    ]
    with st.container(border=True, key=key):
        with st.container(gap="xsmall"):
            st.header(f":{colour}[{icon}] {judgement.usable.title}", anchor=False)
            st.markdown(judgement.usable.text)
        if run is not None and result is not None:
            _next(judgement.usable.answer, run, result)
        with st.grid(3, min_column_width=240, gap="medium"):
            for title, why, text in reasons:
                if text:
                    with st.container(gap="xsmall"):
                        st.caption(title, help=why)
                        st.markdown(text)


def _first_in_bold(text: str) -> str:
    first, stop, rest = text.partition(". ")
    return f"**{first}{stop.strip()}**  \n{rest}" if text else ""


def _next(answer: Answer, run: Run, result: Mapping[str, Any]) -> None:
    expert = result.get("expert")
    with st.container(horizontal=True, gap="small"):
        if expert:
            address = {expert_table.PARAM: f"{result.get('kind')}/{expert}"}
            _door(
                "Predict a file",
                LABEL,
                address,
                f"Label rows with its expert, {expert}.",
                first=answer in ("use", "care"),
            )
        _seeds(run)
        _door("Add rows", NEW_RUN, {"source": SOURCES["file"]}, "Upload a table with more rows and tune on it.",
              first=answer == "not")  # fmt: skip
        if expert:
            _door("Try it", EXPERTS, address, f"Ask its expert, {expert}, a question; download it.")
        pin.button("result", {"run": run.id}, key="verdict")


def _door(title: str, page: PageEntry, address: Mapping[str, str], why: str, *, first: bool = False) -> None:
    if st.button(title, icon=page.icon, type="primary" if first else "secondary", help=why,
                 key=f"verdict_{page.url_path}"):  # fmt: skip
        st.switch_page(page.path, query_params=to(**address))


def _seeds(run: Run) -> None:
    taken = seeds_taken(run, runs_data.queue().list(kind=run.kind, backbone=run.backbone))
    under_way = sum(taken.values())
    new = [max([*taken, int(run.spec.config.get("seed", 0))]) + number for number in range(1, MORE_SEEDS + 1)]
    access.button(
        "Add seeds", icon=":material/casino:", key="verdict_seeds", on_click=_queue_seeds, args=(run.id, new),
        disabled=under_way > 0,
        help=f"{under_way} more under way." if under_way
        else f"The same run with seeds {new[0]} and {new[-1]}: other shots, so that luck can be told from a gain.",
    )  # fmt: skip


def _queue_seeds(run_id: str, seeds: Sequence[int]) -> None:
    try:
        queue = runs_data.queue()
        for seed in seeds:
            queue.duplicate(run_id, {"seed": seed})
        runs_data.wake()
    except PiTuningError as error:
        say("The runs could not be queued", error)
        return
    st.toast(f"Queued with seeds {', '.join(map(str, seeds))}.", icon=":material/check:")
