"""What a fitted calibration returns, and the protocols that fitted objects fulfil."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np

from calibrate.errors import DataError
from calibrate.mixture import GaussianMixture
from calibrate.records import FitSummary
from calibrate.sample import BoolArray, Column, FloatArray, Sample

State = Mapping[str, Any]
UNTOUCHED = "untouched"
"""The kind of the transport map that leaves simulation as it is."""


@dataclass(frozen=True)
class Estimate:
    """ẑ (n, d_z) in physical units, its covariance (n, d_z, d_z) where the method quotes one,
    and `inside` (n,): whether x lies in the range the calibration was derived in.

    `statistical` (n, d_z) is the error that ẑ(x) has since its training sample is finite, the
    same for all events of one x: what bootstrap refits scatter by, or σ_pred, the spread of a
    Bayesian network's predictions; None where it is not known.

    `stochastic` (n, d_z) is σ_stoch, what x leaves open about z with any number of training
    events, where a method tells it from σ_pred; the covariance is then σ_stoch² + σ_pred².
    `mixture` is the predictive density p(z|x) of one truth, with mean ẑ and that variance: its
    density, distribution function, mode and intervals.
    """

    z: FloatArray
    covariance: FloatArray | None
    inside: BoolArray
    statistical: FloatArray | None = None
    stochastic: FloatArray | None = None
    mixture: GaussianMixture | None = None

    @property
    def sigma(self) -> FloatArray | None:
        """The point resolution Σ(x) (n, d_z): square root of the covariance's diagonal."""
        if self.covariance is None:
            return None
        return np.sqrt(np.diagonal(self.covariance, axis1=1, axis2=2))


@dataclass(frozen=True)
class Domain:
    """The columns a calibration was derived with, and the range of each feature (2, d_x)."""

    x_columns: tuple[Column, ...]
    z_columns: tuple[Column, ...]
    x_range: FloatArray

    def checked(self, x: FloatArray) -> FloatArray:
        """x as float64 (n, d_x); DataError if the number of features is another."""
        x = np.asarray(x, dtype=np.float64)
        x = x[:, None] if x.ndim == 1 else x
        if x.ndim != 2 or x.shape[1] != len(self.x_columns):
            names = ", ".join(c.name for c in self.x_columns)
            raise DataError(f"the calibration takes (n, {len(self.x_columns)}): {names}; {x.shape}")
        return x

    def features(self, sample: Sample) -> FloatArray:
        """x (n, d_x) from a sample by the features' names, be they features there or spectators.

        Raises DataError for one that is not there, with the nearest names.
        """
        if sample.x_columns == self.x_columns:
            return sample.x
        return np.column_stack([sample.column(column.name) for column in self.x_columns])

    @classmethod
    def of(cls, sample: Sample) -> Domain:
        """The columns of a sample and the range of the features of its weighted events."""
        x = sample.x[sample.w != 0]
        limits = np.stack([x.min(axis=0), x.max(axis=0)])
        return cls(sample.x_columns, sample.z_columns, limits)

    def state(self) -> dict[str, Any]:
        """What `from_state` rebuilds the domain from."""
        return {
            "x_columns": [asdict(column) for column in self.x_columns],
            "z_columns": [asdict(column) for column in self.z_columns],
            "x_range": self.x_range,
        }

    @classmethod
    def from_state(cls, state: State) -> Domain:
        """Rebuild from `state`."""
        x, z = (tuple(Column(**c) for c in state[k]) for k in ("x_columns", "z_columns"))
        return cls(x, z, np.asarray(state["x_range"]))

    def inside(self, x: FloatArray) -> BoolArray:
        """Which rows of x (n, d_x) lie within the range of every feature."""
        low, high = self.x_range
        return np.asarray(np.all((x >= low) & (x <= high), axis=1))


@runtime_checkable
class Calibration(Protocol):
    """A fitted, immutable map from features to an estimate of the truth.

    `kind` names the class in files; `closed_form` the estimator it approximates, by which a
    dataset may know the exact answer (`posterior_mean`, `maximum_likelihood`, `none`).
    """

    kind: ClassVar[str]

    @property
    def closed_form(self) -> str: ...

    @property
    def domain(self) -> Domain: ...

    @property
    def summary(self) -> FitSummary: ...

    def estimate(self, x: FloatArray) -> Estimate:
        """ẑ and its uncertainty for x (n, d_x), in physical units."""
        ...

    def state(self) -> State:
        """Arrays, numbers and strings from which `from_state` rebuilds the object."""
        ...


@runtime_checkable
class Replicated(Protocol):
    """A calibration that knows what it might be, had its training sample fluctuated."""

    def estimates(self, x: FloatArray) -> Iterator[FloatArray]:
        """ẑ (n, d_z) of one replica after the other, for x (n, d_x)."""
        ...


@runtime_checkable
class TransportMap(Protocol):
    """A fitted, immutable map of simulated features to what they would be in data.

    `uses_truth` says whether x' depends on z besides x. Outside `domain` the map is extrapolated;
    `domain.inside(x)` tells where.
    """

    kind: ClassVar[str]
    uses_truth: ClassVar[bool]

    @property
    def domain(self) -> Domain: ...

    @property
    def summary(self) -> FitSummary: ...

    def transport(self, x: FloatArray, z: FloatArray) -> FloatArray:
        """x' (n, d_x) of simulated events with features x (n, d_x) and truth z (n, d_z)."""
        ...

    def state(self) -> State:
        """Arrays, numbers and strings from which `from_state` rebuilds the object."""
        ...


@runtime_checkable
class Varied(Protocol):
    """A map that knows what it would be had the training simulation another spectrum."""

    @property
    def variations(self) -> Mapping[str, TransportMap]: ...


@runtime_checkable
class Score(Protocol):
    """A fitted, immutable classifier of signal over background.

    `uses_nuisances` says whether the score of an event depends on the nuisances that are assumed;
    `ranges` holds those of the nuisances that it was trained in.
    """

    kind: ClassVar[str]

    @property
    def uses_nuisances(self) -> bool: ...

    @property
    def ranges(self) -> Mapping[str, tuple[float, float]]: ...

    @property
    def domain(self) -> Domain: ...

    @property
    def summary(self) -> FitSummary: ...

    def score(self, x: FloatArray, values: Mapping[str, float | FloatArray]) -> FloatArray:
        """The probability of signal (n,), with classes of equal weight, of events x (n, d_x) under
        assumed values of the nuisances, numbers or one per event."""
        ...

    def knows(self, values: Mapping[str, float]) -> bool:
        """Whether there is a score for data whose nuisances truly have these values."""
        ...

    def knowing(self, values: Mapping[str, float]) -> Score:
        """That score: another one for the oracle alone, which is a network per observed point;
        itself for all others. DataError where there is none."""
        ...

    def state(self) -> State:
        """Arrays, numbers and strings from which `from_state` rebuilds the object."""
        ...


Fitted = Calibration | TransportMap | Score
