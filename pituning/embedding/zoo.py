"""The zoo's embeddings and how alike they are: what the task graph is drawn from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from pituning.backbones.base import Backbone
from pituning.embedding.embed import ESTIMATOR_AT, Embedded, common_probe, embed_task
from pituning.embedding.many import compare_many, scratch
from pituning.errors import BadInput
from pituning.experts.model import ExpertModel
from pituning.experts.space import save_space
from pituning.experts.store import load_together
from pituning.graph.bootstrap import bootstrap_matrix
from pituning.graph.embeddings import TaskEmbedding
from pituning.graph.nearest import KEPT, MOST_EXACT
from pituning.graph.predictors import PREDICTORS
from pituning.graph.similarity import similarity_matrix
from pituning.graph.text import task_text
from pituning.progress import Reporter, Silent
from pituning.registry import load
from pituning.tasks.base import Example, Task
from pituning.workspace.atomic import read_json, write_json
from pituning.workspace.similarity import MOST_DENSE, ZooSimilarity, save_nearest, save_similarity
from pituning.workspace.zoo import LEAST_TASKS, Zoo


def embed_zoo(
    zoo: Zoo,
    backbone: Backbone,
    kind: str,
    experts: Mapping[str, Path],
    tasks: Sequence[Task],
    *,
    examples: int = 256,
    groups: int = 16,
    replicates: int = 50,
    seed: int = 0,
    reporter: Reporter | None = None,
) -> None:
    """Embeds the tasks of a zoo at their own expert and at the common one, and compares them in every way.

    Writes ``<kind>/embeddings/{own,common}/<task>.safetensors`` and ``<kind>/similarity/<predictor>.safetensors`` of
    the zoo, each with its card. Nothing is done when all of it is there and was made from the same experts.

    Args:
        zoo: where they are written.
        experts: the directory of each task's own full-data expert.
        examples: training examples behind each embedding.
        groups: of them, resampled ``replicates`` times by the bootstrap.

    Raises:
        BadInput: with fewer than three tasks, or a task without an expert.
        ArtefactError: when an expert is damaged or belongs to another backbone.
    """
    report = reporter or Silent()
    missing = [task.name for task in tasks if task.name not in experts]
    if missing or len(tasks) < LEAST_TASKS:
        named = f"task {missing[0]!r} has no {kind} expert" if missing else f"{len(tasks)} tasks are too few"
        raise BadInput(f"{named}; a zoo needs experts of three tasks or more", field="kind")
    together = load_together({task.name: experts[task.name] for task in tasks}, ExpertModel(backbone, kind))
    for name, reason in together.left_out.items():
        report.log(f"{name} is left out: {reason}")
    tasks = [task for task in tasks if task.name in together.experts]
    if len(tasks) < LEAST_TASKS:
        raise BadInput(f"{len(tasks)} tasks are too few; a zoo needs experts of three tasks or more", field="kind")
    model = together.model_for(together.experts)
    loaded = {name: together.placed(name, model) for name in together.experts}
    manifest = zoo.new_embedding_manifest(kind)
    origin = {
        "format_version": 1,
        "backbone": backbone.fingerprint,
        "experts": {name: expert.card.sha256 for name, expert in loaded.items()},
        "examples": examples,
        "groups": groups,
        "estimators": ESTIMATOR_AT,
        "replicates": replicates,
        "seed": seed,
    }
    compared = all(zoo.new_similarity_path(kind, predictor).is_file() for predictor in PREDICTORS)
    if compared and manifest.exists() and read_json(manifest) == origin:
        return
    common = common_probe(list(loaded.values()))
    large = len(tasks) > MOST_DENSE
    if large:
        report.log(
            f"{len(tasks):,} tasks are more than {MOST_DENSE:,}: the {KEPT} most similar of each are kept, not all "
            f"pairs, and nothing is resampled; up to {MOST_EXACT:,} tasks they are found exactly, above by a sketch"
        )
    embedded: dict[str, list[Embedded]] = {"own": [], "common": []}
    vectors = {probe: scratch(len(tasks), model.space.size) for probe in embedded} if large else {}
    report.phase(f"embed {kind}", 2 * len(tasks))
    for number, task in enumerate(tasks):
        encoded = model.encode(task, embedded_examples(task, examples, seed))
        for probe, of_probe in embedded.items():
            values = loaded[task.name].values if probe == "own" else common
            made = embed_task(model, values, task.name, encoded, probe=probe, groups=groups, seed=seed)
            made.embedding.save(zoo.new_embedding_path(kind, probe, task.name))
            if large:  # all of them would not fit into memory, with the groups of their examples
                vectors[probe][number] = made.embedding.flat()
            else:
                of_probe.append(made)
            report.advance()
    names = tuple(task.name for task in tasks)
    texts = [task_text(task.instruction, task.labels) for task in tasks]
    if large:
        vectors["parameters"] = scratch(len(tasks), model.space.size)
        for number, name in enumerate(names):
            vectors["parameters"][number] = loaded[name].values.numpy()
        for predictor, record in PREDICTORS.items():
            kept = compare_many(
                record, names, vectors=vectors.get(record.probe or record.compares), texts=texts,
                layout=(model.space.names, model.space.sizes), seed=seed, reporter=report,
            )  # fmt: skip
            save_nearest(zoo.new_similarity_path(kind, predictor), kept)
        save_space(model.space, zoo.new_space_path(kind))
        write_json(manifest, origin)
        return
    parameters = [
        TaskEmbedding.from_flat(
            loaded[name].values.numpy(), task=name, kind=kind, probe="own",
            names=model.space.names, sizes=model.space.sizes,
        )
        for name in names
    ]  # fmt: skip
    report.phase(f"compare {kind}", len(PREDICTORS))
    for predictor, record in PREDICTORS.items():
        resampled = np.zeros((0, len(names), len(names)))
        if record.compares == "words":
            matrix = load(record.path)(texts)
        elif record.probe is None:
            matrix = similarity_matrix(parameters, predictor)
        else:
            embeddings = [item.embedding for item in embedded[record.probe]]
            resampled = bootstrap_matrix(
                embeddings, [item.groups for item in embedded[record.probe]], predictor,
                replicates=replicates, seed=seed,
            )  # fmt: skip
            matrix = similarity_matrix(embeddings, predictor)
        path = zoo.new_similarity_path(kind, predictor)
        save_similarity(path, ZooSimilarity(names=names, matrix=matrix, replicates=resampled))
        report.advance()
    save_space(model.space, zoo.new_space_path(kind))
    write_json(manifest, origin)  # last: it says that all the rest is there


def embedded_examples(task: Task, count: int, seed: int) -> list[Example]:
    """At most ``count`` training examples, drawn by ``seed``: those that a zoo's embeddings are made of."""
    split = task.split("train")
    order = np.random.default_rng([seed, 7]).permutation(len(split))[:count]
    return [split[int(i)] for i in np.sort(order)]
