"""Jets with a Gaussian core and a tail on one side: one Gaussian does not describe p(z|x).

A jet can lose constituents, not gain them: x = z exp(s g - e), with g standard normal, s the
width of the core (5 %), and e = 0 or, with probability f, exponential of mean t. So v = log(x/z)
has the density

    q(v) = (1 - f) N(v; 0, s²) + f/(2t) exp(v/t + s²/2t²) erfc((v + s²/t)/(√2 s))

(a Gaussian, and one convolved with an exponential to its left), p(x|z) = q(log(x/z))/x, and x
stays positive. With z uniform in [low, high] the posterior is p(z|x) ∝ q(log(x/z)) between them,
integrated here on a grid of z (`AsymmetricResponse.posterior`). The likelihood is largest where
log(x/z) is the mode v* of q: ẑ = x exp(-v*) with Σ(x) = ẑ (-(log q)''(v*))^-1/2; for any spectrum
E[ẑ|z] = z exp(-v*) M(1) and std[ẑ|z] = z exp(-v*) √(M(2) - M(1)²), from the moments

    M(m) = E[exp(mv)] = exp(m²s²/2) (1 - f + f/(1 + mt)).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.integrate import trapezoid
from scipy.optimize import minimize_scalar
from scipy.special import log_ndtr, logsumexp

from calibrate.checks import finite_number, fraction, positive_integer, positive_number
from calibrate.context import Context
from calibrate.errors import ConfigurationError
from calibrate.sample import Column, FloatArray, Sample
from calibrate.task import ClosedForm, RegressionTask

TEST_FACTOR = 10
X = (Column("pt", "GeV", positive=True),)
Z = (Column("pt_true", "GeV", positive=True),)
GRID = 3001
"""Points of z in [low, high] that integrals over the truth are summed over."""
TABLE = 2048
"""Values of x at which the posterior is integrated once."""
TRUTHS = 257
"""Values of z at which bias and spread are integrated once."""
BLOCK = 512
"""Values of x worked on at a time."""


@dataclass(frozen=True)
class AsymmetricResponse:
    """q(v) of v = log(x/z) as the module describes it."""

    core: float
    tail_fraction: float
    tail_mean: float

    def draw(self, z: FloatArray, rng: np.random.Generator) -> FloatArray:
        """x (n,) for truths z (n,)."""
        lost = rng.exponential(self.tail_mean, z.size) * (rng.random(z.size) < self.tail_fraction)
        return np.asarray(z * np.exp(self.core * rng.normal(size=z.size) - lost))

    def log_q(self, v: FloatArray) -> FloatArray:
        """log q(v), also far out in the tails; erfc(u) = 2 Φ(-√2 u)."""
        s, t = self.core, self.tail_mean
        core = -0.5 * (v / s) ** 2 - math.log(s * math.sqrt(2 * math.pi))
        tail = v / t + 0.5 * (s / t) ** 2 + log_ndtr(-v / s - s / t) - math.log(t)
        shares = [np.full_like(v, 1 - self.tail_fraction), np.full_like(v, self.tail_fraction)]
        return np.asarray(logsumexp([core, tail], axis=0, b=shares))

    def density(self, x: FloatArray, z: FloatArray) -> FloatArray:
        """p(x|z) = q(log(x/z))/x [1/GeV]."""
        return np.asarray(np.exp(self.log_q(np.log(x / z))) / x)

    def moment(self, m: int) -> float:
        """E[(x/z)^m]."""
        tail = self.tail_fraction / (1 + m * self.tail_mean)
        return math.exp(0.5 * (m * self.core) ** 2) * (1 - self.tail_fraction + tail)

    @cached_property
    def mode(self) -> float:
        """v*, where q is largest."""
        bracket = (-5 * self.core, 0.0)
        found = minimize_scalar(lambda v: -float(self.log_q(np.array(v))), bounds=bracket,
                                method="bounded", options={"xatol": 1e-10})  # fmt: skip
        return float(found.x)

    @cached_property
    def curvature(self) -> float:
        """-(log q)'' at v*, from the derivatives of the logarithms of core and tail; that of
        log Φ(u) is h = N(u)/Φ(u), whose own is -h(u + h)."""
        v, s, t = self.mode, self.core, self.tail_mean
        u = -v / s - s / t
        h = math.exp(-0.5 * u**2 - float(log_ndtr(u))) / math.sqrt(2 * math.pi)
        first = np.array([-v / s**2, 1 / t - h / s])
        second = np.array([-1.0, -h * (u + h)]) / s**2
        share = (1 - self.tail_fraction) * math.exp(-0.5 * (v / s) ** 2)
        share /= s * math.sqrt(2 * math.pi) * math.exp(float(self.log_q(np.array(v))))
        shares = np.array([share, 1 - share])
        return float((shares @ first) ** 2 - shares @ (second + first**2))

    def posterior(self, x: FloatArray, low: float, high: float) -> tuple[FloatArray, FloatArray]:
        """A grid of z (m,) over [low, high], and p(z|x) on it (n, m) [1/GeV] for x (n,)."""
        z = np.linspace(low, high, GRID)
        log_p = self.log_q(np.log(x[:, None] / z))
        p = np.exp(log_p - log_p.max(axis=1, keepdims=True))
        return z, p / trapezoid(p, z, axis=1)[:, None]


@dataclass(frozen=True)
class Asymmetric:
    """Toy jets: transverse momenta uniform in [low, high] GeV, and the response above.

    `n` events to train with; each test sample is independent and ten times as large: `nominal`,
    and `falling` with p(z) ∝ z^-falling in the same range. Closed forms for `posterior_mean`,
    `maximum_likelihood` and `none`.
    Raises ConfigurationError for a range or a number that is not possible.
    """

    low: float = 400.0
    high: float = 1000.0
    core: float = 0.05
    tail_fraction: float = 0.3
    tail_mean: float = 0.15
    n: int = 20000
    falling: float = 5.0

    def __post_init__(self) -> None:
        for option in ("low", "high", "core", "tail_mean"):
            positive_number(f"data.{option}", getattr(self, option))
        fraction("data.tail_fraction", self.tail_fraction)
        finite_number("data.falling", self.falling)
        positive_integer("data.n", self.n)
        if not self.low < self.high:
            raise ConfigurationError(
                f"data.low must be below data.high, got {self.low:g} and {self.high:g}"
            )

    @property
    def response(self) -> AsymmetricResponse:
        """p(x|z), the same in all samples."""
        return AsymmetricResponse(self.core, self.tail_fraction, self.tail_mean)

    def regression(self, context: Context) -> RegressionTask:
        """True pT from measured pT."""
        context = context.child("data")
        train = self._draw(context.stream("train"), self.n, 0.0)
        spectra = {"nominal": 0.0, "falling": self.falling}
        tests = {
            name: self._draw(context.stream(name), TEST_FACTOR * self.n, power)
            for name, power in spectra.items()
        }
        return RegressionTask(train, tests, ("pt",), self._closed_forms())

    def _draw(self, rng: np.random.Generator, n: int, power: float) -> Sample:
        """Truths with p(z) ∝ z^-power: z^(1-power), or log z, is uniform."""
        level = rng.random(n)
        if power == 1:
            z = self.low * (self.high / self.low) ** level
        else:
            first, last = self.low ** (1 - power), self.high ** (1 - power)
            z = (first + level * (last - first)) ** (1 / (1 - power))
        return Sample(self.response.draw(z, rng)[:, None], z[:, None], np.ones(n), X, Z)

    def _closed_forms(self) -> dict[str, ClosedForm]:
        response, posterior = self.response, _PosteriorMean(self.response, self.low, self.high)
        best = math.exp(-response.mode)
        mean, square = response.moment(1), response.moment(2)
        spread = math.sqrt(square - mean**2)
        narrow = 1 / math.sqrt(response.curvature)
        likelihood = ClosedForm(
            estimate=lambda x: x * best,
            point_resolution=lambda x: x * best * narrow,
            bias=lambda z: z * (best * mean - 1),
            resolution=lambda z: z * best * spread,
        )
        none = ClosedForm(
            estimate=lambda x: x,
            point_resolution=lambda x: np.full_like(x, np.nan),
            bias=lambda z: z * (mean - 1),
            resolution=lambda z: z * spread,
        )
        mean_form = ClosedForm(
            posterior.estimate, posterior.point_resolution, posterior.bias, posterior.resolution
        )
        return {"posterior_mean": mean_form, "maximum_likelihood": likelihood, "none": none}


@dataclass(frozen=True)
class _PosteriorMean:
    """Mean and standard deviation of p(z|x) for a spectrum that is uniform in [low, high], and
    their mean and spread at fixed z, from tables in log x."""

    response: AsymmetricResponse
    low: float
    high: float

    def estimate(self, x: FloatArray) -> FloatArray:
        """E[z|x] (n,)."""
        return self._interpolated(x, self._tables[1])

    def point_resolution(self, x: FloatArray) -> FloatArray:
        """std[z|x] (n,)."""
        return self._interpolated(x, self._tables[2])

    def bias(self, z: FloatArray) -> FloatArray:
        """E[f(x) - z given z] (n,)."""
        nodes, mean, _ = self._moments
        return np.asarray(np.interp(z, nodes, mean - nodes))

    def resolution(self, z: FloatArray) -> FloatArray:
        """std[f(x) given z] (n,)."""
        nodes, _, std = self._moments
        return np.asarray(np.interp(z, nodes, std))

    @cached_property
    def _tables(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """log x, E[z|x], std[z|x]. Below the first x only the tail matters: a power of x/z, so
        that p(z|x) does not depend on x any more; beyond the last one it is all at `high`."""
        reach = 9 * self.response.core
        log_x = np.linspace(math.log(self.low) - reach, math.log(self.high) + reach, TABLE)
        mean, std = np.empty(TABLE), np.empty(TABLE)
        for start in range(0, TABLE, BLOCK):
            rows = slice(start, start + BLOCK)
            z, p = self.response.posterior(np.exp(log_x[rows]), self.low, self.high)
            mean[rows] = trapezoid(p * z, z, axis=1)
            std[rows] = np.sqrt(trapezoid(p * (z - mean[rows, None]) ** 2, z, axis=1))
        return log_x, mean, std

    def _interpolated(self, x: FloatArray, table: FloatArray) -> FloatArray:
        return np.asarray(np.interp(np.log(x), self._tables[0], table))

    @cached_property
    def _moments(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """z, and the mean and the standard deviation of f(x) at truths z."""
        z = np.linspace(self.low, self.high, TRUTHS)
        lowest = -9 * self.response.core - 12 * self.response.tail_mean
        v = np.linspace(lowest, 9 * self.response.core, GRID)
        q = np.exp(self.response.log_q(v))
        f = self.estimate(z[:, None] * np.exp(v))
        mean = trapezoid(q * f, v, axis=1)
        return z, mean, np.sqrt(trapezoid(q * (f - mean[:, None]) ** 2, v, axis=1))
