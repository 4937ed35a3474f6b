"""Plans of optimal transport between two samples, and their maps for events of other samples.

A plan P_ij says how much weight goes from x_i to y_j (Python Optimal Transport solves for it, with
the cost ½|x-y|²). Its barycentric map x_i → Σ_j P_ij y_j/a_i is known at the training events alone:

- exact plan: the displacements of the nearest training events are averaged;
- entropic plan: E[y|x] = Σ_j y_j exp((g_j - ½|x-y_j|²)/ε)/Σ_j exp(…) with its potential g holds at
  any x (Pooladian & Niles-Weed, arXiv:2109.12004).

Both shrink: the entropic plan by its regularisation (between Gaussians the slope loses ½εΣ₁⁻¹),
averages of the exact plan by the noise of the matching. So only what is not linear is taken from
them: their least-squares line is replaced by the linear map of the moments.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

from calibrate.errors import FitError
from calibrate.methods.moments import Cloud, Linear
from calibrate.sample import FloatArray

NEIGHBOURS = 32
ENTRIES = 4_000_000
"""Of a matrix that is worked on at once."""
PIVOTS = 10_000_000
ITERATIONS, ACCURACY = 500, 1e-4
"""Of Sinkhorn's algorithm at each regularisation: at most so many, and the root mean square
deviation of the plan's weights, in units of a point's."""
COOLING, HOTTEST = 0.5, 2.0
UNDERFLOW = 300.0


@dataclass(frozen=True)
class Neighbours:
    """Linear map of the moments, and displacements from it (n, d) at training `points` (n, d)
    with weights (n,), averaged over the nearest ones (weights (1 - (r/r_max)³)³)."""

    linear: Linear
    points: FloatArray
    weights: FloatArray
    displacements: FloatArray

    @cached_property
    def _tree(self) -> cKDTree:
        return cKDTree(self.points)

    def __call__(self, t: FloatArray) -> FloatArray:
        """t' (n, d) of t (n, d)."""
        number = min(NEIGHBOURS, len(self.points))
        distance, row = self._tree.query(t, k=np.arange(1, number + 1))
        reach = np.maximum(distance[:, -1:], np.finfo(float).tiny)
        share = (1 - (distance / reach) ** 3) ** 3 * self.weights[row]
        share[:, 0] += np.finfo(float).tiny
        share /= share.sum(axis=1, keepdims=True)
        return np.asarray(self.linear(t) + np.einsum("nk,nkd->nd", share, self.displacements[row]))


@dataclass(frozen=True)
class Entropic:
    """E[y|x] under the entropic plan with `potential` (m,) at data's `points` (m, d) and
    regularisation ε, its linear part replaced: `linear` is added."""

    linear: Linear
    points: FloatArray
    potential: FloatArray
    regularisation: float

    def __call__(self, t: FloatArray) -> FloatArray:
        """t' (n, d) of t (n, d)."""
        return self.linear(t) + self.conditional_mean(t)

    def conditional_mean(self, t: FloatArray) -> FloatArray:
        """E[y|x] (n, d)."""
        pieces = 1 + len(t) * len(self.points) // ENTRIES
        found = [self._piece(piece) for piece in np.array_split(t, pieces)]
        return np.concatenate(found)

    def _piece(self, t: FloatArray) -> FloatArray:
        constant = self.potential - 0.5 * np.sum(self.points**2, axis=1)
        exponent = (t @ self.points.T + constant) / self.regularisation
        exponent -= exponent.max(axis=1, keepdims=True)
        share = np.exp(exponent, out=exponent)
        return np.asarray(share @ self.points / share.sum(axis=1, keepdims=True))


def exact(simulation: Cloud, data: Cloud, linear: Linear) -> Neighbours:
    """The exact plan's map. Raises FitError if the linear programme is not solved."""
    import ot  # heavy, and needed for several features alone

    simulation, data = simulation.merged(), data.merged()
    plan, log = ot.emd(simulation.w, data.w, _cost(simulation, data), PIVOTS, log=True)
    if log["warning"] is not None:
        raise FitError(f"the exact plan was not found: {log['warning']}: use method.plan=sliced")
    images = plan @ data.t / simulation.w[:, None]
    line = Linear.of_images(simulation, images)
    return Neighbours(linear, simulation.t, simulation.w, images - line(simulation.t))


def entropic(simulation: Cloud, data: Cloud, linear: Linear, regularisation: float) -> Entropic:
    """The entropic plan's map, by Sinkhorn's algorithm with stabilised kernels and a
    regularisation that is halved step by step.

    Raises FitError if it does not converge.
    """
    simulation, data = simulation.merged(), data.merged()
    cost = _cost(simulation, data)
    level, start = max(regularisation, HOTTEST, float(cost.max()) / UNDERFLOW), None
    while True:
        log = _sinkhorn(simulation, data, cost, level, start)
        if level <= regularisation:
            break
        level, start = max(COOLING * level, regularisation), log["warmstart"]
    _require_converged(log["err"][-1], log["beta"], regularisation, len(data.w))
    zero = Linear(np.zeros_like(linear.offset), np.zeros_like(linear.matrix))
    plain = Entropic(zero, data.t, np.asarray(log["beta"]), regularisation)
    line = Linear.of_images(simulation, plain(simulation.t))
    correction = Linear(linear.offset - line.offset, linear.matrix - line.matrix)
    return Entropic(correction, plain.points, plain.potential, regularisation)


def _cost(simulation: Cloud, data: Cloud) -> FloatArray:
    return np.asarray(0.5 * cdist(simulation.t, data.t, "sqeuclidean"))


def _sinkhorn(
    simulation: Cloud,
    data: Cloud,
    cost: FloatArray,
    level: float,
    start: tuple[FloatArray, FloatArray] | None,
) -> dict[str, Any]:
    """The log of the algorithm at one regularisation, from the potentials of a larger one."""
    import ot  # heavy, and needed for several features alone

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what does not converge is found by its error
        _, log = ot.bregman.sinkhorn_stabilized(
            simulation.w, data.w, cost, level, numItermax=ITERATIONS, tau=1e30,
            stopThr=ACCURACY / np.sqrt(len(data.w)), warmstart=start, print_period=10,
            log=True, warn=False,
        )  # fmt: skip
    return dict(log)


def _require_converged(
    error: float, potential: FloatArray, regularisation: float, points: int
) -> None:
    if np.all(np.isfinite(potential)) and error * np.sqrt(points) < 1e2 * ACCURACY:
        return
    raise FitError(
        f"the entropic plan did not converge at method.regularisation={regularisation:g} (error of "
        f"its weights {error * np.sqrt(points):.2g}): choose a larger one, or method.plan=sliced"
    )
