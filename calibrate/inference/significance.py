"""The approximate median significance of a signal over a background known to σ_b.

AMS₁ = √(2[(s+b) ln((s+b)/b₀) - s - b + b₀] + (b-b₀)²/σ_b²), with
b₀ = ½(b - σ_b² + √((b-σ_b²)² + 4(s+b)σ_b²)), the best background if there is no signal
(Cowan et al., arXiv:1007.1727; HiggsML challenge).
"""

from __future__ import annotations

import numpy as np

from calibrate.inference.likelihood import Expectation
from calibrate.sample import FloatArray


def ams1(s: FloatArray, b: FloatArray, sigma: FloatArray) -> FloatArray:
    """AMS₁ (n,) of expected signal s and background b > 0 with error sigma ≥ 0."""
    variance = np.asarray(sigma, dtype=np.float64) ** 2
    # of two forms of the positive root, the one that does not cancel
    p = b - variance
    root = np.sqrt(p**2 + 4 * (s + b) * variance)
    b0 = np.where(p >= 0, 0.5 * (p + root), 2 * (s + b) * variance / np.maximum(root - p, 1e-300))
    pull = np.divide((b - b0) ** 2, variance, out=np.zeros_like(b0), where=variance > 0)
    return np.sqrt(np.maximum(2 * ((s + b) * np.log((s + b) / b0) - s - b + b0) + pull, 0.0))


def best_ams1(expected: Expectation, z: FloatArray) -> float:
    """The largest AMS₁ of all lower edges of the score, at the values z (d,).

    σ_b is what one width of each nuisance with a constraint does to the background, added in
    quadrature.
    """
    signal, background = (_above(contents(z[None])[0][0])
                          for contents in (expected.signal, expected.background))  # fmt: skip
    variance = np.zeros_like(background)
    for k, width in enumerate(expected.widths):
        if np.isfinite(width):
            ends = np.clip(z[k] + width * np.array([-1, 1]), *expected.bounds[k])
            low, high = (
                _above(expected.background(np.where(np.arange(len(z)) == k, end, z)[None])[0][0])
                for end in ends
            )
            variance += (0.5 * (high - low)) ** 2
    return float(np.max(ams1(signal, background, np.sqrt(variance))))


def _above(contents: FloatArray) -> FloatArray:
    """Sums from each bin to the last."""
    return np.asarray(np.cumsum(contents[::-1])[::-1])
