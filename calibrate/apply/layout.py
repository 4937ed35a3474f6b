"""The columns that a calibration adds to a file: names, types, and rows on their way there."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from calibrate.errors import ConfigurationError
from calibrate.estimate import Calibration, Domain, Estimate
from calibrate.sample import BoolArray, FloatArray


@dataclass(frozen=True)
class Layout:
    """The new columns with their types, in the order in which they are written."""

    fields: tuple[tuple[str, np.dtype[Any]], ...]

    @classmethod
    def of(cls, calibration: Calibration, names: Sequence[str], single: bool) -> Layout:
        domain = calibration.domain
        stems = stems_of(domain, names)
        middle = 0.5 * domain.x_range.sum(axis=0, keepdims=True)
        example = calibration.estimate(np.where(np.isfinite(middle), middle, 1.0))
        real = np.dtype(np.float32 if single else np.float64)
        fields = [(name, real) for name in _names(stems, example)]
        doubled = [name for name, _ in fields if [n for n, _ in fields].count(name) > 1]
        if doubled:
            raise ConfigurationError(f"two new columns '{doubled[0]}': choose others with --name")
        return cls((*fields, (f"{stems[0]}_valid", np.dtype(bool))))

    @property
    def type(self) -> np.dtype[Any]:
        """One row of all columns."""
        return np.dtype(list(self.fields))

    def rows(self, estimate: Estimate, usable: BoolArray) -> NDArray[Any]:
        """An estimate as rows, with NaN in those that are not usable (n,)."""
        values = np.empty(len(estimate.z), self.type)
        columns = [*_values(estimate), estimate.inside]
        for (name, _), column in zip(self.fields, columns, strict=True):
            values[name] = column
            if values[name].dtype.kind == "f":
                values[name][~usable] = np.nan
        return values

    def reader(self, file: IO[bytes]) -> Callable[[int, int], dict[str, NDArray[Any]]]:
        """`read(start, stop)` from the temporary file."""

        def read(start: int, stop: int) -> dict[str, NDArray[Any]]:
            file.seek(start * self.type.itemsize)
            rows = np.frombuffer(file.read((stop - start) * self.type.itemsize), self.type)
            return {name: np.ascontiguousarray(rows[name]) for name, _ in self.fields}

        return read


def stems_of(domain: Domain, names: Sequence[str]) -> list[str]:
    """The stems of the new columns' names, one for each truth; ConfigurationError for names that
    are no words, or too many or too few."""
    truths = [column.name for column in domain.z_columns]
    stems = list(names) or [re.sub(r"\W+", "_", name).strip("_") for name in truths]
    for stem in stems:
        if not re.fullmatch(r"[\w.]+", stem):
            raise ConfigurationError(f"--name takes letters, digits, _ and . only: got {stem!r}")
    if len(stems) != len(truths):
        raise ConfigurationError(
            f"--name is needed once for each of {', '.join(truths)}: got {list(names)}"
        )
    return stems


def _names(stems: Sequence[str], example: Estimate) -> list[str]:
    """`_calibrated`, `_sigma`, the covariances, the variations `_up` and `_down`; `_sigma_stoch`
    and `_sigma_pred` where they are told apart, and `_mode`, `_low` and `_high` (the 68 %
    interval) where the density is known."""
    names = [f"{stem}_calibrated" for stem in stems]
    if example.covariance is not None:
        names += [f"{stem}_sigma" for stem in stems]
        names += [f"{a}_{b}_covariance" for i, a in enumerate(stems) for b in stems[i + 1 :]]
    if example.statistical is not None:
        names += [f"{stem}_{side}" for side in ("up", "down") for stem in stems]
    if example.stochastic is not None and example.statistical is not None:
        names += [f"{stem}_sigma_{part}" for part in ("stoch", "pred") for stem in stems]
    if example.mixture is not None:
        names += [f"{stems[0]}_{end}" for end in ("mode", "low", "high")]
    return names


def _values(estimate: Estimate) -> list[FloatArray]:
    """The values of `_names`, in the same order."""
    values = list(estimate.z.T)
    if estimate.covariance is not None and estimate.sigma is not None:
        d_z = estimate.z.shape[1]
        values += list(estimate.sigma.T)
        values += [estimate.covariance[:, i, j] for i in range(d_z) for j in range(i + 1, d_z)]
    if estimate.statistical is not None:
        values += [*(estimate.z + estimate.statistical).T]
        values += [*(estimate.z - estimate.statistical).T]
    if estimate.stochastic is not None and estimate.statistical is not None:
        values += [*estimate.stochastic.T, *estimate.statistical.T]
    if estimate.mixture is not None:
        values += [estimate.mixture.mode(), *estimate.mixture.interval().T]
    return values
