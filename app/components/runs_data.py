"""What pages read about runs, and what they ask of the queue."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import streamlit as st

from app.components import access, context
from app.components.words import KINDS, METHODS, PREDICTORS, STATES, duration, label, shots_label
from pituning.errors import PiTuningError
from pituning.figures.palette import method_label
from pituning.runs import waiting
from pituning.runs.kinds import RUN_KINDS, RunKindRecord
from pituning.runs.naming import number_of
from pituning.runs.queue import RunQueue
from pituning.runs.records import Run
from pituning.runs.supervisor import ensure_supervisor
from pituning.tasks.registry import TaskInfo
from pituning.workspace.layout import DEFAULT_BACKBONE
from pituning.workspace.shots import shots_name

LOG_LINES = 60
PHASES = {"choose": "Choosing rate and steps of", "train": "Training", "test": "Testing"}


def queue() -> RunQueue:
    """The workspace's queue, asked by whoever is looking."""
    return RunQueue(context.workspace(), actor=access.actor())


def of_backbone(**which: Any) -> Sequence[Run]:
    """The runs on the backbone that the pages are about, newest first; ``which`` as `RunStore.list` takes it."""
    return queue().list(backbone=context.backbone(), **which)


def wake() -> None:
    """Makes sure that somebody works on the queue; a machine that was switched off goes on where it stopped."""
    ensure_supervisor(context.workspace())


def held_up() -> str | None:
    """Why nothing is taken from the queue, or None."""
    return waiting.held_up(queue())


def waits() -> Mapping[str, str]:
    """What each queued run waits for."""
    return waiting.waits_for(queue())


def title(run: Run, tasks: Mapping[str, TaskInfo] | None = None) -> str:
    """What a run is about, for headings and links."""
    backbone = "" if run.backbone == DEFAULT_BACKBONE else run.backbone
    subject, settings = about(run, tasks)
    return " · ".join(part for part in (subject + which(run), settings, backbone) if part)


def which(run: Run) -> str:
    """What tells a run from earlier ones of its kind on its subject, such as `` (2)``; empty for the first."""
    number = number_of(run)
    return f" ({number})" if number > 1 else ""


def about(run: Run, tasks: Mapping[str, TaskInfo] | None = None) -> tuple[str, str]:
    """What a run is about in two parts, for tables: its subject, which may be long, and the settings that tell runs on
    the same subject apart. Of a run that cannot be understood, its name: it hides no other one."""
    if not run.understood:
        return run.name or run.id, ""
    if run.kind == "count":
        return f"Counting to {run.spec.subject}", ""
    settings = run.spec.config
    if run.kind == "project":
        settings = {**run.spec.defaults(), **settings}
        kind, predictor = str(settings["kind"]), str(settings["predictor"])
        return "Map of the tasks", f"{label(KINDS, kind)} · {label(PREDICTORS, predictor)}"
    if run.kind == "predict":
        return f"Labels by {run.spec.subject}", label(KINDS, str(settings.get("kind") or "lora"))
    known_tasks = tasks or context.tasks()
    record = RUN_KINDS.get(run.kind)
    if record is not None and record.outlines_workspace:
        return _about_zoo(run, record, known_tasks)
    known = known_tasks.get(run.spec.subject)
    name = known.title if known else run.spec.subject
    if run.kind == "add":
        return f"New backbone {run.spec.subject}", ""
    if run.kind == "answer" and not settings.get("experts"):
        return run.name, ""
    if run.kind == "answer":
        return f"Answers of {name}", label(KINDS, str(settings.get("kind", "lora")))
    details = [label(KINDS, str(settings["kind"]))] if "kind" in settings else []
    if "shots" in settings:
        details.append(shots_label(settings["shots"]))
    if "seed" in settings:
        details.append(f"seed {settings['seed']}")
    return name, " · ".join(details)


def _about_zoo(run: Run, record: RunKindRecord, tasks: Mapping[str, TaskInfo]) -> tuple[str, str]:
    """What a run on a whole zoo is about: how many tasks, and with how many shots."""
    settings = {**run.spec.defaults(), **run.spec.config}
    names = list(settings["tasks"])
    titles = [tasks[name].title if name in tasks else name for name in names]
    which = titles[0] if len(titles) == 1 else f"{len(titles)} tasks" if titles else "all tasks"
    details = [label(KINDS, str(settings["kind"]))]
    if "shots" in settings:
        details.append(f"{', '.join(map(shots_name, settings['shots']))} shots")
    return f"{record.label} of {which}", " · ".join(details)


def state_text(run: Run) -> str:
    """The state with its icon as Markdown."""
    if run.damage is not None and not run.active:
        return ":red[:material/broken_image:] Damaged"
    if run.state == "running" and run.cancel_requested:
        return ":orange[:material/stop_circle:] Stopping"
    words, icon, colour = STATES[run.state]
    return f":{colour}[{icon}] {words}"


def when(seconds: float | None, now: float | None = None) -> str:
    """A moment as people say it: ``"3 min ago"``, or the date."""
    if seconds is None:
        return ""
    age = (now or time.time()) - seconds
    if age < 45:
        return "just now"
    if age < 12 * 3600:
        return f"{duration(age)} ago"
    return datetime.fromtimestamp(seconds).strftime("%d %b, %H:%M")


def progress_text(run: Run) -> str:
    """Where a run is and how long it will take."""
    if run.state == "queued":
        words = waits().get(run.id, "starts in a moment")
        return words[:1].upper() + words[1:]
    parts = [_phase(run.phase)]
    if run.total > 1:
        parts.append(f"step {run.done} of {run.total}")
    if run.eta_s is not None:
        parts.append(f"about {duration(run.eta_s)} left")
    return " · ".join(parts)


def _phase(phase: str | None) -> str:
    """The phase in words: a run calls its phases ``choose single``, ``train pi``, ``test full``…"""
    if not phase:
        return "Starting"
    verb, _, method = phase.partition(" ")
    if verb in PHASES and method in METHODS:
        return f"{PHASES[verb]} {method_label(method)}"
    return phase[:1].upper() + phase[1:]


def result(run: Run) -> dict[str, Any] | None:
    """The result of a finished run, or None."""
    if run.state != "succeeded" or not run.result_path:
        return None
    path = context.workspace().root / run.result_path
    return _result(str(path), run.finished or 0.0, run.id)


@st.cache_resource(max_entries=128, show_spinner=False)
def _result(path: str, finished: float, run_id: str) -> dict[str, Any] | None:
    return queue().result_of(run_id)


def results(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """The results that can be read; a damaged one is left out here and shown on its own run."""
    results = []
    for run in runs:
        try:
            one = result(run)
        except PiTuningError:
            continue
        if one is not None:
            results.append(one)
    return results


def log_tail(run: Run) -> str:
    """The last lines of a run's log, or an empty text; however long the log and its lines are, little of it is read."""
    try:
        return queue().log_of(run.id, lines=LOG_LINES)
    except OSError:
        return ""
