"""What a varied spectrum of the training simulation does to transported simulation."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from calibrate.estimate import TransportMap, Varied
from calibrate.evaluators.histograms import density
from calibrate.records import Quantity, SpectrumShift
from calibrate.sample import FloatArray, Sample
from calibrate.statistics import weighted_mean, weighted_quantile, weighted_std

ONE_SIGMA = (0.15865525393145707, 0.8413447460685429)


def spectrum_shift(
    label: str, test: str, simulation: Sample, fit: TransportMap, edges: FloatArray
) -> SpectrumShift | None:
    """The largest shifts of mean, standard deviation and half 16-84 % interval of x' between the
    map and its variations, and the lowest and highest of their densities in bins; None for a map
    without variations or of several features."""
    maps = fit.variations if isinstance(fit, Varied) else {}
    if not maps or len(simulation.x_columns) != 1:
        return None
    moved = [each.transport(simulation.x, simulation.z)[:, 0] for each in (fit, *maps.values())]
    numbers = np.array([_numbers(values, simulation.w) for values in moved])
    shapes = np.array([density(values, simulation, edges).density for values in moved])
    mean, std, width = np.max(np.abs(numbers[1:] - numbers[0]), axis=0)
    column = simulation.x_columns[0]
    return SpectrumShift(
        method=label, test=test, name=column.name, unit=column.unit, mean=float(mean),
        std=float(std), width=float(width), edges=edges, low=shapes.min(axis=0),
        high=shapes.max(axis=0),
    )  # fmt: skip


def shift_scalars(shift: SpectrumShift) -> Mapping[str, Quantity]:
    """Metrics beside those of the nominal map; they have no statistical error of their own."""
    values = {"mean": shift.mean, "std": shift.std, "iqr": shift.width}
    return {
        f"transport/{shift.test}/{name}_spectrum": Quantity(value, None, shift.unit)
        for name, value in values.items()
    }


def _numbers(values: FloatArray, w: FloatArray) -> list[float]:
    low, high = weighted_quantile(values, np.maximum(w, 0.0), ONE_SIGMA)
    return [float(weighted_mean(values, w)), float(weighted_std(values, w)), (high - low) / 2]
