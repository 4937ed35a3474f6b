"""Templates and observed counts of scores, pseudo-experiments: direct histograms, invariances."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pytest
from scipy.stats import chi2

from benchmarks.known_scores import EXACT, Known
from calibrate.context import Context
from calibrate.data.angle import Angle, AngleEvents
from calibrate.errors import ConfigurationError, DataError
from calibrate.inference.bins import FEWEST_EFFECTIVE, ScoreBins
from calibrate.inference.contents import Axes, Constant
from calibrate.inference.coverage import experiments, fitted, repeated
from calibrate.inference.likelihood import Likelihood, asimov
from calibrate.inference.observed import Paths
from calibrate.inference.profile import Profile
from calibrate.inference.templates import (
    BLOCKS,
    FrozenAt,
    Templates,
    axes_of,
    jackknife_error,
)
from calibrate.sample import FloatArray, Sample
from calibrate.task import InferenceTask, LabelledEvents, Nuisance, Point

QUARTER = math.pi / 4


@pytest.fixture(scope="module")
def task() -> InferenceTask:
    return Angle(n=200, n_test=20_000).inference(Context())


@pytest.fixture(scope="module")
def axes(task: InferenceTask) -> Axes:
    return axes_of(task.nuisances, task.points, 21)


@pytest.fixture(scope="module")
def templates(task: InferenceTask, axes: Axes) -> Templates:
    return Templates.fill(Known(), task.test, axes, ScoreBins.equal(10)).merged()


def paths_at(
    task: InferenceTask, axes: Axes, score: object, bins: ScoreBins, angle: float
) -> Paths:
    values = {"angle": angle}
    return Paths.of(score, task.test.at(values), values, axes, bins)


def test_templates_are_histograms_of_the_score(task: InferenceTask, templates: Templates):
    for row in (0, 7, 20):
        values = templates.axes.settings()[row]
        sample = task.test.at(values)
        for label in range(2):
            rows = sample.z[:, 0] == label
            score, w = EXACT(sample.x[rows], values), sample.w[rows]
            counts, _ = np.histogram(score, templates.bins.edges, weights=w)
            squares, _ = np.histogram(score, templates.bins.edges, weights=w**2)
            assert templates.sums[row, label] == pytest.approx(counts)
            assert templates.squares[row, label] == pytest.approx(squares)


def test_the_points_and_the_nominal_value_are_filled(task: InferenceTask, axes: Axes):
    knots = axes.knots["angle"]
    assert {QUARTER, math.pi / 2} <= set(knots)
    nuisance = task.nuisances[0]
    assert (knots[0], knots[-1]) == (nuisance.low, nuisance.high)
    wide = (Nuisance("scale", 1.0, 0.05, low=0.5, high=1.5),)
    around = axes_of(wide, (Point(1.0, {"scale": 0.8}),), 21).knots["scale"]
    assert around[[0, -1]] == pytest.approx([0.6, 1.2])


def test_a_range_is_needed_and_not_left():
    with pytest.raises(ConfigurationError, match="neither a width nor a range"):
        axes_of((Nuisance("free", 0.0, None),), (), 11)
    narrow = Nuisance("angle", QUARTER, 0.5, low=0.0, high=1.0)
    with pytest.raises(ConfigurationError, match=r"angle=1.5, but simulation covers 0 to 1"):
        axes_of((narrow,), (Point(1.0, {"angle": 1.5}),), 11)


def test_an_event_of_weight_two_is_the_event_twice(axes: Axes):
    rng = np.random.default_rng(5)
    noise, label = rng.normal(0, 0.7, (2000, 2)), np.repeat([1.0, 0.0], 1000)
    w = np.ones(2000)

    class Twice:
        """Every second event written twice, in one group."""

        order = np.sort(np.concatenate([np.arange(2000), np.arange(0, 2000, 2)]))

        def at(self, values: dict) -> object:
            return AngleEvents(noise, label, w).at(values).take(self.order)

    heavy = AngleEvents(noise, label, np.where(np.arange(2000) % 2 == 0, 2.0, 1.0))
    few = replace(axes, knots={"angle": axes.knots["angle"][:3]})
    filled = [Templates.fill(Known(), events, few, ScoreBins.equal(5))
              for events in (heavy, Twice())]  # fmt: skip
    for name in ("blocks", "squares"):
        assert getattr(filled[0], name) == pytest.approx(getattr(filled[1], name))


def test_bins_are_merged_until_none_is_empty():
    sums = np.array([[[50.0, 0.0, 4.0, 30.0, 1.0]], [[50.0, 9.0, 4.0, 30.0, 9.0]]])
    bins, firsts = ScoreBins.equal(5).merged(sums, sums)
    assert firsts.tolist() == [0, 3]
    assert bins.edges == pytest.approx([0.0, 0.6, 1.0])
    merged = np.add.reduceat(sums, firsts, axis=-1)
    assert np.all(merged >= FEWEST_EFFECTIVE)
    same, _ = ScoreBins.equal(5).merged(1e-3 * sums, 1e-6 * sums)
    assert same.edges == pytest.approx(bins.edges)
    with pytest.raises(DataError, match="less than 5 effective events"):
        ScoreBins.equal(5).merged(0.01 * sums, 0.01 * sums)


def test_a_single_class_has_no_templates(axes: Axes):
    events = AngleEvents(np.zeros((50, 2)), np.ones(50), np.ones(50))
    with pytest.raises(DataError, match="hold no background"):
        Templates.fill(Known(), events, axes, ScoreBins.equal(5))


def test_a_score_that_is_not_finite_is_refused(task: InferenceTask, axes: Axes):
    class Broken(Known):
        def score(self, x: FloatArray, values: dict) -> FloatArray:
            return np.where(x[:, 0] > 2, np.nan, 0.5)

    with pytest.raises(DataError, match="is not finite"):
        Templates.fill(Broken(), task.test, axes, ScoreBins.equal(5))


def test_expected_counts_follow_the_tested_angle(task: InferenceTask, templates: Templates):
    true, axes = {"angle": math.pi / 2}, templates.axes
    paths = paths_at(task, axes, Known(), templates.bins, math.pi / 2)
    sample = task.test.at(true)
    w = np.where(sample.z[:, 0] == 1, 2.0, 1.0) * sample.w
    tested = axes.knots["angle"][[3, 12, 18]]
    found = paths.asimov(2.0)(tested[:, None])[0]
    for row, angle in enumerate(tested):
        direct, _ = np.histogram(EXACT(sample.x, {"angle": angle}), templates.bins.edges, weights=w)
        assert found[row] == pytest.approx(direct)
    at_truth = paths.asimov(1.0)(np.array([[math.pi / 2]]))[0][0]
    place = int(np.argmin(np.abs(axes.knots["angle"] - math.pi / 2)))
    assert at_truth == pytest.approx(templates.sums[place].sum(axis=0))


def test_a_frozen_score_counts_once(task: InferenceTask, templates: Templates):
    frozen = FrozenAt(Known(), {"angle": QUARTER})
    paths = paths_at(task, templates.axes, frozen, templates.bins, math.pi / 2)
    counts = paths.asimov(1.0)
    assert isinstance(counts, Constant)
    assert counts.values.sum() == pytest.approx(202_000)
    assert len(paths.visited) == len(templates.bins)


def test_drawn_counts_have_the_expected_mean_and_fluctuate_together(
    task: InferenceTask, templates: Templates
):
    paths = paths_at(task, templates.axes, Known(), templates.bins, QUARTER)
    drawn = paths.drawn(1.0, 400, np.random.default_rng(1))
    expected = paths.asimov(1.0)
    near, here = np.array([[QUARTER + 0.05]]), np.array([[QUARTER]])
    first, second = (drawn(np.repeat(z, 400, axis=0))[0] for z in (here, near))
    mean = expected(here)[0][0]
    assert np.abs(first.mean(axis=0) - mean) == pytest.approx(0, abs=4 * np.sqrt(mean.max() / 400))
    assert first.var(axis=0, ddof=1) == pytest.approx(mean, rel=0.35)
    together = [np.corrcoef(a, b)[0, 1] for a, b in zip(first.T, second.T, strict=True)]
    assert min(together) > 0.5
    assert first.sum(axis=1) == pytest.approx(second.sum(axis=1))


@pytest.mark.parametrize("score", [Known(), Known(QUARTER)])
@pytest.mark.parametrize("pieces", [None, 2])
def test_matched_paths_expect_what_the_templates_do(
    task: InferenceTask, score: Known, pieces: int | None
):
    """Where data lies, and at other strengths, though splines of few pieces miss the events."""
    angle = math.pi / 2
    axes = axes_of(task.nuisances, task.points, 21, pieces)
    filled = Templates.fill(score, task.test, axes, ScoreBins.equal(10)).merged()
    raw, z = paths_at(task, axes, score, filled.bins, angle), np.array([[angle]])
    paths = raw.matched(*filled.contents)
    expected = filled.expectation(task.nuisances, {"angle": angle})
    for strength in (1.0, 3.0):
        wanted = expected.total(np.array([strength]), z)
        assert paths.asimov(strength)(z)[0] == pytest.approx(wanted, rel=1e-12)
    drawn = paths.drawn(1.0, 400, np.random.default_rng(1))(np.repeat(z, 400, axis=0))[0]
    wanted = expected.total(np.ones(1), z)[0]
    assert np.abs(drawn.mean(axis=0) - wanted) == pytest.approx(
        0, abs=5 * np.sqrt(wanted.max() / 400)
    )
    if pieces:
        assert raw.asimov(1.0)(z)[0] != pytest.approx(wanted[None], rel=1e-4)


def test_replicas_of_the_simulation_fluctuate_as_its_events(
    task: InferenceTask, templates: Templates
):
    values = {"angle": QUARTER}
    expected = templates.expectation(task.nuisances, values)
    many = templates.drawn_again(expected, values, 2000, np.random.default_rng(3))
    here = np.full((2000, 1), QUARTER)
    row = int(np.argmin(np.abs(templates.axes.knots["angle"] - QUARTER)))
    for label, contents in enumerate((many.background, many.signal)):
        found = contents(here)[0]
        sums, errors = templates.sums[row, label], np.sqrt(templates.squares[row, label])
        assert found.mean(axis=0) == pytest.approx(sums, abs=4 * np.max(errors) / 44)
        assert found.std(axis=0) == pytest.approx(errors, rel=0.2)
        relative = many.variance[label].mean(axis=0)
        assert relative == pytest.approx(expected.variance[label], rel=0.15)


@dataclass(frozen=True)
class Spaced:
    """The same events with labels that are multiples of `spacing`."""

    events: LabelledEvents
    spacing: int

    def at(self, values: Mapping[str, float]) -> Sample:
        sample = self.events.at(values)
        return replace(sample, group=self.spacing * sample.group)


@pytest.mark.parametrize("spacing", [1, 5, 10, 500])
def test_parts_hold_whichever_events_whatever_their_labels(
    task: InferenceTask, axes: Axes, spacing: int
):
    """The yield of a class in p parts scatters by √(ΣW²/p), though labels count its events in a row
    or a remainder has chosen the events; parts are the same for templates and observed counts."""
    events = Spaced(task.test, spacing)
    few = replace(axes, knots={"angle": axes.knots["angle"][:2]})
    filled = Templates.fill(Known(QUARTER), events, few, ScoreBins.equal(1))
    for parts in (filled.parts, filled.blocks):
        number = parts.shape[1]
        found = number**2 * parts.var(axis=1) / filled.squares
        low, high = chi2(number - 1).ppf([1e-4, 1 - 1e-4])
        assert np.all((low < found) & (found < high))
    values = few.settings()[0]
    paths = Paths.of(Known(), events.at(values), values, few, filled.bins)
    assert paths.blocks.sum(axis=2) == pytest.approx(filled.blocks[0].sum(axis=2))


def test_replicas_that_leave_a_bin_empty_are_drawn_again(task: InferenceTask, templates: Templates):
    """The last bin's signal in two of the parts: every seventh replica would lack both."""
    values = {"angle": QUARTER}
    expected = templates.expectation(task.nuisances, values)
    parts = templates.parts.copy()
    parts[:, 2:, 1, -1] = 0
    parts[:, :2, 1, -1] = 1.0
    many = replace(templates, parts=parts).drawn_again(
        expected, values, 200, np.random.default_rng(3)
    )
    assert np.min(many.signal(np.full((200, 1), QUARTER))[0]) >= 0.9
    parts[:, :, 1, -1] = 0
    with pytest.raises(DataError, match=r"200 of 200 replicas .* use fewer bins"):
        replace(templates, parts=parts).drawn_again(expected, values, 200, np.random.default_rng(3))


def test_negative_paths_are_not_drawn(task: InferenceTask, templates: Templates):
    paths = paths_at(task, templates.axes, Known(), templates.bins, QUARTER)
    negative = replace(paths, blocks=-paths.blocks)
    with pytest.raises(DataError, match=r"negative weights: .*experiments=0"):
        negative.drawn(1.0, 2, np.random.default_rng(1))


def test_the_jackknife_knows_the_error_of_a_sum(templates: Templates):
    """Of Σw in a bin the error is √Σw²; ten blocks know it to a quarter."""
    left_out = templates.jackknifed[1](np.full((BLOCKS, 1), QUARTER))[0]
    row = int(np.argmin(np.abs(templates.axes.knots["angle"] - QUARTER)))
    errors = np.array([jackknife_error(column) for column in left_out.T])
    pulls = errors / np.sqrt(templates.squares[row, 0])
    assert np.sqrt(np.mean(pulls**2)) == pytest.approx(1.0, abs=0.3)


def model(task: InferenceTask, templates: Templates, score: object, angle: float) -> Profile:
    point = Point(1.0, {"angle": angle})
    filled = Templates.fill(score, task.test, templates.axes, ScoreBins.equal(10)).merged()
    paths = paths_at(task, templates.axes, score, filled.bins, angle)
    expected = filled.expectation(task.nuisances, point.values)
    bounds = np.vstack([[-0.5, 10.0], expected.bounds])
    observed = asimov(paths.asimov(1.0), expected, point.values)
    return Profile(Likelihood(expected, observed), bounds, np.array([1.0, angle]))


def test_the_aware_score_is_worth_the_oracle_and_a_frozen_one_less(
    task: InferenceTask, templates: Templates
):
    aware, oracle, baseline = (
        model(task, templates, score, math.pi / 2).interval().width
        for score in (Known(), FrozenAt(Known(), {"angle": math.pi / 2}),
                      FrozenAt(Known(), {"angle": QUARTER}))
    )  # fmt: skip
    assert aware == pytest.approx(oracle, rel=0.05)
    assert baseline > 1.5 * oracle


def test_pseudo_experiments_agree_with_iminuit_and_cover(task: InferenceTask, templates: Templates):
    point = Point(1.0, {"angle": QUARTER})
    paths = paths_at(task, templates.axes, Known(), templates.bins, QUARTER)
    expected = templates.expectation(task.nuisances, point.values)
    bounds = np.vstack([[-0.5, 10.0], expected.bounds])
    many = repeated(
        paths.drawn(1.0, 3, np.random.default_rng(2)), expected, point, 3, np.random.default_rng(4)
    )
    parameters, rise, found = fitted(many, point, bounds)
    assert found.all()
    for row in range(3):
        observed = replace(
            many.observed, counts=_one(many.observed.counts, row),
            **{k: getattr(many.observed, k)[row] for k in ("centres", "auxiliary")},
        )  # fmt: skip
        single = Profile(replace(many, observed=observed), bounds, np.array([1.0, QUARTER]))
        assert single.best.parameters[0] == pytest.approx(parameters[row, 0], abs=1e-3)
        assert single.curve(0, np.ones(1))[0] == pytest.approx(rise[row], abs=1e-4)
    tried = experiments(expected, templates, paths, point, bounds, 300, np.random.default_rng(6))
    share, error = tried.coverage()
    assert error == pytest.approx(math.sqrt(share * (1 - share) / 300))
    assert share == pytest.approx(0.683, abs=4 * 0.027)
    assert tried.found.all()


def _one(counts: object, row: int) -> object:
    """The counts of one of many experiments."""
    axes = [replace(axis, coefficients=axis.coefficients[:, :, row]) for axis in counts.axes]
    return replace(counts, nominal=counts.nominal[:, row], axes=axes)
