"""What is left to do of a low-shot study. What a row depends on is known to the methods alone, so this needs torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from pituning.runs.outline import LOAD_LIBRARIES, Part, Subject, batch_load
from pituning.runs.plans import measured_costs
from pituning.runs.study_configs import LowshotRun
from pituning.runs.study_outline import chunks, encoding_seconds, shared_part, subjects_of
from pituning.studies import lowshot
from pituning.tuning.config import BLIND, fold_count, is_trained
from pituning.workspace.layout import Workspace
from pituning.workspace.shots import ALL_SHOTS


def lowshot_parts(config: LowshotRun, _subject: Subject, workspace: Workspace) -> list[Part]:
    """The phases of a low-shot study: the cells that are missing."""
    zoo = workspace.zoo(config.backbone)
    places = lowshot.Places(zoo=zoo, backbone=workspace.backbone_dir(config.backbone), workspace=workspace)
    missing = lowshot.missing_cells(places, config, lowshot.lowshot_specs(places, config))
    costs, subjects = measured_costs(config.kind), subjects_of(workspace)
    lenders = max(0, len(places.experts(config.kind)) - 1)
    seconds = sum(_method_seconds(config, cell, subjects[cell.target], costs) for cell in missing)
    for (target, shots, _seed), count in Counter((cell.target, cell.shots, cell.seed) for cell in missing).items():
        subject = subjects[target]
        seen = _examples(shots, subject) + min(config.test_examples, subject.test)
        seconds += chunks(count) * (
            encoding_seconds(subject, seen, costs) + _examples(shots, subject) * costs["embed the shots"]
        )
    # The embeddings of the others that donors are predicted by are made once for a target.
    seconds += len({cell.target for cell in missing if cell.shots}) * lenders * costs["embed the zoo"]
    return [LOAD_LIBRARIES, shared_part(lowshot.PHASE, len(missing), seconds, config, costs)]


def _method_seconds(config: LowshotRun, cell: lowshot.Cell, subject: Subject, costs: Mapping[str, float]) -> float:
    """How long a method takes on a target made ready."""
    # What sees pictures takes part in each step of an expert that acts there, as it does of full fine-tuning.
    full = " full" if cell.method == "full" or (config.vision_tower and cell.method not in BLIND) else ""
    test = min(config.test_examples, subject.test) * costs[f"test{full}"]
    if not (cell.shots and is_trained(cell.method)):
        return test
    settings = config.tuning(cell.target, shots=cell.shots, seed=cell.seed)
    examples = _examples(cell.shots, subject)
    folds = 0 if cell.shots == 1 and subject.closed else settings.folds or fold_count(examples)
    searched = folds * len(settings.rates(cell.method)) * costs[f"choose{full}"] + costs[f"train{full}"]
    return test + config.steps * searched * batch_load(min(settings.batch_size, examples))


def _examples(shots: int, subject: Subject) -> int:
    return subject.train if shots == ALL_SHOTS else shots * subject.classes
