"""The steps of a new run that say how much: shots, kind, seeds, baselines, and the advanced settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from app.components import config_form, context
from app.components.donors import Donors
from app.components.target import Target
from app.components.words import KINDS, METHODS, label
from pituning.experts.kinds import KINDS as KIND_RECORDS
from pituning.figures.palette import method_label
from pituning.tuning.budgets import BUDGETS, budget_settings, usual_budget
from pituning.tuning.config import BASELINES, TuneConfig

SHOTS = (1, 2, 4, 8, 16)
MOST_SEEDS = 10
ADVANCED = (
    "seed", "steps", "batch_size", "learning_rates", "predictor", "alpha_start", "folds", "test_examples",
    "freeze_experts",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How much a run gets; ``search`` names one of `BUDGETS`."""

    kind: str
    shots: int
    seeds: int
    search: str

    def settings(self) -> dict[str, Any]:
        """What the search sets, of `TuneConfig`'s fields."""
        return budget_settings(self.search, self.kind, context.workspace().backbone_dir(context.backbone()))


def choose(target: Target) -> Budget:
    """Kind of expert, shots per class and number of seeds."""
    kinds = context.kinds()
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        possible = [count for count in SHOTS if count <= target.most_shots] or [1]
        shots = st.segmented_control(
            "Shots per class" if target.closed else "Shots", possible, default=possible[-1], required=True,
            key=f"shots_{target.most_shots}", help=config_form.help_of(TuneConfig, "shots"),
        )  # fmt: skip
        kind = st.segmented_control(
            "Expert kind", kinds, format_func=lambda name: label(KINDS, name), default=kinds[0], required=True,
            key="kind", bind="query-params",
            help="  \n".join(f"**{KINDS[name].label}**: {KINDS[name].help}" for name in kinds),
        )  # fmt: skip
        seeds = st.number_input(
            "Seeds", 1, MOST_SEEDS, 1, key="seeds", width=130,
            help="How often the whole run is repeated with other shots. Three or more are needed to tell a "
            "real gain from chance.",
        )  # fmt: skip
        # Of its own for each backbone and what is usual there.
        usual = usual_budget(context.parameters(), target.modality)
        search = st.segmented_control(
            "Search", list(BUDGETS), format_func=lambda name: BUDGETS[name].label, default=usual, required=True,
            key=f"search_{context.backbone()}_{usual}",
            help="  \n".join(f"**{record.label}**: {record.help}" for record in BUDGETS.values()),
        )  # fmt: skip
    if target.most_shots < SHOTS[-1]:
        st.caption(f"The rarest answer has {target.most_shots} training examples, so there are at most as many shots.")
    return Budget(kind=kind or kinds[0], shots=int(shots or possible[-1]), seeds=int(seeds), search=search or usual)


def baselines(budget: Budget) -> list[str]:
    """The methods to run beside π-tuning, with the same budget."""
    usual = budget.settings().get("baselines", config_form.default_of(TuneConfig, "baselines"))
    chosen = st.pills(
        "Baselines", list(BASELINES), selection_mode="multi", format_func=method_label, default=list(usual),
        key=f"baselines_{budget.search}", label_visibility="collapsed", wrap=True,
    )  # fmt: skip
    chosen = [name for name in BASELINES if name in (chosen or [])]
    missing = [name for name in ("single", "placebo") if name not in chosen]
    if missing:
        words = " and ".join(method_label(name).lower() for name in missing)
        st.caption(
            f":orange[:material/warning:] Without {words} there is no full verdict: only a gain over both a single "
            "expert and placebo donors is transfer."
        )
    else:
        st.caption("All get the same steps, the same search over learning rates and the same shots.")
    with st.popover("What the baselines are", icon=":material/help:", type="tertiary"):
        st.markdown(
            "\n".join(
                f"- **{METHODS[name].label}** — {METHODS[name].help}" for name in ("pi", *BASELINES) if name in METHODS
            )
        )
    return chosen


def details(budget: Budget, target: Target) -> dict[str, Any] | None:
    """The advanced settings; only what the user changed. None when something written there cannot be used."""
    with st.expander("Advanced: steps, learning rates, seed", icon=":material/tune:", key="advanced"):
        return config_form.advanced(
            TuneConfig, (*ADVANCED, *_of_own_expert(budget.kind, target)), key=f"tune_{budget.search}",
            usual=budget.settings(),
            check=lambda name, value: TuneConfig(target="any", kind=budget.kind, **{name: value}),
        )  # fmt: skip


def _of_own_expert(kind: str, target: Target) -> list[str]:
    """What can be chosen of the target's own expert, by its kind, the task and the backbone."""
    record = KIND_RECORDS[kind]
    sees = record.sees and target.modality != "language" and context.has_eyes()
    return [*(["own_rank"] if "rank" in record.defaults else []), *(["vision_tower"] if sees else [])]


def settings(
    target: Target, budget: Budget, donors: Donors, methods: Sequence[str], advanced: Mapping[str, Any]
) -> dict[str, Any]:
    """What `TuneConfig` takes."""
    values: dict[str, Any] = {
        "target": target.name,
        "kind": budget.kind,
        "shots": budget.shots,
        "donors": donors.count,
        "baselines": tuple(methods),
        "backbone": context.backbone(),
        **{name: value for name, value in budget.settings().items() if name != "baselines"},
        **advanced,
    }
    if donors.names is not None:
        values["donor_names"] = donors.names
    return values
