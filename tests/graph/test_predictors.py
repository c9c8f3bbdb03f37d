"""The records of the predictors: what they name is there, and nothing is compared by a predictor that nobody knows."""

from __future__ import annotations

import numpy as np
import pytest

from pituning.errors import BadInput
from pituning.graph.embeddings import TaskEmbedding
from pituning.graph.predictors import PREDICTORS, PredictorRecord, shot_predictors
from pituning.graph.similarity import cosines, similarity_matrix
from pituning.registry import load
from pituning.tuning.config import TuneConfig


def test_what_a_record_names_is_there() -> None:
    assert list(PREDICTORS) == ["probe", "paper", "scaled", "weights", "text"]
    assert all(callable(load(record.path)) for record in PREDICTORS.values())
    assert shot_predictors() == ("probe", "scaled", "text")


def test_a_registered_predictor_is_computed_by_its_own_function() -> None:
    """Not by whatever comes last, as once by the raw cosine."""
    vectors = np.random.default_rng(0).normal(size=(3, 8)).astype(np.float32)
    zoo = [
        TaskEmbedding.from_flat(v, task=f"t{i}", kind="lora", probe="own", names=["a"], sizes=[8])
        for i, v in enumerate(vectors)
    ]
    PREDICTORS.register(
        PredictorRecord(
            name="weights-again", label="Weights", help="As weights.", compares="parameters", path=f"{__name__}:halved"
        )
    )
    try:
        S = similarity_matrix(zoo, "weights-again")
    finally:
        PREDICTORS.unregister("weights-again")
    off = ~np.eye(3, dtype=bool)
    np.testing.assert_allclose(S[off], similarity_matrix(zoo, "weights")[off] / 2)
    with pytest.raises(BadInput, match="unknown predictor 'weights-again'; did you mean weights"):
        similarity_matrix(zoo, "weights-again")
    with pytest.raises(BadInput, match="'text' needs no embeddings; use text_similarity"):
        similarity_matrix(zoo, "text")


def halved(rows, zoo):
    similarity, defined = cosines(rows, zoo)
    return similarity / 2, defined


def test_a_tuning_takes_what_shots_can_be_compared_by() -> None:
    assert TuneConfig(target="digits", predictor="text").predictor == "text"
    with pytest.raises(BadInput, match="predictor is 'paper'; give one that needs shots alone: probe, scaled, text"):
        TuneConfig(target="digits", predictor="paper")
    with pytest.raises(BadInput, match="unknown predictor 'prob'; did you mean probe"):
        TuneConfig(target="digits", predictor="prob")


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"compares": "fisher"}, "give a probe"),
        ({"compares": "words", "probe": "own"}, "give a probe"),
        ({"compares": "fisher", "probe": "own", "for_shots": True}, "cannot be for_shots"),
        ({"compares": "parameters", "for_shots": True}, "cannot be for_shots"),
    ],
)
def test_a_record_whose_parts_do_not_fit_is_refused(changes, match) -> None:
    with pytest.raises(ValueError, match=match):
        PredictorRecord(name="x", label="X", help="X.", path="a:b", **changes)
