"""What inference at observed points leaves: likelihoods, their profiles, templates, coverage."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from calibrate.sample import FloatArray


@dataclass(frozen=True)
class LikelihoodMap:
    """-log L above its minimum (m, k) at strengths (m,) and values (k,) of one nuisance, the others
    at their best; best and true values."""

    method: str
    point: str
    nuisance: str
    unit: str
    strengths: FloatArray
    values: FloatArray
    nll: FloatArray
    best_strength: float
    best_value: float
    true_strength: float
    true_value: float


@dataclass(frozen=True)
class ProfileCurve:
    """Profiled -log L above its minimum (m,) at strengths (m,); `statistical` with nuisances and
    templates fixed. The ends of the 68 and 95 % intervals; `reference` is the method that others
    are compared with."""

    method: str
    point: str
    strengths: FloatArray
    nll: FloatArray
    statistical: FloatArray
    mu_hat: float
    low: float
    high: float
    low_95: float
    high_95: float
    true_strength: float
    reference: str


@dataclass(frozen=True)
class TemplateCurve:
    """Templates in the bins between `edges` (n_b+1,) of the score, at values (k,) of one nuisance
    where they were filled (k, n_b) with their errors, and in between: `fine` (f,), smooth
    (f, n_b)."""

    method: str
    point: str
    nuisance: str
    unit: str
    nominal: float
    edges: FloatArray
    values: FloatArray
    signal: FloatArray
    signal_error: FloatArray
    background: FloatArray
    background_error: FloatArray
    fine: FloatArray
    smooth_signal: FloatArray
    smooth_background: FloatArray


@dataclass(frozen=True)
class Repetitions:
    """Best strengths (p,) of pseudo-experiments at one point, the half width of the interval that
    is quoted there, and the share of 68 % intervals that hold the true strength, with its error."""

    method: str
    point: str
    mu_hat: FloatArray
    true_strength: float
    width: float
    coverage: float
    coverage_error: float

    @property
    def pulls(self) -> FloatArray:
        """(μ̂ - μ)/width."""
        return np.asarray((self.mu_hat - self.true_strength) / self.width)


@dataclass(frozen=True)
class WorkspaceFile:
    """The binned model of the nominal score at one point as a HistFactory workspace (JSON)."""

    method: str
    point: str
    document: str
