"""The same events under other spectra: flat, tilted, and narrow resonances.

What the spectra are is read off a reference sample; each is then given to any sample of the same
truth, so that simulation and what stands for data get the same one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from calibrate.prior import FlatPrior, GaussianPrior, SampleDensity, reweight
from calibrate.sample import FloatArray, Sample
from calibrate.statistics import weighted_quantile, weighted_std

RESONANCES = {"low": 0.1, "middle": 0.5, "high": 0.9}
NARROW = 0.05
"""Width of a resonance, in standard deviations of the spectrum."""
BROAD = 0.7
FLAT_RANGE = (0.01, 0.99)
FARTHEST = 4.0
MOST_REFITS = 5

Reshape = Callable[[Sample], Sample]


def quantiles(sample: Sample, levels: tuple[float, ...]) -> FloatArray:
    """Quantiles of the only truth column, negative weights left out."""
    w = np.maximum(sample.w, 0.0)
    return weighted_quantile(sample.z[:, 0], w, levels, sample.ascending[:, 0])


class OwnSpectrum:
    """The density (n,) of a sample's own spectrum at its events; the last sample's is kept."""

    def __init__(self) -> None:
        self._sample: Sample | None = None
        self._density: FloatArray = np.empty(0)

    def __call__(self, sample: Sample) -> FloatArray:
        """Of the events of this sample."""
        if sample is not self._sample:
            self._density = SampleDensity.of(sample).density(sample.z[:, 0])
            self._sample = sample
        return self._density


def flat(reference: Sample, own: OwnSpectrum) -> Reshape:
    """p(z) constant over the inner 98 % of the reference, zero beyond."""
    low, high = quantiles(reference, FLAT_RANGE)
    return lambda sample: reweight(sample, FlatPrior(float(low), float(high)), own(sample))


def tilted(reference: Sample, slope: float) -> Reshape:
    """w' = w·exp(slope·t), t the log z (z where it may be negative) standardised in the
    reference: samples of one spectrum keep one spectrum. The factor is constant beyond |t| = 4,
    else a tail that is not Gaussian takes all the weight."""
    logarithmic = reference.z_columns[0].positive

    def coordinate(sample: Sample) -> FloatArray:
        return np.log(sample.z[:, 0]) if logarithmic else sample.z[:, 0]

    width = float(weighted_std(coordinate(reference), reference.w))
    middle = float(np.average(coordinate(reference), weights=reference.w))

    def reshape(sample: Sample) -> Sample:
        t = (coordinate(sample) - middle) / width
        return sample.with_weights(sample.w * np.exp(slope * np.clip(t, -FARTHEST, FARTHEST)))

    return reshape


def gaussian(reference: Sample, level: float, widths: float, own: OwnSpectrum) -> Reshape:
    """N(quantile of the reference at `level`, (widths·its standard deviation)²)."""
    centre = float(quantiles(reference, (level,))[0])
    width = widths * float(weighted_std(reference.z[:, 0], reference.w))
    return lambda sample: reweight(sample, GaussianPrior(centre, width), own(sample))


def applied(reference: Sample) -> Mapping[str, Reshape]:
    """The spectra that a calibration is tested on: `steeper` and `softer` fall faster and more
    gently than the nominal one, by a factor e per standard deviation of log z (z)."""
    own = OwnSpectrum()
    return {
        "nominal": lambda sample: sample,
        "flat": flat(reference, own),
        "steeper": tilted(reference, -1.0),
        "softer": tilted(reference, 1.0),
        **{
            f"resonance at {name} z": gaussian(reference, level, NARROW, own)
            for name, level in RESONANCES.items()
        },
    }


def trained(reference: Sample) -> Iterator[tuple[str, Reshape]]:
    """The spectra that a calibration is derived on again, in the order in which they are used."""
    own = OwnSpectrum()
    yield "flat", flat(reference, own)
    yield "steeper", tilted(reference, -1.0)
    yield "softer", tilted(reference, 1.0)
    yield "low", gaussian(reference, 0.3, BROAD, own)
    yield "high", gaussian(reference, 0.7, BROAD, own)
