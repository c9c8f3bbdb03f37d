"""A target made ready: shots, donors, folds and test examples, on which every method is chosen, trained and tested.

`pituning tune` and the low-shot study both work on this, so that a method is the same thing in both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from pituning.backbones.base import Backbone
from pituning.backbones.encoded import EncodedExamples
from pituning.errors import BadInput
from pituning.experts.model import ExpertModel
from pituning.experts.store import Together
from pituning.graph.donor_gains import MOST_HELPFUL, DonorGain, DonorGains
from pituning.graph.harm import points
from pituning.graph.predict import Neighbor, plain_neighbor
from pituning.progress import Reporter, Silent
from pituning.tasks.base import Example, Task
from pituning.tasks.metrics import guessing
from pituning.tasks.pooling import question
from pituning.tasks.registry import TaskSource, load_task
from pituning.training.config import TrainConfig, without_defaults
from pituning.training.spare import each
from pituning.tuning.baselines import DRAWN, Methods, drawn
from pituning.tuning.config import CANDIDATES, MIXTURE, WITHOUT_DONORS, TuneConfig, is_trained
from pituning.tuning.donors import load_zoo, predict_donors, predict_gains
from pituning.tuning.evaluation import is_crossed, rounded, rows_to_score
from pituning.tuning.interpolation import Mixture
from pituning.tuning.learners import MixtureLearner
from pituning.tuning.own import could_see, own_model, own_sites, start_values
from pituning.tuning.selection import Choice, Fold, OnlySteps, as_it_is, choose, make_folds, partition, train
from pituning.tuning.short_probe import STEPS as PROBE_STEPS
from pituning.tuning.short_probe import halves, short_probe
from pituning.tuning.stages import Stages, task_digest
from pituning.workspace.layout import Workspace

TEMPERATURE = "temperature"
LATER = ("own_rank", "vision_tower")
"""Settings that came later: where nothing is asked of them, what was kept before is what would be kept now."""
FORMAT_VERSION = 1
"""Of a tuning's result and of what is kept of an unfinished one."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A target made ready.

    Args:
        methods: gives the learner of each method.
        shots: all that a method may learn from.
        folds: of the shots, for choosing.
        examples: the shots as the task has them.
        backbone_dir: where the backbone was loaded from.
        test: the examples to score on that nothing is learned from; ``encoded_test`` are the same.
        parts: of a very small table, those of the shots that are tested by what was trained without them; else none.
        neighbors: the prediction of donors, most similar first; empty where donors were named.
        expected: what each of them was expected to add, where that chose how many lend; else empty.
        stages: where a run keeps what it has finished.
    """

    config: TuneConfig
    task: Task
    backbone: Backbone
    methods: Methods
    shots: EncodedExamples
    examples: Sequence[Example]
    backbone_dir: Path
    folds: Sequence[Fold]
    test: Sequence[Example]
    encoded_test: EncodedExamples
    neighbors: Sequence[Neighbor]
    stages: Stages
    expected: Mapping[str, DonorGain] = field(default_factory=dict)
    parts: Sequence[Fold] = ()

    @property
    def tested(self) -> Sequence[Example]:
        """What methods are scored on in all: the test examples, then the shots where these are tested as well."""
        return [*self.test, *self.examples] if self.parts else self.test

    @cached_property
    def answers(self) -> list[str]:
        """Of the shots."""
        return [shot.answer for shot in self.examples]

    @property
    def candidates(self) -> tuple[str, ...]:
        """What π-tuning chooses from: without donors a single expert is all that there is."""
        return tuple(name for name in CANDIDATES if self.plays(name))

    def plays(self, method: str) -> bool:
        """Whether there is such a method: most need donors."""
        return bool(self.methods.donors) or method in WITHOUT_DONORS

    @property
    def held_out(self) -> int:
        """How many examples the folds hold out in all."""
        return sum(len(fold.held_out) for fold in self.folds)

    def choose(self, method: str, reporter: Reporter) -> Choice:
        """Learning rate and steps of a method by cross-validation on the shots; of donors as is the loss alone.

        Raises:
            RunFailed: when the training diverges at every rate.
        """
        learner = self.methods.learner(method)
        if not is_trained(method):
            return as_it_is(learner, self.shots, self.folds)
        rates, name = self.config.rates(method, self.backbone.rate_factor), series(method)
        return choose(learner, self.shots, self.folds, rates, self._settings(), method=name, reporter=reporter)

    def train(
        self,
        method: str,
        choice: Choice,
        reporter: Reporter,
        *,
        show_every: int = 0,
        shots: EncodedExamples | None = None,
        name: str | None = None,
    ) -> Any:
        """The state of a method's learner after training as was chosen.

        Args:
            shots: by default all.
            name: of the curve; by default the method's.
        """
        learner = self.methods.learner(method)
        if not choice.steps:
            return learner.start()
        return train(
            learner, self.shots if shots is None else shots, choice, self._settings(), method=name or series(method),
            reporter=reporter, show_every=show_every,
        )  # fmt: skip

    def answer(self, method: str, state: Any, reporter: Reporter) -> list[str]:
        """The answers to the test examples; the backbone alone has no state."""
        if method == "backbone":
            return self.backbone.predict(self.encoded_test, self.task)
        return self.methods.learner(method).predict(state, self.encoded_test, self.task, reporter)

    def held_out_scores(self, method: str, choice: Choice, reporter: Reporter) -> tuple[np.ndarray, np.ndarray]:
        """What a mixture says of the shots that the folds hold out, trained on the others as it was chosen.

        Returns:
            (M, L) log probability of every label, and (M,) which one is right.
        """
        labels = self.task.labels
        assert labels is not None
        reporter.phase(f"choose {TEMPERATURE}", max(1, choice.steps) * len(self.folds))
        scores = each([partial(self._scores_without, method, choice, fold) for fold in self.folds], reporter)
        rows = [labels.index(self.answers[row]) for fold in self.folds for row in fold.held_out]
        return np.concatenate(scores), np.array(rows)

    def _scores_without(self, method: str, choice: Choice, fold: Fold, reporter: Reporter) -> np.ndarray:
        """(M, L) of the shots that a fold holds out, by a mixture that was trained on the others."""
        learner, steps = self.methods.learner(method), OnlySteps(reporter)
        assert isinstance(learner, MixtureLearner)
        state: Any = learner.start()
        if choice.steps:
            shots = self.shots.subset(fold.train)
            state = train(learner, shots, choice, self._settings(), method=series(method), reporter=steps)
        else:
            steps.advance()
        return learner.label_scores(state, self.shots.subset(fold.held_out), self.task.labels or (), Silent())

    def _settings(self) -> TrainConfig:
        config = self.config
        return TrainConfig(
            steps=config.steps, batch_size=config.batch_size, warmup=config.steps // 10, seed=config.seed,
            accumulate=config.accumulate, checkpointing=config.checkpointing,
        )  # fmt: skip


def prepare(
    config: TuneConfig,
    workspace: Workspace,
    reporter: Reporter,
    *,
    checkpoint: Path | None = None,
    backbone_dir: Path | None = None,
    zoo_dirs: Mapping[str, Path] | None = None,
    shots: Sequence[Example] | None = None,
    cross: bool = False,
    tell: Callable[[Mapping[str, Any]], None] = lambda found: None,
) -> Trial:
    """Loads what takes part, embeds the shots, names the donors.

    Args:
        workspace: embeddings of the zoo are kept in it.
        checkpoint: a directory in which finished stages are kept.
        backbone_dir: the backbone's directory; by default the workspace's.
        zoo_dirs: those of the zoo's experts, by task; by default the workspace's.
        shots: by default as the config says.
        cross: whether the shots of a very small table are tested as well (`pituning.tasks.pooling`).
        tell: called with a part of a run's result as soon as it is known: of the rows, then of the donors.

    Raises:
        BadInput: for an unknown task, donor or backbone, too few examples, or a baseline that nobody can play.
        ArtefactError: when an expert or the backbone is damaged.
    """
    task = load_task(config.target, workspace)
    shots = task.shots(config.shots, config.seed) if shots is None else shots
    test = rows_to_score(task, config.test_examples, shots)
    if not test:
        raise BadInput(f"task {task.name!r} has no test examples to score on; add some", field="target")
    parts: list[Fold] = []
    if cross and is_crossed(task, config.test_examples, shots):
        parts = partition(
            [shot.answer for shot in shots], [question(shot) for shot in shots],
            closed=task.labels is not None, seed=config.seed,
        )  # fmt: skip
    tested = len(test) + (len(shots) if parts else 0)
    guessed = guessing(task)
    tell({
        "target": config.target, "kind": config.kind, "shots": config.shots, "seed": config.seed,
        "backbone": config.backbone, "metric": task.metric, "examples": len(shots), "test_examples": tested,
        "pooled": tested > len(task.split("test")), "crossed": tested - len(test),
        "guessing": None if guessed is None else guessed.to_json(),
    })  # fmt: skip
    backbone_dir = backbone_dir or workspace.backbone_dir(config.backbone)
    backbone = Backbone.load(backbone_dir, name=config.backbone, dtype=config.dtype, quantize=config.quantize)
    model = ExpertModel(backbone, config.kind)
    own = own_model(config, task, model)
    here = workspace.zoo(config.backbone)
    zoo = load_zoo(
        config,
        here.expert_dirs(config.kind) if zoo_dirs is None else zoo_dirs,
        model,
        others=here.all_expert_dirs(config.kind) if zoo_dirs is None else None,
        reporter=reporter,
    )
    # The fingerprint tells the backbone, whose name may change; numbers do not depend on how many processes there are.
    settings = {
        name: value
        for name, value in without_defaults(asdict(config)).items()
        if name not in ("backbone", "processes") and (value or name not in LATER)
    }
    identity = {"format": FORMAT_VERSION, "backbone": backbone.fingerprint, **settings}
    if parts:
        identity["crossed"] = len(parts)
    # What a method finds does not depend on the others, which may be added later, but does on rows and experts.
    lent = {name: expert.card.sha256 for name, expert in sorted(zoo.experts.items())}
    alone = {name: value for name, value in identity.items() if name != "baselines"}
    alone |= {"zoo": lent, "task": task_digest(task, [*shots, *test], TaskSource(workspace))}
    stages = Stages(checkpoint, alone, earlier=identity)

    def encode(examples: Sequence[Example]) -> EncodedExamples:
        pixels = "full" in config.baselines or config.vision_tower or zoo.sees
        return model.prepare(backbone.encode(task, examples, keep_pixels=pixels, reporter=reporter))

    encoded = encode(shots)
    neighbors, gains = _neighbors(config, task, encoded, zoo, backbone, workspace, reporter, stages)
    probed = _shortlisted(config, task, encoded, shots, zoo, neighbors, reporter, stages)
    first = sorted(neighbors, key=lambda each: probed.get(each.task, math.inf))
    donors = config.donor_names or _who_lends(config, first, gains, reporter)
    if donors:
        reporter.log(f"donors: {', '.join(donors)}")
    else:
        config = replace(config, baselines=tuple(name for name in config.baselines if name in WITHOUT_DONORS))
    expected = {} if gains is None else gains.gains
    tell({
        "donors": list(donors), "predictor": None if config.donor_names else config.predictor,
        "confidence": {each.task: each.confidence for each in neighbors if each.task in donors},
        "neighbors": [plain_neighbor(neighbor) for neighbor in neighbors],
        "expected": {name: rounded(asdict(each)) for name, each in expected.items()},
        **({"short_probe": rounded(probed)} if probed else {}),
        "vision_tower": config.vision_tower if could_see(task, model) else None,
    })  # fmt: skip
    similarity = {neighbor.task: neighbor.similarity for neighbor in neighbors}

    def task_of(name: str) -> Task:
        return load_task(zoo.experts[name].task, workspace)

    # Controls are drawn now: that one cannot be played is told at once, and who takes part makes the common layout.
    controls = [
        drawn(name, config, tuple(zoo.experts), donors, similarity=similarity, task=task, task_of=task_of)
        for name in config.baselines
        if name in DRAWN
    ]
    lenders = zoo.model_for(dict.fromkeys(name for names in (donors, *controls) for name in names))
    if lenders is not model:
        reporter.log(f"donors of different sizes or modules are mixed as {config.kind} {dict(lenders.space.config)}")
    common = lenders.holding(own)
    if common is not model:
        # Which controls take part decides the layout, and in another one what was trained does not fit.
        alone["layout"] = [common.space.size, *common.space.site_names]
        stages = Stages(checkpoint, alone, earlier=identity)
    method_learners = Methods(
        config=config,
        backbone=backbone,
        mixture=Mixture(common),
        own=start_values(zoo, common, own),
        own_sites=own_sites(common, lenders),
        zoo={name: zoo.placed(name, common).values for name in zoo.experts},
        donors=donors,
        similarity=similarity,
        task=task,
        task_of=task_of,
    )
    return Trial(
        config=config,
        task=task,
        backbone=backbone,
        methods=method_learners,
        shots=encoded,
        examples=shots,
        backbone_dir=backbone_dir,
        folds=make_folds(
            [shot.answer for shot in shots], closed=task.labels is not None, count=config.folds, seed=config.seed
        ),
        test=test,
        encoded_test=encode(test),
        neighbors=neighbors,
        stages=stages,
        expected=expected,
        parts=parts,
    )


def series(method: str) -> str:
    """The name of a method's curve; the mixture's is π-tuning's."""
    return "pi" if method == MIXTURE else method


def _neighbors(
    config: TuneConfig,
    task: Task,
    shots: EncodedExamples,
    zoo: Together,
    backbone: Backbone,
    workspace: Workspace,
    reporter: Reporter,
    stages: Stages,
) -> tuple[list[Neighbor], DonorGains | None]:
    """The prediction of donors and, where they are not a given number, what they are expected to add."""
    if config.donor_names:
        return [], None
    kept = stages.load("neighbors")
    if kept is not None:
        reporter.log("goes on from the similarities that were computed")
        neighbors = [Neighbor(**neighbor) for neighbor in kept["neighbors"]]
        return neighbors, DonorGains.from_json(kept["gains"]) if kept.get("gains") else None
    gains = None
    if config.donors:
        neighbors = predict_donors(config, task, shots, zoo, backbone, workspace, reporter)
    else:
        neighbors, gains = predict_gains(config, task, shots, zoo, backbone, workspace, reporter)
    kept = {"neighbors": [asdict(neighbor) for neighbor in neighbors], "gains": gains and asdict(gains)}
    stages.save("neighbors", kept)
    return neighbors, gains


def _shortlisted(
    config: TuneConfig,
    task: Task,
    encoded: EncodedExamples,
    shots: Sequence[Example],
    zoo: Together,
    neighbors: Sequence[Neighbor],
    reporter: Reporter,
    stages: Stages,
) -> dict[str, float]:
    """The loss of a short probe of the most similar tasks, smallest first; empty where none is asked for."""
    if not config.shortlist:
        return {}
    kept = stages.load("short-probe")
    if kept is not None:
        reporter.log("goes on from the donors that were probed")
        return dict(kept["losses"])
    split = halves([shot.answer for shot in shots], closed=task.labels is not None, seed=config.seed)
    if not len(split[1]):
        reporter.log("too few shots to hold any out: no donor is probed, similarity alone ranks them")
        return {}
    names = [neighbor.task for neighbor in neighbors[: config.shortlist]]
    reporter.phase(f"probe {len(names)} donors", len(names) * PROBE_STEPS)
    losses = {}
    for name in names:
        model = zoo.model_for([name])
        rates = config.rates("donor", model.backbone.rate_factor)
        start, rate = zoo.placed(name, model).values, rates[(len(rates) - 1) // 2]
        losses[name] = short_probe(model, encoded, split, start, rate=rate, seed=config.seed).loss
        reporter.advance(PROBE_STEPS)
    losses = dict(sorted(losses.items(), key=lambda item: item[1]))
    reporter.log(f"loss after a few steps on half of the shots: {', '.join(f'{n} {v:.3f}' for n, v in losses.items())}")
    stages.save("short-probe", {"losses": losses})
    return losses


def _who_lends(
    config: TuneConfig, neighbors: Sequence[Neighbor], gains: DonorGains | None, reporter: Reporter
) -> tuple[str, ...]:
    """The donors that are expected to help, where the run chooses how many; else the most similar ones."""
    if gains is not None and gains.reason is None:
        helpful = gains.helpful()
        words = ", ".join(f"{name} {points(gains.gains[name].gain)}" for name in helpful)
        reporter.log(
            f"expected to help, of {len(gains.gains)} tasks (at most {MOST_HELPFUL} lend): {words}"
            if helpful
            else f"none of {len(gains.gains)} tasks is expected to help: a single expert is tuned, nobody lends"
        )
        return helpful
    if gains is not None:
        reporter.log(f"no gain is predicted ({gains.reason}): the {config.ranked_donors} most similar tasks lend")
    return tuple(neighbor.task for neighbor in neighbors[: config.ranked_donors])
