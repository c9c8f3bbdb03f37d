"""The last step of a new run: what it will do, how long it takes, the same as a command, and the button."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import streamlit as st

from app.components import access, config_form, guessing, queueing, runs_data, sweep
from app.components.guard import plain, say
from app.components.links import to
from app.components.pages import RUNS
from app.components.target import Target
from app.components.words import KINDS, duration, label
from pituning.errors import BadInput, PiTuningError
from pituning.figures.palette import method_label
from pituning.reports.usable import before_words, smallest_visible
from pituning.runs.outline import tested_rows
from pituning.runs.plans import forecast
from pituning.runs.records import ACTIVE
from pituning.runs.roles import Role
from pituning.runs.spec import RunSpec
from pituning.text import shorten
from pituning.tuning.config import TuneConfig
from pituning.workspace.atomic import remove_directory

MOST_TITLE = 50

COARSE = 10.0
"""Points; a test that cannot tell smaller differences is warned of."""


def specs(settings: Mapping[str, Any], seeds: int) -> list[RunSpec]:
    """One run for each seed.

    Raises:
        BadInput: a setting cannot be used.
    """
    first = int(settings.get("seed", 0))
    runs = [RunSpec.of("tune", TuneConfig(**{**settings, "seed": first + number})) for number in range(seeds)]
    for spec in runs:
        spec.validate()
    return runs


def panel(target: Target, wanted: Mapping[str, Any], seeds: int, methods: Sequence[str]) -> None:
    """The summary and the button, or why there is none yet."""
    try:
        runs = specs(wanted, seeds)
    except BadInput as error:
        say("Not ready", error)
        return
    settings = runs[0].config
    st.markdown(f"**{plain(target.title)}**")
    shots = int(settings["shots"])
    unit = "per class" if target.closed else "× 4"
    st.markdown(
        f"{label(KINDS, str(settings['kind']))} · {shots} {unit} = **{shots * target.classes} examples** · baselines: "
        f"{', '.join(method_label(name).lower() for name in methods) or 'none'}"
    )
    expected = forecast(runs_data.queue(), runs[0], target.subject)
    counts = runs_data.queue().counts()
    before = sum(counts.get(state, 0) for state in ACTIVE)
    uploaded = target.uploaded
    guess = guessing.words(target.name) if uploaded is None else guessing.sentence(uploaded.preview.guessing)
    if guess:
        st.caption(guess)
    _test(target, settings)
    st.metric("Will take about", duration(expected.seconds * len(runs)))
    st.caption(queueing.made_from(expected))
    if len(runs) > 1:
        st.caption(
            f"{len(runs)} runs, one after the other, with seeds {runs[0].config['seed']} to {runs[-1].config['seed']}."
        )
    if before:
        st.caption(f":material/schedule: {before} before it in the queue.")
    summary = f"{label(KINDS, str(settings['kind']))} · {shots} shots"
    if len(runs) > 1:
        summary += f" · {len(runs)} seeds"
    # At the lower edge of the window, however long the form is and wherever somebody is in it.
    with st.bottom:
        outcome = st.container()
        with st.container(
            horizontal=True,
            horizontal_alignment="distribute",
            vertical_alignment="center",
            gap="small",
            key="launch_bar",
        ):
            st.markdown(
                f"**{plain(shorten(target.title, MOST_TITLE))}** :gray[{summary} · about "
                f"{duration(expected.seconds * len(runs))}]"
            )
            pressed = access.button("Start", icon=":material/rocket_launch:", type="primary", width=160, key="launch")
    if pressed:
        with outcome:
            started = _start(target, runs)
        if started is not None:
            st.switch_page(RUNS.path, query_params=to(run=started))
    why_not = access.why_not(Role.RUNNER)
    if why_not is not None:
        st.caption(f":material/lock: {why_not}")
    if target.uploaded is None:  # a task has to be kept before it can be one of several
        sweep.panel(settings)
    st.caption("The same from a terminal:")
    st.code(by_option(runs[0].command()), language=None, wrap_lines=True)
    with st.expander("All settings", icon=":material/data_object:", key="launch_spec"):
        st.caption("All settings, those of the command and those that it leaves as they are.")
        st.json({"kind": runs[0].kind, "config": asdict(runs[0].settings())}, expanded=2)


def _test(target: Target, settings: Mapping[str, Any]) -> None:
    """What the test rows will be able to tell."""
    most = int(settings.get("test_examples", config_form.default_of(TuneConfig, "test_examples")))
    shots = int(settings.get("shots", config_form.default_of(TuneConfig, "shots")))
    rows = sum(tested_rows(target.subject, shots, most))
    words = before_words(rows, target.metric)
    if words:
        few = smallest_visible(rows) > COARSE
        st.caption(f"{':orange[:material/warning:]' if few else ':material/straighten:'} {words}")


def by_option(command: str) -> str:
    """A command with each option on a line of its own, which a narrow column does not break in the middle."""
    return command.replace(" --", " \\\n  --")


def _start(target: Target, runs: Sequence[RunSpec]) -> str | None:
    """Saves the task when it is new, queues the runs and wakes whoever works; the first run's id."""
    made: Path | None = None
    ids: list[str] = []
    try:
        queue = runs_data.queue()
        queue.actor.require(Role.RUNNER, "start runs")  # before the task is kept
        if target.uploaded is not None:
            with st.spinner("Keeping the task …"):
                made = target.uploaded.keep()
        batch = queue.new_batch_name() if len(runs) > 1 else None
        ids = queue.submit_all(runs, batch=batch)
        runs_data.wake()
    except PiTuningError as error:
        if made is not None and not ids:
            remove_directory(made)  # else the next try would find the name taken
        say("The run could not be started", error)
        return None
    return ids[0]
