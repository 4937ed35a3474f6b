"""Transported simulation beside data, both under the same other spectra.

Location and spread are those of the nominal test's events; their errors (bootstrap) are those of
the events, not of the map, and fluctuate alike in all spectra and methods.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from calibrate.context import Context
from calibrate.errors import DataError
from calibrate.estimate import TransportMap
from calibrate.evaluators.application import too_few
from calibrate.evaluators.marginals import Marginal
from calibrate.evaluators.spectra_family import applied
from calibrate.evaluators.subjects import reshaped
from calibrate.records import MINIMUM_EFFECTIVE, Cell, Table, TransportApplication
from calibrate.sample import FloatArray, Sample
from calibrate.statistics import Poisson
from calibrate.task import NOMINAL, Pair

MEAN, IQR = 0, 2
"""Their places in the shape of a marginal."""
NUMBERS = ("mean", "data_mean", "width", "data_width")


def pairs_of(pair: Pair) -> tuple[dict[str, Pair], list[str]]:
    """The pair under all spectra that leave both sides enough effective events, and what to say
    of the others; as it is where the truth of data is unknown."""
    if pair.truth is None:
        return {NOMINAL: pair}, []
    kept, sizes = {}, {}
    for name, reshape in applied(pair.simulation).items():
        try:
            reweighted = reshaped(pair, reshape)
            size = min(s.effective_size for s in (reweighted.simulation, reweighted.data))
        except DataError:
            size = 0.0  # the spectrum leaves nothing of one side
        if size >= MINIMUM_EFFECTIVE:
            kept[name] = reweighted
        else:
            sizes[name] = size
    return kept, too_few("simulation or data of the test", sizes)


def carried_under(
    pairs: Mapping[str, Pair], fits: Mapping[str, TransportMap], replicas: int, context: Context
) -> Iterator[TransportApplication]:
    """Mean and half 16-84 % interval under each spectrum, of data and of every map; nothing if
    no spectrum is left."""
    if not pairs:
        return
    first = next(iter(pairs.values()))
    sides = {"simulation": first.simulation, "data": first.data}
    poisson = {name: Poisson(sample.groups, replicas, context.sequence("bootstrap", name))
               for name, sample in sides.items()}  # fmt: skip
    data = _shapes([pair.data for pair in pairs.values()], first.data.x[:, 0], poisson["data"])
    simulation = [pair.simulation for pair in pairs.values()]
    for method, fit in fits.items():
        moved = fit.transport(first.simulation.x, first.simulation.z)[:, 0]
        found = _shapes(simulation, moved, poisson["simulation"])
        column = first.data.x_columns[0]
        yield TransportApplication(
            method=method,
            test=NOMINAL,
            name=column.name,
            unit=column.unit,
            spectra=tuple(pairs),
            n_effective=np.array([sample.effective_size for sample in simulation]),
            data_n_effective=np.array([pair.data.effective_size for pair in pairs.values()]),
            mean=found[:, 0, MEAN],
            mean_error=found[:, 1, MEAN],
            width=found[:, 0, IQR],
            width_error=found[:, 1, IQR],
            data_mean=data[:, 0, MEAN],
            data_mean_error=data[:, 1, MEAN],
            data_width=data[:, 0, IQR],
            data_width_error=data[:, 1, IQR],
        )


def table(found: TransportApplication) -> Table:
    """One row per spectrum; what negative weights leave unknown is empty."""
    columns = [part for name in NUMBERS for part in (name, f"{name}_error")]
    numbers = np.column_stack([getattr(found, name) for name in columns])
    sizes = zip(found.n_effective, found.data_n_effective, strict=True)
    rows = tuple(
        (name, float(simulation), float(data), *map(_cell, row))
        for name, (simulation, data), row in zip(found.spectra, sizes, numbers, strict=True)
    )
    units = ("", "", "", *[found.unit] * len(columns))
    return Table(("spectrum", "n_effective", "data_n_effective", *columns), units, rows)


def _shapes(samples: Sequence[Sample], values: FloatArray, poisson: Poisson) -> FloatArray:
    """Value and error (n_s, 2, 3) of the shape of the same values under several weights."""
    return np.stack([Marginal(values, sample, poisson).shape for sample in samples])


def _cell(value: float) -> Cell:
    return float(value) if math.isfinite(value) else None
