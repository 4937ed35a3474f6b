"""Dimensionless coordinates of features and targets, and the way back to physical units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from calibrate.errors import DataError
from calibrate.sample import BoolArray, Column, FloatArray
from calibrate.statistics import weighted_mean, weighted_std


@dataclass(frozen=True)
class Coordinates:
    """t = (φ(v) - shift)/scale per column, φ = log where `logarithmic`, else the identity.

    In log z the response of a calorimeter is nearly Gaussian with one width for all energies.
    `floor` is the smallest value that is told apart under the logarithm.
    """

    logarithmic: BoolArray
    shift: FloatArray
    scale: FloatArray
    floor: FloatArray

    @classmethod
    def of(
        cls, values: FloatArray, w: FloatArray, columns: Sequence[Column], logarithms: bool
    ) -> Coordinates:
        """Standardise values (n, d) with weights (n,); columns that are positive by nature in
        their logarithm if `logarithms`. Raises DataError for a column that does not vary."""
        logarithmic = np.array([logarithms and column.positive for column in columns], dtype=bool)
        floor = np.where(logarithmic, np.min(values, axis=0) * 1e-3, -np.inf)
        identity = cls(logarithmic, np.zeros(len(columns)), np.ones(len(columns)), floor)
        t = identity.forward(values)
        shift, scale = weighted_mean(t, w), weighted_std(t, w)
        for column, width in zip(columns, scale, strict=True):
            if not width > 0:
                raise DataError(f"column '{column.name}' does not vary: remove it from the fit")
        return cls(logarithmic, shift, scale, floor)

    def forward(self, values: FloatArray) -> FloatArray:
        """Physical values (n, d) as coordinates."""
        t = np.array(np.maximum(values, self.floor), dtype=np.float64)
        t[:, self.logarithmic] = np.log(t[:, self.logarithmic])
        return np.asarray((t - self.shift) / self.scale)

    def backward(self, t: FloatArray) -> FloatArray:
        """Coordinates (n, d) as physical values."""
        values = t * self.scale + self.shift
        values[:, self.logarithmic] = np.exp(values[:, self.logarithmic])
        return np.asarray(values)

    def jacobian(self, t: FloatArray) -> FloatArray:
        """dv/dt (n, d) at the coordinates t."""
        return np.asarray(np.where(self.logarithmic, self.backward(t), 1.0) * self.scale)

    def state(self) -> dict[str, Any]:
        """The arrays from which `Coordinates(**state)` rebuilds the object."""
        return {
            "logarithmic": self.logarithmic,
            "shift": self.shift,
            "scale": self.scale,
            "floor": self.floor,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Coordinates:
        """Rebuild from `state`."""
        return cls(**{name: np.asarray(value) for name, value in state.items()})
