"""What a profile says at one point: numbers, impacts, records."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from calibrate.evaluators.point_model import PointModel
from calibrate.inference.coverage import PseudoExperiments
from calibrate.inference.profile import LEVELS, Interval
from calibrate.inference.significance import best_ams1
from calibrate.inference.templates import jackknife_error
from calibrate.records import (
    LikelihoodMap,
    ProfileCurve,
    Quantity,
    Repetitions,
    TemplateCurve,
)
from calibrate.sample import FloatArray

MAP_STRENGTHS, MAP_VALUES, FINE = 60, 81, 81
BEYOND = 1.25
"""How far figures reach beyond 95 % intervals, in their lengths."""
BEYOND_NUISANCE = 5.0
"""The same of a nuisance, in half widths of its 68 % interval."""


@dataclass(frozen=True)
class Inferred:
    """Intervals of one score at one point: of μ (68 and 95 %; with templates exact; with nuisances
    fixed too), of each nuisance, and of μ with each nuisance at the ends of its own interval;
    AMS₁; pseudo-experiments, if there were any."""

    model: PointModel
    interval: Interval
    wide: Interval
    exact_templates: Interval
    statistical: Interval
    nuisances: tuple[Interval, ...]
    impacts: tuple[tuple[float, float], ...]
    ams1: float
    repeated: PseudoExperiments | None

    @classmethod
    def of(cls, model: PointModel, repeated: PseudoExperiments | None) -> Inferred:
        """All fits of one model; FitError, with the reason, where one does not converge."""
        profile = model.profile
        places = range(1, len(profile.start))
        nuisances = tuple(profile.interval(k) for k in places)
        return cls(
            model,
            profile.interval(),
            profile.interval(level=LEVELS["95"]),
            model.without_simulation_error.interval(),
            model.statistical.interval(),
            nuisances,
            tuple(_impact(model, k, nuisances[k - 1]) for k in places),
            best_ams1(model.expected, model.truth[1:]),
            repeated,
        )

    @property
    def best(self) -> FloatArray:
        """Best μ and nuisances (1+d,)."""
        return self.model.profile.best.parameters

    def ratio(self, reference: Inferred) -> tuple[float, float]:
        """The half width of the 68 % interval over that of another score at this point, and its
        error: both know the same simulated events."""
        value = self.interval.width / reference.interval.width
        each = self.model.jackknifed_widths / reference.model.jackknifed_widths
        return value, jackknife_error(each)

    def over_constraint(self, k: int) -> float | None:
        """Half width of a nuisance after the fit over the width of its constraint."""
        width = self.model.expected.nuisances[k].width
        return None if width is None else self.nuisances[k].width / width

    def scalars(self, reference: Inferred | None) -> dict[str, Quantity]:
        """Metrics `likelihood/<point>/…`."""
        numbers = {
            "mu_hat": Quantity(float(self.best[0]), self.interval.width),
            "mu_low": Quantity(self.interval.low),
            "mu_high": Quantity(self.interval.high),
            "mu_low_95": Quantity(self.wide.low),
            "mu_high_95": Quantity(self.wide.high),
            "width": Quantity(self.interval.width, self.model.width_error),
            "width_exact_templates": Quantity(self.exact_templates.width),
            "width_statistical": Quantity(self.statistical.width),
            "ams1": Quantity(self.ams1),
            **self._nuisance_scalars(),
        }
        if reference is not None and reference is not self:
            numbers["width_ratio"] = Quantity(*self.ratio(reference))
        if self.repeated is not None:
            numbers |= {
                "coverage_68": Quantity(*self.repeated.coverage()),
                "coverage_95": Quantity(*self.repeated.coverage(LEVELS["95"])),
                "bias": Quantity(*self.repeated.bias),
                "spread": Quantity(*self.repeated.spread),
            }
        return {f"likelihood/{self.model.point.name}/{k}": v for k, v in numbers.items()}

    def _nuisance_scalars(self) -> dict[str, Quantity]:
        """Of one nuisance under its word, of several with their names behind it."""
        found: dict[str, Quantity] = {}
        for k, nuisance in enumerate(self.model.expected.nuisances):
            end = "" if len(self.nuisances) == 1 else f".{nuisance.name}"
            value, width = float(self.best[1 + k]), self.nuisances[k].width
            found[f"nuisance_hat{end}"] = Quantity(value, width, nuisance.unit)
            shift = max(abs(end - self.best[0]) for end in self.impacts[k])
            found[f"impact{end}"] = Quantity(float(shift))
            constraint = self.over_constraint(k)
            if constraint is not None:
                found[f"over_constraint{end}"] = Quantity(constraint)
        return found

    def warnings(self) -> list[str]:
        """What a reader must know: bounds, other minima, pseudo-experiments that failed."""
        where = f"{self.model.label}, {self.model.point.name}"
        said = [
            f"{where}: the best {name} lies at its bound" for name in self.model.profile.at_bound()
        ]
        said += [
            f"{where}: the 68 % interval of mu ends at its bound {end:.4g}, where -log L has not "
            "risen by 0.5"
            for end, closed in zip((self.interval.low, self.interval.high),
                                   self.interval.closed, strict=True)
            if not closed
        ]  # fmt: skip
        for other in self.model.profile.ties:
            places = ", ".join(f"{value:.4g}" for value in other.parameters)
            said.append(
                f"{where}: another minimum at ({places}) is only {other.nll - self._nll:.2g} "
                "higher in -log L: the nuisance is not unique"
            )
        if self.repeated is not None and not self.repeated.found.all():
            failed = int(np.sum(~self.repeated.found))
            said.append(
                f"{where}: {failed} of {self.repeated.found.size} pseudo-experiments did not "
                "converge and are left out"
            )
        return said

    @property
    def _nll(self) -> float:
        return self.model.profile.best.nll

    def curve(self, strengths: FloatArray, reference: str) -> ProfileCurve:
        """The profile at strengths (m,)."""
        return ProfileCurve(
            self.model.label, self.model.point.name, strengths,
            self.model.profile.curve(0, strengths), self.model.statistical.curve(0, strengths),
            float(self.best[0]), self.interval.low, self.interval.high, self.wide.low,
            self.wide.high, self.model.point.strength, reference,
        )  # fmt: skip

    def maps(self, strengths: FloatArray) -> list[LikelihoodMap]:
        """-log L over μ and each nuisance."""
        return [self._map(k, strengths) for k in range(len(self.nuisances))]

    def _map(self, k: int, strengths: FloatArray) -> LikelihoodMap:
        profile, nuisance = self.model.profile, self.model.expected.nuisances[k]
        true = self.model.point.values[nuisance.name]
        seen = [self.best[1 + k], true, *(tie.parameters[1 + k] for tie in profile.ties)]
        reach = BEYOND_NUISANCE * self.nuisances[k].width
        low, high = np.clip([min(seen) - reach, max(seen) + reach], *profile.bounds[1 + k])
        values = np.linspace(low, high, MAP_VALUES)
        z = np.tile(self.best[1:], (MAP_VALUES, 1))
        z[:, k] = values
        nll = profile.likelihood.scan(strengths, z) - self._nll
        return LikelihoodMap(
            self.model.label, self.model.point.name, nuisance.name, nuisance.unit, strengths,
            values, np.where(np.isfinite(nll), nll, np.nan), float(self.best[0]),
            float(self.best[1 + k]), self.model.point.strength, true,
        )  # fmt: skip

    def repetitions(self) -> list[Repetitions]:
        """The pseudo-experiments, if there were any."""
        if self.repeated is None:
            return []
        mu = self.repeated.parameters[self.repeated.found, 0]
        coverage = self.repeated.coverage()
        return [
            Repetitions(self.model.label, self.model.point.name, mu, self.model.point.strength,
                        self.interval.width, *coverage)
        ]  # fmt: skip


def _impact(model: PointModel, k: int, interval: Interval) -> tuple[float, float]:
    """The best μ with a nuisance fixed at either end of its interval."""
    low, high = (
        float(model.profile.holding({k: end}).best.parameters[0])
        for end in (interval.low, interval.high)
    )
    return low, high


def common_strengths(inferred: Sequence[Inferred], number: int) -> FloatArray:
    """Strengths over all 95 % intervals and the truth, and a little beyond, within the bounds."""
    low = min(min(each.wide.low, each.model.point.strength) for each in inferred)
    high = max(max(each.wide.high, each.model.point.strength) for each in inferred)
    margin = 0.5 * (BEYOND - 1) * (high - low)
    lowest = max(each.model.bounds[0, 0] for each in inferred)
    highest = min(each.model.bounds[0, 1] for each in inferred)
    return np.linspace(max(low - margin, lowest), min(high + margin, highest), number)


def template_curves(model: PointModel) -> list[TemplateCurve]:
    """Templates against each nuisance, the others nominal."""
    templates, found = model.seen.templates, []
    pieces = zip(
        model.expected.nuisances,
        templates.axes.knots.items(),
        templates.axes.parted(templates.sums),
        templates.axes.parted(np.sqrt(templates.squares)),
        strict=True,
    )
    for k, (nuisance, (_, knots), sums, errors) in enumerate(pieces):
        fine = np.linspace(knots[0], knots[-1], FINE)
        z = np.tile(model.expected.nominal, (FINE, 1))
        z[:, k] = fine
        found.append(
            TemplateCurve(
                model.label, model.point.name, nuisance.name, nuisance.unit, nuisance.nominal,
                templates.bins.edges, knots, sums[:, 1], errors[:, 1], sums[:, 0], errors[:, 0],
                fine, model.expected.signal(z)[0], model.expected.background(z)[0],
            )
        )  # fmt: skip
    return found


def finite(value: float) -> float | None:
    """A number for a table, or nothing."""
    return value if math.isfinite(value) else None
