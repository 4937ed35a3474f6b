"""Maximum-likelihood calibration by the Gaussian Ansatz (arXiv:2205.03413).

The function f that maximises the Donsker-Varadhan bound of the mutual information is
log p(x|z)/p(x), so that its maximum in z is the maximum-likelihood estimate: independent of the
training spectrum p(z). The Ansatz writes f as a quadratic form about B(x) whose curvature K is
the inverse covariance of the estimate (arXiv:2205.05084, Eq. 14 and 35-37).

What makes the fit fast and repeatable:
- it starts at the closed form of a linear Gaussian response;
- the whole sample is used in every step of a second-order minimiser (L-BFGS): at fixed B·K the
  bound is almost flat, and minibatch gradients are noisier than its slope;
- a few low-discrepancy pairs per event stand for p(x)p(z) (`calibrate.pairing`);
- features and targets that are positive by nature enter by their logarithm, in which a relative
  resolution is constant. The maximum of p(x|z) does not care which function of z is used.

Maximum likelihood is not unbiased in the mean: for x ~ N(z, (sz)²) the mean response is 1 - s².
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from calibrate.checks import choice, count, layer_sizes, positive_integer, positive_number
from calibrate.context import Context
from calibrate.coordinates import Coordinates
from calibrate.device import resolve, threads_for
from calibrate.errors import DataError, NoEstimateError
from calibrate.estimate import Calibration, Domain, Estimate, State
from calibrate.nn.ansatz import AnsatzShape, GaussianAnsatzNetwork, Heads, LinearResponse
from calibrate.nn.losses import donsker_varadhan
from calibrate.nn.networks import ACTIVATIONS, load_weights, weights_of
from calibrate.pairing import Pairs, all_pairs, low_discrepancy_pairs
from calibrate.prior import flatten
from calibrate.records import FitSummary, TrainingCurve
from calibrate.sample import FloatArray, Sample
from calibrate.seeding import torch_seeded
from calibrate.task import RegressionTask
from calibrate.train import DivergedError, Minimisation, minimise_full_batch, with_restarts

SPECTRA = ("sample", "flat")
PRECISIONS = {"single": torch.float32, "double": torch.float64}
EVERY_PAIR = "all"
LARGEST_ALL_PAIRS = 3000
CHUNK = 100_000
LARGEST_PAIRS = 2_000_000
"""Pairs in all, above which an event gets fewer (at least one): their noise falls as n grows."""
FIRST_EVENTS = 100_000
"""A sample more than twice as large is fitted from the solution of that many of its events."""
BOUND_NAME = "-(mutual information bound) + penalties [nat]"


@dataclass(frozen=True)
class GaussianAnsatz:
    """Hyperparameters of the Gaussian Ansatz.

    `hidden_a` … `hidden_d` are the hidden layers of the networks A, B, C, D ([] is linear;
    `hidden_d=null` sets D = 0). `pairs` per event (fewer above 2 million in all) stand for
    p(x)p(z), or `all`. `spectrum`:
    train on the sample's own spectrum or on the same events reweighted to a `flat` one.
    `weight_prior` is the width of the Gaussian prior on the networks' weights, whose pull is
    1/n_eff; `offset_penalty` multiplies ⟨|D|²⟩. Raises ConfigurationError when out of range.
    """

    hidden_a: Sequence[int] = (32, 32, 32)
    hidden_b: Sequence[int] = (32, 32, 32)
    hidden_c: Sequence[int] = (8, 8)
    hidden_d: Sequence[int] | None = (32, 32, 32)
    activation: str = "silu"
    spectrum: str = "sample"
    pairs: int | str = 8
    steps: int = 150
    weight_prior: float = 1.0
    offset_penalty: float = 1.0
    precision: str = "single"
    restarts: int = 3

    def __post_init__(self) -> None:
        for name in ("hidden_a", "hidden_b", "hidden_c"):
            layer_sizes(f"method.{name}", getattr(self, name))
        if self.hidden_d is not None:
            layer_sizes("method.hidden_d", self.hidden_d)
        choice("method.activation", self.activation, tuple(ACTIVATIONS))
        choice("method.spectrum", self.spectrum, SPECTRA)
        choice("method.precision", self.precision, tuple(PRECISIONS))
        if self.pairs != EVERY_PAIR:
            positive_integer("method.pairs", self.pairs)
        positive_integer("method.steps", self.steps)
        positive_number("method.weight_prior", self.weight_prior)
        positive_number("method.offset_penalty", self.offset_penalty)
        count("method.restarts", self.restarts)

    @property
    def shape(self) -> AnsatzShape:
        """The layers of the four networks."""
        hidden_d = None if self.hidden_d is None else tuple(self.hidden_d)
        layers = tuple(self.hidden_a), tuple(self.hidden_b), tuple(self.hidden_c)
        return AnsatzShape(*layers, hidden_d, self.activation)

    def fit(self, task: RegressionTask, context: Context) -> Calibration:
        """Fit the training sample; DataError for negative weights, FitError if all diverge."""
        start = time.perf_counter()
        sample, notes = self._training_sample(task.train)
        fitted, restarts = with_restarts(
            lambda attempt: self._attempt(sample, attempt), self.restarts, context
        )
        seconds = time.perf_counter() - start
        notes = (*notes, *fitted.summary.notes)
        summary = replace(fitted.summary, restarts=restarts, seconds=seconds, notes=notes)
        return replace(fitted, domain=Domain.of(task.train), summary=summary)

    def _training_sample(self, train: Sample) -> tuple[Sample, tuple[str, ...]]:
        sample = train.take(train.w != 0)
        if self.spectrum == "sample":
            return sample, ()
        flat = flatten(sample)
        column = sample.z_columns[0]
        note = (
            f"trained on the spectrum flattened in {'log ' if column.positive else ''}"
            f"{column.name} between {flat.low:.4g} and {flat.high:.4g} {column.unit} "
            f"(effective size {flat.sample.effective_size:.0f} of {len(sample)} events; "
            f"{sample.effective_size:.0f} with the sample's own weights)"
        )
        return flat.sample, (note,)

    def _attempt(self, sample: Sample, context: Context) -> FittedGaussianAnsatz:
        w = sample.w / np.mean(sample.w)
        x_coordinates = Coordinates.of(sample.x, w, sample.x_columns, logarithms=True)
        z_coordinates = Coordinates.of(sample.z, w, sample.z_columns, logarithms=True)
        x, t = x_coordinates.forward(sample.x), z_coordinates.forward(sample.z)
        with torch_seeded(context, "initialisation"):
            network = GaussianAnsatzNetwork(x.shape[1], t.shape[1], self.shape)
        network.start_from(LinearResponse.of(x, t, w))
        if len(x) > 2 * FIRST_EVENTS:
            few = context.stream("first").choice(len(x), FIRST_EVENTS, replace=False)
            size = sample.effective_size * FIRST_EVENTS / len(x)
            self._maximise(network, (x[few], t[few], w[few]), size, context.child("first"))
        done, bound = self._maximise(network, (x, t, w), sample.effective_size, context)
        fitted = FittedGaussianAnsatz(
            Domain.of(sample), x_coordinates, z_coordinates, self.shape, network.double().cpu()
        )
        curve = TrainingCurve("", done.loss, BOUND_NAME)
        summary = FitSummary(
            steps=len(done.loss),
            loss=float(done.loss[-1]),
            mutual_information=bound,
            curve=curve,
            notes=(fitted.newton_note(sample.x), *self._fewer(len(x))),
        )
        return replace(fitted, summary=summary)

    def _maximise(
        self,
        network: GaussianAnsatzNetwork,
        arrays: tuple[FloatArray, FloatArray, FloatArray],
        n_effective: float,
        context: Context,
    ) -> tuple[Minimisation, float]:
        """Maximise the penalised bound; the trace of its negative, and the bound at the end."""
        pairs = self._pairs(*arrays, context)
        dtype, device = PRECISIONS[self.precision], resolve(context.device)
        network.to(device=device, dtype=dtype)
        x, t = (torch.as_tensor(a, dtype=dtype, device=device) for a in arrays[:2])
        w, log_w = (torch.as_tensor(a, device=device) for a in (arrays[2], pairs.log_weight))
        w, log_w = w / w.sum(), log_w - torch.logsumexp(log_w, 0)
        first, second = (torch.as_tensor(index, device=device) for index in (pairs.x, pairs.z))
        x_pairs, t_pairs = x[first], t[second]
        prior = 0.5 / (self.weight_prior**2 * n_effective)

        def bound(heads: Heads) -> Tensor:
            joint = network.value(heads, x, t).double()
            product = network.value(heads.take(first), x_pairs, t_pairs).double()
            return donsker_varadhan(joint, w, product, log_w)

        def loss() -> Tensor:
            heads = network.heads(x)
            weights = sum((p**2).sum() for p in network.deep_parameters())
            return -bound(heads) + self.offset_penalty * offset(heads, w) + prior * weights

        width = max(sum(self.shape.hidden_c), 1)
        with threads_for(t_pairs.numel() * width):
            done = minimise_full_batch(loss, list(network.parameters()), self.steps, context)
            with torch.no_grad():
                value = float(bound(network.heads(x)))
        if value < -done.loss[0] - 1.0:
            raise DivergedError(f"the bound fell from {-done.loss[0]:.3g} to {value:.3g}")
        return done, value

    def _fewer(self, n: int) -> tuple[str, ...]:
        if self.pairs == EVERY_PAIR or self._each(n) == self.pairs:
            return ()
        return (f"{self._each(n)} pairs per event instead of {self.pairs}: {n} events",)

    def _each(self, n: int) -> int:
        """Pairs per event of n events."""
        return min(int(self.pairs), max(1, LARGEST_PAIRS // n))

    def _pairs(self, x: FloatArray, t: FloatArray, w: FloatArray, context: Context) -> Pairs:
        if self.pairs != EVERY_PAIR:
            return low_discrepancy_pairs(x, t, w, self._each(len(x)), context.stream("pairs"))
        if len(x) > LARGEST_ALL_PAIRS:
            raise DataError(
                f"method.pairs=all takes n² = {len(x) ** 2:.1e} pairs: at most "
                f"{LARGEST_ALL_PAIRS} events, got {len(x)}; use method.pairs=8"
            )
        return all_pairs(w)


def offset(heads: Heads, w: Tensor) -> Tensor:
    """Σw|D(x)|² (Σw = 1), whose penalty keeps B(x) near the maximum of f; zero where D = 0."""
    if heads.d is None:
        return w.new_zeros(())
    return (w * (heads.d.double() ** 2).sum(-1)).sum()


@dataclass(frozen=True)
class FittedGaussianAnsatz:
    """ẑ(x) = argmax_z f(x, z) with covariance K(x, ẑ)⁻¹, evaluated in float64."""

    domain: Domain
    x_coordinates: Coordinates
    z_coordinates: Coordinates
    shape: AnsatzShape
    network: GaussianAnsatzNetwork
    summary: FitSummary = field(default_factory=FitSummary)
    kind: ClassVar[str] = "gaussian_ansatz"
    closed_form: ClassVar[str] = "maximum_likelihood"

    def estimate(self, x: FloatArray) -> Estimate:
        """ẑ and its covariance for x (n, d_x), in physical units.

        Raises NoEstimateError if Newton's steps do not converge for an x inside the fitted range.
        """
        x = self.domain.checked(x)
        parts = [self._estimate(x[i : i + CHUNK]) for i in range(0, max(len(x), 1), CHUNK)]
        z, covariance, converged = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        inside = self.domain.inside(x)
        stuck = np.flatnonzero(inside & ~converged).tolist()
        if stuck:
            found = f"no maximum of the likelihood found for {len(stuck)} of {len(x)} events"
            raise NoEstimateError(f"{found}: train with more events or smaller networks", stuck)
        return Estimate(z, covariance, inside & converged)

    def newton_note(self, x: FloatArray) -> str:
        """How far the maximum lies from B(x), over the events x."""
        t = torch.from_numpy(self.x_coordinates.forward(x[:CHUNK]))
        largest = float(self.network.maximum(t).first_step.max())
        return (
            f"largest Newton step from B(x) to the maximum: {largest:.2g} standard deviations of z"
        )

    def _estimate(self, x: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        found = self.network.maximum(torch.from_numpy(self.x_coordinates.forward(x)))
        t = found.t.numpy()
        jacobian = self.z_coordinates.jacobian(t.copy())
        precision = found.precision.numpy()
        covariance = 1 / precision if precision.shape[-1] == 1 else np.linalg.inv(precision)
        covariance = covariance * jacobian[:, :, None] * jacobian[:, None, :]
        return self.z_coordinates.backward(t), covariance, found.converged.numpy()

    def state(self) -> State:
        """Everything but the summary of the fit."""
        hidden_d = self.shape.hidden_d
        return {
            "domain": self.domain.state(),
            "x_coordinates": self.x_coordinates.state(),
            "z_coordinates": self.z_coordinates.state(),
            "hidden_a": list(self.shape.hidden_a),
            "hidden_b": list(self.shape.hidden_b),
            "hidden_c": list(self.shape.hidden_c),
            "hidden_d": None if hidden_d is None else list(hidden_d),
            "activation": self.shape.activation,
            "weights": weights_of(self.network),
        }

    @classmethod
    def from_state(cls, state: State) -> FittedGaussianAnsatz:
        """Rebuild from `state`."""
        domain = Domain.from_state(state["domain"])
        hidden_d = state["hidden_d"]
        shape = AnsatzShape(
            tuple(state["hidden_a"]),
            tuple(state["hidden_b"]),
            tuple(state["hidden_c"]),
            None if hidden_d is None else tuple(hidden_d),
            state["activation"],
        )
        sizes = len(domain.x_columns), len(domain.z_columns)
        network = GaussianAnsatzNetwork(*sizes, shape).double()
        load_weights(network, state["weights"])
        x_coordinates = Coordinates.from_state(state["x_coordinates"])
        z_coordinates = Coordinates.from_state(state["z_coordinates"])
        return cls(domain, x_coordinates, z_coordinates, shape, network)
