"""What the low-shot study says, as the tables of docs/science.md and as JSON. Torch-free.

Tables may be partial: every figure is over the targets and seeds that its methods have, and says how many they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from pituning.errors import BadInput
from pituning.experts.kinds import KINDS
from pituning.figures.palette import MODALITIES, method_label
from pituning.studies.lowshot_scores import (
    FEWER,
    PI,
    Estimate,
    comparable,
    lowshot_scores,
    mean_score,
    paired_gain,
)
from pituning.studies.lowshot_tables import (
    COMPARED,
    across_table,
    gain_and_interval,
    known,
    mean_and_interval,
    other_table,
    plain,
    plain_across,
    plain_otherwise,
    table,
)
from pituning.studies.targets import suite_first
from pituning.tasks.guessing import mean_guess
from pituning.tasks.metrics import Guessing
from pituning.tasks.mini import TASK_NAMES, mini_task
from pituning.tuning.config import BLIND, CANDIDATES, CONTROLS, MIXTURE, STEPS, TuneConfig, is_trained
from pituning.workspace.lowshot import read_lowshot
from pituning.workspace.shots import ALL_SHOTS, shots_name
from pituning.workspace.zoo import Zoo

SHOWN = ("backbone", "single", "full", "donor", "uniform", "random", "placebo", MIXTURE, PI)
"""Columns of the table of targets."""

AS_IS = ("untouched", "donor-untouched", *(f"{control}-untouched" for control in CONTROLS))

LEADS = {PI: "π", MIXTURE: "the mixture"}
"""What is compared with all others, as the heads of the tables name it."""


class LowshotSummary:
    """The figures of one kind at one number of shots.

    Args:
        rows: as `read_lowshot` reads them.
        budgets: rows of other budgets than the usual, by their number of steps.
        tower: rows of targets' own experts that act in the vision tower, too.
        kinds: rows of other kinds of experts, by the kind.

    Raises:
        BadInput: when nothing was measured at that number of shots.
    """

    def __init__(
        self,
        rows: pd.DataFrame,
        kind: str,
        shots: int,
        budgets: Mapping[int, pd.DataFrame] | None = None,
        tower: pd.DataFrame | None = None,
        kinds: Mapping[str, pd.DataFrame] | None = None,
    ):
        if rows.empty or shots not in set(rows["shots"]):
            what = f"no low-shot results of {kind} at {shots_name(shots)} shots"
            others = ", ".join(map(str, sorted(budgets or {})))
            there = f"there are some of other steps: --steps {others}" if others else ""
            raise BadInput(f"{what}; {there or f'run: pituning study lowshot --kind {kind}'}", field="shots")
        self.kind, self.shots = kind, shots
        scores = lowshot_scores(rows, shots)
        self.rows = comparable(rows[rows["shots"] == shots], scores)
        self.scores = comparable(scores, scores)
        self.zero_shot = lowshot_scores(rows, 0)
        # A study of few methods has not all that the guard chooses from: then the mixture itself is compared.
        self.lead = PI if (self.scores["method"] == PI).any() else MIXTURE
        self.budgets = {steps: lowshot_scores(each, shots) for steps, each in sorted((budgets or {}).items())}
        trained = sorted({int(count) for count in rows["shots"]} - {0}, key=lambda count: (count == ALL_SHOTS, count))
        self.by_shots = {shots_name(count): lowshot_scores(rows, count) for count in trained}
        beside = {name: lowshot_scores(each, shots) for name, each in (kinds or {}).items()}
        self.by_kind = {kind: self.scores, **beside}
        self.tower = self.scores.iloc[:0] if tower is None else lowshot_scores(tower, shots)

    def to_json(self) -> dict[str, Any]:
        """All figures, in points.

        ``gain_over`` is that of the ``lead`` over each method as it is: of π-tuning, or of the unguarded mixture where
        not all that the guard chooses from was measured. ``guarded_gain_over`` is π-tuning's over each control with a
        guard of its own, ``mixture_gain_over`` the unguarded mixture's over each control as it is.
        """
        guarded = {control: self._gain(PI, f"pi-{control}") for control in CONTROLS}
        unguarded = {control: self._gain(MIXTURE, control) for control in CONTROLS}
        alone = {name: self._gain(PI, name) for name in CANDIDATES}
        over_single = paired_gain(self.scores, self.lead, "single")
        return {
            "shots": self.shots,
            "kind": self.kind,
            "lead": self.lead,
            "targets": int(self._of(self.lead)["target"].nunique()),
            "seeds": int(self._of(self.lead)["seed"].nunique()),
            "rows": {name: len(self._of(name)) for name in dict.fromkeys(self.scores["method"])},
            "scores": {name: plain(mean_score(self.scores, name)) for name in dict.fromkeys(self.scores["method"])},
            "gain_over": known({name: self._gain(self.lead, name) for name in COMPARED}),
            "guarded_gain_over": known(guarded),
            "mixture_gain_over": known(unguarded),
            "modality_gain_over": {
                modality: known({name: plain(gain, gains=True) for name, gain in scores.items()})
                for modality, scores in self._by_modality().items()
            },
            "guard": {"chosen": self.chosen(), "gain_over": known(alone)},
            "choices": self.choices(),
            "budgets": self._budgets(),
            "by_shots": plain_across(self.by_shots),
            "by_kind": plain_across(self.by_kind),
            "vision_tower": plain_otherwise(self.scores, self._beside_full(self.tower), same=BLIND),
            "not_below_single": None if over_single is None else over_single.harmless,
            "zero_shot_gain": plain(paired_gain(self.zero_shot, "untouched", "backbone")),
        }

    def markdown(self) -> str:
        """The tables of docs/science.md, of the methods that were measured; without shots there is one."""
        if self.shots == 0:
            return f"{self.what_there_is()}\n\n{self._without_labels()}"
        measured = set(self.scores["method"])
        parts = [
            self.what_there_is(),
            table(
                [
                    "method",
                    "score",
                    f"{LEADS[self.lead]} gains",
                    f"targets where {LEADS[self.lead]} is better",
                    f"worst target for {LEADS[self.lead]}",
                ],
                [self._row(name) for name in (self.lead, *COMPARED) if name in measured],
            ),
            *(self._guard_tables(measured) if self.lead == PI else ()),
            "What cross-validation chose:",
            table(
                ["method", "mean steps", "largest rate in % of runs", "all steps in % of runs"],
                [
                    [method_label(name), *(f"{counts[key]:.0f}" for key in ("steps", "largest_rate", "all_steps"))]
                    for name, counts in self.choices().items()
                ],
            ),
            *self._budget_tables(),
            *self._tower_table(),
            *self._across_tables(),
            *self._modality_table(),
            "Means over seeds of each target:",
            table(["target", *map(method_label, SHOWN)], self._targets()),
        ]
        return "\n\n".join(parts)

    def _guard_tables(self, measured: set[str]) -> list[str]:
        return [
            "Other donors, once without the guard and once with the same guard for both:",
            table(
                [
                    "instead of the predicted donors",
                    "mixture gains",
                    "π gains over it guarded",
                    "π with the same candidates gains",
                ],
                [
                    [
                        method_label(control),
                        gain_and_interval(paired_gain(self.scores, MIXTURE, control)),
                        gain_and_interval(paired_gain(self.scores, PI, f"pi-{control}")),
                        gain_and_interval(paired_gain(self.scores, FEWER, f"pi-{control}")),
                    ]
                    for control in CONTROLS
                    if control in measured
                ],
            ),
            "The guard, and each of its candidates alone:",
            table(
                ["candidate", "score", "π gains", "chosen in % of runs"],
                [
                    [
                        method_label(name),
                        mean_and_interval(mean_score(self.scores, name)),
                        gain_and_interval(paired_gain(self.scores, PI, name)),
                        f"{self.chosen().get(name, 0.0):.0f}",
                    ]
                    for name in CANDIDATES
                    if name in measured
                ],
            ),
        ]

    def _without_labels(self) -> str:
        rows = [
            [
                method_label(name),
                mean_and_interval(mean_score(self.zero_shot, name)),
                "–" if name == "backbone" else gain_and_interval(paired_gain(self.zero_shot, name, "backbone")),
            ]
            for name in ("backbone", *AS_IS)
        ]
        return table(["method", "score", "gain over the backbone"], rows)

    def what_there_is(self) -> str:
        """One sentence on how complete the rows are."""
        ours = self._of(self.lead if self.shots else "untouched")
        seeds = ours.groupby("target")["seed"].nunique()
        if seeds.empty:
            return "No target has all candidates of π-tuning yet."
        least, most = seeds.min(), seeds.max()
        each = f"{most} seed{'s' if most > 1 else ''}" if least == most else f"{least} to {most} seeds"
        measured = set(map(str, self.rows["target"]))
        # A zoo of one's own has as many targets as were measured; of the suite all should be.
        targets = suite_first({*measured, *(TASK_NAMES if measured & set(TASK_NAMES) else ())})
        lacking = [name for name in targets if name not in seeds.index]
        without = f"; not measured yet: {', '.join(lacking)}" if lacking else ""
        return (
            f"{KINDS[self.kind].label}, {shots_name(self.shots)} shots per class: {len(seeds)} of {len(targets)} "
            f"targets with {each}{without}.{self._methods_lacking()}"
        )

    def _methods_lacking(self) -> str:
        """The methods that have no row, and those that have fewer than π-tuning."""
        if not self.shots:
            return ""
        pairs = len(self._of(self.lead))
        rows = {name: len(self._of(name)) for name in COMPARED}
        notes = []
        none = [method_label(name) for name, count in rows.items() if count == 0]
        fewer = [f"{method_label(name)} ({count} of {pairs})" for name, count in rows.items() if 0 < count < pairs]
        if none:
            notes.append(f" Methods not measured yet: {', '.join(none)}.")
        if fewer:
            notes.append(f" Methods with fewer runs: {', '.join(fewer)}.")
        return "".join(notes)

    def targets(self) -> list[str]:
        """Those that are measured, the suite's first."""
        return list(suite_first(set(map(str, (self.scores if self.shots else self.zero_shot)["target"]))))

    def chosen(self) -> dict[str, float]:
        """How often π-tuning is each of its candidates, in per cent of runs."""
        share = self._of(PI)["chosen"].value_counts(normalize=True)
        return {str(name): round(100 * float(value), 1) for name, value in share.items()}

    def choices(self) -> dict[str, dict[str, float]]:
        """What cross-validation chose for each trained method: mean ``steps``, and in what per cent of runs
        the ``largest_rate`` and ``all_steps``. Where these are high, a wider grid might do better.
        """
        shares = {}
        for method in (name for name in (MIXTURE, *COMPARED) if is_trained(name)):
            rows = self.rows[self.rows["method"] == method]
            if len(rows):
                largest = TuneConfig(target="any", kind=self.kind).rates(method)[-1]
                shares[method] = {
                    "steps": round(float(rows["steps"].mean()), 1),
                    "largest_rate": round(100 * float(np.isclose(rows["learning_rate"], largest).mean()), 1),
                    "all_steps": round(100 * float((rows["steps"] == self.rows["steps"].max()).mean()), 1),
                }
        return shares

    def _budgets(self) -> dict[str, dict[str, dict[str, Any] | None]]:
        """By number of steps and method: the ``gain`` of that budget over the usual one, and ``mixture_gain``, the
        unguarded mixture's over the method with that budget for both.
        """
        return {str(steps): plain_otherwise(self.scores, scores) for steps, scores in self.budgets.items()}

    def _budget_tables(self) -> list[str]:
        parts = []
        for steps, scores in self.budgets.items():
            parts += [
                f"At most {steps} steps instead of {STEPS}, for all methods:",
                other_table(self.scores, scores, f"gain by {steps} steps", "… with usual steps"),
            ]
        return parts

    def _tower_table(self) -> list[str]:
        if self.tower.empty:
            return []
        title = "The target's own expert acts in the vision tower, too, of all methods that train one:"
        return [
            title,
            other_table(self.scores, self._beside_full(self.tower), "gain by it", "… without it", same=BLIND),
        ]

    def _across_tables(self) -> list[str]:
        parts = []
        if len(self.by_shots) > 1:
            parts += ["With other numbers of shots of each class:", across_table("shots", self.by_shots)]
        if len(self.by_kind) > 1:
            parts += ["With other kinds of experts:", across_table("kind", self.by_kind)]
        return parts

    def _beside_full(self, scores: pd.DataFrame) -> pd.DataFrame:
        """With the rows of full fine-tuning, to which it is nothing where the target's own expert acts."""
        full = self.scores[self.scores["method"] == "full"]
        there = scores.loc[scores["method"] == MIXTURE, ["target", "seed"]]
        return pd.concat([scores[~scores["method"].isin(BLIND)], full.merge(there, on=["target", "seed"])])

    def _of(self, method: str) -> pd.DataFrame:
        return self.scores[self.scores["method"] == method]

    def _gain(self, method: str, over: str) -> dict[str, Any] | None:
        return plain(paired_gain(self.scores, method, over), gains=True)

    def _row(self, method: str) -> list[str]:
        gain = None if method == self.lead else paired_gain(self.scores, self.lead, method)
        wins = "–" if gain is None else f"{gain.wins} of {len(gain.by_target)}"
        worst = "–" if gain is None else "{} {:+.1f}".format(*gain.worst)
        return [
            method_label(method),
            mean_and_interval(mean_score(self.scores, method)),
            gain_and_interval(gain),
            wins,
            worst,
        ]

    def _by_modality(self) -> dict[str, dict[str, Estimate | None]]:
        """π-tuning's gain over each method on the targets of a modality."""
        of = self.scores["target"].map({name: mini_task(name).modality for name in TASK_NAMES})
        return {
            modality: {name: paired_gain(self.scores[of == modality], self.lead, name) for name in COMPARED}
            for modality in MODALITIES
        }

    def _modality_table(self) -> list[str]:
        by_modality = self._by_modality()
        rows = [
            [method_label(name), *(gain_and_interval(by_modality[modality][name]) for modality in MODALITIES)]
            for name in COMPARED
            if any(by_modality[modality][name] for modality in MODALITIES)
        ]
        title = f"What {method_label(self.lead)} gains by the modality of the target:"
        return [title, table(["over", *MODALITIES], rows)] if rows else []

    def _targets(self) -> list[list[str]]:
        means = self.scores.groupby(["target", "method"])["score"].mean().unstack()
        rows = []
        for target in suite_first(map(str, means.index)):
            cells = [means.loc[target].get(name) for name in SHOWN]
            rows.append([target, *("–" if pd.isna(cell) else f"{cell:.1f}" for cell in cells)])
        return rows


def guess_table(targets: Sequence[str], guesses: Mapping[str, Guessing]) -> str:
    """What guessing scores on each target and on all, beside the means of `LowshotSummary.markdown`."""
    mean = mean_guess(guesses, targets)
    rows = [[name, *_guess(guesses.get(name))] for name in targets]
    rows += [] if mean is None else [["all targets", *_guess(mean)]]
    return f"What guessing scores:\n\n{table(['target', 'at random', 'always the largest class'], rows)}"


def _guess(guessed: Guessing | None) -> list[str]:
    values = (None, None) if guessed is None else (guessed.chance, guessed.largest)
    return ["–" if value is None else f"{value:.1f}" for value in values]


def load_summary(zoo: Zoo, kind: str, shots: int, steps: int | None = None) -> LowshotSummary:
    """The summary of a study.

    Args:
        steps: of a budget other than the usual one. The usual one's summary has what the others gain over it.

    Raises:
        BadInput: when nothing was measured there.
        ArtefactError: when a table is damaged.
    """
    budgets, tower, kinds = {}, None, {}
    if steps is None:
        studied = {name: read_lowshot(zoo.lowshot_path(name)) for name in KINDS if name != kind}
        kinds = {name: rows for name, rows in studied.items() if shots in set(rows["shots"])}
        seeing = read_lowshot(zoo.lowshot_path(kind, vision_tower=True))
        tower = seeing if shots in set(seeing["shots"]) else None
        tables = {number: read_lowshot(path) for number, path in zoo.lowshot_budgets(kind).items()}
        budgets = {number: rows for number, rows in tables.items() if shots in set(rows["shots"])}
    return LowshotSummary(read_lowshot(zoo.lowshot_path(kind, steps)), kind, shots, budgets, tower, kinds)
