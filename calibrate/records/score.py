"""How well a score tells signal from background as a function of a nuisance, and where it cuts."""

from __future__ import annotations

from dataclasses import dataclass

from calibrate.sample import FloatArray


@dataclass(frozen=True)
class SeparationCurve:
    """Area under the ROC curve (n_v,) of signal against background at values (n_v,) of one
    nuisance, the others being nominal, with its error, and that of the exact score (NaN where
    unknown).

    `difference` is the mean |score - exact score| over events, classes weighing the same; NaN where
    the exact score is not known. Everything is NaN at values that the score is not made for.
    `observed` (k,) are the true values of the observed points.
    """

    method: str
    nuisance: str
    unit: str
    nominal: float
    values: FloatArray
    auc: FloatArray
    error: FloatArray
    exact: FloatArray
    difference: FloatArray
    difference_error: FloatArray
    observed: FloatArray


@dataclass(frozen=True)
class DecisionMap:
    """The score (n_x, n_y) of two features on a grid x (n_x,), y (n_y,), for data whose nuisance is
    `value`."""

    method: str
    nuisance: str
    unit: str
    value: float
    x_name: str
    x_unit: str
    y_name: str
    y_unit: str
    x: FloatArray
    y: FloatArray
    score: FloatArray
