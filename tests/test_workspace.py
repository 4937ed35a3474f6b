"""The exported HistFactory model: our likelihood of it is pyhf's, and so is its minimum."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch

from benchmarks.slow_likelihood import best_gammas
from calibrate.errors import ConfigurationError
from calibrate.inference.histfactory import BinnedModel, ThreePoint, pyhf_fit
from calibrate.inference.profile import Profile
from calibrate.task import Nuisance
from tests.inference_models import BACKGROUND, SIGNAL

NUISANCES = (Nuisance("tau", 1.0, 0.05), Nuisance("jet", 0.0, 2.0))
CENTRES, WIDTHS = np.array([1.0, 0.0]), np.array([0.05, 2.0])
TILTS = np.array([[-0.06, 0.01, 0.05], [0.02, -0.03, 0.04]])
BOUNDS = (-5.0, 20.0)


def three(nominal: np.ndarray) -> ThreePoint:
    return ThreePoint(nominal, nominal * (1 - TILTS), nominal * (1 + 1.3 * TILTS), CENTRES, WIDTHS)


def binned(auxiliary: bool) -> BinnedModel:
    control = ThreePoint(
        np.array([40.0, 60.0]), np.array([[36.0, 63.0], [40.0, 59.0]]),
        np.array([[45.0, 58.0], [41.0, 60.0]]), CENTRES, WIDTHS,
    )  # fmt: skip
    counts, measured = np.array([905.0, 341.0, 160.0]), np.array([44.0, 57.0])
    squares = np.stack([2 * BACKGROUND, 0.1 * SIGNAL])
    both = (control, measured) if auxiliary else (None, None)
    return BinnedModel(NUISANCES, three(SIGNAL), three(BACKGROUND), squares, counts, *both)


def fitted(model: BinnedModel) -> Profile:
    start = np.array([1.0, *CENTRES])
    return Profile(model.likelihood(), np.vstack([BOUNDS, model.bounds]), start)


@pytest.mark.parametrize("auxiliary", [False, True])
def test_our_minimum_is_that_of_pyhf(auxiliary: bool):
    pytest.importorskip("pyhf")
    model = binned(auxiliary)
    ours = fitted(model).best
    workspace = json.loads(json.dumps(model.workspace(BOUNDS)))
    precision = torch.get_default_dtype()
    theirs = pyhf_fit(workspace, model, ours.parameters)
    assert torch.get_default_dtype() == precision
    assert ours.parameters[0] == pytest.approx(theirs.strength, abs=1e-6)
    assert ours.parameters[1:] == pytest.approx(theirs.values, abs=1e-5)


@pytest.mark.filterwarnings("ignore:jsonschema.RefResolver:DeprecationWarning")
@pytest.mark.parametrize("auxiliary", [False, True])
def test_our_likelihood_is_that_of_pyhf_but_for_a_constant(auxiliary: bool):
    """pyhf's γ are parameters: minimised over here, bin by bin, by ours."""
    pyhf = pytest.importorskip("pyhf")
    pyhf.set_backend("numpy")
    model = binned(auxiliary)
    likelihood = model.likelihood()
    workspace = pyhf.Workspace(model.workspace(BOUNDS))
    theirs = workspace.model()
    data, differences = workspace.data(theirs), []
    expected = likelihood.expected
    for mu, tau, jet in ((1.0, 0.0, 0.0), (3.0, 0.6, -0.3), (0.4, -1.7, 2.5)):
        z = np.array([[1 + 0.05 * tau, 2 * jet]])
        templates = np.stack([expected.background(z)[0][0], mu * expected.signal(z)[0][0]])
        gammas = np.array([best_gammas(p, n, v) for p, n, v in zip(
            templates.T, model.counts, expected.variance.T, strict=True)]).T  # fmt: skip
        parameters = np.array(theirs.config.suggested_init())
        named = {"mu": mu, "tau": tau, "jet": jet,
                 "simulation_background": gammas[0], "simulation_signal": gammas[1]}  # fmt: skip
        for name, value in named.items():
            parameters[theirs.config.par_slice(name)] = value
        value = likelihood(np.array([mu]), z)[0]
        differences.append(value + float(theirs.logpdf(parameters, data)[0]))
    assert differences == pytest.approx([differences[0]] * 3, abs=1e-9)


def test_three_points_are_met_and_smooth():
    contents, step = three(BACKGROUND), 1e-6
    at = np.array([[1.0, 0.0], [1.05, 0.0], [0.95, 0.0], [1.0, 2.0]])
    expected = BACKGROUND * np.stack([np.ones(3), 1 + 1.3 * TILTS[0], 1 - TILTS[0],
                                      1 + 1.3 * TILTS[1]])  # fmt: skip
    assert contents(at)[0] == pytest.approx(expected)
    z = np.array([[1.02, -1.1], [1.08, 3.0]])
    for k in range(2):
        moved = np.eye(2)[k] * step * WIDTHS[k]
        up, down, here = contents(z + moved), contents(z - moved), contents(z)
        for order in range(2):
            rise = (up[order] if order == 0 else up[1][:, k]) - (
                down[order] if order == 0 else down[1][:, k]
            )
            assert here[1 + order][:, k] == pytest.approx(
                rise / (2 * step * WIDTHS[k]), rel=1e-5, abs=1e-3
            )


def test_a_nuisance_without_a_constraint_cannot_be_exported():
    free = (Nuisance("tau", 1.0, None, low=0.7, high=1.3), NUISANCES[1])
    with pytest.raises(ConfigurationError, match=r"'tau' has no constraint: .*workspaces=false"):
        BinnedModel(free, three(SIGNAL), three(BACKGROUND), np.zeros((2, 3)), SIGNAL)


def test_the_start_may_be_far_from_nominal():
    pytest.importorskip("pyhf")
    model = binned(False)
    found = pyhf_fit(model.workspace(BOUNDS), model, np.array([15.0, 1.15, -4.0]))
    assert math.isclose(found.strength, fitted(model).best.parameters[0], abs_tol=1e-6)
