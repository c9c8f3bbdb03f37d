"""Measuring transfer between tasks: a form that says how much there is to measure and how long it takes."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import streamlit as st

from app.components import config_form, context, queueing
from app.components.guard import empty, plain, say
from app.components.links import to
from app.components.pages import EXPERTS
from app.components.stamps import stamp
from app.components.target import most_shots
from app.components.words import KINDS, duration, label
from pituning.errors import BadInput, PiTuningError
from pituning.runs.plans import forecast
from pituning.runs.spec import RunSpec
from pituning.runs.study_configs import TransferRun
from pituning.runs.study_outline import Left, transfer_left
from pituning.studies.targets import suite_first
from pituning.tasks.registry import TaskSource

SHOTS = (0, 1, 4, 8, 16, 32)
MOST_SEEDS = 10
ADVANCED = ("steps", "batch_size", "test_examples")
MOST_CHOSEN = 100
"""Tasks; of more somebody has to say which are meant."""

LEAST = 2
"""Fewer tasks have nobody to help."""


def transfer(kind: str) -> None:
    """The run that measures transfer of this kind of experts, or the form that starts it."""
    if queueing.watched("transfer", kind, "Transfer is being measured"):
        return
    known, source = context.tasks(), TaskSource(context.workspace())
    able = [name for name in suite_first(context.zoo().expert_dirs(kind)) if name in known and source.has(name)]
    if len(able) < LEAST or not context.backbone_ready():
        empty(
            "Too few experts to measure",
            f"Transfer needs {label(KINDS, kind)} experts of at least two tasks whose examples are in this workspace.",
            icon=":material/inventory_2:",
        )
        st.page_link(EXPERTS.path, label="Train experts of your tasks", icon=EXPERTS.icon, query_params=to())
        return
    with st.container(border=True, key="measure_transfer"):
        config = _form(kind, able)
        if config is not None:
            _summary(config)


def _form(kind: str, able: list[str]) -> TransferRun | None:
    """What is to be measured; None, and why, where that cannot be."""
    titles = {name: info.title for name, info in context.tasks().items()}
    own = [name for name in able if context.tasks()[name].source != "mini"]
    first = own if len(own) >= LEAST else able
    tasks = st.multiselect(
        "Tasks", able, first if len(first) <= MOST_CHOSEN else [], format_func=titles.__getitem__,
        key=f"measure_tasks_{kind}",
        help="Each of them is a target, and the expert of each is tried on every other one.",
    )  # fmt: skip
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        shots = st.pills(
            "Shots per class", SHOTS, selection_mode="multi", default=[0, 16], key="measure_shots",
            format_func=lambda count: str(count) if count else "Zero-shot",
            help="Examples of each answer that a donor is trained on before it is tested. Zero-shot: it is tested "
            "as it is.",
        )  # fmt: skip
        seeds = st.number_input(
            "Seeds", 1, MOST_SEEDS, 1, key="measure_seeds", width=130,
            help="How often everything with shots is repeated with other shots. Three or more tell a gain from chance.",
        )  # fmt: skip
    with st.expander("Advanced: steps, batch, test examples", icon=":material/tune:", key="measure_advanced"):
        details = config_form.advanced(
            TransferRun, ADVANCED, key="measure", check=lambda name, value: TransferRun(**{name: value})
        )
    if len(tasks) < LEAST or not shots or details is None:
        st.caption(f"Choose at least {LEAST} tasks and one number of shots.")
        return None
    few = {name: most_shots(name) for name in tasks if most_shots(name) < max(shots)}
    if few:
        least = min(few, key=few.__getitem__)
        st.warning(
            f"The rarest answer of {plain(titles[least])} has {few[least]} training examples, so it cannot be measured "
            f"with {max(shots)} shots. Leave the task out, or choose fewer shots.",
            icon=":material/warning:",
        )
        return None
    settings: dict[str, Any] = {"shots": tuple(sorted(shots)), "seeds": tuple(range(int(seeds))), **details}
    return TransferRun(kind=kind, backbone=context.backbone(), tasks=tuple(tasks), donor_names=tuple(tasks), **settings)


def _summary(config: TransferRun) -> None:
    """How much there is to do, how long it takes, and the button."""
    try:
        left = _left(config)
        spec = RunSpec.of("transfer", config)
        expected = forecast(queueing.queue(), spec)
    except PiTuningError as error:
        say("Not ready", error)
        return
    done = left.cells - len(left.missing)
    with st.grid(3, min_column_width=150, gap="small"):
        st.metric("Measurements", f"{left.cells:,}", help="Pairs of target and donor, and each target alone, times "
                  "shots and seeds.")  # fmt: skip
        st.metric("Measured already", f"{done:,}", help="With these very settings: they are kept and not done again.")
        st.metric("Will take about", duration(expected.seconds) if left.missing else "–")
    if not left.missing:
        st.caption(":material/check_circle: All of this is measured; add tasks, shots or seeds to measure more.")
    else:
        if not done and context.transfer_shots(config.kind):
            st.caption("What is shown above was measured with other settings (steps, or test examples).")
        st.caption(queueing.made_from(expected))
    queueing.start(spec, "Measure transfer", key="measure_start", disabled=not left.missing)
    queueing.command(spec)


def _left(config: TransferRun) -> Left:
    here = context.zoo()
    table, experts = here.transfer_path(config.kind), here.expert_dirs(config.kind)
    stamps = (stamp(table), *(stamp(experts[name] / "card.json") for name in config.donor_names))
    return _counted(repr(sorted(asdict(config).items())), stamps, str(here.root), config)


@st.cache_data(max_entries=32, show_spinner=False)
def _counted(settings: str, stamps: tuple[float, ...], root: str, _config: TransferRun) -> Left:
    print_of = context.backbone_fingerprint()
    if print_of is None:
        raise BadInput(f"backbone {_config.backbone!r} is not in this workspace", field="backbone")
    return transfer_left(_config, context.workspace(), print_of=print_of)
