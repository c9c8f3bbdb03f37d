"""Scores of captions by the scorers of the COCO caption challenge (package ``pycocoevalcap``). Torch-free.

Its tokenizer and METEOR are Java programs. Captions are split here as that tokenizer splits plain English: in lower
case, and without its list of punctuation; so CIDEr and BLEU need no Java, and METEOR does. SPICE, which also needs
models from the web, is left out.
"""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Sequence
from typing import Any

import numpy as np

from pituning.errors import BadInput

METEOR = "meteor"
NEEDED = ("cider", "bleu4", METEOR)
"""The metrics of this module."""

_WORD = re.compile(r"n't\b|'(?:s|m|d|re|ve|ll)\b|\w+(?=n't\b)|[^\W_]+(?:[-.,:/&][^\W_]+)*", re.IGNORECASE)


def check_metric(name: str) -> None:
    """Says at once, rather than after a training, that a metric needs what is not installed.

    Raises:
        BadInput: it does; the message names what.
    """
    if name in NEEDED:
        _scorer("cider.cider", "Cider", name)
    if name == METEOR and shutil.which("java") is None:
        raise BadInput(
            "metric 'meteor' is a Java program, and there is no java; install a Java runtime, or choose cider or bleu4",
            field="metric",
        )


def words(caption: str) -> str:
    """The words of a caption in lower case, with blanks between, and without punctuation."""
    return " ".join(match[0].lower() for match in _WORD.finditer(caption))


def cider(predictions: Sequence[str], answers: Sequence[Sequence[str]]) -> np.ndarray:
    """(N,) CIDEr-D of each caption, 0 to 10; words that few captions have weigh more, so it depends on the others.

    The literature prints it times 100, as scores are here.

    Source: Vedantam et al., CIDEr: Consensus-based Image Description Evaluation, CVPR 2015.
    """
    scorer = _scorer("cider.cider", "Cider", "cider")()
    _mean, each = scorer.compute_score(*_pairs(predictions, answers))
    return np.asarray(each, dtype=np.float64)


def bleu4(predictions: Sequence[str], answers: Sequence[Sequence[str]]) -> np.ndarray:
    """(N,) numbers whose mean is BLEU-4 of all captions together, and whose spread is its standard error's.

    BLEU is a function of sums over captions, not a mean. Caption i's number is θ (1 + N g_i), where g_i is what the
    logarithm of θ changes with the caption's counts (the delta method); the g_i sum to nothing.

    Source: Papineni et al., BLEU: a Method for Automatic Evaluation of Machine Translation, ACL 2002.
    """
    scorer = _scorer("bleu.bleu_scorer", "BleuScorer", "bleu4")(n=4)
    right, given = _pairs(predictions, answers)
    for place in given:
        scorer += (given[place][0], right[place])
    theta = float(scorer.compute_score(option="closest", verbose=0)[0][3])
    correct, guess = (np.array([comps[key] for comps in scorer.ctest], dtype=float) for key in ("correct", "guess"))
    length = np.array([comps["testlen"] for comps in scorer.ctest], dtype=float)
    wanted = np.array([min((abs(n - comps["testlen"]), n) for n in comps["reflen"])[1] for comps in scorer.ctest])
    if theta < 1e-12 or not correct.sum(axis=0).all():
        return np.full(len(predictions), theta)
    change = (correct / correct.sum(axis=0) - guess / guess.sum(axis=0)).mean(axis=1)
    if length.sum() < wanted.sum():  # the brevity penalty, exp(1 - R/C)
        change -= wanted / length.sum() - wanted.sum() * length / length.sum() ** 2
    return theta * (1 + len(predictions) * change)


def meteor(predictions: Sequence[str], answers: Sequence[Sequence[str]]) -> np.ndarray:
    """(N,) METEOR 1.5 of each caption, moved by one constant so that their mean is METEOR of all together.

    Source: Denkowski and Lavie, Meteor Universal, WMT 2014; its English parameters.
    """
    check_metric(METEOR)
    scorer = _scorer("meteor.meteor", "Meteor", METEOR)()
    score, each = scorer.compute_score(*_pairs(predictions, answers))
    values = np.asarray(each, dtype=np.float64)
    if not math.isfinite(float(score)):
        raise BadInput("METEOR gave no number; see whether java runs, or choose cider", field="metric")
    return values + (float(score) - values.mean())


def _pairs(
    predictions: Sequence[str], answers: Sequence[Sequence[str]]
) -> tuple[dict[int, list[str]], dict[int, list[str]]]:
    """What is right and what was said, by place, as the package wants them."""
    right = {place: [words(answer) for answer in each] for place, each in enumerate(answers)}
    return right, {place: [words(prediction)] for place, prediction in enumerate(predictions)}


def _scorer(module: str, name: str, metric: str) -> Any:
    import importlib

    try:
        return getattr(importlib.import_module(f"pycocoevalcap.{module}"), name)
    except ImportError as error:
        raise BadInput(
            f"metric {metric!r} needs the package pycocoevalcap; install it: pip install 'pituning-studio[captions]', "
            "or choose --metric token_f1",
            field="metric",
        ) from error
