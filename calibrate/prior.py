"""Spectra p(z), and the same events under another spectrum.

`reweight` multiplies each weight by p_new(z)/p_old(z), where p_old is the *weighted* density of
the sample. That keeps the mixture of generator slices at a given z, hence the response p(x|z);
dividing by the event weight instead (the letter of arXiv:2205.05084, Eq. 45) would not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from calibrate.errors import ConfigurationError, DataError
from calibrate.sample import FloatArray, IntArray, Sample
from calibrate.statistics import weighted_quantile, weighted_std

GRID = 4000
LOCAL_EVENTS = 500.0
"""Effective events within one kernel below which a spectrum is too thin to be flattened."""


class Prior(Protocol):
    """A spectrum of one truth quantity."""

    def density(self, z: FloatArray) -> FloatArray:
        """p(z) for z (n,), up to a constant factor."""
        ...


@dataclass(frozen=True)
class GaussianPrior:
    """N(mean, width²), in the unit of z: a narrow resonance."""

    mean: float
    width: float

    def density(self, z: FloatArray) -> FloatArray:
        """exp(-(z-mean)²/2width²)."""
        return np.asarray(np.exp(-0.5 * ((z - self.mean) / self.width) ** 2))


@dataclass(frozen=True)
class FlatPrior:
    """The same density everywhere between `low` and `high` [unit of z], none outside."""

    low: float
    high: float

    def density(self, z: FloatArray) -> FloatArray:
        """1 between the limits, else 0."""
        return ((z >= self.low) & (z <= self.high)).astype(np.float64)


@dataclass(frozen=True)
class SampleDensity:
    """A Gaussian kernel estimate of the weighted density of z (n,), on a grid.

    Quantities that are positive by nature are estimated in log z, where a steeply falling
    spectrum is close to an exponential, whose kernel estimate has the right shape. The width is
    Silverman's 0.9 min(std, iqr/1.34) n_eff^(-1/5).
    """

    grid: FloatArray
    values: FloatArray
    squares: FloatArray
    width: float
    logarithmic: bool

    @classmethod
    def of(cls, sample: Sample) -> SampleDensity:
        """The density of the only truth column; ConfigurationError if there are several."""
        if len(sample.z_columns) != 1:
            names = [c.name for c in sample.z_columns]
            raise ConfigurationError(f"a spectrum needs one truth column, got {names}")
        logarithmic = sample.z_columns[0].positive
        t = np.log(sample.z[:, 0]) if logarithmic else sample.z[:, 0]
        w = sample.w / np.max(np.abs(sample.w))
        order = sample.ascending[:, 0]
        width = _silverman(t, w, sample.effective_size, order)
        low, high = t[order[0]] - 6 * width, t[order[-1]] + 6 * width
        step = (high - low) / GRID
        width, cell = max(width, step), ((t - low) / step).astype(np.int64)
        values, squares = (_smooth(cell, power, width / step) / width for power in (w, w**2))
        return cls(low + step * (np.arange(GRID) + 0.5), values, squares, width, logarithmic)

    def density(self, z: FloatArray) -> FloatArray:
        """p(z) per unit of z, up to a constant factor."""
        estimate = np.interp(self._coordinate(z), self.grid, self.values)
        return np.asarray(estimate / z if self.logarithmic else estimate)

    def dense_range(self, local_events: float) -> tuple[float, float]:
        """The z range around the densest point in which each kernel holds that many
        effective events; DataError if there is no such place."""
        squares = np.where(self.squares > 0, self.squares, np.inf)
        local = self.values**2 / squares * 2 * np.sqrt(np.pi) * self.width
        peak = int(np.argmax(self.values))
        thin = np.flatnonzero(local < local_events)
        if local[peak] < local_events:
            raise DataError(
                f"the spectrum holds {local[peak]:.0f} effective events per kernel at its "
                f"densest point, {local_events:.0f} are needed to reshape it: keep the sample's"
            )
        low = self.grid[thin[thin < peak].max(initial=-1) + 1]
        high = self.grid[thin[thin > peak].min(initial=self.grid.size) - 1]
        return (float(np.exp(low)), float(np.exp(high))) if self.logarithmic else (low, high)

    def _coordinate(self, z: FloatArray) -> FloatArray:
        return np.log(z) if self.logarithmic else z


def reweight(sample: Sample, prior: Prior, density: FloatArray | None = None) -> Sample:
    """The same events under the spectrum `prior`: w' = w · p_new(z)/p_old(z), with the sample's
    own p_old (n,) where the caller knows it.

    Raises DataError if the new spectrum leaves nothing of the sample.
    """
    z = sample.z[:, 0]
    density = SampleDensity.of(sample).density(z) if density is None else density
    w = sample.w * prior.density(z) / density
    if not np.any(w > 0):
        raise DataError(
            f"the new spectrum {prior} has no overlap with the sample, whose z lies in "
            f"[{z.min():g}, {z.max():g}]: choose it inside"
        )
    return sample.with_weights(w)


@dataclass(frozen=True)
class FlattenedSample:
    """A sample whose spectrum is flat in z (in log z where z is positive) in `low` … `high`;
    beyond these limits events keep the factor of the limit."""

    sample: Sample
    low: float
    high: float


def flatten(sample: Sample, local_events: float = LOCAL_EVENTS) -> FlattenedSample:
    """Flatten the spectrum wherever the sample is dense enough to say what it is.

    A prior-independent fit may be trained on any spectrum; a flat one spends the training
    evenly along z instead of where the generator happened to put the cross section.
    """
    density = SampleDensity.of(sample)
    low, high = density.dense_range(local_events)
    t = density._coordinate(np.clip(sample.z[:, 0], low, high))
    w = sample.w / np.interp(t, density.grid, density.values)
    return FlattenedSample(sample.with_weights(w), low, high)


def _silverman(t: FloatArray, w: FloatArray, n_effective: float, order: IntArray) -> float:
    spread = float(weighted_std(t, w))
    if np.all(w >= 0):
        low, high = weighted_quantile(t, w, [0.25, 0.75], order)
        spread = min(spread, (high - low) / 1.34) if high > low else spread
    width: float = 0.9 * spread * max(n_effective, 1.0) ** -0.2
    return max(width, 1e-12)


def _smooth(cell: IntArray, w: FloatArray, width: float) -> FloatArray:
    """Σ w K((cell - grid)/width)·width in all cells of the grid; `width` ≥ 1, in cells."""
    counts = np.bincount(cell, weights=w, minlength=GRID)
    reach = min(int(np.ceil(5 * width)), GRID // 2 - 1)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / width) ** 2)
    smooth = np.convolve(counts, kernel, mode="same") / np.sqrt(2 * np.pi)
    return np.asarray(np.maximum(smooth, np.finfo(np.float64).tiny))
