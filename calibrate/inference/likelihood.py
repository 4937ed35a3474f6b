"""The binned likelihood of a signal strength μ and nuisances Z, for one or many experiments.

-log L(μ, Z, γ) = Σ_i [ν_iγ_i - n_i log(ν_iγ_i) + log Γ(n_i+1) + (γ_i-a_i)²/2δ_i²]
                + Σ_k (Z_k-c_k)²/2σ_k² + Σ_j [m_j(Z) - k_j log m_j(Z) + log Γ(k_j+1)],
ν_i = μS_i(Z) + B_i(Z).

γ_i is what simulation's finite statistics leaves open in bin i, one for signal and background
together (Barlow-Beeston-lite; Conway, arXiv:1103.0354; the `staterror` of HistFactory), with
relative variance δ_i² = Σw²/(Σw)². Its best value is the positive root of
γ² + (νδ² - a)γ - nδ² = 0, so it never is a parameter of a fit. δ is a constant of the fit: if it
followed Z, -log L would fall where templates are worse known.

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
from calibrate.sample import FloatArray
from calibrate.task import Auxiliary, Nuisance

STEP = 1e-5
"""Of the range of a nuisance, for the slopes of an auxiliary measurement's expected counts."""

LARGE = 20.0
SMALLEST = 1e-9


@dataclass(frozen=True)
class Expectation:
    """What is expected: templates of signal and background, the relative variance δ² (n_b,) of
    their sum, the nuisances with their bounds (d, 2), and an auxiliary measurement."""

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
    constraints, the centres a of γ, (n_b,) or (p, n_b), and auxiliary counts k, (n_j,) or (p, n_j).
    """

    counts: Contents
    centres: FloatArray
    gammas: FloatArray
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
        return cls(counts, expected.nominal, np.ones(len(expected.variance)), none)


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
        nu, n = self.expected.total(mu, z), self.observed.counts(z)[0]
        measured, _ = self.expected.auxiliary_counts(z)
        return self._poisson(nu, n) + self._constraints(z, measured)

    def scan(self, mu: FloatArray, z: FloatArray) -> FloatArray:
        """-log L (m, k) of one experiment at every μ (m,) with every z (k, d).

        Raises ConfigurationError for z beyond the templates.
        """
        self.expected.require_inside(z)
        signal, background = self.expected.signal(z)[0], self.expected.background(z)[0]
        n, (measured, _) = self.observed.counts(z)[0], self.expected.auxiliary_counts(z)
        nu = mu[:, None, None] * signal + background
        return self._poisson(nu, n) + self._constraints(z, measured)

    def derivatives(self, mu: FloatArray, z: FloatArray) -> Derivatives:
        """Value, gradient, and information: that of Gauss and Newton (residuals n - ν of variance
        ν + ν²δ²) and, on the diagonal, what curved templates and counts add to it."""
        signal, *by_signal = self.expected.signal(z)
        background, *by_background = self.expected.background(z)
        n, n_slopes, n_curved = self.observed.counts(z)
        nu = mu[:, None] * signal + background
        nu_slopes, nu_curved = (
            mu[:, None, None] * s + b for s, b in zip(by_signal, by_background, strict=True)
        )
        slopes = np.concatenate([signal[:, None], nu_slopes], axis=1)
        moved = np.concatenate([np.zeros_like(signal)[:, None], n_slopes], axis=1)
        by_nu, by_n = self._partial(nu, n)
        gradient = np.einsum("pb,pkb->pk", by_nu, slopes) + np.einsum("pb,pkb->pk", by_n, moved)
        residual = slopes - moved
        precision = 1 / np.maximum(nu + nu**2 * self.expected.variance, SMALLEST)
        information = np.einsum("pkb,pb,plb->pkl", residual, precision, residual)
        curved = np.einsum("pb,pkb->pk", by_nu, nu_curved)
        curved += np.einsum("pb,pkb->pk", by_n, n_curved)
        _add_curvature(information, curved)
        measured, measured_slopes = self.expected.auxiliary_counts(z)
        self._add_constraints(z, measured, measured_slopes, gradient, information)
        nll = self._poisson(nu, n) + self._constraints(z, measured)
        return Derivatives(nll, gradient, information)

    def _partial(self, nu: FloatArray, n: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The derivatives (p, n_b) of -log L by ν and by n, at the best γ."""
        gamma = self._gamma(nu, n)
        with np.errstate(divide="ignore", invalid="ignore"):
            by_nu = gamma - np.where(n > 0, n / nu, 0.0)
            by_n = digamma(n + 1) - np.log(np.where(nu * gamma > 0, nu * gamma, 1.0))
        return by_nu, by_n

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

    def _gamma(self, nu: FloatArray, n: FloatArray) -> FloatArray:
        """The best γ, by the form of the root that does not cancel."""
        delta2 = self.expected.variance
        p = self.observed.gammas - nu * delta2
        root = np.sqrt(np.maximum(p**2 + 4 * n * delta2, 0.0))
        safe = np.where(root > p, root - p, 1.0)
        return np.where(p >= 0, 0.5 * (p + root), 2 * n * delta2 / safe)

    def _poisson(self, nu: FloatArray, n: FloatArray) -> FloatArray:
        gamma = self._gamma(nu, n)
        delta2 = self.expected.variance
        pull2 = np.divide(
            (gamma - self.observed.gammas) ** 2, delta2, out=np.zeros_like(gamma), where=delta2 > 0
        )
        terms = poisson_terms(nu * gamma, n) + 0.5 * pull2
        return np.asarray(np.where((nu > 0).all(axis=-1), terms.sum(axis=-1), np.inf))

    def _constraints(self, z: FloatArray, measured: FloatArray) -> FloatArray:
        pulls = (z - self.observed.centres) / self.expected.widths
        pulled: FloatArray = 0.5 * np.sum(pulls**2, axis=-1)
        if not measured.shape[1]:
            return pulled
        terms = poisson_terms(measured, self.observed.auxiliary)
        return np.asarray(pulled + terms.sum(axis=-1))


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
