"""Simulation beside data, before and after a map, and the map itself."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from calibrate.records.closure import CANNOT_TELL, CLOSES, FAILS, IMPROBABLE
from calibrate.sample import FloatArray

TOLERANCE = 0.1
"""Share of data's width to which mean and width must be known before a test can close."""

ALIKE = 0.5
"""The AUC of a classifier that cannot tell two samples apart."""
AUC_TOLERANCE = TOLERANCE / (2 * math.sqrt(math.pi))
"""What the AUC is above 0.5 for two Gaussians that are `TOLERANCE` of their width apart."""


@dataclass(frozen=True)
class TransportHistogram:
    """Densities of one feature over one test with their errors, arrays (n_b,): of data, of the
    untouched simulation (`before`) and of the transported one.

    `chi2` compares transported simulation and data in bins of equal statistics that hold all the
    weight; its errors contain that of the map. Mean and half 16-84 % interval (`width`) are
    unbinned. `outside` is the share of simulation beyond the range that the map was derived in.
    """

    method: str
    test: str
    name: str
    unit: str
    edges: FloatArray
    density: FloatArray
    density_error: FloatArray
    before: FloatArray
    before_error: FloatArray
    data: FloatArray
    data_error: FloatArray
    chi2: float
    ndf: float
    probability: float
    mean: float
    mean_error: float
    width: float
    width_error: float
    data_mean: float
    data_mean_error: float
    data_width: float
    data_width_error: float
    outside: float

    @property
    def state(self) -> str:
        """`fails` if a larger χ² has a probability below 1e-3, else `cannot tell` if two errors
        of the mean's or the width's difference exceed a tenth of data's width, else `closes`."""
        if self.probability < IMPROBABLE:
            return FAILS
        errors = (
            (self.mean_error**2 + self.data_mean_error**2) ** 0.5,
            (self.width_error**2 + self.data_width_error**2) ** 0.5,
        )
        known = all(2 * error <= TOLERANCE * self.data_width for error in errors)
        return CLOSES if known and self.probability >= IMPROBABLE else CANNOT_TELL


@dataclass(frozen=True)
class TransportCurve:
    """x' of a map at x (n_b,), and that of the monotone map which is right for the test's
    spectrum, `exact` (NaN where unknown).

    If the map `uses_truth`, x' is the mean over the test's simulation in bins of x.
    """

    method: str
    test: str
    name: str
    unit: str
    x: FloatArray
    transported: FloatArray
    exact: FloatArray
    uses_truth: bool


@dataclass(frozen=True)
class TwoSample:
    """AUC of a classifier that tells transported simulation from the data of a test by all its
    `features`, and the same of the untouched simulation (`before`); 0.5 if it cannot."""

    method: str
    test: str
    features: float
    auc: float
    error: float
    before: float
    before_error: float

    @property
    def probability(self) -> float:
        """Of a larger AUC if the samples are alike; samples told apart without exception have no
        error."""
        if not self.error > 0:
            return float(self.auc <= ALIKE)
        return 0.5 * math.erfc((self.auc - ALIKE) / self.error / math.sqrt(2))

    @property
    def state(self) -> str:
        """`fails` if a larger AUC has a probability below 1e-3, else `cannot tell` if two errors
        exceed what a tenth of a width makes of it, else `closes`."""
        if self.probability < IMPROBABLE:
            return FAILS
        return CLOSES if 2 * self.error <= AUC_TOLERANCE else CANNOT_TELL


@dataclass(frozen=True)
class TransportApplication:
    """Mean and half 16-84 % interval (`width`) of one test under several spectra, arrays (n_s,):
    of the transported simulation, and of data under the same spectrum. `spectra` (n_s,) names
    them; errors are those of the test's events.
    """

    method: str
    test: str
    name: str
    unit: str
    spectra: tuple[str, ...]
    n_effective: FloatArray
    data_n_effective: FloatArray
    mean: FloatArray
    mean_error: FloatArray
    width: FloatArray
    width_error: FloatArray
    data_mean: FloatArray
    data_mean_error: FloatArray
    data_width: FloatArray
    data_width_error: FloatArray

    @property
    def offset(self) -> tuple[FloatArray, FloatArray]:
        """Difference of the means in units of data's width, and its error, (n_s,)."""
        error = np.hypot(self.mean_error, self.data_mean_error)
        return (self.mean - self.data_mean) / self.data_width, error / self.data_width

    @property
    def ratio(self) -> tuple[FloatArray, FloatArray]:
        """Width over data's, and its error, (n_s,)."""
        ratio = self.width / self.data_width
        relative = np.hypot(self.width_error / self.width, self.data_width_error / self.data_width)
        return ratio, ratio * relative


@dataclass(frozen=True)
class SpectrumShift:
    """What variations of the training simulation's spectrum do on one test: the largest shifts of
    mean, standard deviation and half 16-84 % interval (`width`) of x', and between which densities
    (n_b,) the map and its variations lie."""

    method: str
    test: str
    name: str
    unit: str
    mean: float
    std: float
    width: float
    edges: FloatArray
    low: FloatArray
    high: FloatArray
