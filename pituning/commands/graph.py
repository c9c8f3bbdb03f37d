"""`pituning graph`: a task's neighbours, the task graph as a file, maps of the tasks."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pituning.commands.options import BackboneOption, takes_config
from pituning.commands.shared import (
    DetachOption,
    JsonOption,
    KindOption,
    TaskArgument,
    WorkspaceOption,
    echo,
    emit,
    open_workspace,
    print_table,
)
from pituning.errors import BadInput
from pituning.graph.predictors import DEFAULT_PREDICTOR
from pituning.runs.configs import ProjectRun
from pituning.workspace.layout import DEFAULT_BACKBONE, Workspace

if TYPE_CHECKING:
    from pituning.tasks.registry import TaskInfo
    from pituning.workspace.similarity import NearestSimilarity, ZooSimilarity

app = typer.Typer(help="The task graph: neighbors, export, project.")

PredictorOption = Annotated[str, typer.Option("--predictor", help="Similarity: probe, paper, scaled, weights or text.")]


@app.command()
def neighbors(
    task: TaskArgument,
    k: Annotated[int, typer.Option("-k", help="How many.")] = 3,
    kind: KindOption = "lora",
    predictor: PredictorOption = DEFAULT_PREDICTOR,
    backbone: BackboneOption = DEFAULT_BACKBONE,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """The tasks most like one, best first, each with the share of bootstrap replicates that agree."""
    from pituning.graph import predict
    from pituning.graph.sparse import sparse_neighbors
    from pituning.tasks.registry import load_task
    from pituning.workspace.similarity import NearestSimilarity

    place = open_workspace(workspace)
    similarity = load_kept(place, kind, predictor, backbone)
    if task not in similarity.names:
        load_task(task, place)
        train, embed = (
            place.zoo(backbone).command(words)
            for words in (f"experts train {task} --kind {kind}", f"embed --all --kind {kind}")
        )
        raise BadInput(
            f"task {task!r} has no embedding of kind {kind!r}; make one: {train}, then {embed}", field="task"
        )
    if isinstance(similarity, NearestSimilarity):
        nearest = sparse_neighbors(similarity, task, k)
    else:
        nearest = predict.neighbors(similarity.matrix, similarity.names, task, k, replicates=similarity.replicates)
    modality = {info.name: info.modality for info in infos_of(place, similarity, backbone)}
    rows = [
        {
            "task": neighbor.task,
            "modality": modality[neighbor.task],
            "similarity": neighbor.similarity,
            "rank": neighbor.rank,
            "confidence": neighbor.confidence,
            "low": neighbor.low,
            "high": neighbor.high,
        }
        for neighbor in nearest
    ]

    def human() -> None:
        columns = ("rank", "task", "modality", "similarity", "confidence")
        print_table(columns, [[row[column] for column in columns] for row in rows])

    emit({"task": task, "kind": kind, "backbone": backbone, "predictor": predictor, "neighbors": rows}, as_json, human)


@app.command()
def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Ends in .graphml, .gexf, .json or .csv.")],
    kind: KindOption = "lora",
    predictor: PredictorOption = DEFAULT_PREDICTOR,
    backbone: BackboneOption = DEFAULT_BACKBONE,
    k: Annotated[int | None, typer.Option("-k", help="Join each task to its k most similar; default 3.")] = None,
    threshold: Annotated[float | None, typer.Option(help="Join what is at least this similar.")] = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the task graph with its communities and layout."""
    from pituning.graph.build import task_graph
    from pituning.graph.export import FORMATS, export_graph
    from pituning.graph.sparse import sparse_graph
    from pituning.workspace.similarity import NearestSimilarity

    if file.suffix.removeprefix(".").lower() not in FORMATS:
        raise BadInput(f"file {str(file)!r} must end in {', '.join('.' + each for each in FORMATS)}", field="file")
    if threshold is not None and not math.isfinite(threshold):
        raise BadInput(f"threshold is {threshold}; give a number, as 0.2", field="threshold")
    place = open_workspace(workspace)
    similarity = load_kept(place, kind, predictor, backbone)
    infos = infos_of(place, similarity, backbone)
    if isinstance(similarity, NearestSimilarity):
        graph = sparse_graph(similarity, infos, k=k, threshold=threshold)
    else:
        graph = task_graph(similarity.matrix, infos, k=k, threshold=threshold)
    export_graph(graph, file)
    document = {"file": file, "tasks": graph.number_of_nodes(), "edges": graph.number_of_edges()}
    emit(document, as_json, lambda: echo(f"{file}: {document['tasks']} tasks, {document['edges']} edges"))


@app.command()
@takes_config(ProjectRun, argument="")
def project(
    config: ProjectRun, detach: DetachOption = False, workspace: WorkspaceOption = None, as_json: JsonOption = False
) -> None:
    """Make maps of the tasks in two dimensions: UMAP, MDS and PCA, with clouds of uncertainty."""
    from pituning.commands.experts import work
    from pituning.graph.projection import check_metric

    place = open_workspace(workspace)
    check_metric(load_kept(place, config.kind, config.predictor, config.backbone), config)

    def human(result: dict[str, Any]) -> str:
        trust = ", ".join(
            f"{name} {'–' if value is None else format(value, '.2f')}"
            for name, value in result["trustworthiness"].items()
        )
        return f"{result['tasks']} tasks ({config.kind}, {config.predictor}); trustworthiness: {trust}"

    work(place, "project", config, detach, as_json, human)


def load_kept(workspace: Workspace, kind: str, predictor: str, backbone: str) -> ZooSimilarity | NearestSimilarity:
    """The zoo's similarity; unknown kinds, predictors and backbones are told before a file is looked for."""
    from pituning.experts.kinds import KINDS
    from pituning.graph.predictors import PREDICTORS

    zoo = workspace.zoo(workspace.check_backbone(backbone))
    return zoo.kept_similarity(KINDS.check(kind), PREDICTORS.check(predictor))


def infos_of(workspace: Workspace, similarity: ZooSimilarity | NearestSimilarity, backbone: str) -> list[TaskInfo]:
    """What is known of the tasks of a similarity, in its order."""
    from pituning.tasks.registry import list_tasks

    known = {info.name: info for info in list_tasks(workspace, backbone)}
    missing = [name for name in similarity.names if name not in known]
    if missing:
        raise BadInput(f"task {missing[0]!r} is in the task graph but not in the workspace; embed again with --all")
    return [known[name] for name in similarity.names]
