"""What finite simulation leaves open in a bin: a factor γ of each template, in closed form.

A template p_j stands on m_j effective events, 1/m_j = δ_j² = ΣW²/(Σw)², and that many are there by
chance: a Poisson number m_j of expectation γ_j m_j (Barlow and Beeston, Comput. Phys. Commun. 77
(1993) 219; the `shapesys` of HistFactory). With ν = Σp_jγ_j, minimise over γ

ν - n log ν + Σ_j m_j(γ_j - 1 - log γ_j):   γ_j = 1/(1 + a_jt), t = 1 - n/ν, a_j = p_jδ_j²,

where t is a root of (1-t)Σ_j p_j/(1+a_jt) = n: for two templates a quadratic equation. Between the
poles of γ the left side falls, so that one root has positive γ, for negative p_j too.

One Gaussian γ for signal and background together ("lite") is biased where bins have few simulated
events: those that fluctuated low have the larger share of signal and the smaller absolute error, so
that μ̂ is too large by about δ of its error for each bin, in all bins alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from calibrate.sample import FloatArray


@dataclass(frozen=True)
class Adjusted:
    """ν (…, n_b) at the best γ; t; γ of background and signal; what they cost in -log L."""

    total: FloatArray
    t: FloatArray
    gammas: tuple[FloatArray, FloatArray]
    cost: FloatArray


def adjusted(
    background: FloatArray, signal: FloatArray, n: FloatArray, variance: FloatArray
) -> Adjusted:
    """The best γ for n (…, n_b) events where templates expect `background` and `signal` (…, n_b),
    with relative variances δ² of both, (2, n_b) or (2, p, n_b). Where they expect less than nothing
    together, which has no likelihood, γ is 1."""
    templates = background, signal
    a = tuple(p * delta2 for p, delta2 in zip(templates, variance, strict=True))
    t = np.where(background + signal > 0, _root(templates, a, n), 0.0)
    gammas = 1 / (1 + a[0] * t), 1 / (1 + a[1] * t)
    total = background * gammas[0] + signal * gammas[1]
    costs = [_cost(each * t, delta2) for each, delta2 in zip(a, variance, strict=True)]
    return Adjusted(total, t, gammas, costs[0] + costs[1])


def _root(p: tuple[FloatArray, FloatArray], a: tuple[FloatArray, ...], n: FloatArray) -> FloatArray:
    """The root at which c₂t² + c₁t + c₀ falls, by the form that does not cancel."""
    c2 = -(p[0] * a[1] + p[1] * a[0] + n * a[0] * a[1])
    c1 = p[0] * (a[1] - 1) + p[1] * (a[0] - 1) - n * (a[0] + a[1])
    c0 = p[0] + p[1] - n
    root = np.sqrt(np.maximum(c1**2 - 4 * c2 * c0, 0.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(c1 <= 0, 2 * c0 / (root - c1), -(c1 + root) / (2 * c2))


def _cost(at: FloatArray, delta2: FloatArray) -> FloatArray:
    """(γ - 1 - log γ)/δ² with γ = 1/(1 + at); nothing for an exact template."""
    cost = np.log1p(at) - at / (1 + at)
    return np.divide(cost, delta2, out=np.zeros_like(cost), where=delta2 > 0)
