"""What is left to do of a run on a whole zoo, by what is there already. Torch-free.

A cell of a study is as heavy as its training steps and test examples take together by `pituning.runs.plans.MEASURED`;
finished runs then say how many times longer cells take on this machine and backbone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pituning.backbones.files import fingerprint
from pituning.backbones.places import Places
from pituning.graph.predictors import PREDICTORS
from pituning.runs.outline import LOAD_BACKBONE, LOAD_LIBRARIES, PROJECTED, Part, Subject, batch_load
from pituning.runs.plans import measured_costs
from pituning.runs.slots import find_gpus
from pituning.runs.study_configs import InProcesses, TransferRun, ZooRun
from pituning.studies.built import is_built, is_embedded
from pituning.studies.targets import with_tasks
from pituning.studies.transfer_cells import AT_ONCE, PHASE, Cell, cell_specs, grouped, known_cells, missing_cells
from pituning.tasks.registry import TaskSource, list_tasks
from pituning.workspace.layout import Workspace
from pituning.workspace.zoo import LEAST_TASKS

LEAST_FOR_UMAP = 12
MAPS = 3
"""UMAP, MDS and PCA; a zoo of fewer than `LEAST_FOR_UMAP` tasks gets the last two."""


@dataclass(frozen=True)
class Left:
    """The cells of a study of transfer, and those among them that are not measured yet."""

    cells: int
    missing: tuple[Cell, ...]


def transfer_left(config: TransferRun, workspace: Workspace, *, print_of: str | None = None) -> Left:
    """What there is to measure.

    Args:
        print_of: the backbone's fingerprint, where it is known: to make it reads all weights.

    Raises:
        BadInput: there is no such backbone, task or donor.
        ArtefactError: a file of them, or the table, is damaged.
    """
    zoo, source = workspace.zoo(config.backbone), TaskSource(workspace)
    folder = workspace.backbone_dir(config.backbone)
    specs = cell_specs(
        zoo, with_tasks(config, zoo, source), source, fingerprint=print_of or fingerprint(folder),
        factor=Places.read(folder).rate_factor, dtype=config.dtype,
    )  # fmt: skip
    return Left(len(specs), tuple(missing_cells(specs, known_cells(zoo, config.kind))))


def transfer_parts(config: TransferRun, _subject: Subject, workspace: Workspace) -> list[Part]:
    """The phases of measuring transfer: the cells that are missing."""
    missing = transfer_left(config, workspace).missing
    costs, subjects = measured_costs(config.kind), subjects_of(workspace)
    seconds = 0.0
    for cells in grouped(missing):
        subject, shots = subjects[cells[0].target], cells[0].shots
        test, examples = min(config.test_examples, subject.test), shots * subject.classes
        trained = config.steps * costs["train"] * batch_load(min(config.batch_size, examples)) if shots else 0.0
        seconds += len(cells) * (trained + test * costs["test"])
        seconds += chunks(len(cells)) * encoding_seconds(subject, test + examples, costs)
    return [LOAD_LIBRARIES, shared_part(PHASE, len(missing), seconds, config, costs)]


def zoo_parts(config: ZooRun, _subject: Subject, workspace: Workspace) -> list[Part]:
    """The phases of building a zoo: the experts that are missing, and what is made of all of them."""
    zoo, source = workspace.zoo(config.backbone), TaskSource(workspace)
    study, folder = with_tasks(config.study(), zoo, source), workspace.backbone_dir(config.backbone)
    digest, factor, subjects = fingerprint(folder), Places.read(folder).rate_factor, subjects_of(workspace)
    parts, trained = [LOAD_LIBRARIES], False
    for task in study.tasks:
        if is_built(zoo, study, config.kind, task, digest, source, factor=factor):
            continue
        subject, trained = subjects[task], True
        test, load = min(study.test_examples, subject.test), batch_load(min(study.batch_size, subject.train))
        images = [[Part("encode images", count)] if subject.images else [] for count in (subject.train, test)]
        parts += [*images[0], Part(f"train {task}", study.steps_of(config.kind), load), *images[1]]
        parts.append(Part(f"test {task}", test))
        parts += [Part("test temperature", test)] if subject.closed else []
    names = {name for name in (*zoo.expert_dirs(config.kind), *study.tasks) if source.has(name)}
    if len(names) < LEAST_TASKS or not (trained or not is_embedded(zoo, config.kind, names)):
        return parts
    umap = len(names) >= LEAST_FOR_UMAP
    parts += [Part(f"embed {config.kind}", 2 * len(names)), Part(f"compare {config.kind}", len(PREDICTORS))]
    parts += [Part("load UMAP", 1)] if umap else []
    return [*parts, Part("project", PROJECTED if umap else PROJECTED * (MAPS - 1) // MAPS)]


def subjects_of(workspace: Workspace) -> dict[str, Subject]:
    """What of each task matters for the length of a run, by its name."""
    return {info.name: Subject.of(info) for info in list_tasks(workspace)}


def chunks(cells: int) -> int:
    """In how many parts cells of one target and one set of shots are measured."""
    return -(-cells // AT_ONCE)


def encoding_seconds(subject: Subject, examples: int, costs: Mapping[str, float]) -> float:
    """How long it takes to encode so many examples."""
    return examples * costs["encode images"] if subject.images else 0.0


def shared_part(phase: str, cells: int, seconds: float, config: InProcesses, costs: Mapping[str, float]) -> Part:
    """The phase in which several processes measure cells that would take one of them so many seconds in all."""
    processes = min(config.processes_on(gpu=bool(find_gpus())), max(1, cells))
    begun = sum(costs[part] for part in (LOAD_LIBRARIES.name, LOAD_BACKBONE))
    return Part(phase, cells, (seconds / processes + begun) / cells if cells else 1.0)
