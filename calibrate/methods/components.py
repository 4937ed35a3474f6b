"""How many Gaussians of a mixture the data support.

Two components may be merged, with their common weight, mean and variance, if that costs no
log-density on events that the fit was not trained on: no more than twice the error of the mean
loss per event. What is left when no pair may be merged is supported.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from calibrate.mixture import GaussianMixture
from calibrate.sample import FloatArray
from calibrate.statistics import weighted_mean

SIGNIFICANT = 2.0


@dataclass(frozen=True)
class Support:
    """The components supported, and what the last accepted merging cost per event [nat]."""

    components: int
    loss: float = 0.0
    error: float = 0.0


def supported(mixture: GaussianMixture, z: FloatArray, w: FloatArray) -> Support:
    """Merge pairs while that costs nothing at the truths z (n,) with weights w (n,)."""
    support = Support(mixture.weights.shape[1])
    reference = mixture.log_density(z)
    while support.components > 1:
        pairs = combinations(range(support.components), 2)
        candidates = [mixture.merged(*pair) for pair in pairs]
        costs = [_cost(reference - each.log_density(z), w) for each in candidates]
        best = int(np.argmin([loss for loss, _ in costs]))
        loss, error = costs[best]
        if loss > SIGNIFICANT * error:
            break
        mixture, support = candidates[best], Support(support.components - 1, loss, error)
    return support


def _cost(difference: FloatArray, w: FloatArray) -> tuple[float, float]:
    """Weighted mean of log-density differences (n,) and its error."""
    mean = float(weighted_mean(difference, w))
    scatter = np.sum((w * (difference - mean)) ** 2)
    return mean, math.sqrt(float(scatter)) / abs(float(np.sum(w)))
