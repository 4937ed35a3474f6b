"""Response transport: any spectrum from one anchor, its slow twin, what is refused."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from calibrate.context import Context
from calibrate.data.dijet import Dijet
from calibrate.data.gaussian import Gaussian
from calibrate.errors import ConfigurationError, FitError, MisfitError
from calibrate.estimate import Domain
from calibrate.loading import load
from calibrate.methods.response_map import ResponseMap
from calibrate.methods.response_transport import ResponseTransport
from calibrate.sample import concatenate
from calibrate.statistics import weighted_mean, weighted_quantile
from calibrate.storage import save_state
from calibrate.task import Pair, TransportTask

METHOD = ResponseTransport(anchor="spectrum")


@pytest.fixture(scope="module")
def task() -> TransportTask:
    return Gaussian(n=20000).transport(Context())


def fitted(task: TransportTask, method: ResponseTransport = METHOD) -> ResponseMap:
    return method.fit(task, Context())


def moved(found: ResponseMap, pair: Pair) -> np.ndarray:
    return found.transport(pair.simulation.x, pair.simulation.z)[:, 0]


@pytest.mark.parametrize(("mu", "sigma"), [(2.0, 1.0), (2.0, 0.5), (-1.0, 2.0)])
def test_one_anchor_serves_other_priors_of_the_gaussian_example(mu: float, sigma: float):
    """Mean μ and std √(σ²+ε²) at priors that the fit never saw, within three errors."""
    n = 100_000
    task = Gaussian(n=n, mu_test=mu, sigma_test=sigma).transport(Context())
    found = fitted(task)
    assert found.slopes[0] == pytest.approx(2.0, rel=0.03)
    pair = task.tests["shifted"]
    x, data = moved(found, pair), pair.data.x[:, 0]
    of_map = 0.015  # of offset and scale, as independent fits scatter
    assert abs(x.mean() - data.mean()) < 3 * np.hypot(
        of_map, np.hypot(x.std(), data.std()) / n**0.5
    )
    assert abs(x.std() - data.std()) < 3 * np.hypot(of_map, data.std() / n**0.5)


def errors(found: ResponseMap) -> tuple[float, float]:
    """Those of offset and scale, as the notes have them."""
    said = re.search(r"offset \S+ ± (\S+), scale \S+ ± (\S+) ", found.summary.notes[0])
    assert said is not None
    return float(said[1]), float(said[2])


def test_offset_and_scale_scatter_by_what_is_said():
    """Pulls of 40 independent samples: mean 0, width 1."""
    method = replace(METHOD, spectrum_variation=0)
    found = [fitted(Gaussian(n=4000).transport(Context(seed=s)), method) for s in range(40)]
    said = np.array([errors(f) for f in found])
    pulls = (np.array([(f.offset, f.slopes[0]) for f in found]) - [0.0, 2.0]) / said
    np.testing.assert_allclose(pulls.mean(axis=0), 0, atol=4 / 40**0.5)
    np.testing.assert_allclose(pulls.std(axis=0), 1, atol=4 / 80**0.5)


def test_the_bootstrap_agrees_with_the_hessian(task: TransportTask):
    method = replace(METHOD, spectrum_variation=0)
    rng, found = np.random.default_rng(0), []
    for _ in range(30):
        s, d = (
            sample.with_weights(rng.poisson(1, len(sample)).astype(float))
            for sample in (task.train.simulation, task.train.data)
        )
        again = fitted(replace(task, train=Pair(s, d)), method)
        found.append((again.offset, again.slopes[0]))
    spread = np.std(found, axis=0)
    np.testing.assert_allclose(spread / errors(fitted(task, method)), 1, atol=4 / 60**0.5)


def test_dijet_resonances_get_the_widths_of_data():
    task = Dijet().transport(Context())
    found = fitted(task)
    assert found.relative
    for test in ("resonance2200", "resonance2800"):
        pair = task.tests[test]
        (before, _), (after, mean), (width, seen) = (
            (np.diff(weighted_quantile(x, s.w, [0.1587, 0.8413]))[0] / 2, weighted_mean(x, s.w))
            for x, s in (
                (pair.simulation.x[:, 0], pair.simulation),
                (moved(found, pair), pair.simulation),
                (pair.data.x[:, 0], pair.data),
            )
        )
        assert before < 0.75 * width
        assert after == pytest.approx(width, rel=0.1)
        assert mean == pytest.approx(seen, rel=0.01)


def test_the_map_is_its_formula():
    task = Gaussian(n=200).transport(Context())
    domain = Domain.of(task.train.simulation)
    slopes, breaks = np.array([0.5, 1.0, 3.0]), np.array([-1.0, 2.0])
    found = ResponseMap(domain, 0.25, slopes, breaks, relative=False)

    def slow(r: float) -> float:
        steps = np.linspace(0, r, 20001)
        middle = (steps[1:] + steps[:-1]) / 2
        return sum(slopes[int(np.searchsorted(breaks, m))] for m in middle) * r / 20000

    r = np.array([-3.0, -1.0, -0.2, 0.0, 1.5, 4.0])
    np.testing.assert_allclose(found.shape(r), [slow(v) for v in r], atol=2e-3)
    z = np.full((6, 1), 10.0)
    np.testing.assert_allclose(
        found.transport(z + r[:, None], z)[:, 0], 10.25 + found.shape(r), rtol=1e-12
    )
    ratio = replace(found, relative=True)
    np.testing.assert_allclose(
        ratio.transport(z * (1 + r[:, None]), z)[:, 0], 10 * (1.25 + found.shape(r)), rtol=1e-12
    )


@pytest.mark.parametrize("pieces", [2, 3])
def test_several_pieces_describe_the_data_no_worse(task: TransportTask, pieces: int):
    one, more = fitted(task), fitted(task, ResponseTransport("spectrum", pieces))
    assert more.slopes.size == pieces
    assert np.all(more.slopes > 0)
    assert more.summary.loss < one.summary.loss + 2
    pair = task.tests["shifted"]
    assert moved(more, pair).std() == pytest.approx(np.sqrt(5), rel=0.03)


def test_a_factor_of_the_weights_changes_nothing_and_weight_two_is_the_event_twice(task):
    found = fitted(task)
    s, d = task.train.simulation, task.train.data
    scaled = replace(task, train=Pair(s.with_weights(1e-9 * s.w), d.with_weights(7 * d.w)))
    assert fitted(scaled).offset == pytest.approx(found.offset, abs=1e-6)
    double = 1.0 + (np.arange(len(s)) % 2)
    one = replace(task, train=Pair(s.with_weights(double), d))
    two = replace(task, train=Pair(concatenate([s, s.take(double > 1)]), d))
    np.testing.assert_allclose(fitted(one).slopes, fitted(two).slopes, rtol=1e-6)


def test_the_notes_name_condition_and_assumption(task: TransportTask):
    first, second, _ = fitted(task).summary.notes
    assert "condition number of the Hessian" in first
    assert re.search(r"offset -?0\.\d+ ± 0\.0\d+, scale \d\.\d+ ± 0\.0\d+", first)
    assert second.startswith("universal under the anchor 'spectrum': p(z) of the simulation")


def test_a_stored_map_is_the_same(task: TransportTask, tmp_path: Path):
    found = fitted(task, ResponseTransport("spectrum", 2))
    save_state(tmp_path / "fitted.h5", found.kind, found.state())
    pair = task.tests["nominal"]
    np.testing.assert_array_equal(moved(found, pair), moved(load(tmp_path), pair))


def test_without_an_anchor_there_is_no_fit(task: TransportTask):
    with pytest.raises(ConfigurationError, match=r"needs an anchor.*method\.anchor=spectrum"):
        fitted(task, ResponseTransport())
    with pytest.raises(ConfigurationError, match="did you mean spectrum"):
        ResponseTransport(anchor="spectrums")
    with pytest.raises(ConfigurationError, match=r"method\.pieces must be a positive integer"):
        ResponseTransport(anchor="spectrum", pieces=0)


def test_a_flat_direction_is_refused():
    """A response of 1 % of the spectrum's width leaves no trace in the marginal."""
    task = Gaussian(n=1000, epsilon=0.02, epsilon_sim=0.01).transport(Context())
    with pytest.raises(FitError, match=r"the data do not determine the response: the direction"):
        fitted(task)


def test_it_needs_the_one_truth_that_x_measures(task: TransportTask):
    simulation = task.train.simulation
    blind = replace(simulation, z=np.empty((len(simulation), 0)), z_columns=())
    with pytest.raises(MisfitError, match="needs one feature and the one truth"):
        fitted(replace(task, train=Pair(blind, task.train.data)))
