"""What an uncertain reference costs: smeared labels, or smeared inputs (arXiv:2003.11099, Sec. 5).

Option 1B: a network trained with smeared labels quotes a larger σ_stoch, and what came with them
is σ_cal² = σ_stoch² - σ_stoch,0² (Eq. 19), σ_stoch,0 from a fit with the true labels. It should be
the width σ_smear by which the labels moved, √⟨(z' - z)²⟩ of the training sample.

Option 1A (Appendix A): the network with true labels, at features scaled up and down by a relative
width s; σ_input = ½[ẑ(x(1+s)) - ẑ(x(1-s))]. It is smaller than s·ẑ where ẑ follows x less than
proportionally, as the posterior of a narrow or falling spectrum does.

All are root mean squares over the events of a test sample.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from calibrate.checks import fraction
from calibrate.errors import ConfigurationError, nearest
from calibrate.estimate import Calibration
from calibrate.evaluators.predictive import Prediction, Scalars, quantity
from calibrate.evaluators.residuals import Residual
from calibrate.evaluators.slices import Slicing
from calibrate.records import Quantity
from calibrate.sample import Sample
from calibrate.statistics import root, weighted_mean
from calibrate.task import NOMINAL, RegressionTask

InputSmearing = float | Mapping[str, float] | None


def input_widths(
    option: str, smearing: InputSmearing, features: Sequence[str], measuring: Sequence[str]
) -> dict[str, float]:
    """The relative width of each feature that is smeared: a number is that of the `measuring`
    ones; ConfigurationError for what is no feature or not positive. 0 is none."""
    if smearing in (None, 0):
        return {}
    given = smearing if isinstance(smearing, Mapping) else dict.fromkeys(measuring, smearing)
    for name, width in given.items():
        fraction(f"{option} of {name}", width)
        if name not in features:
            raise ConfigurationError(f"{option}: no feature '{name}': {nearest(name, features)}")
    return {name: float(width or 0) for name, width in given.items()}


@dataclass(frozen=True)
class Smearing:
    """The smeared inputs and labels of a task, and its fits with true labels by method."""

    task: RegressionTask
    true_fits: Mapping[str, Calibration]
    widths: Mapping[str, float]

    def scalars(self, prediction: Prediction, test: str, slicing: Slicing | None) -> Scalars:
        """σ_input, σ_cal and, on the training spectrum, σ_smear of the training events in a slice
        (None: all); without σ_cal where σ_stoch is not above that of true labels."""
        fit = self.true_fits[prediction.method]
        found = _input(prediction, fit, self.widths) if self.widths else {}
        if self.task.unsmeared is None or prediction.residual.stochastic is None:
            return found
        if test == NOMINAL:
            found["sigma_smear"] = self._moved(prediction.residual, slicing)
        return found | _label(prediction, fit)

    def _moved(self, residual: Residual, slicing: Slicing | None) -> Quantity:
        """√⟨(z' - z)²⟩ of the training labels."""
        train, true = self.task.train, self.task.unsmeared or self.task.train
        rows = slice(None) if slicing is None else slicing.inside(train)
        shift = (train.z - true.z)[rows, residual.component]
        return Quantity(
            math.sqrt(weighted_mean(shift**2, train.w[rows])), None, residual.column.unit
        )


def _label(prediction: Prediction, fit: Calibration) -> Scalars:
    """σ_cal, from σ_stoch of the fit and of one with true labels on the same events."""
    r, sample = prediction.residual, prediction.sample
    true = np.asarray(fit.estimate(fit.domain.features(sample)).stochastic)[:, r.component]
    added = np.asarray(r.stochastic) ** 2 - true**2
    (value,), (error,) = root(*prediction.means(added))
    return {"sigma_cal": quantity(value, error, r.column.unit)} if value > 0 else {}


def _input(prediction: Prediction, fit: Calibration, widths: Mapping[str, float]) -> Scalars:
    """σ_input of a fit with true labels, with features scaled up and down by their `widths`."""
    r, sample = prediction.residual, prediction.sample
    up, down = (
        fit.estimate(fit.domain.features(_scaled(sample, widths, sign))).z[:, r.component]
        for sign in (1.0, -1.0)
    )
    (value,), (error,) = root(*prediction.means(0.25 * (up - down) ** 2))
    return {"sigma_input": quantity(value, error, r.column.unit)}


def _scaled(sample: Sample, widths: Mapping[str, float], sign: float) -> Sample:
    factors = [1 + sign * widths.get(column.name, 0.0) for column in sample.x_columns]
    return replace(sample, x=sample.x * np.array(factors))
