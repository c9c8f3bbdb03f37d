"""The kinds of runs: one torch-free record each. docs/architecture.md tells how to add one.

What a run is told stands in the dataclass that its record names, what it does in the function: ``job(config, workspace,
reporter, checkpoint)`` gives the result as plain JSON, and goes on from what an interrupted attempt left in the
directory ``checkpoint``.
"""

from __future__ import annotations

from dataclasses import dataclass

from pituning.registry import Registry

SUBMIT = ("runs", "submit")
"""The command that queues a run of any kind."""


@dataclass(frozen=True, kw_only=True)
class RunKindRecord:
    """A kind of runs.

    Args:
        name: what programs call it.
        label: what people read.
        help: one sentence for people.
        config: path of its configuration, a dataclass whose constructor checks the values.
        job: path of the work.
        outline: path of ``outline(config, subject)``, which gives the phases before the run has begun
            (`pituning.runs.outline.Part`); None where nobody knows, then there is no forecast.
        outlines_workspace: whether the outline also takes the workspace, as what is there decides what is left.
        command: the words of the command that does the same; empty for kinds without one of their own.
        subject: the field of the configuration that says what the run is about.
        subject_by_option: whether the command takes that by an option, as all else, and not by its place.
        on_backbone: whether the configuration has a field ``backbone``.
        makes_expert: whether the run makes an expert, named by the configuration's ``expert_name``.
        reads_zoo: whether it reads all experts of its backbone and kind.
        ranks_zoo: whether its result has ``neighbors``, the zoo's tasks by similarity to the subject.
        curves: whether it measures anything step by step while it works.
        grows: the field of the configuration to which more can be added when a run has succeeded: a new one then goes
            on from what it has found (`RunQueue.extend`). Its job keeps no more in ``checkpoint`` than that takes.
        rate_field: the field in which a diverged training gets a smaller learning rate.
    """

    name: str
    label: str
    help: str
    config: str
    job: str
    outline: str | None = None
    outlines_workspace: bool = False
    command: tuple[str, ...] = ()
    subject: str
    subject_by_option: bool = False
    on_backbone: bool = True
    makes_expert: bool = False
    reads_zoo: bool = False
    ranks_zoo: bool = False
    curves: bool = True
    grows: str | None = None
    rate_field: str = "learning_rate"


RUN_KINDS: Registry[RunKindRecord] = Registry(
    "run kind",
    [
        RunKindRecord(
            name="tune",
            label="π-tuning",
            help="Tune a task on a few shots with the experts of similar tasks, beside baselines.",
            config="pituning.tuning.config:TuneConfig",
            job="pituning.tuning.run:tune",
            outline="pituning.runs.outline:tune_parts",
            command=("tune",),
            subject="target",
            makes_expert=True,
            reads_zoo=True,
            ranks_zoo=True,
            grows="baselines",
            rate_field="learning_rates",
        ),
        RunKindRecord(
            name="train",
            label="Training",
            help="Train one expert on one task.",
            config="pituning.runs.configs:TrainRun",
            job="pituning.runs.jobs:train",
            outline="pituning.runs.outline:train_parts",
            command=("experts", "train"),
            subject="task",
            makes_expert=True,
        ),
        RunKindRecord(
            name="embed",
            label="Embedding",
            help="Compute the Fisher embeddings of tasks that have an expert, and compare them.",
            config="pituning.runs.configs:EmbedRun",
            job="pituning.runs.jobs:embed",
            outline="pituning.runs.outline:embed_parts",
            command=("embed",),
            subject="tasks",
            reads_zoo=True,
        ),
        RunKindRecord(
            name="project",
            label="Map",
            help="Make maps of the tasks in two dimensions.",
            config="pituning.runs.configs:ProjectRun",
            job="pituning.runs.projecting:project",
            outline="pituning.runs.outline:project_parts",
            command=("graph", "project"),
            subject="predictor",
            subject_by_option=True,
        ),
        RunKindRecord(
            name="zoo",
            label="Zoo",
            help="Train an expert for each task that has none yet, then embed, compare and map the zoo.",
            config="pituning.runs.study_configs:ZooRun",
            job="pituning.runs.study_jobs:build",
            outline="pituning.runs.study_outline:zoo_parts",
            outlines_workspace=True,
            command=("zoo", "build"),
            subject="tasks",
            subject_by_option=True,
            reads_zoo=True,
        ),
        RunKindRecord(
            name="transfer",
            label="Transfer",
            help="Measure what the expert of every task does for every other task.",
            config="pituning.runs.study_configs:TransferRun",
            job="pituning.runs.study_jobs:transfer",
            outline="pituning.runs.study_outline:transfer_parts",
            outlines_workspace=True,
            command=("study", "transfer"),
            subject="tasks",
            subject_by_option=True,
            reads_zoo=True,
            curves=False,
        ),
        RunKindRecord(
            name="lowshot",
            label="Low-shot study",
            help="Compare all methods on few shots of every task, with several seeds.",
            config="pituning.runs.study_configs:LowshotRun",
            job="pituning.runs.study_jobs:lowshot",
            outline="pituning.runs.lowshot_outline:lowshot_parts",
            outlines_workspace=True,
            command=("study", "lowshot"),
            subject="tasks",
            subject_by_option=True,
            reads_zoo=True,
            rate_field="learning_rates",
            curves=False,
        ),
        RunKindRecord(
            name="relatives",
            label="Relatives",
            help="Embed a few shots of a task and rank the zoo by similarity to them, before anything is trained.",
            config="pituning.runs.configs:RelativesRun",
            job="pituning.runs.relatives:relatives",
            outline="pituning.runs.outline:relatives_parts",
            subject="target",
            reads_zoo=True,
            ranks_zoo=True,
            curves=False,
        ),
        RunKindRecord(
            name="answer",
            label="Answers",
            help="Ask experts, and the backbone alone, a few questions.",
            config="pituning.runs.configs:AnswerRun",
            job="pituning.runs.answering:answer",
            outline="pituning.runs.outline:answer_parts",
            command=("experts", "answer"),
            subject="experts",
            curves=False,
        ),
        RunKindRecord(
            name="predict",
            label="Labels",
            help="Label the rows of a file with an expert.",
            config="pituning.runs.configs:PredictRun",
            job="pituning.runs.predicting:predict",
            outline="pituning.runs.outline:predict_parts",
            command=("predict",),
            subject="expert",
            curves=False,
        ),
        RunKindRecord(
            name="add",
            label="New backbone",
            help="Add one of the offered backbones to the workspace.",
            config="pituning.runs.configs:AddRun",
            job="pituning.runs.adding:add",
            outline="pituning.runs.outline:add_parts",
            command=("backbones", "add"),
            subject="offer",
            on_backbone=False,
            curves=False,
        ),
        RunKindRecord(
            name="count",
            label="Counting",
            help="Count to a number, which shows that the queue works.",
            config="pituning.runs.counting:CountRun",
            job="pituning.runs.counting:count",
            outline="pituning.runs.outline:count_parts",
            command=("runs", "count"),
            subject="upto",
            on_backbone=False,
        ),
    ],
    group="pituning.run_kinds",
    field="kind",
)
