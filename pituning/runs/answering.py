"""The work of a run that answers. This module needs torch: import it only where work is done."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pituning.backbones.base import Backbone, EncodedExamples
from pituning.backbones.certainty import answer_probabilities
from pituning.backbones.prediction import predict
from pituning.experts.card import ExpertCard
from pituning.experts.store import open_expert
from pituning.labelling.calibration import temper
from pituning.progress import Reporter
from pituning.runs.configs import AnswerRun
from pituning.runs.outline import LOAD_BACKBONE
from pituning.runs.questions import Questions, find_questions
from pituning.tasks.metrics import METRICS, score
from pituning.workspace.layout import Workspace

OTHERS = 4
"""How many other answers are told beside the one that was given."""


SMALLEST = 1e-300
"""A probability whose logarithm there still is."""


def answer(config: AnswerRun, workspace: Workspace, reporter: Reporter, _checkpoint: Path) -> dict[str, Any]:
    """Asks the backbone alone and each of the experts, and tells how sure each answer is.

    Probabilities are calibrated where an expert is; its temperature and how well it does stand beside its answers.

    Raises:
        BadInput: the backbone, the task, an expert or an example is not there.
        BackboneMismatch: an expert belongs to another backbone.
        ArtefactError: an expert is damaged.
    """
    asked_questions = find_questions(config, workspace)
    reporter.phase(LOAD_BACKBONE, 1)
    backbone = Backbone.load(
        workspace.backbone_dir(config.backbone), name=config.backbone, dtype=config.dtype, quantize=config.quantize
    )
    reporter.advance()
    encoded = backbone.encode(asked_questions.task, asked_questions.examples, reporter=reporter)
    reporter.phase("answer", len(asked_questions.examples) * (len(asked_questions.experts) + 1))
    by_expert: list[dict[str, Any]] = [
        {
            "expert": None, "method": "backbone", "answers": _ask(backbone, encoded, asked_questions, None),
            "temperature": None, "calibration": {},
        }
    ]  # fmt: skip
    reporter.advance(len(asked_questions.examples))
    for name, directory in asked_questions.experts.items():
        expert, model = open_expert(directory, backbone)
        rows = model.encode(asked_questions.task, asked_questions.examples) if model.sees else encoded
        with model.using(expert.values.to(model.device)):
            answers = _ask(backbone, rows, asked_questions, expert.card.temperature)
        by_expert.append(
            {
                "expert": name, "method": method_of(expert.card), "answers": answers,
                "temperature": expert.card.temperature, "calibration": dict(expert.card.calibration),
            }
        )  # fmt: skip
        reporter.advance(len(asked_questions.examples))
    questions = [
        {"example": name, "text": example.text, "image": config.image, "gold": example.answer if name else None}
        for name, example in zip(asked_questions.names, asked_questions.examples, strict=True)
    ]
    return {
        "task": asked_questions.task.name,
        "kind": config.kind,
        "backbone": config.backbone,
        "sample": config.sample,
        "questions": questions,
        "said": by_expert,
    }


def method_of(card: ExpertCard) -> str:
    """How an expert was made: ``pi``, ``single`` (from a few shots) or ``expert``."""
    if card.spec.get("method") == "pi":
        return "pi"
    return "single" if card.spec.get("shots") else "expert"


def _ask(
    backbone: Backbone, encoded: EncodedExamples, questions: Questions, temperature: float | None
) -> list[Mapping[str, Any]]:
    """The answer to each question with its probability, its score where the right one is known, and the runners-up."""
    task = questions.task
    over_all = METRICS[task.metric].takes == "all"  # a correlation says nothing of one example
    answers: list[Mapping[str, Any]] = []
    for row, text in enumerate(predict(backbone, encoded, task)):
        gold = questions.examples[row].gold if questions.names[row] else None
        options = list(task.labels) if task.labels is not None else [text]
        shares = answer_probabilities(backbone, encoded, task, row, options)
        if temperature is not None and task.labels is not None:
            scores = np.log(np.maximum([shares], SMALLEST))
            shares = np.exp(temper(scores, temperature))[0].tolist()
        sure = dict(zip(options, shares, strict=True))
        others = sorted((label for label in options if label != text), key=lambda label: -sure[label])[:OTHERS]
        answers.append(
            {
                "answer": text,
                "probability": _share(sure[text]),
                "score": None if gold is None or over_all else score(task.metric, [text], [gold]),
                "others": [{"answer": label, "probability": _share(sure[label])} for label in others],
            }
        )
    return answers


def _share(probability: float) -> float:
    """Four digits are enough, also of what is very unlikely: long open answers are."""
    return float(f"{probability:.4g}")
