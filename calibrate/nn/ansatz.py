"""The Gaussian Ansatz f(x, t) as a network, and its maximum in t.

f(x,t) = A(x) + (t-B(x))·D(x) - ½ (t-B(x))ᵀ K(x,t) (t-B(x)),  K = L Lᵀ + floor·1
(arXiv:2205.05084, Eq. 35, with K = -C; L lower triangular with a softplus on its diagonal, so
that K is positive definite whatever the network says). Coordinates are dimensionless: x (n, d_x),
t (…, n, d_z).

B(x) is the maximum of f in t only where D(x) = 0 and K does not depend on t. `maximum` therefore
goes on from B(x) with Newton steps that use all derivatives in t.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from calibrate.nn.networks import SkipMLP
from calibrate.sample import FloatArray

FLOOR = 1e-6
NEWTON_STEPS = 30
NEWTON_TOLERANCE = 1e-9
LONGEST_STEP = 0.5
"""Cap of one Newton step, in standard deviations of t."""


@dataclass(frozen=True)
class AnsatzShape:
    """Hidden layers of A, B, C, D; `hidden_d` is None where D = 0."""

    hidden_a: tuple[int, ...]
    hidden_b: tuple[int, ...]
    hidden_c: tuple[int, ...]
    hidden_d: tuple[int, ...] | None
    activation: str


@dataclass(frozen=True)
class Maximum:
    """t̂ (n, d_z), K(x, t̂) (n, d_z, d_z), the first Newton step's length (n,) and whether the
    steps converged (n,)."""

    t: Tensor
    precision: Tensor
    first_step: Tensor
    converged: Tensor


class Heads(NamedTuple):
    """A (n,), B (n, d_z) and D (n, d_z), or None where D = 0."""

    a: Tensor
    b: Tensor
    d: Tensor | None

    def take(self, index: Tensor) -> Heads:
        """The heads of the chosen events; unlike `a[index]`, `index_select` has a gradient that
        is summed in one order, so that the same seed gives the same fit on several threads."""
        d = None if self.d is None else self.d.index_select(0, index)
        return Heads(self.a.index_select(0, index), self.b.index_select(0, index), d)


class GaussianAnsatzNetwork(nn.Module):
    """A, B, C, D for d_x features and d_z targets."""

    triangle: Tensor
    diagonal: Tensor
    spread: Tensor

    def __init__(self, d_x: int, d_z: int, shape: AnsatzShape) -> None:
        super().__init__()
        entries, act = d_z * (d_z + 1) // 2, shape.activation
        self.a = SkipMLP(d_x + 1, 1, shape.hidden_a, act)
        self.b = SkipMLP(d_x, d_z, shape.hidden_b, act)
        self.c = SkipMLP(d_x + d_z, entries, shape.hidden_c, act)
        self.d = None if shape.hidden_d is None else SkipMLP(d_x, d_z, shape.hidden_d, act)
        rows, columns = np.tril_indices(d_z)
        place = np.zeros((entries, d_z * d_z), dtype=np.float32)
        place[np.arange(entries), rows * d_z + columns] = 1.0
        self.register_buffer("triangle", torch.from_numpy(place))
        self.register_buffer("diagonal", torch.from_numpy(rows == columns))
        self.register_buffer("spread", torch.eye(d_z))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """f (…, n)."""
        return self.value(self.heads(x), x, t)

    def heads(self, x: Tensor) -> Heads:
        """What depends on x alone: A is a network of x and of ½ B(x)ᵀ S B(x), its shape for
        linear Gaussian response and prior."""
        centre = self.b(x)
        quadratic = 0.5 * ((centre @ self.spread) * centre).sum(-1, keepdim=True)
        a = self.a(torch.cat([x, quadratic], -1))[..., 0]
        return Heads(a, centre, None if self.d is None else self.d(x))

    def value(self, heads: Heads, x: Tensor, t: Tensor) -> Tensor:
        """f (…, n) from the heads of x."""
        return heads.a + self._form(heads.b, heads.d, x, t)

    def _form(self, b: Tensor, d: Tensor | None, x: Tensor, t: Tensor) -> Tensor:
        """f - A (…, n): what depends on t."""
        residual = t - b
        scaled = (self.cholesky(x, t) * residual.unsqueeze(-1)).sum(-2)
        quadratic = (scaled**2).sum(-1) + FLOOR * (residual**2).sum(-1)
        return -0.5 * quadratic if d is None else (residual * d).sum(-1) - 0.5 * quadratic

    def cholesky(self, x: Tensor, t: Tensor) -> Tensor:
        """L (…, n, d_z, d_z)."""
        entries = self.c(torch.cat([x.expand(*t.shape[:-1], x.shape[-1]), t], -1))
        if t.shape[-1] == 1:
            return softplus(entries).unsqueeze(-1)
        entries = torch.where(self.diagonal, softplus(entries), entries)
        return (entries @ self.triangle).view(*t.shape, t.shape[-1])

    def precision(self, x: Tensor, t: Tensor) -> Tensor:
        """K (…, n, d_z, d_z)."""
        factor = self.cholesky(x, t)
        identity = torch.eye(t.shape[-1], dtype=t.dtype, device=t.device)
        return factor @ factor.transpose(-1, -2) + FLOOR * identity

    def deep_parameters(self) -> list[Tensor]:
        """The parameters that are not linear maps."""
        networks = (self.a, self.b, self.c, *([] if self.d is None else [self.d]))
        return [parameter for network in networks for parameter in network.deep_parameters()]

    @torch.no_grad()
    def start_from(self, start: LinearResponse) -> None:
        """Begin at the closed form of a linear Gaussian response."""
        d_x, d_z = start.slope.shape[1], start.slope.shape[0]
        self.b.set_linear(start.slope, start.offset)
        factor = np.linalg.cholesky(start.precision)
        entries = np.where(np.eye(d_z, dtype=bool), _inverse_softplus(np.asarray(factor)), factor)
        bias = entries[np.tril_indices(d_z)]
        self.c.set_linear(np.zeros((bias.size, d_x + d_z)), bias)
        self.spread.copy_(torch.as_tensor(start.spread))
        weight = np.zeros((1, d_x + 1))
        weight[0, -1] = 1.0
        self.a.set_linear(weight, np.array([start.normalisation]))

    @torch.no_grad()
    def maximum(self, x: Tensor) -> Maximum:
        """The t that maximises f(x, t), by Newton steps from B(x); A has no say in it."""
        b, d = self.b(x), None if self.d is None else self.d(x)
        t, first = b.clone(), torch.zeros(len(x), dtype=x.dtype)
        active = torch.arange(len(x))
        for iteration in range(NEWTON_STEPS):
            at = x[active], t[active]
            step = self._newton_step(b[active], None if d is None else d[active], *at)
            t[active] += step
            length = step.norm(dim=-1)
            if iteration == 0:
                first = length
            active = active[length > NEWTON_TOLERANCE]
            if not len(active):
                break
        converged = torch.ones(len(x), dtype=torch.bool)
        converged[active] = False
        return Maximum(t, self.precision(x, t), first, converged)

    def _newton_step(self, b: Tensor, d: Tensor | None, x: Tensor, t: Tensor) -> Tensor:
        """-H⁻¹g, with K in place of -H where -H is not positive definite; of limited length."""
        with torch.enable_grad():
            t = t.detach().requires_grad_()
            form = self._form(b, d, x, t)
            (gradient,) = torch.autograd.grad(form.sum(), t, create_graph=True)
            rows = [
                torch.autograd.grad(gradient[:, j].sum(), t, retain_graph=True)[0]
                for j in range(t.shape[-1])
            ]
        curvature = -torch.stack(rows, -2).detach()
        failed = _indefinite(curvature)
        if failed.any():
            curvature[failed] = self.precision(x[failed], t[failed])
        step = _solved(curvature, gradient.detach())
        length = step.norm(dim=-1, keepdim=True).clamp(min=1e-300)
        limited: Tensor = step * (LONGEST_STEP / length).clamp(max=1.0)
        return limited


def _indefinite(matrices: Tensor) -> Tensor:
    """Which symmetric matrices (n, d, d) are not positive definite (n,)."""
    if matrices.shape[-1] == 1:
        return ~(matrices[:, 0, 0] > 0)
    failed: Tensor = torch.linalg.cholesky_ex(matrices).info > 0
    return failed


def _solved(matrices: Tensor, right: Tensor) -> Tensor:
    """M⁻¹r (n, d); LAPACK is slow for numbers."""
    if matrices.shape[-1] == 1:
        return right / matrices[..., 0]
    solution: Tensor = torch.linalg.solve(matrices, right.unsqueeze(-1))[..., 0]
    return solution


@dataclass(frozen=True)
class LinearResponse:
    """The closed form for x = M t + c + noise of covariance V: B(x) = slope·x + offset, K.

    With t standardised to covariance T: K = MᵀV⁻¹M, B = K⁻¹MᵀV⁻¹(x - c), and
    A(x) = ½ log det(1 + K T) + ½ BᵀSB with S = (K⁻¹ + T)⁻¹ (`spread`).
    """

    slope: FloatArray
    offset: FloatArray
    precision: FloatArray
    spread: FloatArray
    normalisation: float

    @classmethod
    def of(cls, x: FloatArray, t: FloatArray, w: FloatArray) -> LinearResponse:
        """From the weighted moments of x (n, d_x) and t (n, d_z), both of mean zero."""
        w = w / np.sum(w)
        cxx, ctt, cxt = (x * w[:, None]).T @ x, (t * w[:, None]).T @ t, (x * w[:, None]).T @ t
        response = cxt @ np.linalg.inv(ctt)
        noise = cxx - response @ ctt @ response.T
        noise += RIDGE * np.trace(cxx) / len(cxx) * np.eye(len(cxx))
        information = np.linalg.solve(noise, response).T
        precision = information @ response + RIDGE * np.eye(len(ctt))
        slope = np.linalg.solve(precision, information)
        spread = np.linalg.inv(np.linalg.inv(precision) + ctt)
        _, log_determinant = np.linalg.slogdet(np.eye(len(ctt)) + precision @ ctt)
        offset = np.zeros(len(ctt))
        return cls(slope, offset, precision, spread, 0.5 * float(log_determinant))


RIDGE = 1e-6


def _inverse_softplus(values: FloatArray) -> FloatArray:
    """log(e^v - 1), for positive entries; others are not used."""
    positive = np.maximum(values, 1e-6)
    return np.asarray(positive + np.log(-np.expm1(-positive)))
