"""The binned model as a HistFactory workspace: what pyhf, cabinetry and TRExFitter read.

HistFactory knows templates at three values of a nuisance (nominal, and one width of the constraint
down and up) and a fixed score. So what is exported is the model of the score at the nominal values,
with `histosys` between those three, `shapesys` for the simulation's statistics (the γ of our
likelihood, relative to the nominal templates), μ as a `normfactor`, and an auxiliary measurement as
a second channel. `ThreePoint` is HistFactory's own interpolation (code 4p, pyhf's default), so that
our likelihood of the exported model is pyhf's but for a constant.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import numpy as np

from calibrate.errors import ConfigurationError, FitError
from calibrate.inference.contents import Constant, Filled
from calibrate.inference.likelihood import Expectation, Likelihood, Observation
from calibrate.sample import FloatArray
from calibrate.task import Auxiliary, Nuisance

CHANNEL, MEASURED = "score", "auxiliary"
VERSION = "1.0.0"
FARTHEST = 5.0
"""Bounds of a nuisance, in widths: pyhf's."""


@dataclass(frozen=True)
class ThreePoint:
    """Contents (n_b,) at the nominal values and (d, n_b) one width below and above them.

    T(α) = T₀ + Σ_k I(α_k), α = (Z-Z₀)/σ; I = α(T⁺-T₀) above 1, α(T₀-T⁻) below -1, and between
    Sα + A(15α² - 10α⁴ + 3α⁶) with S half the sum and 16A the difference of those slopes.
    """

    nominal: FloatArray
    low: FloatArray
    high: FloatArray
    centres: FloatArray
    widths: FloatArray

    def __call__(self, z: FloatArray) -> Filled:
        alpha = ((z - self.centres) / self.widths)[:, :, None]
        up, down = self.high - self.nominal, self.nominal - self.low
        outer = np.where(alpha > 0, up, down)
        s, a = 0.5 * (up + down), 0.0625 * (up - down)
        squared = alpha**2
        inner = alpha * (s + alpha * a * (15 + squared * (3 * squared - 10)))
        slope = s + a * alpha * (30 + squared * (18 * squared - 40))
        curved = a * (30 + squared * (90 * squared - 120))
        within = np.abs(alpha) < 1
        widths = self.widths[:, None]
        return (
            self.nominal + np.where(within, inner, alpha * outer).sum(axis=1),
            np.where(within, slope, outer) / widths,
            np.where(within, curved, 0.0) / widths**2,
        )


@dataclass(frozen=True)
class BinnedModel:
    """Signal and background templates with Σw² of both at the nominal values (2, n_b each), the
    observed counts (n_b,), and the expected and observed auxiliary counts, if there are any."""

    nuisances: Sequence[Nuisance]
    signal: ThreePoint
    background: ThreePoint
    squares: FloatArray
    counts: FloatArray
    auxiliary: ThreePoint | None = None
    measured: FloatArray | None = None

    def __post_init__(self) -> None:
        for nuisance in self.nuisances:
            required_width(nuisance)

    @property
    def bounds(self) -> FloatArray:
        """Of the nuisances, (d, 2)."""
        centres, widths = self.signal.centres, self.signal.widths
        return np.stack([centres - FARTHEST * widths, centres + FARTHEST * widths], axis=1)

    def likelihood(self) -> Likelihood:
        """Our likelihood of the same model."""
        nominal = np.stack([self.background.nominal, self.signal.nominal])
        auxiliary = None if self.auxiliary is None else Auxiliary(self._expected, MEASURED)
        variance = self.squares / nominal**2
        expected = Expectation(
            self.signal, self.background, variance, self.nuisances, self.bounds, auxiliary
        )
        return Likelihood(expected, Observation.of(Constant(self.counts), expected, self.measured))

    def _expected(self, values: Mapping[str, FloatArray]) -> FloatArray:
        if self.auxiliary is None:
            return np.zeros((0, 0))
        return self.auxiliary(np.stack([values[n.name] for n in self.nuisances], axis=1))[0]

    def workspace(self, bounds: tuple[float, float]) -> dict[str, Any]:
        """The workspace (JSON) with these bounds of μ."""
        errors = np.sqrt(self.squares)
        samples = [
            self._sample("background", self.background, errors[0]),
            self._sample("signal", self.signal, errors[1]),
        ]
        samples[1]["modifiers"].insert(0, {"name": "mu", "type": "normfactor", "data": None})
        channels = [{"name": CHANNEL, "samples": samples}]
        observations = [{"name": CHANNEL, "data": self.counts.tolist()}]
        if self.auxiliary is not None and self.measured is not None:
            channels.append(
                {"name": MEASURED, "samples": [self._sample(MEASURED, self.auxiliary, None)]}
            )
            observations.append({"name": MEASURED, "data": self.measured.tolist()})
        poi = {"name": "mu", "bounds": [list(bounds)], "inits": [1.0]}
        measurement = {"name": "likelihood", "config": {"poi": "mu", "parameters": [poi]}}
        return {
            "channels": channels, "observations": observations, "measurements": [measurement],
            "version": VERSION,
        }  # fmt: skip

    def _sample(
        self, name: str, templates: ThreePoint, errors: FloatArray | None
    ) -> dict[str, Any]:
        modifiers: list[dict[str, Any]] = [
            {"name": nuisance.name, "type": "histosys",
             "data": {"lo_data": low.tolist(), "hi_data": high.tolist()}}
            for nuisance, low, high in zip(
                self.nuisances, templates.low, templates.high, strict=True
            )
        ]  # fmt: skip
        if errors is not None:
            modifiers.append(
                {"name": f"simulation_{name}", "type": "shapesys", "data": errors.tolist()}
            )
        return {"name": name, "data": templates.nominal.tolist(), "modifiers": modifiers}


def required_width(nuisance: Nuisance) -> float:
    """The width of a nuisance's constraint; ConfigurationError where there is none."""
    if nuisance.width is None:
        raise ConfigurationError(
            f"the nuisance '{nuisance.name}' has no constraint: HistFactory needs a width for its "
            "templates up and down: use evaluator.likelihood.workspaces=false"
        )
    return nuisance.width


@dataclass(frozen=True)
class PyhfFit:
    """pyhf's best μ and nuisances (d,), and its -2 log L there."""

    strength: float
    values: FloatArray
    twice_nll: float


def require_pyhf() -> None:
    """Raise ConfigurationError where pyhf is not installed."""
    if find_spec("pyhf") is None:
        raise ConfigurationError(
            "evaluator.likelihood.pyhf=true needs pyhf: pip install 'hep-calibrate[pyhf]'"
        )


def pyhf_fit(workspace: dict[str, Any], model: BinnedModel, start: FloatArray) -> PyhfFit:
    """What pyhf (PyTorch for exact gradients, SciPy) finds in the workspace of a model, from its
    own start and from `start` (1+d,), μ and nuisances: templates may have several minima.

    Raises ConfigurationError without pyhf, FitError where it does not converge.
    """
    require_pyhf()
    import pyhf

    optimizer = pyhf.optimize.scipy_optimizer(tolerance=1e-14, maxiter=100_000)
    with warnings.catch_warnings(), _precision_kept():
        # of PyTorch, how pyhf makes its tensors; of jsonschema, what pyhf calls
        for kind in (UserWarning, DeprecationWarning):
            warnings.simplefilter("ignore", kind)
        pyhf.set_backend("pytorch", optimizer, precision="64b")
        built = pyhf.Workspace(workspace)
        fitted = built.model()
        best, twice = _lowest(pyhf, built.data(fitted), fitted, start, model)
    alphas = [float(best[fitted.config.par_slice(n.name)][0]) for n in model.nuisances]
    values = model.signal.centres + model.signal.widths * np.array(alphas)
    return PyhfFit(float(best[fitted.config.poi_index]), values, float(twice))


@contextmanager
def _precision_kept() -> Iterator[None]:
    """pyhf makes double precision PyTorch's default for the whole process: taken back."""
    import torch

    before = torch.get_default_dtype()
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _lowest(
    pyhf: ModuleType,
    data: Any,  # noqa: ANN401 - pyhf's own, as the model
    fitted: Any,  # noqa: ANN401
    start: FloatArray,
    model: BinnedModel,
) -> tuple[Any, float]:
    """The lower of pyhf's minima from two starts, and its -2 log L."""
    there = fitted.config.suggested_init()
    there[fitted.config.poi_index] = float(start[0])
    for k, nuisance in enumerate(model.nuisances):
        alpha = (start[1 + k] - model.signal.centres[k]) / model.signal.widths[k]
        there[fitted.config.par_slice(nuisance.name)] = [float(alpha)]
    found: list[tuple[Any, float]] = []
    reasons: list[str] = []
    for begin in (None, there):
        try:
            found.append(pyhf.infer.mle.fit(data, fitted, init_pars=begin, return_fitted_val=True))
        except pyhf.exceptions.FailedMinimization as error:
            reasons.append(str(error))
    if not found:
        raise FitError(f"pyhf finds no minimum: {reasons[0]}")
    return min(found, key=lambda each: float(each[1]))
