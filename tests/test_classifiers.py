"""One conformance suite over every classifier, and what each is made of."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch

from calibrate.context import Context
from calibrate.data.angle import Angle
from calibrate.data.higgsml import HiggsML
from calibrate.errors import ConfigurationError, DataError, MisfitError
from calibrate.estimate import Calibration, Score, TransportMap
from calibrate.kinds_of_task import tasks_of
from calibrate.loading import KINDS, load, load_calibration
from calibrate.methods.adversarial_classifier import AdversarialClassifier
from calibrate.methods.augmented_classifier import AugmentedClassifier
from calibrate.methods.baseline_classifier import BaselineClassifier
from calibrate.methods.exact_classifier import ExactClassifier
from calibrate.methods.oracle_classifier import OracleClassifier
from calibrate.methods.training_events import Scale, balanced, training_events
from calibrate.methods.uncertainty_aware import UncertaintyAware
from calibrate.nn.cross_entropy import cross_entropy
from calibrate.nn.nuisance_series import NuisanceSeries, series, series_terms
from calibrate.nn.reversal import reversed_gradient
from calibrate.records import Findings
from calibrate.sample import FloatArray, Sample, concatenate
from calibrate.statistics import area_under_curve
from calibrate.storage import save_state
from calibrate.study import Study, run
from calibrate.task import InferenceTask, Nuisance
from tests.test_higgsml import table, written

QUICK = {"networks": 2, "hidden": (8,), "epochs": 2, "batch": 200}
METHODS = {
    "baseline": BaselineClassifier(**QUICK),
    "augmented": AugmentedClassifier(**QUICK),
    "adversarial": AdversarialClassifier(**QUICK, hidden_adversary=(4,)),
    "aware": UncertaintyAware(**QUICK),
    "oracle": OracleClassifier(**QUICK),
    "exact": ExactClassifier(),
}
AWARE = ("aware", "exact")


@pytest.fixture(params=METHODS)
def method(request: pytest.FixtureRequest):
    return METHODS[request.param]


@pytest.fixture(scope="module")
def toy() -> InferenceTask:
    return Angle(n=1000, n_test=1000).inference(Context())


@pytest.fixture(scope="module")
def higgs(tmp_path_factory: pytest.TempPathFactory) -> InferenceTask:
    path = written(table(), tmp_path_factory.mktemp("data") / "training.csv")
    return HiggsML(str(path), nuisances={"tau": 0.05, "jet": 0.03}).inference(Context())


@pytest.fixture(params=["toy", "higgs"])
def task(request: pytest.FixtureRequest) -> InferenceTask:
    if request.param == "higgs" and request.node.callspec.params.get("method") == "exact":
        pytest.skip("the exact score is not known")
    return request.getfixturevalue(request.param)


def scored(fit: Score, task: InferenceTask) -> FloatArray:
    """The scores of the test events at the first point."""
    values = task.points[0].values
    return fit.knowing(values).score(task.test.at(values).x, values)


def test_a_score_is_a_probability_of_its_protocol(method, task):
    fit = method.fit(task, Context())
    assert isinstance(fit, Score)
    assert not isinstance(fit, Calibration | TransportMap)
    assert tasks_of(method) == ("inference",)
    values = task.points[0].values
    score = scored(fit, task)
    assert score.shape == (len(task.test.at(values)),)
    assert ((score >= 0) & (score <= 1)).all()
    assert fit.uses_nuisances == (method in [METHODS[name] for name in AWARE])


def test_the_same_seed_gives_the_same_score_and_the_method_is_untouched(method, task):
    before = repr(method)
    one, other = (scored(method.fit(task, Context(seed=3)), task) for _ in range(2))
    np.testing.assert_array_equal(one, other)
    assert repr(method) == before


def test_a_method_needs_no_more_than_it_is_made_for(method, toy):
    """The oracle sees the observed points, the exact classifier the exact score; nobody looks at
    the test events."""
    others = Angle(n=100, n_test=100).inference(Context(seed=5)).test
    seen = replace(toy, test=others).hidden(method.sees)
    assert bool(seen.points) == (method is METHODS["oracle"])
    assert (seen.exact is not None) == (method is METHODS["exact"])
    whole, part = (method.fit(each, Context()) for each in (toy, seen))
    np.testing.assert_array_equal(scored(whole, toy), scored(part, toy))


def test_a_study_hides_what_no_analysis_knows():
    @dataclass(frozen=True)
    class Curious(ExactClassifier):
        """Says what it was shown; the exact score is there by `sees`."""

        sees: ClassVar[tuple[str, ...]] = ()

        def fit(self, task: InferenceTask, context: Context) -> Score:
            shown.append((task.points, task.exact))
            return known

    @dataclass(frozen=True)
    class Again:
        """Has every method fitted again."""

        tasks: ClassVar[tuple[str, ...]] = ("inference",)

        def __call__(self, fits, task, refit, context) -> Findings:
            assert task.points
            assert task.exact is not None
            refit(task, "curious")
            return Findings({}, {}, ())

    data, shown = Angle(n=100, n_test=100), []
    known = ExactClassifier().fit(data.inference(Context()), Context())
    methods = {"curious": Curious(), "exact": ExactClassifier()}
    run(Study(data, methods, {"again": Again()}), Context(), {}, "")
    assert shown == [((), None)] * 2


def test_a_stored_score_is_the_same(method, task, tmp_path: Path):
    fit = method.fit(task, Context())
    assert fit.kind in KINDS
    save_state(tmp_path / "fitted.h5", fit.kind, fit.state())
    again = load(tmp_path)
    np.testing.assert_array_equal(scored(fit, task), scored(again, task))
    assert (again.ranges, again.domain.x_columns) == (fit.ranges, fit.domain.x_columns)
    with pytest.raises(MisfitError, match="score of signal over background, which estimates no"):
        load_calibration(tmp_path)


def test_a_factor_of_all_weights_changes_nothing(method, task):
    scaled = replace(task, train=Reweighted(task.train, lambda sample: sample.w * 1e-6))
    one, other = (scored(method.fit(each, Context()), task) for each in (task, scaled))
    np.testing.assert_allclose(one, other, atol=1e-3)


def test_another_number_of_features_is_refused(method, task):
    fit, values = method.fit(task, Context()), task.points[0].values
    with pytest.raises(DataError, match="the calibration takes"):
        fit.knowing(values).score(np.ones((3, 7)), values)


def test_a_fit_leaves_torch_as_it_was(toy):
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    METHODS["adversarial"].fit(toy, Context())
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads


@dataclass(frozen=True)
class Reweighted:
    """The same events under other weights."""

    events: object
    weights: object

    def __len__(self) -> int:
        return len(self.events)

    def at(self, values: Mapping[str, float | FloatArray]) -> Sample:
        sample = self.events.at(values)
        return sample.with_weights(self.weights(sample))


# What they learn


def test_on_the_toy_the_aware_score_turns_with_the_angle_and_the_baseline_does_not():
    task = Angle(n=8000, n_test=20_000).inference(Context())
    settings = {"networks": 1, "batch": 500, "learning_rate": 5e-3, "copies": 1}
    aware = UncertaintyAware(**settings, order=3).fit(task, Context())
    del settings["copies"]
    baseline = BaselineClassifier(**settings).fit(task, Context())
    for angle, expected in ((math.pi / 4, 0.97832), (math.pi / 2, 0.92343)):
        values = {"angle": angle}
        events = task.test.at(values)
        best, _ = area(task.exact(events.x, values), events)
        assert area(aware.score(events.x, values), events)[0] > best - 0.001
        assert abs(area(baseline.score(events.x, values), events)[0] - expected) < 0.01
        assert np.mean(np.abs(aware.score(events.x, values) - task.exact(events.x, values))) < 0.02


def area(score: FloatArray, events: Sample) -> tuple[float, float]:
    signal = events.z[:, 0] == 1
    parts = [(each[~signal], each[signal]) for each in (score, events.w, events.group)]
    return area_under_curve(*parts[0], *parts[1], *parts[2])


def test_an_adversary_takes_separation_where_it_shows_the_nuisance():
    """Shifted along the signal's direction: to hide the nuisance is to separate less."""
    nuisance = Nuisance("shift", 0.0, None, "", -1, 1)
    task = InferenceTask(Moved(4000, 0), Moved(4000, 1), (nuisance,))
    settings = {"networks": 1, "hidden": (16,), "batch": 250, "learning_rate": 5e-3, "copies": 1}
    events = task.test.at({"shift": 0.0})
    free = AugmentedClassifier(**settings).fit(task, Context())
    bound = AdversarialClassifier(**settings, strength=30.0).fit(task, Context())
    areas = [area(fit.score(events.x, {}), events)[0] for fit in (free, bound)]
    moved = [
        np.mean(
            np.abs(np.subtract(*(fit.score(task.test.at({"shift": s}).x, {}) for s in (-1, 1))))
        )
        for fit in (free, bound)
    ]
    assert moved[1] < 0.7 * moved[0]
    assert areas[1] < areas[0] + 0.005


@dataclass(frozen=True)
class Moved:
    """Signal at +1 of the first of two features, all of it moved by the nuisance."""

    n: int
    seed: int

    def __len__(self) -> int:
        return self.n

    def at(self, values: Mapping[str, float | FloatArray]) -> Sample:
        rng = np.random.default_rng(self.seed)
        label = (np.arange(self.n) % 2).astype(float)
        shift = np.broadcast_to(np.asarray(values["shift"], float), self.n)
        x = rng.normal(size=(self.n, 2)) + np.stack([label + shift, 0.5 * label], axis=1)
        columns = Angle(n=100, n_test=100).inference(Context()).train.at({"angle": 0.0})
        return Sample(x, label, np.ones(self.n), columns.x_columns, columns.z_columns,
                      spectators={"shift": shift})  # fmt: skip


def test_on_real_rows_networks_are_as_good_as_boosted_trees(shared_data: Path):
    from sklearn.ensemble import HistGradientBoostingClassifier

    task = HiggsML(str(shared_data / "higgsml_15000.csv.gz")).inference(Context())
    train, test = (balanced(part.at({"tau": 1.0})) for part in (task.train, task.test))
    trees = HistGradientBoostingClassifier(max_iter=100, learning_rate=0.08, max_leaf_nodes=15)
    trees.fit(train.x, train.z[:, 0], train.w)
    best = area(trees.predict_proba(test.x)[:, 1], test)[0]
    aware = UncertaintyAware(networks=2).fit(task, Context())
    assert area(aware.score(test.x, {"tau": 1.0}), test)[0] > best - 0.01


# Series, reversal, cross-entropy


@pytest.mark.parametrize(("nuisances", "order"), [(1, 1), (1, 3), (3, 1), (3, 2)])
def test_a_series_is_a_polynomial_without_constant(nuisances: int, order: int):
    t = torch.linspace(-1, 1, 5 * nuisances).reshape(5, nuisances)
    found = series(t, order)
    assert found.shape == (5, series_terms(nuisances, order))
    expected = [[v**p for p in range(1, order + 1) for v in row] for row in t.tolist()]
    if order > 1:
        for row, values in zip(expected, t.tolist(), strict=True):
            row += [
                values[i] * values[j] for i in range(nuisances) for j in range(i + 1, nuisances)
            ]
    torch.testing.assert_close(found, torch.tensor(expected))
    assert not series(torch.zeros(1, nuisances), order).any()


def test_at_the_nominal_values_the_logit_is_that_of_a_network_without_nuisances():
    torch.manual_seed(0)
    module = NuisanceSeries(3, 2, 2, (5,), "silu")
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter)
    x = torch.randn(7, 3)
    nominal = module(x, torch.zeros(1, 2))
    torch.testing.assert_close(nominal, module.coefficients(x)[:, 0])
    assert not torch.allclose(nominal, module(x, torch.ones(1, 2)))


def test_a_reversed_gradient_has_the_other_sign():
    value = torch.tensor([1.0, 2.0], requires_grad=True)
    torch.sum(reversed_gradient(value, 3.0) ** 2).backward()
    torch.testing.assert_close(value.grad, -3.0 * 2 * value.detach())


def test_the_cross_entropy_of_weight_two_is_that_of_the_event_twice():
    rng = np.random.default_rng(0)
    logit, label = torch.from_numpy(rng.normal(size=20)), torch.from_numpy(rng.random(20) < 0.5)
    w, twice = torch.ones(20), torch.cat([torch.arange(20), torch.arange(5)])
    w[:5] = 2.0
    label = label.double()
    one = cross_entropy(logit, label, w) * 20
    other = cross_entropy(logit[twice], label[twice], torch.ones(25)) * 25
    assert float(one) == pytest.approx(float(other))


# Training events and scales


def test_training_events_are_balanced_and_spread_over_the_range(higgs):
    sample = training_events(higgs, ["tau"], 3, np.random.default_rng(0))
    signal = sample.z[:, 0] == 1
    assert sample.w.mean() == pytest.approx(1)
    assert sample.w[signal].sum() == pytest.approx(sample.w[~signal].sum())
    tau, jet = sample.spectators["tau"], sample.spectators["jet"]
    assert 0.7 <= tau.min() < 0.72
    assert 1.12 < tau.max() <= 1.14
    assert set(jet) == {1.0}
    assert np.unique(sample.group).size > len(sample) / 3
    assert np.unique(tau).size == len(sample)


def test_balancing_treats_weight_two_as_the_event_twice(toy):
    sample = toy.train.at({"angle": 0.5})
    double = np.arange(len(sample)) % 3 == 0
    one = balanced(sample.with_weights(sample.w * (1 + double)))
    other = balanced(concatenate([sample, sample.take(double)]))
    ratio = one.w[1] / one.w[4]
    assert ratio == pytest.approx(other.w[1] / other.w[4])
    share = one.w[double].sum() / one.w.sum()
    n = len(sample)
    twice = (other.w[:n][double].sum() + other.w[n:].sum()) / other.w.sum()
    assert share == pytest.approx(twice)


def test_negative_weights_and_a_single_class_are_refused(toy):
    sample = toy.train.at({"angle": 0.5})
    with pytest.raises(DataError, match="classifiers need weights ≥ 0, 1 of 2000 training events"):
        balanced(sample.with_weights(np.where(np.arange(len(sample)) == 7, -1e-3, sample.w)))
    with pytest.raises(DataError, match="the training events hold no background"):
        balanced(sample.take(sample.z[:, 0] == 1))
    with pytest.raises(DataError, match="the signal of the training sample holds 0 usable events"):
        replace(toy, train=Reweighted(toy.train, lambda s: s.w * (s.z[:, 0] == 0)))


def test_a_scale_is_one_at_the_far_end_of_the_range():
    scale = Scale.of((Nuisance("tau", 1.0, 0.05, "", 0.7, 1.14),))
    t = scale.forward({"tau": np.array([0.7, 1.0, 1.14]), "other": 3.0})
    np.testing.assert_allclose(t[:, 0], [-1.0, 0.0, 0.14 / 0.3])
    with pytest.raises(ConfigurationError, match="'tau' has no range to be trained in: -inf"):
        Scale.of((Nuisance("tau", 1.0, 0.05),))


# What is refused


def test_scores_are_not_extrapolated(toy):
    fit, x = METHODS["aware"].fit(toy, Context()), np.zeros((2, 2))
    _, high = fit.ranges["angle"]
    assert fit.score(x, {"angle": high}).shape == (2,)
    with pytest.raises(DataError, match=r"angle=1\.9 is outside the range -0\.15708 to 1\.72788"):
        fit.score(x, {"angle": np.array([0.5, 1.9])})
    with pytest.raises(DataError, match="outside the range"):
        fit.score(x, {"angle": math.nan})
    with pytest.raises(DataError, match="needs a value of the nuisance 'angle'"):
        fit.score(x, {})
    hidden = METHODS["baseline"].fit(toy, Context())
    np.testing.assert_array_equal(hidden.score(x, {"angle": 99.0}), hidden.score(x, {}))


def test_a_score_may_take_some_of_the_nuisances(higgs):
    fit = replace(METHODS["aware"], nuisances=["jet"]).fit(higgs, Context())
    assert set(fit.ranges) == {"jet"}
    events = higgs.test.at({"tau": 1.0, "jet": 1.0})
    one, other = (fit.score(events.x, {"tau": tau, "jet": 1.1}) for tau in (0.8, 1.1))
    np.testing.assert_array_equal(one, other)
    with pytest.raises(ConfigurationError, match=r"method\.nuisances='tua': did you mean tau"):
        UncertaintyAware(nuisances=["tua"]).fit(higgs, Context())


def test_the_oracle_knows_the_observed_points_alone(toy):
    fit = METHODS["oracle"].fit(toy, Context())
    assert len(fit.networks) == 2
    assert fit.knows({"angle": math.pi / 2})
    assert METHODS["baseline"].fit(toy, Context()).knows({"angle": 1.0})
    assert not fit.knows({"angle": 1.0})
    with pytest.raises(DataError, match=r"no network for angle=1, only for: angle=0\.7854; angle"):
        fit.knowing({"angle": 1.0})
    with pytest.raises(DataError, match="depends on what is true, not on what is assumed"):
        fit.score(np.zeros((1, 2)), {"angle": 1.0})
    with pytest.raises(ConfigurationError, match="needs observed points"):
        METHODS["oracle"].fit(replace(toy, points=()), Context())


def test_the_exact_score_must_be_known(higgs):
    with pytest.raises(MisfitError, match="needs data whose best score is known: use data=angle"):
        ExactClassifier().fit(higgs, Context())


def test_a_fit_that_did_not_stop_says_so(toy):
    (warning,) = METHODS["baseline"].fit(toy, Context()).summary.warnings
    assert "early stopping never triggered in 2 epochs for 2 of 2 networks" in warning
    with pytest.raises(ConfigurationError, match=r"method\.validation=0\.01 holds out 20 of 2000"):
        BaselineClassifier(validation=0.01).fit(toy, Context())


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: BaselineClassifier(networks=0), "method.networks must be a positive integer"),
        (lambda: BaselineClassifier(hidden=[0]), "method.hidden takes a list"),
        (lambda: BaselineClassifier(activation="rellu"), "did you mean relu"),
        (lambda: BaselineClassifier(validation=1.0), "method.validation must be < 1"),
        (lambda: AugmentedClassifier(copies=0), "method.copies must be a positive integer, got 0"),
        (lambda: AdversarialClassifier(strength=0), "method.strength must be positive, got 0"),
        (lambda: UncertaintyAware(order=0), "method.order must be a positive integer, got 0"),
        (lambda: UncertaintyAware(nuisances=[]), "method.nuisances is empty: name some"),
    ],
)
def test_hyperparameters_out_of_range_are_refused(build, message: str):
    with pytest.raises(ConfigurationError, match=message):
        build()
