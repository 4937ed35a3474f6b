"""Simulation beside data, before and after a map, and the map itself."""

from __future__ import annotations

from dataclasses import dataclass

from calibrate.records.closure import CANNOT_TELL, CLOSES, FAILS, IMPROBABLE
from calibrate.sample import FloatArray

TOLERANCE = 0.1
"""Share of data's width to which mean and width must be known before a test can close."""


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
