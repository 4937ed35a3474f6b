"""The inference task of the Higgs to tau tau sets: which nuisances, features and test events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from calibrate.checks import choice, count, finite_number, positive_integer, positive_number, texts
from calibrate.data.higgsml_columns import UNITS
from calibrate.data.higgsml_events import HiggsEvents
from calibrate.data.points import STRENGTH, Given, limits, points_of
from calibrate.errors import ConfigurationError, DataError
from calibrate.sample import FloatArray, Sample
from calibrate.task import InferenceTask, Nuisance, Point

NOMINAL_VALUES = {"tau": 1.0, "jet": 1.0, "lepton": 1.0, "soft": 0.0}
"""The nuisances that there are: energy scales, and the width of the soft term [GeV]."""
LOWEST = {"tau": 0.05, "jet": 0.05, "lepton": 0.05, "soft": 0.0}
"""Where ranges begin at the earliest: scales stay positive."""
REACH = 6.0
"""Widths of its constraint that a nuisance ranges on either side of its nominal value."""
HIGHEST = {"tau": 1.14}
"""Where ranges end before that. Samples begin at some tau pT: larger scales leave a hole above the
cut, of 0.8 GeV in HiggsML at the published end 1.14."""
STRENGTHS = (1.0, 2.0)


@dataclass(frozen=True)
class ShiftedEvents:
    """Events as a function of the nuisances: shifted, then cut at `tau_threshold` [GeV]."""

    events: HiggsEvents
    features: Sequence[str]
    tau_threshold: float | None
    undefined: float

    def __len__(self) -> int:
        return len(self.events)

    def at(self, values: Mapping[str, float | FloatArray]) -> Sample:
        """The labelled events that are left at these values, which are spectators of the sample.

        Raises ConfigurationError for unknown nuisances and impossible values, DataError if the cut
        leaves nothing.
        """
        for name in values:
            choice("nuisance", name, tuple(NOMINAL_VALUES))
        shifted = self.events.shifted(**values)
        kept = np.ones(len(self), dtype=bool)
        if self.tau_threshold is not None:
            kept = shifted.above(self.tau_threshold)
            if not kept.any():
                raise DataError(f"no tau is above data.tau_threshold={self.tau_threshold:g} GeV")
        spectators = {
            name: np.broadcast_to(np.asarray(value, float), len(self))[kept]
            for name, value in values.items()
        }
        left = shifted if kept.all() else shifted.take(kept)
        return left.sample(self.features, self.undefined, spectators)


@dataclass(frozen=True)
class HiggsInference:
    """Options of the task that both sets share.

    `nuisances` maps those of the task to the widths of their constraints; `tau_threshold` [GeV] is
    the cut after every shift (None: none); `features` are those of the sample (None: all);
    `undefined` stands for undefined features; test events are those whose number modulo
    `test_modulus` is `test_remainder`. `ranges` maps nuisances to [low, high], what simulation
    covers, where that is not six widths of the constraint; `points` are those observed, by default
    strengths 1 and 2 with the tau scale at each of `tau_scales`.
    Raises ConfigurationError for wrong options.
    """

    nuisances: Mapping[str, float]
    tau_threshold: float | None
    features: Sequence[str] | None
    undefined: float
    test_modulus: int
    test_remainder: int
    ranges: Mapping[str, Sequence[float]] | None = None
    points: Sequence[Given] | None = None
    tau_scales: Sequence[float] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.nuisances, Mapping) or not self.nuisances:
            raise ConfigurationError(
                "data.nuisances takes names and widths, such as 'data.nuisances={tau: 0.05}', got "
                f"{self.nuisances!r}"
            )
        for name, width in self.nuisances.items():
            choice("data.nuisances", name, tuple(NOMINAL_VALUES))
            positive_number(f"data.nuisances.{name}", width)
        if self.tau_threshold is not None:
            positive_number("data.tau_threshold", self.tau_threshold)
        if self.features is not None and not texts("data.features", self.features):
            raise ConfigurationError("data.features is empty: name some, or leave it out for all")
        for name in self.features or ():
            choice("data.features", name, tuple(UNITS))
        if self.features is not None and len(set(self.features)) < len(self.features):
            raise ConfigurationError(
                f"data.features names a feature twice: {list(self.features)}: name each once"
            )
        finite_number("data.undefined", self.undefined)
        positive_integer("data.test_modulus", self.test_modulus)
        count("data.test_remainder", self.test_remainder)
        if not self.test_remainder < self.test_modulus or self.test_modulus == 1:
            raise ConfigurationError(
                f"data.test_remainder must be below data.test_modulus, and that above 1, got "
                f"{self.test_remainder} and {self.test_modulus}"
            )
        self._points(self._nuisances())

    def task(
        self, events: HiggsEvents, files: Mapping[str, str], notes: Sequence[str]
    ) -> InferenceTask:
        """Training and test events; DataError if one of the features is not in this set."""
        features = events.features if self.features is None else tuple(self.features)
        absent = [name for name in features if name not in events.features]
        if absent:
            raise DataError(f"data.features: this set has no '{absent[0]}': leave it out")
        train, test = (
            ShiftedEvents(part, features, self.tau_threshold, self.undefined)
            for part in events.split(self.test_modulus, self.test_remainder)
        )
        nuisances = self._nuisances()
        remarks = (*notes, *self._notes())
        return InferenceTask(train, test, nuisances, files, remarks, points=self._points(nuisances))

    def _nuisances(self) -> tuple[Nuisance, ...]:
        for name in self.ranges or {}:
            choice("data.ranges", name, tuple(self.nuisances))
        return tuple(
            Nuisance(name, NOMINAL_VALUES[name], width, "GeV" if name == "soft" else "",
                     *self._range(name, width))
            for name, width in self.nuisances.items()
        )  # fmt: skip

    def _range(self, name: str, width: float) -> tuple[float, float]:
        nominal = NOMINAL_VALUES[name]
        if self.ranges is None or name not in self.ranges:
            high = min(nominal + REACH * width, HIGHEST.get(name, np.inf))
            return max(nominal - REACH * width, LOWEST[name]), high
        low, high = limits(f"data.ranges.{name}", self.ranges[name])
        if not LOWEST[name] <= low <= nominal <= high:
            raise ConfigurationError(
                f"data.ranges.{name} must begin at {LOWEST[name]:g} or above and hold the nominal "
                f"value {nominal:g}, got {low:g} to {high:g}"
            )
        return low, high

    def _points(self, nuisances: Sequence[Nuisance]) -> tuple[Point, ...]:
        if self.points is not None:
            return points_of(self.points, nuisances)
        ranges = {each.name: (each.low, each.high) for each in nuisances}
        low, high = ranges.get("tau", (np.inf, -np.inf))
        scales = [{"tau": scale} for scale in self.tau_scales if low <= scale <= high]
        return points_of(
            [{STRENGTH: s, **at} for at in scales or [{}] for s in STRENGTHS], nuisances
        )

    def _notes(self) -> tuple[str, ...]:
        cut = "no cut" if self.tau_threshold is None else f"PRI_tau_pt > {self.tau_threshold:g} GeV"
        return (
            "DER_ features are computed from the primary ones at every value of the nuisances, "
            "DER_mass_MMC is left out",
            f"undefined features (jets that do not exist) are {self.undefined:g}",
            f"after every shift: {cut}",
            f"test events: number modulo {self.test_modulus} is {self.test_remainder}; in training "
            "and test each class is scaled to its expected number before the cut",
        )
