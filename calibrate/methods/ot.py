"""Optimal transport of simulation to data: the map of least mean squared displacement.

One feature: the monotone map, exact (`monotone.py`). Several features: a start, and what it
leaves (`feature_map.py`). Either way the map closes on its training sample by construction and
inherits its spectrum: it moves the features, not the response.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from calibrate.checks import choice, positive_integer, positive_number
from calibrate.context import Context
from calibrate.errors import ConfigurationError
from calibrate.methods.feature_map import ENTROPIC, EXACT, PLANS, SLICED, FeatureMap, feature_map
from calibrate.methods.monotone import QuantileMap, monotone_map
from calibrate.sample import Sample
from calibrate.task import Pair, TransportTask

FEWEST_KNOTS = 1000
AUTO = "auto"
SMALL = 1000
"""Up to so many events on either side `auto` solves for an entropic plan."""
LARGEST = 25_000_000
"""Entries of the cost matrix of a plan, 0.2 GB: 5000 events on each side."""


@dataclass(frozen=True)
class OptimalTransport:
    """The map between two weighted distributions that moves events least.

    `plan`, for several features:
    `exact`: the plan of the linear programme, its displacements averaged over neighbours;
    `entropic`: E[y|x] under the plan with entropy `regularisation` (in variances of data);
    `sliced`: the linear map of the moments, which is optimal between Gaussians; then monotone
    maps along directions in which the distributions still differ, which is not exactly optimal;
    `auto`: `entropic` up to 1000 events on either side, else `sliced`. All are followed by
    `slices` rotations of such directions. For one feature `auto` and `exact` are the monotone
    map, of which at most `knots` points are stored.

    Features count in standard deviations of data, of the logarithm where they are positive by
    nature. Outside the training range every map goes on straight.
    Raises ConfigurationError for options out of range.
    """

    plan: str = AUTO
    knots: int = 131072
    regularisation: float = 0.5
    slices: int = 32
    tasks: ClassVar[tuple[str, ...]] = ("transport",)

    def __post_init__(self) -> None:
        choice("method.plan", self.plan, (AUTO, *PLANS))
        positive_integer("method.knots", self.knots)
        if self.knots < FEWEST_KNOTS:
            raise ConfigurationError(
                f"method.knots must be at least {FEWEST_KNOTS}, got {self.knots}"
            )
        positive_number("method.regularisation", self.regularisation)
        positive_integer("method.slices", self.slices)

    def fit(self, task: TransportTask, context: Context) -> QuantileMap | FeatureMap:
        """The map of the training pair.

        Raises DataError for negative weights, for simulation and data that do not overlap, and
        for features that are linear combinations of others; ConfigurationError where a plan would
        need too large a matrix.
        """
        pair = task.train
        if len(pair.simulation.x_columns) == 1 and self.plan in (AUTO, EXACT):
            return monotone_map(pair.simulation, pair.data, self.knots)
        plan = self._plan(pair)
        return feature_map(pair, plan, self.regularisation, self.slices, context)

    def _plan(self, pair: Pair) -> str:
        simulated, measured = _used(pair.simulation), _used(pair.data)
        if self.plan == AUTO:
            return ENTROPIC if max(simulated, measured) <= SMALL else SLICED
        if self.plan != SLICED and simulated * measured > LARGEST:
            raise ConfigurationError(
                f"method.plan={self.plan} needs a matrix of {simulated} × {measured} simulated and "
                f"measured events, at most {LARGEST:,} entries: use method.plan=sliced"
            )
        return self.plan


def _used(sample: Sample) -> int:
    return int((sample.w != 0).sum())
