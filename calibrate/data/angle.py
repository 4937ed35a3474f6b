"""The angle toy of arXiv:2105.08742: a signal whose direction is the nuisance, all in closed form.

Two features; signal ~ N(+u(Z), σ²·1), background ~ N(-u(Z), σ²·1) with u(Z) = (cos Z, sin Z). The
best score is the probability of signal with logit 2 u(Z)·x/σ². A score that is right for Z' has at
Z the area under curve Φ(√2 cos(Z - Z')/σ): 0.97832 at Z = Z' and 0.92343 at π/4 away, σ = 0.7.

The events at another Z are the same noise about another centre, so that everything is a smooth
function of Z. The signal at Z is the background at Z + π: a score that is right for π/4 cannot
tell π/4 + δ from π/4 - δ.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from calibrate.checks import finite_number, one_for_each, positive_integer, positive_number
from calibrate.context import Context
from calibrate.data.control_directions import ControlDirections
from calibrate.data.points import Given, limits, points_of
from calibrate.errors import ConfigurationError
from calibrate.sample import Column, FloatArray, Sample
from calibrate.task import SIGNAL, Auxiliary, InferenceTask, Nuisance, Point

NUISANCE = "angle"
FEATURES = (Column("x1"), Column("x2"))
RANGE = (-math.pi / 20, 11 * math.pi / 20)
"""Two steps of the published grid, π/40, beyond its ends 0 and π/2."""
POINTS = tuple((mu, angle) for angle in (math.pi / 4, math.pi / 2) for mu in (1.0, 2.0))


def direction(angle: float | FloatArray) -> FloatArray:
    """u = (cos Z, sin Z), (…, 2)."""
    return np.stack([np.cos(angle), np.sin(angle)], axis=-1)


@dataclass(frozen=True)
class AngleScore:
    """The best possible score for noise of width `spread`."""

    spread: float

    def __call__(self, x: FloatArray, values: Mapping[str, float | FloatArray]) -> FloatArray:
        """The probability of signal (n,) of x (n, 2), with classes of equal weight."""
        along = np.sum(direction(values[NUISANCE]) * x, axis=-1)
        return np.asarray(expit(2 * along / self.spread**2))


@dataclass(frozen=True)
class AngleEvents:
    """Noise (n, 2) about the centres, the `label` (n,), 1 for signal, and weights (n,)."""

    noise: FloatArray
    label: FloatArray
    w: FloatArray

    @classmethod
    def drawn(
        cls, n: int, spread: float, yields: Sequence[float], rng: np.random.Generator
    ) -> AngleEvents:
        """`n` events of each class that weigh its expected number together."""
        label = np.repeat([1.0, 0.0], n)
        return cls(rng.normal(0.0, spread, (2 * n, 2)), label, np.repeat(yields, n) / n)

    def __len__(self) -> int:
        return int(self.w.size)

    def at(self, values: Mapping[str, float | FloatArray]) -> Sample:
        """The events at an angle, a number or one per event (n,).

        Raises ConfigurationError for other nuisances, and for angles that are not finite.
        """
        if set(values) != {NUISANCE}:
            raise ConfigurationError(f"data=angle has one nuisance, '{NUISANCE}': {list(values)}")
        angle = np.asarray(values[NUISANCE], dtype=np.float64)
        if angle.shape not in ((), (len(self),)) or not np.isfinite(angle).all():
            raise ConfigurationError(
                f"the angle is a finite number, or one for each of {len(self)} events: got "
                f"{values[NUISANCE]!r}"
            )
        centre = (2 * self.label - 1)[:, None] * direction(angle)
        spectators = {NUISANCE: np.broadcast_to(angle, len(self))}
        z = self.label[:, None]
        return Sample(centre + self.noise, z, self.w, FEATURES, (SIGNAL,), spectators=spectators)


@dataclass(frozen=True)
class Angle:
    """Signal and background on opposite sides of the origin, in a direction that is a nuisance.

    `n` events of each class to train with, `n_test` to fill templates with; `yields` are the
    expected numbers [signal, background]. The nuisance is `angle` nominally, with a Gaussian
    constraint of `width` (None: none); simulation covers `range`. `auxiliary` adds a control
    sample of `control_events` whose directions are counted. `points` are the pairs [mu, angle]
    that are observed (None: the published four).
    Raises ConfigurationError for options out of range.
    """

    n: int = 200_000
    n_test: int = 500_000
    yields: Sequence[float] = (2000.0, 200_000.0)
    spread: float = 0.7
    angle: float = math.pi / 4
    width: float | None = 0.5
    range: Sequence[float] = RANGE
    points: Sequence[Given] | None = None
    auxiliary: bool = False
    control_events: float = 100.0

    def __post_init__(self) -> None:
        positive_integer("data.n", self.n)
        positive_integer("data.n_test", self.n_test)
        positive_number("data.spread", self.spread)
        positive_number("data.control_events", self.control_events)
        finite_number("data.angle", self.angle)
        if self.width is not None:
            positive_number("data.width", self.width)
        if not isinstance(self.auxiliary, bool):
            raise ConfigurationError(f"data.auxiliary is true or false, got {self.auxiliary!r}")
        one_for_each("data.yields", self.yields, "signal and background", 2)
        self._nuisance()
        self._points()

    def inference(self, context: Context) -> InferenceTask:
        """Signal over background under the angle."""
        context, sizes = context.child("data"), {"train": self.n, "test": self.n_test}
        train, test = (
            AngleEvents.drawn(n, self.spread, self.yields, context.stream(name))
            for name, n in sizes.items()
        )
        return InferenceTask(
            train,
            test,
            (self._nuisance(),),
            points=self._points(),
            auxiliary=self._auxiliary() if self.auxiliary else None,
            exact=AngleScore(self.spread),
        )

    def _nuisance(self) -> Nuisance:
        return Nuisance(NUISANCE, self.angle, self.width, "rad", *limits("data.range", self.range))

    def _points(self) -> tuple[Point, ...]:
        nuisances = (self._nuisance(),)
        if self.points is None:
            low, high = nuisances[0].low, nuisances[0].high
            return points_of([p for p in POINTS if low <= p[1] <= high], nuisances)
        return points_of(self.points, nuisances)

    def _auxiliary(self) -> Auxiliary:
        control = ControlDirections(NUISANCE, self.spread, self.control_events)
        return Auxiliary(control.expected, control.description)
