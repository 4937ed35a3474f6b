"""The minimum of one likelihood, its profile and its intervals, by iminuit.

A frozen score can have two minima in a nuisance (templates at mirrored values are alike), so every
search begins at all local minima of a coarse scan, and the profile is the lower of all of them:
MINOS from one minimum would not see the other. An interval ends where the profile has risen by
½Δ: 0.5 at 68.3 %, 1.92 at 95 %.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from iminuit import Minuit
from scipy.optimize import brentq
from scipy.stats import chi2

from calibrate.errors import FitError
from calibrate.inference.descent import Minima, descend, lowest, starts_along
from calibrate.inference.intervals import ends
from calibrate.inference.likelihood import Likelihood
from calibrate.sample import FloatArray

LEVELS: Mapping[str, float] = {"68": 0.6827, "95": 0.95}
PLACES = 41
TIE = 1.92
"""-log L above the minimum (the 95 % limit) up to which another minimum is told."""
APART = 0.5
"""Distance of two minima that are one, in widths of the parameter."""
TOLERANCE = 1e-4
"""Of iminuit: the expected gain of -log L at the end is a fiftieth of it."""
AGREES = 0.01
"""How well iminuit must confirm the rise of -log L at an end, relative to that rise."""
PRECISE = 1e-4
AT_BOUND = 1e-3
"""Distance of a bound, in widths of the parameter, that is no distance."""
GROWTH = 1.5
FARTHEST = 40


def half_delta(level: float) -> float:
    """How far -log L rises to the end of an interval of that content."""
    return float(0.5 * chi2.ppf(level, 1))


@dataclass(frozen=True)
class Best:
    """Parameters (1+d,) at a minimum, μ first, and -log L there."""

    parameters: FloatArray
    nll: float


@dataclass(frozen=True)
class Interval:
    """The ends of a likelihood interval; `closed` says of both whether they are crossings, and not
    the bound of the parameter."""

    low: float
    high: float
    closed: tuple[bool, bool]

    @property
    def width(self) -> float:
        """Half its length."""
        return 0.5 * (self.high - self.low)


@dataclass(frozen=True)
class Profile:
    """The profile of one likelihood within `bounds` (1+d, 2) of μ and the nuisances.

    `fixed` are the places of parameters that stay at the values of `start` (1+d,), which is also
    where a search begins. Raises ConfigurationError for bounds or a start beyond the templates.
    """

    likelihood: Likelihood
    bounds: FloatArray
    start: FloatArray
    fixed: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        self.likelihood.expected.require_inside(np.vstack([self.bounds[1:].T, self.start[1:]]))

    @property
    def names(self) -> tuple[str, ...]:
        """`mu` and the nuisances."""
        return ("mu", *(nuisance.name for nuisance in self.likelihood.expected.nuisances))

    def holding(self, values: Mapping[int, float]) -> Profile:
        """With more parameters fixed at these values."""
        start = self.start.copy()
        start[list(values)] = list(values.values())
        return replace(self, start=start, fixed=tuple(sorted({*self.fixed, *values})))

    @property
    def free(self) -> list[int]:
        """The places of the parameters that are fitted."""
        return [k for k in range(len(self.start)) if k not in self.fixed]

    @cached_property
    def best(self) -> Best:
        """The global minimum.

        Raises FitError, with the minimiser's reason, if none of the searches converges.
        """
        return self.minima[0]

    @cached_property
    def minima(self) -> tuple[Best, ...]:
        """All separate minima, the lowest first."""
        found = sorted(self._searches(), key=lambda best: best.nll)
        information = self._information(found[0])
        kept: list[Best] = []
        for best in found:
            near = [np.max(np.abs(best.parameters - other.parameters) * information) < APART
                    for other in kept]  # fmt: skip
            if not any(near):
                kept.append(best)
        return tuple(kept)

    @property
    def ties(self) -> tuple[Best, ...]:
        """Other minima that are as good as the best within half a unit of -log L."""
        return tuple(other for other in self.minima[1:] if other.nll - self.best.nll < TIE)

    def curve(self, parameter: int, values: FloatArray) -> FloatArray:
        """The profiled -log L (m,) at values (m,) of a parameter, above the minimum; all at once,
        by Gauss-Newton steps from every local minimum of the scan."""
        others = [k for k in self.free if k != parameter]
        bounds = self.bounds.copy()
        bounds[parameter] = (-np.inf, np.inf)
        searches = []
        for start in self._starts:
            theta = np.tile(start, (len(values), 1))
            theta[:, parameter] = values
            searches.append(descend(self.likelihood, theta, bounds, others))
        return np.asarray(lowest(searches).nll - self.best.nll)

    def interval(self, parameter: int = 0, level: float = LEVELS["68"]) -> Interval:
        """Where the profile of a parameter has risen by half the quantile of χ²₁, on both sides;
        an end that the bound cuts off is the bound.

        Raises FitError, with the minimiser's reason, where iminuit does not converge.
        """
        low, high = (self._end(parameter, side, half_delta(level)) for side in (-1, 1))
        return Interval(low[0], high[0], (low[1], high[1]))

    def at_bound(self) -> tuple[str, ...]:
        """The names of the parameters whose best value is a bound."""
        away = np.abs(self.best.parameters[:, None] - self.bounds).min(axis=1)
        reach = AT_BOUND / self._information(self.best)
        return tuple(self.names[k] for k in self.free if away[k] <= reach[k])

    def _end(self, parameter: int, side: int, rise: float) -> tuple[float, bool]:
        """The end on one side, and whether it is a crossing; iminuit confirms it, or searches
        itself."""
        best = Minima(self.best.parameters[None], np.array([self.best.nll]), np.ones(1, bool))
        starts = [other.parameters[None] for other in self.minima[1:]]
        found = ends(
            self.likelihood, best, starts, self.bounds, self.free, parameter, side, rise
        )  # fmt: skip
        value, closed = float(found.values[0]), bool(found.closed[0])
        excess = self._conditional(parameter, value)
        if abs(excess - rise) <= AGREES * rise or (not closed and excess < rise):
            return value, closed
        return self._crossing(parameter, side, rise)

    def _crossing(self, parameter: int, side: int, rise: float) -> tuple[float, bool]:
        """The nearest crossing on one side by iminuit alone, bracketed by growing steps."""
        bound = self.bounds[parameter, (1 + side) // 2]
        inner = self.best.parameters[parameter]
        step = np.sqrt(2 * rise) / self._information(self.best)[parameter]
        for _ in range(FARTHEST):
            outer = side * min(side * (inner + side * step), side * bound)
            if self._conditional(parameter, outer) > rise:
                return float(brentq(
                    lambda value: self._conditional(parameter, value) - rise, inner, outer,
                    xtol=PRECISE * step,
                )), True  # fmt: skip
            if outer == bound:
                break
            inner, step = outer, GROWTH * step
        return float(bound), False

    def _conditional(self, parameter: int, value: float) -> float:
        """The profiled -log L at one value, above the minimum, by iminuit."""
        held = self.holding({parameter: value})
        return min(best.nll for best in held._searches(self._starts)) - self.best.nll

    def _searches(self, starts: Sequence[FloatArray] | None = None) -> list[Best]:
        """The end of every search that converges."""
        if not self.free:
            return [Best(self.start, self._value(self.start))]
        found, reasons = [], []
        for start in self._starts if starts is None else starts:
            begin = np.where(np.isin(np.arange(len(start)), self.fixed), self.start, start)
            ended = self._migrad(begin)
            if ended.valid:
                found.append(self._polished(np.array(ended.values)))
            else:
                reasons.append(why_not(ended))
        if not found:
            raise FitError(f"the likelihood has no minimum that iminuit finds: {reasons[0]}")
        return found

    def _polished(self, parameters: FloatArray) -> Best:
        """iminuit's minimum after Gauss-Newton steps: it stops at 1e-4 of a width."""
        ended = descend(self.likelihood, parameters[None], self.bounds, self.free)
        return Best(ended.parameters[0], float(ended.nll[0]))

    def _migrad(self, start: FloatArray) -> Minuit:
        minuit = Minuit(self._value, start, grad=self._gradient, name=self.names)
        minuit.errordef = Minuit.LIKELIHOOD
        minuit.strategy = 1
        minuit.tol = TOLERANCE
        minuit.print_level = 0
        scale = self._scales(start)
        for k, name in enumerate(self.names):
            low, high = self.bounds[k]
            minuit.limits[name] = (low, high)
            minuit.errors[name] = scale[k]
            minuit.fixed[name] = k in self.fixed
        return minuit.migrad()

    def _value(self, parameters: FloatArray) -> float:
        return float(self.likelihood(*_single(parameters))[0])

    def _gradient(self, parameters: FloatArray) -> FloatArray:
        return np.asarray(self.likelihood.derivatives(*_single(parameters)).gradient[0])

    def _scales(self, parameters: FloatArray) -> FloatArray:
        """Steps of the parameters, within a tenth of their bounds."""
        with np.errstate(invalid="ignore"):
            most = 0.1 * (self.bounds[:, 1] - self.bounds[:, 0])
        information = self.likelihood.derivatives(*_single(parameters)).information[0]
        precision = np.sqrt(np.maximum(np.diagonal(information), 1e-300))
        return np.asarray(np.minimum(1 / precision, np.where(np.isfinite(most), most, np.inf)))

    def _information(self, best: Best) -> FloatArray:
        """One over the width (1+d,) of each parameter with the others fixed."""
        return np.asarray(1 / self._scales(best.parameters))

    @cached_property
    def _starts(self) -> list[FloatArray]:
        """`start`, and every local minimum of a scan along each free nuisance."""
        found = [self.start]
        for k in self.free:
            if k == 0:
                continue
            places = np.tile(self.start[1:], (PLACES, 1))
            low, high = self.bounds[k]
            places[:, k - 1] = np.linspace(low, high, PLACES)
            found += [s[0] for s in starts_along(self.likelihood, self.start[:1], places)]
        return list({tuple(np.round(start, 12)): start for start in found}.values())


def why_not(ended: Minuit) -> str:
    """The minimiser's reason for an invalid minimum."""
    minimum = ended.fmin
    if minimum is None:
        return "it did not start"
    reasons: dict[str, Callable[[], bool]] = {
        "the call limit was reached": lambda: minimum.has_reached_call_limit,
        "the estimated distance to the minimum is too large": lambda: minimum.is_above_max_edm,
        "the second derivatives are not positive": lambda: not minimum.has_posdef_covar,
        "parameters are at their limits": lambda: minimum.has_parameters_at_limit,
    }
    said = [text for text, holds in reasons.items() if holds()]
    return f"{'; '.join(said) or 'invalid'} (edm {minimum.edm:.2g}, {minimum.nfcn} calls)"


def _single(parameters: FloatArray) -> tuple[FloatArray, FloatArray]:
    theta = np.asarray(parameters, dtype=np.float64)
    return theta[:1], theta[None, 1:]
