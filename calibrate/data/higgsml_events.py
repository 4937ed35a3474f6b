"""Events of the Higgs to tau tau sets: signal and background with weights; shifted, cut, split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from calibrate.data.higgsml_columns import UNITS, derived_columns, primary_columns
from calibrate.data.higgsml_shifts import (
    Factor,
    Primaries,
    add_soft,
    scale_jets,
    scale_lepton,
    scale_tau,
)
from calibrate.errors import ConfigurationError, DataError
from calibrate.sample import BoolArray, Column, FloatArray, IntArray, Sample
from calibrate.task import SIGNAL


class Yields(NamedTuple):
    """Expected numbers of events: the sums of weights of the classes."""

    signal: float
    background: float


@dataclass(frozen=True)
class HiggsEvents:
    """Primary quantities, whether an event is `signal` (n,), its weight (n,), its number (n,), and
    two standard normal numbers (n, 2), the direction in which the soft term moves it: they belong
    to the event, so that everything is a smooth function of the nuisances."""

    primaries: Primaries
    signal: BoolArray
    w: FloatArray
    number: IntArray
    noise: FloatArray

    def __len__(self) -> int:
        return int(self.w.size)

    @property
    def yields(self) -> Yields:
        """The summed weights of signal and background."""
        return Yields(float(self.w[self.signal].sum()), float(self.w[~self.signal].sum()))

    def with_yields(self, yields: Yields) -> HiggsEvents:
        """The same events, with each class scaled to its expected number.

        Raises DataError if a class has no positive sum of weights.
        """
        self.refuse_one_class()
        signal, background = (new / old for new, old in zip(yields, self.yields, strict=True))
        return replace(self, w=self.w * np.where(self.signal, signal, background))

    def refuse_one_class(self) -> None:
        """Raise DataError if signal or background has no events, or no positive sum of weights."""
        number = (int(np.count_nonzero(self.signal)), int(np.count_nonzero(~self.signal)))
        for name, events, total in zip(Yields._fields, number, self.yields, strict=True):
            if not total > 0:
                raise DataError(
                    f"the {name} has {events} events of {len(self)} and a summed weight of "
                    f"{total:g}: both classes need a positive sum"
                )

    def take(self, rows: BoolArray) -> HiggsEvents:
        """The selected events."""
        return HiggsEvents(
            self.primaries.take(rows),
            self.signal[rows],
            self.w[rows],
            self.number[rows],
            self.noise[rows],
        )

    def split(self, modulus: int = 3, remainder: int = 1) -> tuple[HiggsEvents, HiggsEvents]:
        """For training, and for the test: the events whose number modulo `modulus` is `remainder`;
        in each part both classes have the yields of the whole."""
        test = self.number % modulus == remainder
        train, tested = (self.take(rows).with_yields(self.yields) for rows in (~test, test))
        return train, tested

    def shifted(
        self, tau: Factor = 1.0, jet: Factor = 1.0, lepton: Factor = 1.0, soft: Factor = 0.0
    ) -> HiggsEvents:
        """The same events under energy scales `tau`, `jet` and `lepton` (factors) and a soft term
        of width `soft` [GeV] in px and in py; each a number or one per event (n,).

        Raises ConfigurationError for a scale that is not positive, a negative width, and another
        number of values.
        """
        events = self.primaries
        for name, factor, scale in (
            ("tau", tau, scale_tau),
            ("jet", jet, scale_jets),
            ("lepton", lepton, scale_lepton),
        ):
            self._require(f"the {name} energy scale", factor, "positive", np.greater)
            if np.any(np.asarray(factor) != 1):
                events = scale(events, factor)
        self._require("the width of the soft term", soft, "≥ 0 GeV", np.greater_equal)
        if np.any(np.asarray(soft) != 0):
            events = add_soft(events, soft * self.noise[:, 0], soft * self.noise[:, 1])
        return replace(self, primaries=events)

    def _require(self, what: str, value: Factor, bound: str, holds: np.ufunc) -> None:
        """Require finite values, one or as many as events, that are above zero or not below it."""
        if np.shape(value) not in ((), (len(self),)):
            raise ConfigurationError(
                f"{what} is a number, or one for each of {len(self)} events: got shape "
                f"{np.shape(value)}"
            )
        values = np.atleast_1d(value)
        broken = values[~(np.isfinite(values) & holds(values, 0))]
        if broken.size:
            raise ConfigurationError(f"{what} must be finite and {bound}, got {broken[0]:g}")

    def above(self, tau_pt: float) -> BoolArray:
        """Which events (n,) have a tau above a threshold in pT [GeV]."""
        return np.asarray(self.primaries.tau.pt > tau_pt)

    def cut(self, tau_pt: float) -> HiggsEvents:
        """The events above the threshold, with their weights: what is cut is lost."""
        return self.take(self.above(tau_pt))

    @property
    def features(self) -> tuple[str, ...]:
        """The features that there are."""
        absent = () if self.primaries.sumet is not None else ("PRI_met_sumet",)
        return tuple(name for name in UNITS if name not in absent)

    def sample(
        self,
        features: Sequence[str] | None = None,
        undefined: float = 0.0,
        spectators: Mapping[str, FloatArray] | None = None,
    ) -> Sample:
        """Features (all by default), the label as truth `signal`, weights; grouped by event.

        Undefined features become `undefined`, which PRI_jet_num tells from measured values.
        """
        names = self.features if features is None else features
        columns = primary_columns(self.primaries)
        if any(name.startswith("DER_") for name in names):
            columns |= derived_columns(self.primaries)
        x = np.column_stack([columns[name] for name in names])
        x[np.isnan(x)] = undefined
        return Sample(
            x,
            self.signal[:, None].astype(float),
            self.w,
            tuple(Column(name, UNITS[name]) for name in names),
            (SIGNAL,),
            self.number,
            spectators or {},
        )
