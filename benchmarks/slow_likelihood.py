"""The binned likelihood as it is written, term by term: what tests hold the fast one against, and
benchmarks its speed."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from calibrate.inference.likelihood import Likelihood
from calibrate.sample import FloatArray


def loop(likelihood: Likelihood, mu: FloatArray, z: FloatArray) -> FloatArray:
    """The likelihood at every μ (m,) with every z (k, d) as it is written, term by term."""
    expected, observed = likelihood.expected, likelihood.observed
    found = np.zeros((len(mu), len(z)))
    for i, strength in enumerate(mu):
        for j, values in enumerate(z):
            signal, background = (
                contents(values[None])[0][0] for contents in (expected.signal, expected.background)
            )
            counts, total = observed.counts(values[None])[0][0], 0.0
            for b, n in enumerate(counts):
                templates = background[b], strength * signal[b]
                gammas = best_gammas(templates, n, expected.variance[:, b])
                nu = sum(p * gamma for p, gamma in zip(templates, gammas, strict=True))
                total += nu - n * math.log(nu) + math.lgamma(n + 1)
                for gamma, delta2 in zip(gammas, expected.variance[:, b], strict=True):
                    total += (gamma - 1 - math.log(gamma)) / delta2 if delta2 else 0.0
            for k, nuisance in enumerate(expected.nuisances):
                pull = (values[k] - observed.centres[k]) / (nuisance.width or math.inf)
                total += 0.5 * pull**2
            for m, k in zip(
                expected.auxiliary_counts(values[None])[0][0], observed.auxiliary, strict=True
            ):
                total += m - k * math.log(m) + math.lgamma(k + 1)
            found[i, j] = total
    return found


def best_gammas(templates: Sequence[float], n: float, variance: FloatArray) -> list[float]:
    """1/(1 + a_jt) for the root t of (1-t)Σ p_j/(1+a_jt) = n with positive γ and t ≤ 1."""
    (p, q), (a, b) = templates, [x * v for x, v in zip(templates, variance, strict=True)]
    c2, c1, c0 = -(p * b + q * a + n * a * b), p * (b - 1) + q * (a - 1) - n * (a + b), p + q - n
    half = -0.5 * (c1 + math.copysign(math.sqrt(c1**2 - 4 * c2 * c0), c1))
    roots = [c0 / half, *([half / c2] if c2 else [])]
    (t,) = (t for t in roots if 1 + a * t > 0 and 1 + b * t > 0 and t <= 1)
    return [1 / (1 + a * t), 1 / (1 + b * t)]
