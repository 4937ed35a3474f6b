"""The calibration itself, ẑ(x) ± Σ(x), and the sample it was derived from.

Fig. 1 of arXiv:2205.05084: for one feature and one truth column.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from calibrate.checks import positive_integer
from calibrate.context import Context
from calibrate.estimate import Calibration
from calibrate.protocols import Refit
from calibrate.records import CalibrationCurve, Findings, JointHistogram
from calibrate.sample import FloatArray
from calibrate.statistics import weighted_quantile
from calibrate.task import RegressionTask

SHOWN = (0.002, 0.998)
JOINT_BINS = 60


@dataclass(frozen=True)
class Curves:
    """ẑ(x) of every method on `points` over the range of x; nothing for several features."""

    points: int = 41

    def __post_init__(self) -> None:
        positive_integer("evaluator.curves.points", self.points)

    def __call__(
        self, fits: Mapping[str, Calibration], task: RegressionTask, refit: Refit, context: Context
    ) -> Findings:
        """One record per method, and the joint distribution of x and z."""
        if task.train.x.shape[1] != 1 or task.train.z.shape[1] != 1:
            return Findings()
        low, high = _range(task.train.x[:, 0], task.train.w)
        grid = np.linspace(low, high, self.points)
        curves = [_curve(name, fit, task, grid) for name, fit in fits.items()]
        return Findings(records=(_joint(task), *curves))


def _curve(
    method: str, fit: Calibration, task: RegressionTask, grid: FloatArray
) -> CalibrationCurve:
    estimate = fit.estimate(grid[:, None])
    exact = task.closed_forms.get(fit.closed_form)
    unknown = np.full(grid.size, np.nan)
    x_column, z_column = task.train.x_columns[0], task.train.z_columns[0]
    return CalibrationCurve(
        method=method,
        x_name=x_column.name,
        x_unit=x_column.unit,
        z_name=z_column.name,
        z_unit=z_column.unit,
        x=grid,
        estimate=estimate.z[:, 0],
        sigma=unknown if estimate.sigma is None else estimate.sigma[:, 0],
        exact_estimate=unknown if exact is None else exact.estimate(grid),
        exact_sigma=unknown if exact is None else exact.point_resolution(grid),
    )


def _joint(task: RegressionTask) -> JointHistogram:
    sample = task.train
    x, z = sample.x[:, 0], sample.z[:, 0]
    edges = [np.linspace(*_range(v, sample.w), JOINT_BINS + 1) for v in (x, z)]
    counts, _, _ = np.histogram2d(x, z, bins=edges, weights=sample.w)
    x_column, z_column = sample.x_columns[0], sample.z_columns[0]
    return JointHistogram(
        x_column.name, x_column.unit, z_column.name, z_column.unit, edges[0], edges[1], counts
    )


def _range(values: FloatArray, w: FloatArray) -> tuple[float, float]:
    low, high = weighted_quantile(values, (w > 0).astype(np.float64), SHOWN)
    return float(low), float(high)
