"""Noise, stochastic and constant term of a relative resolution as a function of pT.

    σ(pT)/pT = √(N|N|/pT² + S²/pT + C²)
(CMS, JINST 12 (2017) P02014, Eq. 8.10: N² there, with the sign kept so that N may come out
negative where a threshold cuts the low side). Least squares in N, S ≥ 0, C ≥ 0.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import least_squares
from scipy.special import gammaincc

from calibrate.sample import FloatArray

PARAMETERS = 3
FEWEST_POINTS = 4
SMALLEST = 1e-12


class NoiseStochasticConstant(NamedTuple):
    """(N, S, C), their errors, χ², number of degrees of freedom, probability of a larger χ²."""

    terms: FloatArray
    errors: FloatArray
    chi2: float
    ndf: int
    probability: float


def fit_noise_stochastic_constant(
    pt: FloatArray, sigma: FloatArray, error: FloatArray
) -> NoiseStochasticConstant | None:
    """Fit points (n,), at least four, with errors > 0; None if the fit does not converge.

    The squares N|N|, S², C² enter linearly: their covariance (JᵀJ)⁻¹ gives the errors, that of a
    term t by σ(t²)/2t, or √σ(t²) where t² is below its error and t compatible with zero.
    """
    scale = float(np.exp(np.mean(np.log(pt))))
    powers = (scale / pt)[:, None] ** np.array([2.0, 1.0, 0.0])

    def model(t: FloatArray) -> FloatArray:
        square = powers @ (t * np.array([abs(t[0]), t[1], t[2]]))
        return np.asarray(np.sqrt(np.maximum(square, SMALLEST)))

    start = np.full(PARAMETERS, float(np.mean(sigma)) / np.sqrt(PARAMETERS))
    found = least_squares(lambda t: (model(t) - sigma) / error, start, x_scale=start, max_nfev=2000)
    if not (found.success and np.all(np.isfinite(found.x))):
        return None
    terms = np.array([found.x[0], abs(found.x[1]), abs(found.x[2])])
    jacobian = powers / (2 * model(terms) * error)[:, None]
    variance = np.diagonal(np.linalg.pinv(jacobian.T @ jacobian))
    errors = _errors(terms, np.sqrt(np.maximum(variance, 0.0)))
    chi2, ndf = float(2 * found.cost), pt.size - PARAMETERS
    units = np.array([scale, np.sqrt(scale), 1.0])
    probability = float(gammaincc(ndf / 2, chi2 / 2))
    return NoiseStochasticConstant(terms * units, errors * units, chi2, ndf, probability)


def _errors(terms: FloatArray, of_squares: FloatArray) -> FloatArray:
    small = terms**2 < of_squares
    size = np.where(small, 1.0, np.abs(terms))
    return np.where(small, np.sqrt(of_squares), of_squares / (2 * size))
