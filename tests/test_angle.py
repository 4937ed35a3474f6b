"""The angle toy: closed forms, smoothness in the angle, the control sample, points and ranges."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import logit
from scipy.stats import chi2, multivariate_normal, norm

from calibrate.context import Context
from calibrate.data.angle import NUISANCE, Angle, AngleScore, direction
from calibrate.data.control_directions import ControlDirections
from calibrate.data.points import points_of
from calibrate.errors import ConfigurationError
from calibrate.statistics import area_under_curve
from calibrate.task import InferenceTask, Nuisance

SPREAD = 0.7
AT = {"nominal": math.pi / 4, "turned": math.pi / 2}


@pytest.fixture(scope="module")
def task() -> InferenceTask:
    return Angle(n=1000, n_test=40_000).inference(Context())


def area(task: InferenceTask, trained: float, used: float) -> tuple[float, float]:
    """Of the score that is right for one angle, on events at another."""
    events = task.test.at({NUISANCE: used})
    score, signal = AngleScore(SPREAD)(events.x, {NUISANCE: trained}), events.z[:, 0] == 1
    parts = [(each[~signal], each[signal]) for each in (score, events.w, events.group)]
    return area_under_curve(*parts[0], *parts[1], *parts[2])


@pytest.mark.parametrize(("trained", "used"), [(0.8, 0.8), (math.pi / 4, math.pi / 2), (0.3, 1.2)])
def test_the_area_of_a_score_is_the_closed_form(task, trained: float, used: float):
    found, error = area(task, trained, used)
    expected = norm.cdf(math.sqrt(2) * math.cos(trained - used) / SPREAD)
    assert abs(found - expected) < 4 * error < 0.01


def test_the_published_areas_are_those_of_the_closed_form():
    at, away = (norm.cdf(math.sqrt(2) * math.cos(d) / SPREAD) for d in (0, math.pi / 4))
    np.testing.assert_allclose([at, away], [0.97832, 0.92343], atol=1e-5)


def test_the_exact_score_is_the_ratio_of_the_densities(task):
    x = task.test.at({NUISANCE: 0.4}).x[::5000]
    u = direction(0.4)
    signal, background = (multivariate_normal(s * u, SPREAD**2).pdf(x) for s in (1, -1))
    found = task.exact(x, {NUISANCE: 0.4})
    np.testing.assert_allclose(found, signal / (signal + background), rtol=1e-10)
    angles = np.linspace(0, 1.5, len(x))
    each = [task.exact(x[i : i + 1], {NUISANCE: a})[0] for i, a in enumerate(angles)]
    np.testing.assert_allclose(task.exact(x, {NUISANCE: angles}), each, rtol=1e-12)


def test_events_weigh_what_is_expected(task):
    sample = task.test.at({NUISANCE: 0.1})
    for label, expected in ((1, 2000.0), (0, 200_000.0)):
        assert sample.w[sample.z[:, 0] == label].sum() == pytest.approx(expected)


def test_events_at_another_angle_are_the_same_noise_about_another_centre(task):
    side = 2 * task.test.at({NUISANCE: 0.0}).z - 1
    one, other = (task.test.at({NUISANCE: a}).x - side * direction(a) for a in (0.2, 1.3))
    np.testing.assert_allclose(one, other, atol=1e-12)
    angles = np.random.default_rng(0).uniform(0, 1, len(task.test))
    mixed = task.test.at({NUISANCE: angles})
    np.testing.assert_allclose(mixed.x - side * direction(angles), one, atol=1e-12)
    np.testing.assert_array_equal(mixed.spectators[NUISANCE], angles)


def test_training_and_test_are_independent_and_the_seed_decides():
    tasks = [Angle(n=100, n_test=100).inference(Context(seed)) for seed in (0, 0, 1)]
    x = [[part.at({NUISANCE: 0.5}).x for part in (t.train, t.test)] for t in tasks]
    np.testing.assert_array_equal(x[0], x[1])
    assert not np.array_equal(x[0][0], x[0][1])
    assert not np.array_equal(x[0], x[2])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"tau": 1.0}, "data=angle has one nuisance, 'angle'"),
        ({}, "data=angle has one nuisance, 'angle'"),
        ({NUISANCE: math.nan}, "the angle is a finite number"),
        ({NUISANCE: np.zeros(3)}, "or one for each of 2000 events"),
    ],
)
def test_impossible_angles_are_refused(task, values, message: str):
    with pytest.raises(ConfigurationError, match=message):
        task.train.at(values)


# The control sample


def test_directions_are_counted_as_drawn():
    control = ControlDirections(NUISANCE, SPREAD, 200_000.0)
    (expected,) = control.expected({NUISANCE: np.array([0.9])})
    assert expected.sum() == pytest.approx(200_000, rel=1e-9)
    drawn = np.random.default_rng(2).normal(direction(0.9), SPREAD, (200_000, 2))
    edges = np.linspace(-math.pi, math.pi, expected.size + 1)
    counts, _ = np.histogram(np.arctan2(drawn[:, 1], drawn[:, 0]), edges)
    assert chi2.sf(np.sum((counts - expected) ** 2 / expected), expected.size - 1) > 1e-3


def test_the_control_sample_turns_with_the_angle():
    control = ControlDirections(NUISANCE, SPREAD, 100.0)
    step = 2 * math.pi / 12
    one, other = control.expected({NUISANCE: np.array([0.2, 0.2 + step])})
    np.testing.assert_allclose(np.roll(one, 1), other, rtol=1e-9)


def test_an_auxiliary_measurement_is_there_if_asked_for():
    assert Angle(n=200, n_test=200).inference(Context()).auxiliary is None
    found = Angle(n=200, n_test=200, auxiliary=True, control_events=50, width=None)
    task = found.inference(Context())
    assert task.auxiliary.expected({NUISANCE: np.array([1.0])}).sum() == pytest.approx(50)
    assert task.nuisances[0].width is None
    assert "50 control events" in task.auxiliary.description


# Points and options


def test_the_published_points_are_observed(task):
    found = [(point.strength, point.values[NUISANCE]) for point in task.points]
    assert sorted(found) == sorted((mu, angle) for mu in (1, 2) for angle in AT.values())
    assert task.points[0].name == "mu1_nuisance0.7854"


def test_the_range_leaves_room_beyond_all_points(task):
    (nuisance,) = task.nuisances
    angles = [point.values[NUISANCE] for point in task.points]
    assert nuisance.low < min(angles)
    assert max(angles) < nuisance.high


def test_points_may_name_nuisances_or_leave_them_nominal():
    nuisances = (Nuisance("tau", 1.0, 0.1, "", 0.5, 1.5), Nuisance("jet", 2.0, 0.1, "", 1.0, 3.0))
    (point,) = points_of([{"mu": 2, "jet": 1.5}], nuisances)
    assert (point.strength, dict(point.values)) == (2.0, {"tau": 1.0, "jet": 1.5})
    assert points_of([[1, 0.7]], nuisances[:1])[0].values == {"tau": 0.7}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 0}, "data.n must be a positive integer, got 0"),
        ({"yields": [1.0]}, "data.yields needs one number for each of signal and background"),
        ({"spread": -1.0}, "data.spread must be positive"),
        ({"angle": math.nan}, "data.angle must be a finite number"),
        ({"width": 0.0}, "data.width must be positive"),
        ({"auxiliary": 1}, "data.auxiliary is true or false, got 1"),
        ({"range": [1.0, 0.0]}, r"data.range takes \[low, high\] with low < high"),
        ({"range": 1.0}, r"data.range takes \[low, high\], got 1.0"),
        ({"points": 3}, "data.points takes a list of points, such as"),
        ({"points": [[1, 2, 3]]}, "a point of data.points is such as {mu: 1, angle: 0.785398}"),
        ({"points": [{"angle": 1.0}]}, "a point of data.points is such as"),
        ({"points": [{"mu": 1, "angel": 1.0}]}, "'angel': did you mean angle"),
        ({"points": [[-1, 1.0]]}, "mu of a point of data.points must be positive"),
        ({"points": [[1, 2.0]]}, "angle=2, outside the range -0.15708 to 1.72788"),
    ],
)
def test_wrong_options_are_refused(options, message: str):
    with pytest.raises(ConfigurationError, match=message):
        Angle(**options)


def test_scores_far_away_stay_finite(task):
    far = task.exact(np.array([[50.0, 50.0]]), {NUISANCE: 0.8})
    assert far[0] <= 1.0
    assert logit(task.exact(np.array([[0.1, 0.2]]), {NUISANCE: 0.0}))[0] == pytest.approx(
        0.2 / 0.49
    )
