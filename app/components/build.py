"""Building a zoo of one's own: a form that trains an expert for each chosen task, then compares and maps them all."""

from __future__ import annotations

import streamlit as st

from app.components import config_form, context, queueing
from app.components.guard import empty, say
from app.components.links import to
from app.components.pages import NEW_RUN
from app.components.target import SOURCES
from app.components.words import KINDS, duration, label
from pituning.errors import PiTuningError
from pituning.experts.kinds import KINDS as EXPERT_KINDS
from pituning.runs.plans import forecast
from pituning.runs.spec import RunSpec
from pituning.runs.study_configs import ZooRun
from pituning.tasks.registry import TaskSource

ADVANCED = ("batch_size", "seed", "fisher_examples")


def zoo() -> None:
    """The run that builds the zoo, or the form that starts it."""
    kinds = context.kinds()
    kind = st.segmented_control(
        "Kind of the new experts", kinds, format_func=lambda name: label(KINDS, name), default=kinds[0], required=True,
        key="build_kind", help="  \n".join(f"**{KINDS[name].label}**: {KINDS[name].help}" for name in kinds),
    ) or kinds[0]  # fmt: skip
    if queueing.watched("zoo", kind, "The zoo is being built"):
        return
    source, able = TaskSource(context.workspace()), context.modalities()
    there = context.zoo().expert_dirs(kind)
    missing = {
        name: info.title for name, info in context.tasks().items()
        if name not in there and source.has(name) and info.modality in able and info.sizes["train"]
    }  # fmt: skip
    if not missing:
        empty("Every task has its expert", "Upload a table of your own to add a task.", icon=":material/done_all:")
        st.page_link(NEW_RUN.path, label="Upload a table", icon=NEW_RUN.icon, query_params=to(source=SOURCES["file"]))
        return
    own = [name for name in missing if context.tasks()[name].source != "mini"]
    tasks = st.multiselect(
        "Tasks without an expert", list(missing), own, format_func=missing.__getitem__, key=f"build_tasks_{kind}",
        help="Each gets an expert, trained on all its training examples. Then all tasks with an expert are compared.",
    )  # fmt: skip
    with st.expander("Advanced: steps, batch, seed, examples", icon=":material/tune:", key="build_advanced"):
        steps = st.number_input(
            "Steps",
            1,
            None,
            EXPERT_KINDS[kind].steps,
            key=f"build_steps_{kind}",
            help=config_form.help_of(ZooRun, "steps"),
        )
        details = config_form.advanced(ZooRun, ADVANCED, key="build", check=lambda name, value: ZooRun(**{name: value}))
    if not tasks or details is None:
        st.caption("Choose at least one task.")
        return
    config = ZooRun(kind=kind, backbone=context.backbone(), tasks=tuple(tasks), steps=int(steps), **details)
    spec = RunSpec.of("zoo", config)
    try:
        expected = forecast(queueing.queue(), spec)
    except PiTuningError as error:
        say("Not ready", error)
        return
    st.metric("Will take about", duration(expected.seconds))
    st.caption(queueing.made_from(expected))
    queueing.start(spec, "Train the experts", key="build_start")
    queueing.command(spec)
