"""`pituning tune`: predict donors, interpolate, evaluate, compare."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pituning.commands.experts import check_examples, guesses, work
from pituning.commands.options import takes_config
from pituning.commands.shared import DetachOption, JsonOption, WorkspaceOption, echo, open_workspace, print_table
from pituning.errors import ArtefactError, BadInput
from pituning.registry import unknown
from pituning.tuning.budgets import BUDGETS, budget_settings
from pituning.tuning.config import TuneConfig
from pituning.workspace.layout import Workspace

if TYPE_CHECKING:
    from pituning.tasks.base import Task

_OF_BUDGETS = " ".join(f"{record.name}: {record.help}" for record in BUDGETS.values())
BudgetOption = Annotated[
    str, typer.Option(help=f"Settings that go together; options given beside it stand. {_OF_BUDGETS}")
]


@takes_config(TuneConfig, argument="target")
def tune_command(
    config: TuneConfig,
    budget: BudgetOption = "full",
    detach: DetachOption = False,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """π-tune a task on a few shots with the experts of similar tasks, and compare with honest baselines."""
    place = open_workspace(workspace)
    task = check_examples(place, config.target, config.shots, config.seed)
    config = _within(config, budget_settings(budget, config.kind, place.backbone_dir(config.backbone)))
    _check_donors(place, config)
    _warn(place, config, task)
    work(place, "tune", config, detach, as_json, _told, _verdict)


def _warn(workspace: Workspace, config: TuneConfig, task: Task) -> None:
    """Says before any training what the backbone is not made for, and what it would cut of the shots."""
    from pituning.backbones.embedded import warning_beyond
    from pituning.backbones.prompts import prompt_notes
    from pituning.tasks.members import members_of

    warnings = [warning_beyond(config.backbone, task)]
    if task.source != "mini" and task.modality != "vision":  # places of images are not counted: so many at the least
        prompts = [task.prompt(shot) for shot in task.shots(config.shots, config.seed)]
        folder = workspace.backbone_dir(config.backbone)
        notes = prompt_notes(folder, prompts, name=config.backbone, members=members_of(task))
        warnings += [f"warning: {note}" for note in notes]
    for line in warnings:
        if line is not None:
            echo(line, err=True)


def _within(config: TuneConfig, settings: Mapping[str, Any]) -> TuneConfig:
    """The configuration with the settings of a budget, where it has the usual ones."""
    usual = TuneConfig(target=config.target)
    return replace(config, **{n: v for n, v in settings.items() if getattr(config, n) == getattr(usual, n)})


def _check_donors(workspace: Workspace, config: TuneConfig) -> None:
    from pituning.experts.card import unusable_experts

    kept = workspace.zoo(config.backbone)
    zoo = [name for name in kept.expert_dirs(config.kind) if name != config.target]
    known = {*zoo, *kept.all_expert_dirs(config.kind)} - {config.target}
    for name in config.donor_names:
        if name not in known:
            raise unknown("donor", name, sorted(known))
    can_lend = {*zoo, *config.donor_names}
    if not can_lend:
        fix = kept.command("zoo build")
        raise BadInput(f"there are no {config.kind} experts to lend; make them: {fix}", field="kind")
    if len(can_lend) < config.donors:
        raise BadInput(
            f"donors is {config.donors}, but {len(can_lend)} {config.kind} experts can lend; choose at most "
            f"{len(can_lend)}",
            field="donors",
        )
    # A run reads the whole zoo; better now than from a worker.
    unusable = unusable_experts(
        workspace, config.kind, target=config.target, donors=config.donor_names, backbone=config.backbone
    )
    for reason in unusable.values():
        raise ArtefactError(reason)


def _verdict(partial: dict[str, Any]) -> str | None:
    """One line of what is known before the other baselines are there."""
    from pituning.reports.usable import judge_run

    if partial.get("score") is None:
        return None
    judged = judge_run([partial])
    return f"{judged.usable.title}. {judged.donors.title}. {judged.donors.text}"


def _told(result: dict[str, Any]) -> str:
    """Prints the table of methods and what follows from it; gives what can be done with the expert."""
    from pituning.reports.advice import advice
    from pituning.reports.usable import judge_run

    weights = result["weights"]
    donors = ", ".join(f"{name} {weights[name]:.2f}" if name in weights else str(name) for name in result["donors"])
    echo(f"{result['target']}, {result['shots']} shots per class, {result['kind']}; donors: {donors or 'none'}")
    scores: dict[str, float] = {"pi": result["score"], **result["baselines"]}
    rows = [
        (
            "π-tuning" if name == "pi" else name,
            score,
            *result["intervals"][name],
            result["gains"].get(name, {}).get("mean"),
        )
        for name, score in sorted(scores.items(), key=lambda item: -item[1])
    ]
    rows += [(what, points, None, None, None) for what, points in guesses(result)]
    print_table(("method", "score", "low", "high", "π gains"), rows)
    curve = result["learning_curve"]
    if curve:
        echo(
            "by shots"
            + ", on rows that are no shots" * bool(result.get("crossed"))
            + ": "
            + ", ".join(f"{point['shots']}: {point['score']:.1f}" for point in curve)
        )
    judged = judge_run([result])
    lines = (f"{judged.usable.title}. {judged.usable.text}", judged.guard, judged.test, *advice(result))
    for line in filter(None, lines):
        echo(line)
    if result["calibration"] is not None:
        before, after = (100 * result["calibration"][name]["ece"] for name in ("before", "after"))
        unseen = result["test_examples"] - result.get("crossed", 0)  # on shots the temperature was fitted
        echo(
            f"probabilities are off by {after:.1f} points on average over {unseen:,} test rows (ECE), "
            f"{before:.1f} without calibration" + (": it did not help here" if after > before else "")
        )
    name = result["expert"]
    return (
        f"expert {name}; label new rows with: pituning predict {name} FILE --out answers.csv\n"
        f"take it along with: pituning experts export {name} DIR"
    )
