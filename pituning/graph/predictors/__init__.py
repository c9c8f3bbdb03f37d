"""The predictors: similarities between tasks that say whose experts will help, one record each. Free of NumPy.

docs/architecture.md tells how to add one; what the built-in ones compute stands in `pituning.graph.similarity` and
`pituning.graph.text`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pituning.registry import Registry

DEFAULT_PREDICTOR = "probe"


@dataclass(frozen=True, kw_only=True)
class PredictorRecord:
    """A similarity between tasks.

    Args:
        name: what programs call it, and the name of its files.
        label: what people read.
        help: one sentence for people.
        compares: ``fisher`` embeddings, the experts' ``parameters``, or the ``words`` of instruction and labels.
        probe: at which expert Fisher embeddings are taken: each task's ``own``, or the one that is ``common`` to all;
            None where nothing is embedded.
        for_shots: whether it can predict donors from a target's shots, so needs no full-data expert of the target.
        path: of its function. For ``words`` it takes N texts and gives S (N, N). Else it takes the vectors (d,) of one
            tensor of M and of N tasks, and gives their similarity (M, N), 0 where there is none, and where there is one
            (M, N); S is the mean over the tensors.
        form: where S is the cosine of vectors as they are (``raw``) or of unit vectors less the zoo's mean
            (``centred``), so that very many tasks can be compared by products of matrices; see `pituning.graph.units`.
        rows: for ``words``, path of a function that takes N texts and gives one that gives S of a slice of them to all.

        Without either, very many tasks are compared by ``path``, a few rows at a time, or, for words, all at once.

    Raises:
        ValueError: the parts do not fit together.
    """

    name: str
    label: str
    help: str
    compares: Literal["fisher", "parameters", "words"]
    probe: Literal["own", "common"] | None = None
    for_shots: bool = False
    path: str
    form: Literal["raw", "centred"] | None = None
    rows: str | None = None

    def __post_init__(self) -> None:
        if (self.compares == "fisher") != (self.probe is not None):
            raise ValueError(f"predictor {self.name!r} compares {self.compares}; give a probe for fisher, else none")
        if self.for_shots and self.compares != "words" and self.probe != "common":
            raise ValueError(f"predictor {self.name!r} needs the target's own expert; it cannot be for_shots")


PREDICTORS: Registry[PredictorRecord] = Registry(
    "predictor",
    [
        PredictorRecord(
            name="probe",
            label="Common probe",
            help="Fisher information of every task at one shared expert, centred over all tasks.",
            compares="fisher",
            probe="common",
            for_shots=True,
            path="pituning.graph.similarity:centred_cosines",
            form="centred",
        ),
        PredictorRecord(
            name="paper",
            label="Own experts",
            help="Fisher information at each task's own expert, raw cosine: as published.",
            compares="fisher",
            probe="own",
            path="pituning.graph.similarity:cosines",
            form="raw",
        ),
        PredictorRecord(
            name="scaled",
            label="Task2Vec",
            help="Fisher information scaled by its own size, as in Task2Vec.",
            compares="fisher",
            probe="common",
            for_shots=True,
            path="pituning.graph.similarity:scaled_cosines",
        ),
        PredictorRecord(
            name="weights",
            label="Expert weights",
            help="The trained parameters themselves, without any Fisher information.",
            compares="parameters",
            path="pituning.graph.similarity:cosines",
            form="raw",
        ),
        PredictorRecord(
            name="text",
            label="Task description",
            help="Instruction and label words only; no model.",
            compares="words",
            for_shots=True,
            path="pituning.graph.text:text_similarity",
            rows="pituning.graph.text:text_rows",
        ),
    ],
    group="pituning.predictors",
)


def shot_predictors() -> tuple[str, ...]:
    """The predictors that a tuning can use."""
    return tuple(name for name, record in PREDICTORS.items() if record.for_shots)
