"""One conformance suite over every transport method: a newcomer adds one line to METHODS."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from calibrate.context import Context
from calibrate.data.gaussian import Gaussian
from calibrate.errors import DataError
from calibrate.estimate import Calibration, TransportMap
from calibrate.kinds_of_task import tasks_of
from calibrate.loading import KINDS, load
from calibrate.methods.none import Uncalibrated
from calibrate.methods.ot import OptimalTransport
from calibrate.methods.response_transport import ResponseTransport
from calibrate.sample import Column, Sample, concatenate, without_truth
from calibrate.statistics import Distances
from calibrate.storage import save_state
from calibrate.task import Pair, TransportTask

METHODS = {
    "none": Uncalibrated(),
    "ot": OptimalTransport(),
    "ot_thinned": OptimalTransport(knots=1000),
    "ot_sliced": OptimalTransport(plan="sliced"),
    "response_transport": ResponseTransport(anchor="spectrum"),
    "response_transport_pieces": ResponseTransport(anchor="spectrum", pieces=3),
}
TASKS = ("gaussian", "relative")


def relative(rng: np.random.Generator, n: int, response: float, width: float) -> Sample:
    z = 100.0 * np.exp(0.3 * rng.normal(size=n))
    x = response * z * np.exp(width * rng.normal(size=n))
    return Sample(
        x[:, None],
        z[:, None],
        rng.choice([1.0, 0.1], n) * 1e-9,
        (Column("pt_reco", "GeV", positive=True),),
        (Column("pt_true", "GeV", positive=True),),
    )


@pytest.fixture(params=METHODS)
def method(request: pytest.FixtureRequest):
    return METHODS[request.param]


@pytest.fixture(scope="module", params=TASKS)
def task(request: pytest.FixtureRequest) -> TransportTask:
    if request.param == "gaussian":
        return Gaussian(n=4000).transport(Context())
    rng = np.random.default_rng(1)
    pairs = [
        Pair(relative(rng, 6000, 0.98, 0.1), without_truth(relative(rng, 6000, 0.85, 0.2)))
        for _ in range(2)
    ]
    return TransportTask(pairs[0], {"nominal": pairs[1]})


def moved(found: TransportMap, sample: Sample) -> np.ndarray:
    return found.transport(sample.x, sample.z)


def test_a_map_has_shape_range_and_protocol(method, task):
    found = method.fit(task, Context())
    simulation = task.tests["nominal"].simulation
    assert isinstance(found, TransportMap)
    assert not isinstance(found, Calibration)
    assert "transport" in tasks_of(method)
    x = moved(found, simulation)
    assert x.shape == simulation.x.shape
    assert np.isfinite(x).all()
    assert found.domain.inside(simulation.x).mean() > 0.99


def test_a_map_that_moves_anything_brings_simulation_closer_to_data(method, task):
    if isinstance(method, Uncalibrated):
        pytest.skip("moves nothing")
    pair = task.tests["nominal"]
    x = moved(method.fit(task, Context()), pair.simulation)[:, 0]
    before, after = (
        Distances.of(values, pair.data.x[:, 0])(pair.simulation.w, pair.data.w)[1]
        for values in (pair.simulation.x[:, 0], x)
    )
    assert after < 0.5 * before


def test_a_map_rises_with_x_at_fixed_truth(method, task):
    found = method.fit(task, Context())
    x = np.sort(task.train.simulation.x, axis=0)
    z = np.full_like(x, np.median(task.train.simulation.z))
    assert np.all(np.diff(found.transport(x, z)[:, 0]) >= 0)


def test_the_same_task_gives_the_same_map_and_the_method_is_untouched(method, task):
    before, simulation = repr(method), task.tests["nominal"].simulation
    one, other = (moved(method.fit(task, Context()), simulation) for _ in range(2))
    np.testing.assert_array_equal(one, other)
    assert repr(method) == before


def test_a_stored_map_is_the_same(method, task, tmp_path: Path):
    found, simulation = method.fit(task, Context()), task.tests["nominal"].simulation
    assert found.kind in KINDS
    save_state(tmp_path / "fitted.h5", found.kind, found.state())
    again = load(tmp_path)
    np.testing.assert_array_equal(moved(found, simulation), moved(again, simulation))
    np.testing.assert_array_equal(found.domain.x_range, again.domain.x_range)


def test_a_factor_of_all_weights_changes_nothing(method, task):
    pair, simulation = task.train, task.tests["nominal"].simulation
    scaled = Pair(
        pair.simulation.with_weights(1e-3 * pair.simulation.w),
        pair.data.with_weights(1e4 * pair.data.w),
    )
    one, other = (
        moved(method.fit(t, Context()), simulation) for t in (task, replace(task, train=scaled))
    )
    np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)


def test_weight_two_is_the_event_twice(method, task):
    if method == METHODS["ot_thinned"]:
        pytest.skip("other rows are kept")
    pair, simulation = task.train, task.tests["nominal"].simulation
    double = np.arange(len(pair.simulation)) % 3 == 0
    weighted = pair.simulation.with_weights(pair.simulation.w * (1 + double))
    twice = concatenate([pair.simulation, pair.simulation.take(double)])
    one, other = (
        moved(method.fit(replace(task, train=Pair(each, pair.data)), Context()), simulation)
        for each in (weighted, twice)
    )
    np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)


def test_another_number_of_features_is_refused(method, task):
    found = method.fit(task, Context())
    with pytest.raises(DataError, match="the calibration takes"):
        found.transport(np.ones((3, 7)), np.ones((3, 1)))
