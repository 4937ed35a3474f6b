"""Ensembles of any regressor: what their spread means, and how they are named."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch

import calibrate.methods.together as together
from calibrate.cli.planning import plan
from calibrate.context import Context
from calibrate.data.gaussian import Gaussian
from calibrate.errors import ConfigurationError, DataError, FitError
from calibrate.estimate import Calibration
from calibrate.evaluators.closure import Closure
from calibrate.methods.bayesian import Bayesian
from calibrate.methods.gaussian_ansatz import GaussianAnsatz
from calibrate.methods.mse import MSE
from calibrate.methods.none import Uncalibrated
from calibrate.methods.resampled import ResampledEnsemble
from calibrate.records import ClosureCurve
from calibrate.sample import IntArray
from calibrate.statistics import bin_index
from calibrate.task import RegressionTask

X = np.array([[-3.0], [0.0], [4.0]])
LINE = MSE(degree=1)


def no_refit(task: RegressionTask, label: str = "") -> Calibration:
    raise AssertionError("nothing is to be fitted again")


def task_of(n: int, seed: int) -> RegressionTask:
    return Gaussian(n=n).regression(Context(seed=seed))


@pytest.mark.parametrize("samples", ["bootstrap", "parts"])
def test_the_statistical_error_is_the_scatter_over_independent_samples(samples: str):
    method = ResampledEnsemble(LINE, 20, samples)
    found = [method.fit(task_of(2000, seed), Context(seed=seed)).estimate(X) for seed in range(25)]
    scatter = np.std([each.z for each in found], axis=0, ddof=1)
    quoted = np.sqrt(np.mean([each.statistical**2 for each in found], axis=0))
    np.testing.assert_allclose(quoted, scatter, rtol=0.45)


def test_parts_scatter_as_much_wider_as_they_are_smaller():
    """Σ is that of one member; the error of the mean is that of one fit to the whole."""
    task = task_of(8000, 0)
    parts = ResampledEnsemble(LINE, 40, "parts").fit(task, Context())
    z = np.stack([member.estimate(X).z for member in parts.members])
    found = parts.estimate(X)
    np.testing.assert_allclose(found.z, z.mean(axis=0))
    np.testing.assert_allclose(found.statistical, z.std(axis=0, ddof=1) / np.sqrt(40))
    np.testing.assert_allclose(found.z, LINE.fit(task, Context()).estimate(X).z, atol=0.02)
    assert found.stochastic == pytest.approx(0.894, rel=0.03)
    total = found.stochastic**2 + found.statistical**2
    np.testing.assert_allclose(found.covariance[:, :, 0], total)


@pytest.mark.parametrize("samples", ["bootstrap", "parts"])
def test_closure_shows_the_error_that_all_events_of_a_bin_share(samples: str):
    task = task_of(4000, 0)
    fitted = ResampledEnsemble(LINE, 10, samples).fit(task, Context())
    z = np.stack(list(fitted.estimates(X)))
    np.testing.assert_allclose(z.std(axis=0, ddof=1), fitted.estimate(X).statistical)
    found = Closure(bins=4)({"ensemble": fitted}, task, no_refit, Context())
    (curve,) = (r for r in found.records if isinstance(r, ClosureCurve) and r.test == "nominal")
    test = task.tests["nominal"]
    index = bin_index(test.z[:, 0], curve.edges)
    means = [[member.estimate(test.x[index == b]).z.mean() for b in range(4)]
             for member in fitted.members]  # fmt: skip
    spread = np.std(means, axis=0, ddof=1) / (np.sqrt(10) if samples == "parts" else 1)
    np.testing.assert_allclose(curve.calibration_error, spread, rtol=0.05)


def test_the_members_own_statistical_error_is_not_counted_twice():
    base = Bayesian(hidden=(), steps=30, batch=300, samples=5)
    fitted = ResampledEnsemble(base, 3).fit(task_of(600, 0), Context())
    members = [member.estimate(X) for member in fitted.members]
    expected = np.mean([each.stochastic**2 for each in members], axis=0)
    np.testing.assert_allclose(fitted.estimate(X).stochastic ** 2, expected)


@dataclass(frozen=True)
class Seen:
    """A base that remembers the groups and weights it was given."""

    given: list[tuple[IntArray, float]] = field(default_factory=list)

    def fit(self, task: RegressionTask, context: Context) -> Calibration:
        self.given.append((np.unique(task.train.group), float(task.train.w.sum())))
        return Uncalibrated().fit(task, context)


def test_parts_are_disjoint_complete_and_never_part_a_group():
    task = task_of(1500, 0)
    paired = replace(task, train=replace(task.train, group=np.arange(1500) // 2))
    base = Seen()
    ResampledEnsemble(base, 4, "parts").fit(paired, Context())
    groups = [group for group, _ in base.given]
    assert sorted(np.concatenate(groups)) == list(range(750))
    assert sum(w for _, w in base.given) == 1500
    assert {len(group) for group in groups} == {187, 188}


def test_parts_that_are_too_small_are_refused():
    with pytest.raises(DataError, match="cuts 300 events into 4 parts: at least 100"):
        ResampledEnsemble(LINE, 4, "parts").fit(task_of(300, 0), Context())


def test_members_that_all_fail_are_told_with_the_reason():
    task = task_of(500, 0)
    negative = replace(task, train=task.train.with_weights(np.where(task.train.z > 1, -1, 1)[:, 0]))
    method = ResampledEnsemble(GaussianAnsatz(steps=3), 2)
    with pytest.raises(FitError, match=r"2 of 2 members \(bootstrap\) failed: .*negative"):
        method.fit(negative, Context())


def test_it_says_how_its_members_were_fitted():
    task = task_of(300, 0)
    network = ResampledEnsemble(MSE(hidden=(4,), epochs=2), 3).fit(task, Context())
    assert "3 networks trained side by side" in network.summary.notes
    assert network.summary.curve is not None
    line = ResampledEnsemble(LINE, 3).fit(task, Context())
    assert any("3 fits one by one: nothing is gained" in note for note in line.summary.notes)


def test_fits_in_other_processes_are_the_same(monkeypatch: pytest.MonkeyPatch):
    task, method = task_of(300, 0), ResampledEnsemble(LINE, 5)
    here = method.fit(task, Context()).estimate(X)
    before = torch.get_num_threads()
    monkeypatch.setattr(together, "WORTH_PROCESSES", 0.0)
    torch.set_num_threads(2)
    try:
        there = method.fit(task, Context()).estimate(X)
    finally:
        torch.set_num_threads(before)
    np.testing.assert_array_equal(here.z, there.z)


# The option `base`


def base_of(*overrides: str) -> object:
    return plan(["data=gaussian", "method=ensemble", *overrides]).study.methods["ensemble"].base


def test_a_base_is_what_the_method_is_on_this_dataset():
    hidden = [50, 50, 50]
    assert base_of() == MSE(degree=1, hidden=hidden)
    assert base_of("~specialise") == MSE(hidden=hidden)
    assert base_of("method.base=bayesian") == Bayesian(hidden=[])
    assert base_of("method.base={mse: {degree: null, hidden: [7, 7]}}") == MSE(hidden=[7, 7])


@pytest.mark.parametrize(
    ("base", "message"),
    [
        ("msse", "method.base='msse': did you mean mse"),
        ("none", "method.base='none': available: bayesian"),
        ("ensemble", "method.base='ensemble': available"),
        ("{mse: {degre: 3}}", r"method.base: no option 'degre' of mse: did you mean degree"),
        ("{mse: 3}", "method.base takes a name or {name: {key: value}}"),
        ("{mse: {degree: 0}}", "method.degree must be a positive integer"),
    ],
)
def test_a_base_that_does_not_exist_is_refused(base: str, message: str):
    with pytest.raises(ConfigurationError, match=message):
        base_of(f"method.base={base}")


def test_an_ensemble_may_be_compared_with():
    given = "compare_with=[{ensemble: {base: {mse: {degree: 2}}, members: 3}}]"
    found = plan(["data=gaussian", "method=mse", given]).study.methods["ensemble"]
    assert found == ResampledEnsemble(MSE(degree=2, hidden=[50, 50, 50]), 3)
