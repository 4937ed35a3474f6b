"""The binned likelihood of a signal strength μ and nuisances Z, for one or many experiments.

-log L(μ, Z, γ) = Σ_i [ν_i - n_i log ν_i + log Γ(n_i+1) + Σ_j m_ij(γ_ij - 1 - log γ_ij)]
                + Σ_k (Z_k-c_k)²/2σ_k² + Σ_j [m_j(Z) - k_j log m_j(Z) + log Γ(k_j+1)],
ν_i = μ γ_iS S_i(Z) + γ_iB B_i(Z).

γ is what simulation's finite statistics leaves open in each template and bin (`simulation.py`), m
the number of effective events. Its best value is known in closed form, so it never is a parameter
of a fit. m is a constant of the fit: if it followed Z, -log L would fall where templates are worse
known.

The score of an aware classifier depends on the Z that is tested, and so do the observed counts
n_i(Z): log Γ(n_i+1) is no constant then. That is not the likelihood of one fixed set of counts,
but a distance between data and templates that are both seen through the score of the tested Z;
whether its intervals cover must be tried.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import digamma, gammaln

from calibrate.errors import ConfigurationError, DataError
from calibrate.inference.contents import Constant, Contents
from calibrate.inference.simulation import Adjusted, adjusted
from calibrate.sample import FloatArray
from calibrate.task import Auxiliary, Nuisance

STEP = 1e-5
"""Of the range of a nuisance, for the slopes of an auxiliary measurement's expected counts."""

LARGE = 20.0
SMALLEST = 1e-9


@dataclass(frozen=True)
class Expectation:
    """What is expected: templates of signal and background, the relative variances δ² of background
    and signal, (2, n_b) or (2, p, n_b) of p experiments, the nuisances with their bounds (d, 2),
    and an auxiliary measurement."""

    signal: Contents
    background: Contents
    variance: FloatArray
    nuisances: Sequence[Nuisance]
    bounds: FloatArray
    auxiliary: Auxiliary | None = None

    @property
    def widths(self) -> FloatArray:
        """Widths (d,) of the Gaussian constraints; infinite where there is none."""
        return np.array([np.inf if n.width is None else n.width for n in self.nuisances])

    @property
    def nominal(self) -> FloatArray:
        """Nominal values (d,)."""
        return np.array([nuisance.nominal for nuisance in self.nuisances])

    def total(self, mu: FloatArray, z: FloatArray) -> FloatArray:
        """ν (p, n_b) at μ (p,) and z (p, d)."""
        return mu[:, None] * self.signal(z)[0] + self.background(z)[0]

    def require_inside(self, z: FloatArray) -> None:
        """Raise ConfigurationError for values z (p, d) beyond those that templates were filled
        at."""
        for nuisance, (low, high), column in zip(self.nuisances, self.bounds, z.T, strict=True):
            outside = (column < low) | (column > high)
            if outside.any():
                raise ConfigurationError(
                    f"templates of '{nuisance.name}' lie between {low:.4g} and {high:.4g}, asked "
                    f"for {column[outside][0]:.4g}: they are not extrapolated"
                )

    def without_simulation_error(self) -> Expectation:
        """The same with templates taken as exact."""
        return replace(self, variance=np.zeros_like(self.variance))

    def auxiliary_counts(self, z: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Expected counts (p, n_j) of the auxiliary measurement, and slopes (p, d, n_j)."""
        if self.auxiliary is None:
            return np.zeros((len(z), 0)), np.zeros((len(z), z.shape[1], 0))
        steps = STEP * (self.bounds[:, 1] - self.bounds[:, 0])
        slopes = []
        for k, step in enumerate(steps):
            low, high = z.copy(), z.copy()
            low[:, k] = np.maximum(low[:, k] - step, self.bounds[k, 0])
            high[:, k] = np.minimum(high[:, k] + step, self.bounds[k, 1])
            taken = (high - low)[:, k, None]
            slopes.append((self._measured(high) - self._measured(low)) / taken)
        return self._measured(z), np.stack(slopes, axis=1)

    def _measured(self, z: FloatArray) -> FloatArray:
        names = [nuisance.name for nuisance in self.nuisances]
        if self.auxiliary is None:
            return np.zeros((len(z), 0))
        return self.auxiliary.expected(dict(zip(names, z.T, strict=True)))


@dataclass(frozen=True)
class Observation:
    """What is observed, in one experiment or in p: counts, the centres c (d,) or (p, d) of the
    constraints, and auxiliary counts k, (n_j,) or (p, n_j)."""

    counts: Contents
    centres: FloatArray
    auxiliary: FloatArray

    @classmethod
    def of(
        cls,
        counts: Contents,
        expected: Expectation,
        auxiliary: FloatArray | None = None,
    ) -> Observation:
        """With all centres at their nominal values."""
        none = np.zeros(0) if auxiliary is None else auxiliary
        return cls(counts, expected.nominal, none)


@dataclass(frozen=True)
class Derivatives:
    """-log L (p,), its gradient (p, 1+d) by μ and Z, and the expected information
    (p, 1+d, 1+d)."""

    nll: FloatArray
    gradient: FloatArray
    information: FloatArray


@dataclass(frozen=True)
class Likelihood:
    """-log L of an observation, in one or many experiments at once.

    Raises DataError for data in a bin that expects nothing.
    """

    expected: Expectation
    observed: Observation

    def __post_init__(self) -> None:
        z = self.expected.nominal[None]
        _require_expectation("the score", self.expected.total(np.ones(1), z), self.observed.counts)
        if self.expected.auxiliary is not None:
            counts, _ = self.expected.auxiliary_counts(z)
            auxiliary = Constant(self.observed.auxiliary)
            _require_expectation("the auxiliary measurement", counts, auxiliary)

    def __call__(self, mu: FloatArray, z: FloatArray) -> FloatArray:
        """-log L (p,) at μ (p,) and z (p, d); infinite where a bin expects less than nothing."""
        signal, background = self.expected.signal(z)[0], self.expected.background(z)[0]
        n, (measured, _) = self.observed.counts(z)[0], self.expected.auxiliary_counts(z)
        poisson = self._poisson(background, mu[:, None] * signal, n)
        return poisson + self._constraints(z, measured)

    def scan(self, mu: FloatArray, z: FloatArray) -> FloatArray:
        """-log L (m, k) of one experiment at every μ (m,) with every z (k, d).

        Raises ConfigurationError for z beyond the templates.
        """
        self.expected.require_inside(z)
        signal, background = self.expected.signal(z)[0], self.expected.background(z)[0]
        n, (measured, _) = self.observed.counts(z)[0], self.expected.auxiliary_counts(z)
        poisson = self._poisson(background, mu[:, None, None] * signal, n)
        return poisson + self._constraints(z, measured)

    def derivatives(self, mu: FloatArray, z: FloatArray) -> Derivatives:
        """Value, gradient, and information: that of Gauss and Newton (residuals n - ν of variance
        ν + Σp²δ²) and, on the diagonal, what curved templates and counts add to it."""
        signal, *by_signal = self.expected.signal(z)
        background, *by_background = self.expected.background(z)
        n, n_slopes, n_curved = self.observed.counts(z)
        strength, scaled = mu[:, None, None], mu[:, None] * signal
        found = adjusted(background, scaled, n, self.expected.variance)
        of_background, of_signal = (gamma[:, None] for gamma in found.gammas)
        nu_slopes, nu_curved = (
            strength * of_signal * s + of_background * b
            for s, b in zip(by_signal, by_background, strict=True)
        )
        slopes = np.concatenate([of_signal * signal[:, None], nu_slopes], axis=1)
        moved = np.concatenate([np.zeros_like(signal)[:, None], n_slopes], axis=1)
        by_n = digamma(n + 1) - np.log(np.where(found.total > 0, found.total, 1.0))
        gradient = np.einsum("pb,pkb->pk", found.t, slopes) + np.einsum("pb,pkb->pk", by_n, moved)
        residual = slopes - moved
        variance = found.total + _squared(background, scaled, self.expected.variance)
        precision = 1 / np.maximum(variance, SMALLEST)
        information = np.einsum("pkb,pb,plb->pkl", residual, precision, residual)
        curved = np.einsum("pb,pkb->pk", found.t, nu_curved)
        curved += np.einsum("pb,pkb->pk", by_n, n_curved)
        _add_curvature(information, curved)
        measured, measured_slopes = self.expected.auxiliary_counts(z)
        self._add_constraints(z, measured, measured_slopes, gradient, information)
        nll = _of_events(background + scaled, found, n) + self._constraints(z, measured)
        return Derivatives(nll, gradient, information)

    def _add_constraints(
        self,
        z: FloatArray,
        measured: FloatArray,
        slopes: FloatArray,
        gradient: FloatArray,
        information: FloatArray,
    ) -> None:
        """Add what constraints and auxiliary counts contribute, in place."""
        precision = self.expected.widths**-2
        gradient[:, 1:] += (z - self.observed.centres) * precision
        index = np.arange(1, 1 + z.shape[1])
        information[:, index, index] += precision
        if measured.shape[1]:
            gradient[:, 1:] += np.einsum(
                "pj,pdj->pd", 1 - self.observed.auxiliary / measured, slopes
            )
            information[:, 1:, 1:] += np.einsum("pdj,pj,pej->pde", slopes, 1 / measured, slopes)

    def _poisson(self, background: FloatArray, signal: FloatArray, n: FloatArray) -> FloatArray:
        found = adjusted(background, signal, n, self.expected.variance)
        return _of_events(background + signal, found, n)

    def _constraints(self, z: FloatArray, measured: FloatArray) -> FloatArray:
        pulls = (z - self.observed.centres) / self.expected.widths
        pulled: FloatArray = 0.5 * np.sum(pulls**2, axis=-1)
        if not measured.shape[1]:
            return pulled
        terms = poisson_terms(measured, self.observed.auxiliary)
        return np.asarray(pulled + terms.sum(axis=-1))


def _of_events(nu: FloatArray, found: Adjusted, n: FloatArray) -> FloatArray:
    """The events' part of -log L; infinite where templates ν expect less than nothing."""
    terms = poisson_terms(found.total, n) + found.cost
    return np.asarray(np.where((nu > 0).all(axis=-1), terms.sum(axis=-1), np.inf))


def _squared(background: FloatArray, signal: FloatArray, variance: FloatArray) -> FloatArray:
    """The variance Σp²δ² of templates."""
    return np.asarray(background**2 * variance[0] + signal**2 * variance[1])


def _add_curvature(information: FloatArray, curved: FloatArray) -> None:
    """Add second derivatives (p, d) by the nuisances, in place, as far as they leave half of the
    information: it stays positive."""
    index = np.arange(1, information.shape[1])
    first = information[:, index, index]
    information[:, index, index] = np.maximum(first + curved, 0.5 * first)


def poisson_terms(nu: FloatArray, n: FloatArray) -> FloatArray:
    """ν - n log ν + log Γ(n+1) without its large parts, which cancel: rounding stays at 1e-15 where
    n is 10⁵, and a minimiser sees no steps."""
    with np.errstate(divide="ignore", invalid="ignore"):
        surplus = np.where(n > 0, (nu - n) / n, 0.0)
        return (nu - n) - n * np.log1p(surplus) + _beyond_leading(n)


def _beyond_leading(n: FloatArray) -> FloatArray:
    """log Γ(n+1) - n log n + n, by Stirling's series for n ≥ 20."""
    large = np.maximum(n, LARGE)
    inverse = 1 / large**2
    series = (1 / 12 - inverse * (1 / 360 - inverse * (1 / 1260 - inverse / 1680))) / large
    few = np.minimum(n, LARGE)
    direct = gammaln(few + 1) - np.where(
        few > 0, few * np.log(np.where(few > 0, few, 1.0)) - few, 0
    )
    return np.where(n >= LARGE, 0.5 * np.log(2 * np.pi * large) + series, direct)


def _require_expectation(where: str, nu: FloatArray, counts: Contents) -> None:
    observed = counts.values if isinstance(counts, Constant) else None
    if observed is None:
        return
    empty = ~(nu[0] > 0) & np.any(np.atleast_2d(observed) > 0, axis=0)
    if empty.any():
        raise DataError(
            f"{where}: bin {int(np.argmax(empty))} holds data and expects none: merge it with a "
            "neighbour"
        )


def asimov(counts: Contents, expected: Expectation, values: Mapping[str, float]) -> Observation:
    """Counts as expected, and the auxiliary measurement as expected at the true `values`."""
    z = np.array([[values[nuisance.name] for nuisance in expected.nuisances]])
    return Observation.of(counts, expected, expected.auxiliary_counts(z)[0][0])
