"""Scores of predicted answers, per example and in all, and the score of guessing. Torch-free."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np

from pituning.errors import BadInput
from pituning.registry import Registry, load
from pituning.tasks.answers import NONE_OF_THEM, number
from pituning.tasks.base import Example, Task
from pituning.tasks.boxes import GRID, read_box

BOX_GRID = GRID

BOX_THRESHOLD = 0.5
CHANCE_PAIRS = 2000
VOTES = 3
"""As many people's answers make one wholly right in VQA."""

Cells = tuple[float, float, float, float]
Gold = str | Sequence[str]
"""What is right: one answer, or several."""


def parse_box(answer: str) -> Cells | None:
    """The box ``(x1, y1, x2, y2)`` that an answer names, in cells of the suite's grid, or None where it names none.

    Boxes in pixels come between the lines of the grid.
    """
    box = read_box(answer)
    if box is None:
        return None
    across, down = GRID / box.width, GRID / box.height
    return box.x1 * across, box.y1 * down, box.x2 * across, box.y2 * down


def box_iou(first: Cells, second: Cells) -> float:
    """Intersection over union of two boxes; the same box gives 1 even when it has no area."""
    if first == second:
        return 1.0
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (first, second)]
    return both / (sum(areas) - both)


def token_f1(prediction: str, answer: str) -> float:
    """Multiset F1 of lower-cased words (SQuAD's F1 without its English article rule); two empty texts agree."""
    predicted, wanted = Counter(prediction.lower().split()), Counter(answer.lower().split())
    if not predicted and not wanted:
        return 1.0
    common = (predicted & wanted).total()
    return 2.0 * common / (predicted.total() + wanted.total())


def exact(prediction: str, answer: str) -> float:
    """1 when two answers are the same but for case and outer blanks, else 0."""
    return float(prediction.strip().lower() == answer.strip().lower())


def box_hit(prediction: str, answer: str) -> float:
    """1 when the answer is a box that overlaps the true one by half or more, else 0."""
    first, second = parse_box(prediction), parse_box(answer)
    return float(first is not None and second is not None and box_iou(first, second) >= BOX_THRESHOLD)


def vqa_accuracy(prediction: str, answers: Sequence[str]) -> float:
    """VQA accuracy: for each person, how far the others agree with the prediction, min(1, n / 3), on average.

    Spelling is compared as by `exact`; the official script also maps number words, articles and contractions.

    Source: Antol et al., VQA: Visual Question Answering, ICCV 2015; eval code of VQA v2.
    """
    same = [exact(prediction, answer) for answer in answers]
    if len(answers) <= VOTES:  # too few to leave one out
        return max(same, default=0.0)
    return float(np.mean([min(1.0, (sum(same) - own) / VOTES) for own in same]))


def label_f1(prediction: str, answer: str) -> float:
    """F1 of two sets of labels between commas; two empty sets agree."""
    predicted, wanted = (
        {part.strip().lower() for part in text.split(",")} - {"", NONE_OF_THEM} for text in (prediction, answer)
    )
    if not predicted and not wanted:
        return 1.0
    return 2.0 * len(predicted & wanted) / (len(predicted) + len(wanted))


def pearson(predictions: Sequence[str], answers: Sequence[str]) -> np.ndarray:
    """(N,) products of standardised numbers, whose mean is Pearson's correlation.

    A prediction that is no number counts as the mean of the others; where either side is constant all are 0.
    """
    return _products(*_numbers(predictions, answers))


def spearman(predictions: Sequence[str], answers: Sequence[str]) -> np.ndarray:
    """Like `pearson`, of the ranks, ties at their mean: Spearman's correlation."""
    from scipy.stats import rankdata  # takes two seconds to import

    return _products(*(rankdata(values) for values in _numbers(predictions, answers)))


def _numbers(predictions: Sequence[str], answers: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    wanted = np.array([np.nan if (value := number(text)) is None else value for text in answers])
    if np.isnan(wanted).any():
        raise BadInput("an answer is not a number, so a correlation cannot be computed; choose another metric")
    predicted = np.array([np.nan if (value := number(text)) is None else value for text in predictions])
    known = predicted[~np.isnan(predicted)]
    return np.where(np.isnan(predicted), known.mean() if len(known) else 0.0, predicted), wanted


def _products(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    spread = [float(values.std()) for values in (first, second)]
    if min(spread) < 1e-12:
        return np.zeros(len(first))
    return (first - first.mean()) * (second - second.mean()) / (spread[0] * spread[1])


@dataclass(frozen=True, kw_only=True)
class MetricRecord:
    """A way to score answers.

    Args:
        name: what programs call it; task cards hold it.
        label: what people read.
        help: one sentence for people.
        path: of its function, which takes a predicted and the true answer and gives 0 to 1; or, with ``takes``
            ``"votes"``, all right answers; or, with ``"all"``, all predictions and all answers, and gives (N,) numbers
            whose mean is the score, as of a correlation; or, with ``"corpus"``, all predictions and all right answers
            of each, and gives such numbers.
        takes: see ``path``. A metric that takes one answer gives the best over all that are right.
        guessing: path of the function that takes the record, the training and the test answers, and gives the expected
            score, 0 to 100, of answering with a random training answer.
        longest_answer: tokens that an open answer may have, its end included; or the answer that takes most, where
            backbones write it with as many tokens as they need.
        boxes: whether answers are boxes, which each backbone writes in its own way.
    """

    name: str
    label: str
    help: str
    path: str
    takes: Literal["one", "votes", "all", "corpus"] = "one"
    guessing: str = "pituning.tasks.metrics:guessing_by_pairs"
    longest_answer: int | str = 48
    boxes: bool = False


METRICS: Registry[MetricRecord] = Registry(
    "metric",
    [
        MetricRecord(
            name="accuracy",
            label="Accuracy",
            help="Share of answers that are right.",
            path="pituning.tasks.metrics:exact",
            guessing="pituning.tasks.metrics:guessing_by_counts",
        ),
        MetricRecord(
            name="box_iou",
            label="Boxes right",
            help="Share of boxes that overlap the true one by half or more (IoU ≥ 0.5).",
            path="pituning.tasks.metrics:box_hit",
            longest_answer="<loc_47>" * 4,
            boxes=True,
        ),
        MetricRecord(
            name="multilabel_f1",
            label="F1 of labels",
            help="How many of an example's labels are found, and how many of those found are right.",
            path="pituning.tasks.metrics:label_f1",
        ),
        MetricRecord(
            name="pearson",
            label="Pearson's r",
            help="How well the numbers go up and down with the true ones (correlation times 100).",
            path="pituning.tasks.metrics:pearson",
            takes="all",
            guessing="pituning.tasks.metrics:guessing_nothing",
            longest_answer=16,
        ),
        MetricRecord(
            name="spearman",
            label="Spearman's ρ",
            help="How well the order of the numbers is that of the true ones (rank correlation times 100).",
            path="pituning.tasks.metrics:spearman",
            takes="all",
            guessing="pituning.tasks.metrics:guessing_nothing",
            longest_answer=16,
        ),
        MetricRecord(
            name="vqa_accuracy",
            label="VQA accuracy",
            help="Share of answers that three of those who were asked gave as well; fewer count in part.",
            path="pituning.tasks.metrics:vqa_accuracy",
            takes="votes",
            longest_answer=16,
        ),
        MetricRecord(
            name="token_f1",
            label="Token F1",
            help="How many words of the answer are those of the true one, and the other way round.",
            path="pituning.tasks.metrics:token_f1",
        ),
        MetricRecord(
            name="cider",
            label="CIDEr",
            help="How alike the caption and those of people are in the words that few other captions have (CIDEr-D; "
            "from 0, and above 100 where they agree well).",
            path="pituning.tasks.captions:cider",
            takes="corpus",
            longest_answer=24,
        ),
        MetricRecord(
            name="bleu4",
            label="BLEU-4",
            help="How many runs of one to four words of the captions are those of people's.",
            path="pituning.tasks.captions:bleu4",
            takes="corpus",
            longest_answer=24,
        ),
        MetricRecord(
            name="meteor",
            label="METEOR",
            help="How many words of the caption are those of people's, or their stems, synonyms or paraphrases.",
            path="pituning.tasks.captions:meteor",
            takes="corpus",
            longest_answer=24,
        ),
    ],
    group="pituning.metrics",
)
"""docs/architecture.md tells how to add one."""


def per_example(metric: str, predictions: Sequence[str], answers: Sequence[Gold]) -> np.ndarray:
    """One number for each example, shape (N,), float64, whose mean is the score: from 0 to 1, but for correlations.

    Args:
        metric: a name of `METRICS`.
        answers: the right answer of each example, or all of its right answers (`Example.gold`).

    Raises:
        BadInput: the metric is unknown, or there is not one prediction for each answer.
    """
    if len(predictions) != len(answers):
        raise BadInput(f"{len(predictions)} predictions for {len(answers)} answers; give one prediction per answer")
    record = METRICS[metric]
    scorer = load(record.path)
    if record.takes == "all":
        return np.asarray(scorer(predictions, [_first(answer) for answer in answers]), dtype=np.float64)
    if record.takes == "corpus":
        right = [(answer,) if isinstance(answer, str) else tuple(answer) for answer in answers]
        return np.asarray(scorer(predictions, right), dtype=np.float64)
    pairs = zip(predictions, answers, strict=True)
    if record.takes == "votes":
        values = (scorer(p, (a,) if isinstance(a, str) else a) for p, a in pairs)
    else:
        values = (scorer(p, a) if isinstance(a, str) else max(scorer(p, one) for one in a) for p, a in pairs)
    return np.fromiter(values, dtype=np.float64, count=len(answers))


def score(metric: str, predictions: Sequence[str], answers: Sequence[Gold]) -> float:
    """The mean of `per_example` in points: 0 to 100, of correlations −100 to 100."""
    if not answers:
        raise BadInput("there are no answers to score; give at least one example")
    return 100.0 * float(per_example(metric, predictions, answers).mean())


def _first(answer: Gold) -> str:
    return answer if isinstance(answer, str) else answer[0]


def _answers(examples: Sequence[Example]) -> list[Gold]:
    return [examples[i].gold for i in range(len(examples))]


def chance(task: Task) -> float:
    """The expected score, 0 to 100, of answering each test question with the answer of a random training example."""
    train, test = _answers(task.split("train")), _answers(task.split("test"))
    if not train or not test:
        return 0.0
    record = METRICS[task.metric]
    return load(record.guessing)(record, [_first(answer) for answer in train], test)


def largest_class(task: Task) -> float:
    """The score, 0 to 100, of always answering what most training examples answer."""
    train, test = _answers(task.split("train")), _answers(task.split("test"))
    if not train or not test:
        return 0.0
    most, _ = max(Counter(map(_first, train)).items(), key=lambda item: (item[1], item[0]))
    return score(task.metric, [most] * len(test), test)


@dataclass(frozen=True)
class Guessing:
    """What guessing scores, 0 to 100: it stands beside every score.

    Args:
        chance: of the answer of a random training example.
        largest: of always answering the largest class; None where answers are open, or not here.
        counted: False where only the number of labels is known: ``chance`` is then that of a random label.
    """

    chance: float
    largest: float | None
    counted: bool = True

    def __str__(self) -> str:
        by_chance = f"guessing at random scores {self.chance:.1f}"
        if not self.counted:
            return f"{by_chance}, the largest class is not known"
        return (
            by_chance if self.largest is None else f"{by_chance}, always answering the largest class {self.largest:.1f}"
        )

    @property
    def best(self) -> float:
        """The better of the two, of what is known."""
        return max(self.chance, self.largest or 0.0)

    def short(self) -> str:
        """For a cell of a table: at random · always the largest class, ``?`` where that is not known."""
        largest = "?" if not self.counted else None if self.largest is None else f"{self.largest:.1f}"
        return f"{self.chance:.1f}" if largest is None else f"{self.chance:.1f} · {largest}"

    def to_json(self) -> dict[str, float | None]:
        largest = None if self.largest is None else round(self.largest, 4)
        return {"chance": round(self.chance, 4), "largest": largest}


def guessing(task: Task) -> Guessing | None:
    """What guessing scores on a task; None where that cannot be known. The suite's is known beforehand.

    Of a task whose examples are not here the number of labels tells what one of them at random scores.
    """
    if task.source == "mini" and task.name in _suite():
        return Guessing(*_suite()[task.name])
    if not len(task.split("train")) or not len(task.split("test")):
        return Guessing(100 / len(task.labels), None, False) if task.labels and task.metric == "accuracy" else None
    return Guessing(chance(task), None if task.labels is None else largest_class(task))


@cache
def _suite() -> dict[str, tuple[float, float | None]]:
    """Drawing all examples of the suite to count their answers takes half a minute."""
    document = json.loads((Path(__file__).parent / "mini" / "guessing.json").read_text(encoding="utf-8"))
    return {name: (row["chance"], row["largest"]) for name, row in document.items()}


def guessing_by_counts(_metric: MetricRecord, train: Sequence[str], test: Sequence[Gold]) -> float:
    """`chance` where an answer is right or wrong by `exact`, without drawing any."""
    guessed = Counter(a.strip().lower() for a in train)
    wanted = Counter(
        right for a in test for right in {one.strip().lower() for one in ((a,) if isinstance(a, str) else a)}
    )
    return 100.0 * sum(n * wanted[a] for a, n in guessed.items()) / (len(train) * len(test))


def guessing_by_pairs(metric: MetricRecord, train: Sequence[str], test: Sequence[Gold]) -> float:
    """`chance` estimated from 2,000 seeded pairs of a training and a test answer."""
    generator = np.random.default_rng(0)
    pairs = generator.integers([len(train), len(test)], size=(CHANCE_PAIRS, 2))
    return score(metric.name, [train[int(i)] for i in pairs[:, 0]], [test[int(j)] for j in pairs[:, 1]])


def guessing_nothing(_metric: MetricRecord, _train: Sequence[str], _test: Sequence[Gold]) -> float:
    """`chance` of a correlation, which is 0 whatever is guessed without looking."""
    return 0.0
