"""The training task with the simulation's spectrum tilted both ways.

w' = w·exp(±t·u), u the standardised log z (z where it may be negative) of the training spectrum.
The default size, 5 % per standard deviation, is that of a spectrum known to a few per cent over its
bulk; what is right depends on the control sample (scale and parton-density variations). All control
regions are tilted together, with the same u; objects of one event by their mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from calibrate.sample import FloatArray, Sample
from calibrate.statistics import weighted_mean, weighted_std
from calibrate.task import Pair, TransportTask

UP, DOWN = "softer", "steeper"


def varied(task: TransportTask, size: float) -> Mapping[str, TransportTask]:
    """The task with a softer and a steeper simulated spectrum; nothing for size 0."""
    return {} if not size else {UP: _tilted(task, size), DOWN: _tilted(task, -size)}


def _tilted(task: TransportTask, slope: float) -> TransportTask:
    return replace(
        task,
        train=_tilted_pair(task.train, slope, task.train.simulation),
        controls={
            name: _tilted_pair(
                pair,
                slope,
                task.train.simulation
                if pair.simulation.z_columns == task.train.simulation.z_columns
                else pair.simulation,
            )
            for name, pair in task.controls.items()
        },
    )


def _tilted_pair(pair: Pair, slope: float, reference: Sample) -> Pair:
    """The simulation tilted in units of the spectrum of `reference`."""
    sample, t = pair.simulation, _coordinate(reference)
    centre, width = float(weighted_mean(t, reference.w)), float(weighted_std(t, reference.w))
    u = (_event_mean(sample, _coordinate(sample)) - centre) / width
    return Pair(sample.with_weights(sample.w * np.exp(slope * u)), pair.data)


def _coordinate(sample: Sample) -> FloatArray:
    z = sample.z[:, 0]
    return np.asarray(np.log(z) if sample.z_columns[0].positive else z)


def _event_mean(sample: Sample, values: FloatArray) -> FloatArray:
    """The mean of the rows of each group, at each row."""
    groups = sample.groups
    if groups.single:
        return values
    sums, numbers = (np.bincount(groups.row, weights=w) for w in (values, np.ones(values.size)))
    return np.asarray((sums / numbers)[groups.row])
