"""The same events under other spectra: flat, tilted, and narrow resonances."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial

import numpy as np

from calibrate.prior import FlatPrior, GaussianPrior, Prior, reweight
from calibrate.sample import FloatArray, Sample
from calibrate.statistics import weighted_quantile, weighted_std

RESONANCES = {"low": 0.1, "middle": 0.5, "high": 0.9}
NARROW = 0.05
"""Width of a resonance, in standard deviations of the spectrum."""
BROAD = 0.7
FLAT_RANGE = (0.01, 0.99)


def quantiles(sample: Sample, levels: tuple[float, ...]) -> FloatArray:
    """Quantiles of the only truth column, negative weights left out."""
    return weighted_quantile(sample.z[:, 0], np.maximum(sample.w, 0.0), levels)


def flat(sample: Sample) -> Sample:
    """p(z) constant over the inner 98 % of the spectrum, zero beyond."""
    low, high = quantiles(sample, FLAT_RANGE)
    return reweight(sample, FlatPrior(float(low), float(high)))


def tilted(sample: Sample, slope: float) -> Sample:
    """w' = w·exp(slope·t), t standardised log z (z where it may be negative)."""
    z = sample.z[:, 0]
    t = np.log(z) if sample.z_columns[0].positive else z
    width = float(weighted_std(t, sample.w))
    middle = float(np.average(t, weights=sample.w))
    return sample.with_weights(sample.w * np.exp(np.clip(slope * (t - middle) / width, -30, 30)))


def gaussian(sample: Sample, level: float, widths: float) -> Sample:
    """N(quantile at `level`, (widths·std)²)."""
    centre = float(quantiles(sample, (level,))[0])
    width = widths * float(weighted_std(sample.z[:, 0], sample.w))
    prior: Prior = GaussianPrior(centre, width)
    return reweight(sample, prior)


Reshape = Callable[[Sample], Sample]


def applied() -> Mapping[str, Reshape]:
    """The spectra that a calibration is tested on: `steeper` and `softer` fall faster and more
    gently than the nominal one, by a factor e per standard deviation of log z (z)."""
    resonances = {
        f"resonance at {name} z": partial(gaussian, level=level, widths=NARROW)
        for name, level in RESONANCES.items()
    }
    return {
        "nominal": lambda sample: sample,
        "flat": flat,
        "steeper": partial(tilted, slope=-1.0),
        "softer": partial(tilted, slope=1.0),
        **resonances,
    }


def trained(sample: Sample) -> Iterator[tuple[str, Sample]]:
    """The spectra that a calibration is derived on again, in the order in which they are used."""
    yield "flat", flat(sample)
    yield "steeper", tilted(sample, -1.0)
    yield "softer", tilted(sample, 1.0)
    yield "low", gaussian(sample, 0.3, BROAD)
    yield "high", gaussian(sample, 0.7, BROAD)


MOST_REFITS = 5
