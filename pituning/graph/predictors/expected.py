"""The features of expected gain: every similarity there is, what donors did for other tasks, and the answers' form."""

from __future__ import annotations

import numpy as np

from pituning.graph.known import Known, Target, places, standardised
from pituning.graph.predictors import DEFAULT_PREDICTOR
from pituning.graph.predictors.history import weighted_mean


def features(known: Known, target: Target) -> np.ndarray:
    """(M, F): within the target's donors, z-score and place by each similarity; of each donor, its mean place and mean
    gain for the other tasks, and both weighted by how similar these are to the target; whether modality, metric and
    form of the answer are the target's.

    NaN for a donor that a similarity does not know, or that was never measured on another task.
    """
    similarities = list(target.similarities.values())
    columns = [*map(standardised, similarities), *places(np.array(similarities))]
    for alike in (np.zeros(len(known)), standardised(target.similarities[DEFAULT_PREDICTOR])):
        columns += [weighted_mean(known.places, alike), weighted_mean(known.gains, alike)]
    return np.stack([*columns, *(same.astype(float) for same in target.alike.values())], axis=1)
