"""What fixes the response of data, which is not observed: comparisons of simulation with data.

`spectrum`: p(z) of the simulation describes data, in the training pair and in every control region
of the same feature; then x' has data's distribution. `balance`: two objects of one event balance
at truth level up to what the simulation's truth says; then the asymmetry
A = (x₁-x₂)/(x₁+x₂) (x₁-x₂ where z may be negative) of x' has the distribution of data's. Its width
hardly depends on the spectrum, and it knows nothing of an overall scale or offset.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np

from calibrate.errors import MisfitError
from calibrate.methods.monotone import require_overlap
from calibrate.methods.response_map import ResponseMap
from calibrate.methods.smooth_shares import SmoothShares, Weighted
from calibrate.sample import BoolArray, FloatArray, IntArray, Sample
from calibrate.statistics import weighted_quantile
from calibrate.task import Pair, TransportTask

CONSUMER = "response transport"
SPECTRUM, BALANCE = "spectrum", "balance"
ANCHORS = (SPECTRUM, BALANCE)
ONE_SIGMA = (0.15865525393145707, 0.5, 0.8413447460685429)
SPECTRUM_SMOOTHING, BALANCE_SMOOTHING = 1.0, 0.3
"""In widths of the simulated response. A smooth spectrum tells little about the response, and
most of what its details seem to tell is noise; the asymmetry is as narrow as the response."""


@dataclass(frozen=True)
class Comparison:
    """One distribution of data, and its simulated values under a map, with a mark of those events
    that belong to the first half of the simulation."""

    shares: SmoothShares
    simulated: Callable[[ResponseMap], tuple[Weighted, BoolArray]]

    def whitening(self, found: ResponseMap) -> FloatArray:
        """Makes the differences independent if `found` is right."""
        return self.shares.whitening(self.simulated(found)[0])

    def difference(self, found: ResponseMap) -> FloatArray:
        """Simulated shares less those of data (k,)."""
        return np.asarray(self.shares.shares(self.simulated(found)[0]) - self.shares.wanted)

    def halves(self, found: ResponseMap) -> FloatArray:
        """Shares of two independent halves of the simulation (2, k)."""
        values, half = self.simulated(found)
        return np.stack([self.shares.shares(values.taken(part)) for part in (half, ~half)])


def residual(sample: Sample) -> FloatArray:
    """r (n,): x/z - 1 where both are positive by nature, else x - z."""
    x, z = sample.x[:, 0], sample.z[:, 0]
    return np.asarray(x / z - 1 if relative(sample) else x - z)


def relative(sample: Sample) -> bool:
    """Whether the response is a ratio."""
    return sample.x_columns[0].positive and sample.z_columns[0].positive


def half_width(sample: Sample) -> float:
    """Half the 16-84 % interval of the simulated residual."""
    low, _, high = weighted_quantile(residual(sample), sample.w, ONE_SIGMA)
    return float(high - low) / 2


def regions(task: TransportTask) -> list[Pair]:
    """The training pair and the control regions of the same feature."""
    columns = task.train.simulation.x_columns, task.train.simulation.z_columns
    controls = [
        pair
        for pair in task.controls.values()
        if (pair.simulation.x_columns, pair.simulation.z_columns) == columns
    ]
    return [task.train, *controls]


def comparisons(task: TransportTask, anchor: tuple[str, ...], slices: int) -> list[Comparison]:
    """All comparisons of the anchors; the asymmetry in `slices` of the mean x of both objects.

    Raises DataError for negative weights, and for simulation and data that do not overlap;
    MisfitError if no pair has two objects per event.
    """
    pairs = [task.train, *task.controls.values()]
    found: list[Comparison] = []
    for pair in pairs:
        require_overlap(pair.simulation, pair.data, CONSUMER)
    if SPECTRUM in anchor:
        found += [spectrum(pair) for pair in regions(task)]
    if BALANCE in anchor:
        balanced = [pair for pair in pairs if _largest(pair) > 1]
        if not balanced:
            raise MisfitError(
                "method.anchor=balance needs two objects per event (rows of one group) in "
                f"simulation and data, the largest group found holds {max(map(_largest, pairs))}: "
                "choose a dataset with jets of whole events (data=dijet), or method.anchor=spectrum"
            )
        found += [each for pair in balanced for each in balance(pair, slices)]
    return found


def spectrum(pair: Pair) -> Comparison:
    """x' against data's x; in log x where the response is a ratio."""
    simulation, logarithmic = pair.simulation, relative(pair.simulation)
    x, z, half = simulation.x[:, 0], simulation.z[:, 0], simulation.groups.row % 2 == 0
    data = Weighted.of(_coordinate(pair.data.x[:, 0], logarithmic), pair.data)
    shares = SmoothShares.of(data, SPECTRUM_SMOOTHING * half_width(simulation))

    def simulated(found: ResponseMap) -> tuple[Weighted, BoolArray]:
        moved = _coordinate(found.moved(x, z), logarithmic)
        return Weighted.of(moved, simulation), half

    return Comparison(shares, simulated)


def balance(pair: Pair, slices: int) -> Iterator[Comparison]:
    """abs(A) of x' against that of data, in slices of the mean x of equal statistics of data."""
    ratio = relative(pair.simulation)
    one, other = (pair.simulation.take(rows) for rows in _objects(pair.simulation))
    first, second = (pair.data.take(rows) for rows in _objects(pair.data))
    half = one.groups.row % 2 == 0
    measured, mean = _asymmetry(first.x[:, 0], second.x[:, 0], ratio)
    bounds = weighted_quantile(mean, first.w, np.linspace(0, 1, slices + 1)[1:-1])
    part = np.searchsorted(bounds, mean)
    width = BALANCE_SMOOTHING * half_width(pair.simulation) * (0.5**0.5 if ratio else 2**0.5)

    @lru_cache(maxsize=1)
    def moved(found: ResponseMap) -> tuple[FloatArray, IntArray]:
        values, mean = _asymmetry(
            found.moved(one.x[:, 0], one.z[:, 0]), found.moved(other.x[:, 0], other.z[:, 0]), ratio
        )
        return values, np.searchsorted(bounds, mean)

    def simulated(index: int, found: ResponseMap) -> tuple[Weighted, BoolArray]:
        values, place = moved(found)
        kept = place == index
        return Weighted(values[kept], one.w[kept], one.w[kept]), half[kept]

    for index in range(slices):
        values, w = measured[part == index], first.w[part == index]
        shares = SmoothShares.of(Weighted(values, w, w), width, folded=True)
        yield Comparison(shares, partial(simulated, index))


def _asymmetry(x: FloatArray, y: FloatArray, ratio: bool) -> tuple[FloatArray, FloatArray]:
    """abs(A) and the mean of both objects, each (n,)."""
    distance = np.abs(x - y)
    return distance / np.maximum(x + y, 1e-300) if ratio else distance, (x + y) / 2


def _coordinate(x: FloatArray, logarithmic: bool) -> FloatArray:
    return np.asarray(np.log(np.maximum(x, 1e-300)) if logarithmic else x)


def _largest(pair: Pair) -> int:
    """The size of the largest group that both samples have."""
    return min(int(np.bincount(s.groups.row).max()) for s in (pair.simulation, pair.data))


def _objects(sample: Sample) -> tuple[IntArray, IntArray]:
    """Rows of the two objects with the largest x of every event that has two."""
    order = np.lexsort((-sample.x[:, 0], sample.groups.row))
    row = sample.groups.row[order]
    start = np.flatnonzero(np.append(True, row[1:] != row[:-1]))
    second = start + 1
    start = start[np.append(row[second[:-1]] == row[start[:-1]], second[-1] < row.size)]
    return order[start], order[start + 1]
