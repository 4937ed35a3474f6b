"""Optimal transport of several features: a start, and then slices along which it leaves a
difference.

All is done in coordinates t: features less data's mean over data's standard deviation, those that
are positive by nature in their logarithm. So the cost that the map minimises is the squared
displacement in widths of data, and the result does not depend on units. The start is the map of
a plan (`plans.py`) or of the moments alone (`moments.py`); slices (`slices.py`) follow.

Outside the box that holds all but 0.1 % of the training simulation in each feature (and at either
end), where the few events say little, the start goes on straight with the slopes of the moments,
and slices with the displacement of their outermost knots.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

import numpy as np

from calibrate.context import Context
from calibrate.coordinates import Coordinates
from calibrate.estimate import Domain, State
from calibrate.methods.moments import Cloud, Linear
from calibrate.methods.monotone import require_overlap
from calibrate.methods.plans import Entropic, Neighbours, entropic, exact
from calibrate.methods.slices import Slices
from calibrate.records import FitSummary
from calibrate.sample import FloatArray
from calibrate.statistics import weighted_quantile
from calibrate.task import Pair

EXACT, ENTROPIC, SLICED = PLANS = ("exact", "entropic", "sliced")
EDGES = (0.001, 0.999)
Start = Neighbours | Entropic | Linear


@dataclass(frozen=True)
class FeatureMap:
    """x' of several features: `start` within `box` (2, d) of the coordinates, straight with the
    slopes of `linear` outside, then `slices`."""

    domain: Domain
    coordinates: Coordinates
    linear: Linear
    start: Start
    box: FloatArray
    slices: Slices
    summary: FitSummary = field(default_factory=FitSummary)
    kind: ClassVar[str] = "feature_map"
    uses_truth: ClassVar[bool] = False

    def transport(self, x: FloatArray, z: FloatArray) -> FloatArray:
        """x' (n, d_x) of x (n, d_x); z is not used."""
        t = self.coordinates.forward(self.domain.checked(x))
        return self.coordinates.backward(self.slices(self.started(t)))

    def started(self, t: FloatArray) -> FloatArray:
        """The coordinates (n, d) before the slices."""
        return _extended(self.start, self.linear, self.box, t)

    def state(self) -> State:
        """Domain, coordinates and the parts of the map."""
        return {
            "domain": self.domain.state(),
            "coordinates": self.coordinates.state(),
            "linear": asdict(self.linear),
            "plan": _plan_of(self.start),
            "start": _start_state(self.start),
            "box": self.box,
            "slices": asdict(self.slices),
        }

    @classmethod
    def from_state(cls, state: State) -> FeatureMap:
        """Rebuild from `state`."""
        return cls(
            Domain.from_state(state["domain"]),
            Coordinates.from_state(state["coordinates"]),
            Linear(**state["linear"]),
            _start_of(str(state["plan"]), state["start"]),
            np.asarray(state["box"]),
            Slices(**state["slices"]),
        )


def feature_map(
    pair: Pair, plan: str, regularisation: float, rotations: int, context: Context
) -> FeatureMap:
    """The map of a pair by a plan (`exact`, `entropic`, `sliced`) and slices of `rotations`.

    Raises DataError for negative weights, samples that do not overlap, features that are linear
    combinations of others; FitError for a plan that is not found.
    """
    began = time.perf_counter()
    require_overlap(pair.simulation, pair.data)
    s, d = pair.simulation, pair.data
    coordinates = Coordinates.of(d.x, d.w, d.x_columns, logarithms=True)
    simulation, data = (Cloud.of(coordinates.forward(each.x), each.w) for each in (s, d))
    linear = Linear.of_moments(simulation, data)
    start = _started(plan, simulation, data, linear, regularisation)
    columns = simulation.t.T
    box = np.column_stack([weighted_quantile(t, simulation.w, EDGES) for t in columns])
    moved = simulation.moved(_extended(start, linear, box, simulation.t))
    events = 1 / (1 / s.effective_size + 1 / d.effective_size)
    rng = context.stream("slices")
    slices = Slices.of(moved, data, rotations, events, rng)
    notes = _notes(plan, regularisation, len(slices.directions))
    summary = FitSummary(time.perf_counter() - began, notes=notes)
    return FeatureMap(Domain.of(s), coordinates, linear, start, box, slices, summary)


def _started(
    plan: str, simulation: Cloud, data: Cloud, linear: Linear, regularisation: float
) -> Start:
    if plan == EXACT:
        return exact(simulation, data, linear)
    if plan == ENTROPIC:
        return entropic(simulation, data, linear, regularisation)
    return linear


def _extended(start: Start, linear: Linear, box: FloatArray, t: FloatArray) -> FloatArray:
    """The start at the nearest point of the box, and from there straight."""
    inside = np.clip(t, *box)
    return np.asarray(start(inside) + (t - inside) @ linear.matrix.T)


def _notes(plan: str, regularisation: float, slices: int) -> tuple[str, ...]:
    said = {
        EXACT: "exact plan, its displacements averaged over the nearest training events",
        ENTROPIC: f"entropic plan, regularisation {regularisation:g} variances of data",
        SLICED: "linear map of the moments",
    }[plan]
    return (
        f"{said}; then corrected along {slices} directions in which it left a difference",
        "distances are in standard deviations of data, of the logarithm where a feature is "
        "positive by nature; outside the training range the map goes on straight",
    )


def _plan_of(start: Start) -> str:
    return {Neighbours: EXACT, Entropic: ENTROPIC, Linear: SLICED}[type(start)]


def _start_state(start: Start) -> dict[str, Any]:
    """Its arrays and numbers; the linear part by itself."""
    if isinstance(start, Linear):
        return asdict(start)
    if isinstance(start, Entropic):
        return {**asdict(start), "linear": asdict(start.linear)}
    own = ("points", "weights", "displacements")
    return {"linear": asdict(start.linear), **{name: getattr(start, name) for name in own}}


def _start_of(plan: str, state: Mapping[str, Any]) -> Start:
    if plan == SLICED:
        return Linear(**state)
    parts = {**state, "linear": Linear(**state["linear"])}
    return Neighbours(**parts) if plan == EXACT else Entropic(**parts)
