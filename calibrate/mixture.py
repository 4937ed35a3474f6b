"""Mixtures of Gaussians, one per event: p(z) = Σ_i α_i N(z; μ_i, σ_i²).

What a calibration knows about z beyond its first two moments, in 3k numbers an event: density,
distribution function, mode, and the interval of equal density about it (arXiv:2003.11099,
Eq. 16 and Table 2). Where the density has one peak, the shortest interval that holds a
probability has equal densities at its ends; where it has several, the shortest one is meant.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import elementwise
from scipy.special import logsumexp, ndtr

from calibrate.sample import FloatArray, IntArray

ONE_SIGMA = math.erf(math.sqrt(0.5))
"""The probability within one standard deviation of a Gaussian, 0.6827: "68 %"."""
NODES = np.linspace(-5.0, 5.0, 26)
"""Where the density is looked at first, in widths from the mean of each component."""
NEWTON_STEPS = 12
BLOCK = 8192
"""Events worked on at a time."""


@dataclass(frozen=True)
class GaussianMixture:
    """Weights α, means μ and widths σ (n, k) in the unit of z; each row of α sums to one."""

    weights: FloatArray
    means: FloatArray
    widths: FloatArray

    def __len__(self) -> int:
        return len(self.weights)

    def take(self, rows: slice | IntArray) -> GaussianMixture:
        """The mixtures of the selected events."""
        return GaussianMixture(self.weights[rows], self.means[rows], self.widths[rows])

    @classmethod
    def gaussian(cls, mean: FloatArray, width: FloatArray) -> GaussianMixture:
        """One Gaussian per event, of means and widths (n,)."""
        return cls(np.ones((len(mean), 1)), mean[:, None], width[:, None])

    @property
    def mean(self) -> FloatArray:
        """Σ_i α_i μ_i (n,)."""
        return np.asarray((self.weights * self.means).sum(-1))

    @property
    def variance(self) -> FloatArray:
        """Σ_i α_i (σ_i² + (μ_i - mean)²) (n,)."""
        spread = self.widths**2 + (self.means - self.mean[:, None]) ** 2
        return np.asarray((self.weights * spread).sum(-1))

    def log_density(self, z: FloatArray) -> FloatArray:
        """log p(z) at z (n,), or at several values (n, m) of each event."""
        weights, standard, widths = self._standardised(z)
        gaussians = -0.5 * standard**2 - np.log(widths * math.sqrt(2 * math.pi))
        return np.asarray(logsumexp(gaussians, axis=-1, b=weights))

    def cdf(self, z: FloatArray) -> FloatArray:
        """The probability of values below z (n,), or below several values (n, m) of each event."""
        weights, standard, _ = self._standardised(z)
        return np.asarray((weights * ndtr(standard)).sum(-1))

    def crps(self, z: FloatArray) -> FloatArray:
        """The continuous ranked probability score ∫(F(t) - [t ≥ z])² dt = E|Z - z| - ½E|Z - Z'| at
        z (n,), in the unit of z (Grimit et al., Q. J. R. Meteorol. Soc. 132 (2006) 2925)."""
        offset = mean_absolute(self.means - z[:, None], self.widths)
        apart = self.means[:, :, None] - self.means[:, None, :]
        pairs = mean_absolute(apart, np.hypot(self.widths[:, :, None], self.widths[:, None, :]))
        spread = np.einsum("ni,nij,nj->n", self.weights, pairs, self.weights)
        return np.asarray((self.weights * offset).sum(-1) - 0.5 * spread)

    def mode(self) -> FloatArray:
        """The z (n,) of the largest density."""
        blocks = [_mode(self.take(rows)) for rows in self._blocks()]
        return np.concatenate([np.empty(0), *blocks])

    def interval(self, probability: float = ONE_SIGMA) -> FloatArray:
        """The ends (n, 2) of the shortest interval that holds a probability in (0, 1)."""
        blocks = [_interval(self.take(rows), probability) for rows in self._blocks()]
        return np.concatenate([np.empty((0, 2)), *blocks])

    def density_level(self, z: FloatArray) -> FloatArray:
        """The probability (n,) of all values whose density is larger than that of z (n,): what the
        smallest region holds that reaches z. For one Gaussian 2Φ(|z - μ|/σ) - 1."""
        blocks = [_density_level(self.take(rows), z[rows]) for rows in self._blocks()]
        return np.concatenate([np.empty(0), *blocks])

    def merged(self, first: int, second: int) -> GaussianMixture:
        """With two components replaced by one of their weight, mean and variance."""
        pair = [first, second]
        weight = self.weights[:, pair].sum(-1, keepdims=True)
        share = GaussianMixture(
            self.weights[:, pair] / weight, self.means[:, pair], self.widths[:, pair]
        )
        others = [i for i in range(self.weights.shape[1]) if i not in pair]
        return GaussianMixture(
            np.hstack([self.weights[:, others], weight]),
            np.hstack([self.means[:, others], share.mean[:, None]]),
            np.hstack([self.widths[:, others], np.sqrt(share.variance)[:, None]]),
        )

    def slope(self, z: FloatArray) -> tuple[FloatArray, FloatArray]:
        """First and second derivative of log p at z (n,) or (n, m)."""
        weights, standard, widths = self._standardised(z)
        log_terms = np.log(weights) - 0.5 * standard**2 - np.log(widths)
        shares = np.exp(log_terms - logsumexp(log_terms, axis=-1, keepdims=True))
        first = -standard / widths
        gradient = (shares * first).sum(-1)
        curvature = (shares * (first**2 - 1 / widths**2)).sum(-1) - gradient**2
        return gradient, curvature

    def _standardised(self, z: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """α, (z - μ)/σ and σ, with an axis for the components after those of z."""
        z = np.asarray(z, dtype=np.float64)
        parameters = (self.weights, self.means, self.widths)
        weights, means, widths = (p if z.ndim == 1 else p[:, None, :] for p in parameters)
        return weights, (z[..., None] - means) / widths, widths

    def _blocks(self) -> list[slice]:
        return [slice(start, start + BLOCK) for start in range(0, len(self), BLOCK)]


def mean_absolute(mean: FloatArray, width: FloatArray) -> FloatArray:
    """E|Y| of Y ~ N(mean, width²)."""
    standard = mean / width
    density = np.exp(-0.5 * standard**2) / math.sqrt(2 * math.pi)
    return np.asarray(2 * width * density + mean * (2 * ndtr(standard) - 1))


def _nodes(mixture: GaussianMixture) -> FloatArray:
    """Values (n, m) in ascending order, dense where any component is narrow."""
    nodes = mixture.means[:, :, None] + mixture.widths[:, :, None] * NODES
    return np.sort(nodes.reshape(len(mixture), -1), axis=1)


def _mode(mixture: GaussianMixture) -> FloatArray:
    """Newton steps on log p from the best node, none beyond the nodes beside it."""
    nodes = _nodes(mixture)
    rows, last = np.arange(len(nodes)), nodes.shape[1] - 1
    best = np.argmax(mixture.log_density(nodes), axis=1)
    low, high = nodes[rows, np.maximum(best - 1, 0)], nodes[rows, np.minimum(best + 1, last)]
    z = nodes[rows, best]
    for _ in range(NEWTON_STEPS):
        gradient, curvature = mixture.slope(z)
        low, high = np.where(gradient > 0, z, low), np.where(gradient < 0, z, high)
        newton = z - gradient / np.where(curvature < 0, curvature, -np.inf)
        trusted = (curvature < 0) & (newton > low) & (newton < high)
        z = np.where(trusted, newton, np.where(gradient == 0, z, 0.5 * (low + high)))
    return np.asarray(z)


def _interval(mixture: GaussianMixture, probability: float) -> FloatArray:
    """The shortest interval between nodes, then Newton steps to equal densities at the ends."""
    nodes = _nodes(mixture)
    rows = np.arange(len(nodes))
    ends = _upper_ends(mixture.cdf(nodes), nodes, probability)
    best = np.argmin(ends - nodes, axis=1)
    found = np.stack([nodes[rows, best], ends[rows, best]], axis=1)
    return _equal_densities(mixture, found, probability)


def _upper_ends(cdf: FloatArray, nodes: FloatArray, probability: float) -> FloatArray:
    """Where the distribution function (n, m) at nodes (n, m) has risen by `probability`."""
    n, m = cdf.shape
    rows = 2.0 * np.arange(n)[:, None]
    position = np.searchsorted((cdf + rows).ravel(), (cdf + rows + probability).ravel())
    upper = position.reshape(n, m) - m * np.arange(n)[:, None]
    beyond = upper >= m
    upper = np.clip(upper, 1, m - 1)
    low, high = (np.take_along_axis(cdf, i, 1) for i in (upper - 1, upper))
    left, right = (np.take_along_axis(nodes, i, 1) for i in (upper - 1, upper))
    share = (cdf + probability - low) / np.maximum(high - low, 1e-300)
    return np.where(beyond, np.inf, left + share * (right - left))


def _equal_densities(mixture: GaussianMixture, ends: FloatArray, probability: float) -> FloatArray:
    """Newton steps on F(b) - F(a) = probability, log p(a) = log p(b) for ends (n, 2); an event
    where they lead elsewhere keeps the ends between nodes."""
    start = ends
    longest = 0.5 * (ends[:, 1] - ends[:, 0])[:, None]
    for _ in range(NEWTON_STEPS):
        held, log_p, gradient = _at_ends(mixture, ends)
        p = np.exp(log_p)
        missing, unequal = probability - held, log_p[:, 1] - log_p[:, 0]
        determinant = p[:, 0] * gradient[:, 1] - p[:, 1] * gradient[:, 0]
        determinant = np.where(determinant == 0, np.inf, determinant)
        step = (
            np.stack(
                [
                    -(missing * gradient[:, 1] + unequal * p[:, 1]),
                    -(missing * gradient[:, 0] + unequal * p[:, 0]),
                ],
                axis=1,
            )
            / determinant[:, None]
        )
        ends = ends + np.clip(step, -longest, longest)
    held, log_p, _ = _at_ends(mixture, ends)
    off = np.abs(held - probability) + np.abs(log_p[:, 1] - log_p[:, 0])
    moved = np.abs(ends - start).max(axis=1) > longest[:, 0]
    solved = (off < 1e-6) & ~moved & (ends[:, 0] < ends[:, 1])
    return np.where(solved[:, None], ends, start)


def _at_ends(
    mixture: GaussianMixture, ends: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The probability between the ends (n,), and log p and its slope at them (n, 2)."""
    held = np.diff(mixture.cdf(ends), axis=1)[:, 0]
    return held, mixture.log_density(ends), mixture.slope(ends)[0]


def _density_level(mixture: GaussianMixture, z: FloatArray) -> FloatArray:
    """The distribution function where the density falls through that of z, minus where it rises
    through it: between nodes, of which the last before an extremum is moved onto it."""
    level, nodes = mixture.log_density(z), _nodes(mixture)
    density, slope = _density_and_slope(mixture, nodes)
    rows, left = np.nonzero(np.sign(slope[:, 1:]) * np.sign(slope[:, :-1]) < 0)
    ends = nodes[rows, left], nodes[rows, left + 1]
    extremum = _root(lambda t, row: _density_and_slope(mixture.take(row), t)[1], rows, *ends)
    nodes[rows, left] = extremum
    density[rows, left], _ = _density_and_slope(mixture.take(rows), extremum)
    above = density > np.exp(level)[:, None]
    rows, left = np.nonzero(above[:, 1:] != above[:, :-1])
    ends = nodes[rows, left], nodes[rows, left + 1]
    crossing = _root(lambda t, row: mixture.take(row).log_density(t) - level[row], rows, *ends)
    below = mixture.take(rows).cdf(crossing)
    signed = np.where(above[rows, left], below, -below)
    return np.asarray(np.bincount(rows, signed, len(nodes)) + above[:, -1])


def _density_and_slope(mixture: GaussianMixture, z: FloatArray) -> tuple[FloatArray, FloatArray]:
    """p and its derivative at z (n,) or (n, m); 0 where they are below the smallest number."""
    density, slope = np.zeros_like(z), np.zeros_like(z)
    shape = (-1, *[1] * (z.ndim - 1))
    for parameters in zip(mixture.weights.T, mixture.means.T, mixture.widths.T, strict=True):
        weight, mean, width = (each.reshape(shape) for each in parameters)
        standard = (z - mean) / width
        part = weight / (width * math.sqrt(2 * math.pi)) * np.exp(-0.5 * standard**2)
        density += part
        slope -= part * standard / width
    return density, slope


def _root(
    function: Callable[[FloatArray, IntArray], FloatArray],
    rows: IntArray,
    low: FloatArray,
    high: FloatArray,
) -> FloatArray:
    """Where a function of z (n,) and row (n,) has its root between two ends (n,); the lower end
    where rounding takes the change of sign away."""

    def scaled(share: FloatArray, place: FloatArray) -> FloatArray:
        at = place.astype(np.int64)
        return function(low[at] + share * (high - low)[at], rows[at])

    bracket, places = (np.zeros(rows.size), np.ones(rows.size)), np.arange(float(rows.size))
    found = elementwise.find_root(scaled, bracket, args=(places,), tolerances={"xatol": 1e-4})
    return np.asarray(low + np.where(found.success, found.x, 0.0) * (high - low))
