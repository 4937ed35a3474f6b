"""Bias slope, pulls and coverage as functions of weighted means, which add up over parts."""

from __future__ import annotations

import numpy as np

from calibrate.evaluators.residuals import Residual
from calibrate.evaluators.view import COVERAGE_LEVELS
from calibrate.records import Quantity
from calibrate.sample import FloatArray


def difference_columns(r: Residual, centre: float) -> FloatArray:
    """What they are functions of the means of, (n, 4), or (n, 9) where Σ is quoted; z is counted
    from `centre`."""
    d, z = r.estimate - r.z, r.z - centre
    columns = [d, z, d * z, z * z]
    if r.sigma is not None:
        pull = d / r.sigma
        columns += [r.sigma, pull, pull**2]
        columns += [(np.abs(pull) <= c).astype(np.float64) for c in COVERAGE_LEVELS.values()]
    return np.column_stack(columns)


def difference_scalars(r: Residual, value: FloatArray, replicas: FloatArray) -> dict[str, Quantity]:
    """The metrics from the means (k,), with errors from those of replicas (n_r, k)."""
    both, unit = (value, replicas), r.column.unit
    slopes = [(m[..., 2] - m[..., 0] * m[..., 1]) / (m[..., 3] - m[..., 1] ** 2) for m in both]
    found = {f"closure/{r.label}/bias_slope": _with_error(slopes[0], slopes[1])}
    if r.sigma is not None:
        prefix = f"point_resolution/{r.label}"
        widths = [np.sqrt(m[..., 6] - m[..., 5] ** 2) for m in both]
        found[f"{prefix}/mean_sigma"] = _with_error(value[4], replicas[:, 4], unit)
        found[f"{prefix}/pull_mean"] = _with_error(value[5], replicas[:, 5])
        found[f"{prefix}/pull_width"] = _with_error(widths[0], widths[1])
        for k, name in enumerate(COVERAGE_LEVELS, start=7):
            found[f"{prefix}/{name}"] = _with_error(value[k], replicas[:, k])
    return found


def _with_error(value: FloatArray, replicas: FloatArray, unit: str = "") -> Quantity:
    return Quantity(float(value), float(np.std(replicas)), unit)
