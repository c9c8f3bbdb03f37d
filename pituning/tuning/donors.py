"""Whose experts will help: the zoo, and the prediction of donors from the shots alone.

Every task is embedded at one common probe, the mean of the zoo's experts *without the target's own*. The target's
embedding comes from its shots, a zoo task's from a few of its training examples.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pituning.backbones.base import Backbone
from pituning.backbones.encoded import EncodedExamples
from pituning.embedding.embed import ESTIMATOR_AT, Embedded, common_probe, embed_task
from pituning.errors import ArtefactError, BadInput
from pituning.experts.model import ExpertModel
from pituning.experts.store import Expert, Together, load_together
from pituning.graph.bootstrap import bootstrap_to
from pituning.graph.donor_gains import DonorGains, expected_from_shots
from pituning.graph.embeddings import TaskEmbedding
from pituning.graph.predict import Neighbor, most_similar
from pituning.graph.predictors import PREDICTORS, shot_predictors
from pituning.graph.similarity import similarity_to
from pituning.graph.text import task_text
from pituning.progress import Reporter, Silent
from pituning.registry import load, unknown
from pituning.tasks.base import Example, Task
from pituning.tasks.registry import list_tasks, load_task
from pituning.tuning.config import TuneConfig
from pituning.workspace.atomic import read_json
from pituning.workspace.layout import Workspace
from pituning.workspace.zoo import Zoo, zoo_command

ZOO_EXAMPLES = 64
"""Training examples of each zoo task behind its embedding; more change the ranking little."""
GROUPS = 12
"""Groups of shots that the bootstrap resamples, at most; each has two shots or more."""


def load_zoo(
    config: TuneConfig,
    directories: Mapping[str, Path],
    model: ExpertModel,
    *,
    others: Mapping[str, Path] | None = None,
    reporter: Reporter | None = None,
) -> Together:
    """The experts that can lend, by name: the zoo without the target's own expert, which is not even opened.

    Args:
        directories: of the zoo's experts, by task.
        others: those that lend only where they are named as donors, such as imported experts.
        reporter: is told who was left out, since it does not fit.

    Raises:
        BadInput: when there are fewer than the donors asked for, or a donor named is not among them, does not fit or
            was trained on the target.
        ArtefactError: when one is damaged or belongs to another backbone.
    """
    directories = {name: path for name, path in directories.items() if name != config.target}
    known = {**(others or {}), **directories}
    known.pop(config.target, None)
    for name in config.donor_names:
        if name not in known:
            raise unknown("donor", name, sorted(known))
        directories[name] = known[name]
    if not directories:
        fix = zoo_command("zoo build", config.backbone)
        raise BadInput(f"there are no {config.kind} experts to lend; make them: {fix}", field="kind")
    lenders = load_together(directories, model, needed=config.donor_names)
    for name in config.donor_names:
        if lenders.experts[name].task == config.target:
            raise BadInput(
                f"donor {name!r} was trained on the target {config.target!r} itself; choose another",
                field="donor_names",
            )
    for name, reason in lenders.left_out.items():
        (reporter or Silent()).log(f"{name} cannot lend: {reason}")
    lenders.experts = {name: expert for name, expert in lenders.experts.items() if expert.task != config.target}
    if len(lenders.experts) < config.donors:
        raise BadInput(
            f"donors is {config.donors}, but {len(lenders.experts)} {config.kind} experts can lend; choose at most "
            f"{len(lenders.experts)}",
            field="donors",
        )
    return lenders


def predict_donors(
    config: TuneConfig,
    task: Task,
    shots: EncodedExamples,
    zoo: Together,
    backbone: Backbone,
    workspace: Workspace,
    reporter: Reporter,
) -> list[Neighbor]:
    """All tasks of the zoo by similarity to the target, most similar first.

    Confidence is the share of bootstrap resamplings of the shots in which a task is among the donors.
    """
    if PREDICTORS[config.predictor].compares == "words":
        similarity = _by_words(config.predictor, task, list(zoo.experts), workspace)
        return most_similar(similarity, list(zoo.experts), len(zoo.experts))
    return _by_embedding(config, *embed_shots(config, task, shots, zoo, backbone, workspace, reporter))


def predict_gains(
    config: TuneConfig,
    task: Task,
    shots: EncodedExamples,
    zoo: Together,
    backbone: Backbone,
    workspace: Workspace,
    reporter: Reporter,
) -> tuple[list[Neighbor], DonorGains]:
    """The same, and what each of them is expected to add, by every similarity that shots alone allow."""
    names = list(zoo.experts)
    target, embeddings = embed_shots(config, task, shots, zoo, backbone, workspace, reporter)
    embedded = [embedding.task for embedding in embeddings]
    similarities = {
        predictor: dict(zip(names, _by_words(predictor, task, names, workspace), strict=True))
        if PREDICTORS[predictor].compares == "words"
        else dict(zip(embedded, similarity_to(target.embedding, embeddings, predictor), strict=True))
        for predictor in shot_predictors()
    }
    if PREDICTORS[config.predictor].compares == "words":
        similarity = np.array([similarities[config.predictor][name] for name in names])
        neighbors = most_similar(similarity, names, len(names))
    else:
        neighbors = _by_embedding(config, target, embeddings)
    gains = expected_from_shots(
        workspace.zoo(backbone.name), task.name, similarities, kind=config.kind, shots=config.shots,
        tasks={info.name: info for info in list_tasks(workspace, backbone.name)},
    )  # fmt: skip
    return neighbors, gains


def _by_words(predictor: str, task: Task, names: Sequence[str], workspace: Workspace) -> np.ndarray:
    """(N,) similarity of the target to the named tasks by their words."""
    texts = [task_text(t.instruction, t.labels) for t in (task, *(load_task(name, workspace) for name in names))]
    return load(PREDICTORS[predictor].path)(texts)[0, 1:]


def _by_embedding(config: TuneConfig, target: Embedded, embeddings: Sequence[TaskEmbedding]) -> list[Neighbor]:
    similarity = similarity_to(target.embedding, embeddings, config.predictor)
    replicates = bootstrap_to(target.embedding, target.groups, embeddings, config.predictor, seed=config.seed)
    return ranked(similarity, [embedding.task for embedding in embeddings], config.ranked_donors, replicates)


def embed_shots(
    config: TuneConfig,
    task: Task,
    shots: EncodedExamples,
    zoo: Together,
    backbone: Backbone,
    workspace: Workspace,
    reporter: Reporter,
) -> tuple[Embedded, list[TaskEmbedding]]:
    """The target by its shots and the zoo's tasks, at one probe.

    The probe is the mean of the experts of the usual layout, or of all where there is none.
    """
    named = list(zoo.usual or zoo.experts)
    model = zoo.model_for(named)
    probe = common_probe([zoo.placed(name, model) for name in named], exclude=task.name)
    reporter.phase("embed the shots", len(shots))
    target = embed_task(
        model, probe, task.name, shots, probe="common", groups=GROUPS, seed=config.seed, reporter=reporter
    )
    embeddings = kept_embeddings(zoo.experts, model, workspace.zoo(backbone.name))
    if not embeddings:
        embeddings = embed_zoo_tasks(list(zoo.experts), probe, model, backbone, workspace, reporter)
    return target, embeddings


def ranked(similarity: np.ndarray, names: Sequence[str], donors: int, replicates: np.ndarray) -> list[Neighbor]:
    """All tasks, most similar first, with the confidence of being among the first ``donors``."""
    sure = {item.task: item for item in most_similar(similarity, names, donors, replicates=replicates)}
    neighbors = most_similar(similarity, names, len(names), replicates=replicates)
    # With k = N everybody is among the k most similar; only the donors' confidence means something.
    return [sure.get(n.task, Neighbor(task=n.task, similarity=n.similarity, rank=n.rank, low=n.low, high=n.high))
            for n in neighbors]  # fmt: skip


def kept_embeddings(experts: Mapping[str, Expert], model: ExpertModel, zoo: Zoo) -> list[TaskEmbedding]:
    """The zoo's own embeddings at its common expert, where that is the probe; none where it is another.

    It is the probe when no expert of the zoo is the target's, so that none was left out of the mean. Then nothing has
    to be computed, and a zoo that ships without the examples of its tasks can lend.
    """
    try:
        manifest = read_json(zoo.embedding_manifest(model.kind))
        made_from = {name: expert.card.sha256 for name, expert in experts.items()}
        if manifest["backbone"] != model.backbone.fingerprint or manifest["experts"] != made_from:
            return []
        paths = [zoo.embedding_path(model.kind, "common", name) for name in experts]
        kept = [TaskEmbedding.load(path, backbone=model.backbone.fingerprint) for path in paths]
        # Made in a layout that holds all experts, which may be wider than that of the probe.
        return kept if all(each.names == model.space.names for each in kept) else []
    except (ArtefactError, KeyError, TypeError):
        return []  # not made, or damaged: they are made again


def embed_zoo_tasks(
    names: Sequence[str],
    probe: Tensor,
    model: ExpertModel,
    backbone: Backbone,
    workspace: Workspace,
    reporter: Reporter,
) -> list[TaskEmbedding]:
    """Embeddings of zoo tasks at a probe, kept in the workspace by the content that they depend on.

    What is not there yet is computed, saved and read back, so that the numbers do not depend on whether it was there.
    """
    reporter.phase("embed the zoo", len(names))
    probe_key = _digest(backbone.fingerprint.encode(), ESTIMATOR_AT["common"].encode(), probe.numpy().tobytes())
    embeddings = []
    for name in names:
        task = load_task(name, workspace)
        examples = some_training_examples(task, ZOO_EXAMPLES)
        content = _content(task, examples, backbone.image_size)
        path = workspace.zoo(backbone.name).new_embedding_path(model.kind, f"probe-{probe_key}", name)
        embedding = _cached(path, backbone.fingerprint, content)
        if embedding is None:
            encoded = model.encode(task, examples)
            made = embed_task(model, probe, name, encoded, probe="common", meta={"content": content})
            made.embedding.save(path)
            embedding = TaskEmbedding.load(path)
        embeddings.append(embedding)
        reporter.advance()
    return embeddings


def some_training_examples(task: Task, count: int) -> list[Example]:
    """At most ``count`` training examples, drawn with a fixed seed; only these are made."""
    split = task.split("train")
    chosen = np.sort(np.random.default_rng(0).permutation(len(split))[:count])
    return [split[int(i)] for i in chosen]


def placebo(donors: Tensor, model: ExpertModel, seed: int) -> Tensor:
    """(K, P) random parameters, each tensor as far from what the kind calls neutral as that of a donor (K, P)."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(donors.shape, generator=generator).to(donors.device)
    neutral = model.method.neutral
    for slot in model.space.slots():
        piece = drawn[:, slot.start : slot.stop]
        norms = (donors[:, slot.start : slot.stop] - neutral).norm(dim=1, keepdim=True)
        piece *= norms / piece.norm(dim=1, keepdim=True)
    return drawn + neutral


def random_donors(zoo: Sequence[str], donors: Sequence[str], seed: int) -> list[str]:
    """As many tasks at random, none of them a donor as long as there are enough others."""
    generator = np.random.default_rng([seed, 11])
    others = [name for name in sorted(zoo) if name not in donors]
    pool = others if len(others) >= len(donors) else sorted(zoo)
    return [pool[int(i)] for i in generator.permutation(len(pool))[: len(donors)]]


def same_format_donors(target: Task, others: Sequence[Task], seed: int) -> list[str]:
    """The tasks that answer in the target's form but ask for something else, those alike in form first.

    The form is the metric and whether answers are open. The more labels are shared the more alike are two forms; then
    the same modality counts, then a like number of labels; equals come at random. Planted relatives are left out.
    """
    generator = np.random.default_rng([seed, 13])
    labels = set(target.labels or ())

    def distance(other: Task) -> tuple[float, bool, float]:
        theirs = set(other.labels or ())
        shared = len(labels & theirs) / max(1, len(labels | theirs))
        return -shared, other.modality != target.modality, abs(np.log(other.n_classes / target.n_classes))

    alike = [
        other
        for other in sorted(others, key=lambda task: task.name)
        if (other.metric, other.labels is None) == (target.metric, target.labels is None)
        and not set(other.families) & set(target.families)
    ]
    drawn = [alike[int(i)] for i in generator.permutation(len(alike))]
    return [other.name for other in sorted(drawn, key=distance)]


def _cached(path: Path, fingerprint: str, content: str) -> TaskEmbedding | None:
    try:
        embedding = TaskEmbedding.load(path, backbone=fingerprint)
    except ArtefactError:
        return None  # not there, or damaged: it is made again
    return embedding if embedding.meta.get("content") == content else None


def _content(task: Task, examples: Sequence[Example], image_size: int) -> str:
    """A digest of everything in the examples that a backbone sees."""
    parts: list[bytes] = []
    for example in examples:
        parts += [task.prompt(example).encode(), example.answer.encode()]
        if example.image is not None:
            parts.append(example.image.render(image_size).tobytes())
    return _digest(*parts)


def _digest(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()[:16]
