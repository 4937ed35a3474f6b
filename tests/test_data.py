"""The datasets: against closed forms, against the bundled files, and with damaged files."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import h5py
import numpy as np
import pytest

from calibrate.context import Context
from calibrate.data.dijet import Dijet
from calibrate.data.dijet_columns import read_columns
from calibrate.data.gaussian import Gaussian
from calibrate.errors import CalibrateError, ConfigurationError, DataError
from calibrate.sample import Sample
from calibrate.task import RegressionTask

MEGABYTES = 1e6
PARTS = ("pt", "y", "phi", "m")
JETS = [f"{level}{i}" for level in ("gen", "reco") for i in (1, 2)]
COLUMNS = ["weight", *(f"{jet}_{part}" for jet in JETS for part in PARTS)]


def mean_and_width(values: np.ndarray, w: np.ndarray) -> tuple[float, float]:
    mean = np.average(values, weights=w)
    return float(mean), float(np.sqrt(np.average((values - mean) ** 2, weights=w)))


# The Gaussian example


@pytest.fixture(scope="module")
def gaussian() -> RegressionTask:
    return Gaussian(mu=0.5, sigma=0.8, epsilon=1.5, n=40_000).regression(Context(seed=5))


@pytest.mark.parametrize(
    ("test", "mu", "sigma"),
    [("train", 0.5, 0.8), ("nominal", 0.5, 0.8), ("shifted", 2.0, 0.8), ("wide", 0.5, 1.6)],
)
def test_the_gaussian_samples_have_their_moments(gaussian, test: str, mu: float, sigma: float):
    sample = gaussian.train if test == "train" else gaussian.tests[test]
    z, noise = sample.z[:, 0], sample.x[:, 0] - sample.z[:, 0]
    root_n = np.sqrt(len(sample))
    assert z.mean() == pytest.approx(mu, abs=5 * sigma / root_n)
    assert z.std() == pytest.approx(sigma, abs=5 * sigma / root_n)
    assert noise.mean() == pytest.approx(0.0, abs=5 * 1.5 / root_n)
    assert noise.std() == pytest.approx(1.5, abs=5 * 1.5 / root_n)
    assert np.corrcoef(z, noise)[0, 1] == pytest.approx(0.0, abs=5 / root_n)


def test_every_gaussian_test_sample_is_ten_times_the_training(gaussian):
    assert len(gaussian.train) == 40_000
    assert {name: len(s) for name, s in gaussian.tests.items()} == dict.fromkeys(
        ("nominal", "shifted", "wide"), 400_000
    )
    assert all((s.w == 1).all() for s in (gaussian.train, *gaussian.tests.values()))


def test_the_gaussian_samples_are_independent(gaussian):
    samples = [gaussian.train, *gaussian.tests.values()]
    standardised = [(s.z[:40_000, 0] - s.z.mean()) / s.z.std() for s in samples]
    correlation = np.corrcoef(standardised) - np.eye(len(samples))
    assert np.abs(correlation).max() < 5 / np.sqrt(40_000)
    assert not np.isin(gaussian.train.z, gaussian.tests["nominal"].z).any()


def test_the_gaussian_follows_the_seed_and_nothing_else():
    context = Context(seed=1)
    context.stream("data", "train").normal(size=10)
    one, other = (Gaussian(n=200).regression(c) for c in (context, Context(seed=1)))
    np.testing.assert_array_equal(one.train.x, other.train.x)
    np.testing.assert_array_equal(one.tests["wide"].x, other.tests["wide"].x)
    assert not np.isin(Gaussian(n=200).regression(Context(seed=2)).train.x, one.train.x).any()


@pytest.mark.parametrize("x", [-1.5, 0.5, 2.5])
def test_the_posterior_mean_is_the_mean_of_z_at_given_x(gaussian, x: float):
    """Eq. 30 and 32, from the events in a narrow window of x."""
    sample, form = gaussian.tests["nominal"], gaussian.closed_forms["posterior_mean"]
    near = np.abs(sample.x[:, 0] - x) < 0.1
    z, error = sample.z[near, 0], 5 / np.sqrt(np.count_nonzero(near))
    sigma = form.point_resolution(np.array([x]))[0]
    found = (z - form.estimate(sample.x[near, 0])).mean()
    assert found == pytest.approx(0.0, abs=error * sigma)
    assert z.std() == pytest.approx(sigma, abs=error * sigma + 2e-3)


@pytest.mark.parametrize("estimator", ["posterior_mean", "maximum_likelihood", "none"])
@pytest.mark.parametrize("z", [-2.0, 0.5, 3.0])
def test_bias_and_resolution_are_those_of_the_estimate_at_given_z(gaussian, estimator, z: float):
    """Eq. 13 and 39-41, from events drawn at one z."""
    form, n = gaussian.closed_forms[estimator], 200_000
    x = np.random.default_rng(3).normal(z, 1.5, n)
    difference, at = form.estimate(x) - z, np.array([z])
    width = form.resolution(at)[0]
    assert difference.mean() == pytest.approx(form.bias(at)[0], abs=5 * width / np.sqrt(n))
    assert difference.std() == pytest.approx(width, abs=5 * width / np.sqrt(n))


def test_the_example_of_the_paper_has_its_numbers():
    forms = Gaussian().regression(Context()).closed_forms
    x = np.array([0.0, 1.0])
    np.testing.assert_allclose(forms["posterior_mean"].estimate(x), [0.0, 0.2])
    np.testing.assert_allclose(forms["posterior_mean"].point_resolution(x), 2 / np.sqrt(5))
    np.testing.assert_allclose(forms["maximum_likelihood"].estimate(x), x)
    np.testing.assert_allclose(forms["maximum_likelihood"].point_resolution(x), 2.0)


def test_a_curved_response_bends_the_same_events():
    straight, curved = (
        Gaussian(mu=5, mu_test=5, n=500, curvature=c).regression(Context()).tests["wide"]
        for c in (0.0, 0.1)
    )
    np.testing.assert_array_equal(straight.z, curved.z)
    np.testing.assert_allclose(curved.x - 0.1 * curved.z**2, straight.x, rtol=1e-12)


@pytest.mark.parametrize("estimator", ["maximum_likelihood", "none"])
@pytest.mark.parametrize("c", [0.1, -0.05])
@pytest.mark.parametrize("epsilon", [0.5, 1.0])
def test_the_bias_of_a_curved_response_is_the_integral_up_to_the_next_order(estimator, c, epsilon):
    mu = 5.0 if c > 0 else -2.0
    curved = Gaussian(mu=mu, mu_test=mu, n=200, epsilon=epsilon, curvature=c)
    forms = curved.regression(Context()).closed_forms
    assert set(forms) == {"maximum_likelihood", "none"}
    form, z = forms[estimator], np.array([mu - 1, mu, mu + 1])
    nodes, shares = np.polynomial.hermite_e.hermegauss(12)
    shares = shares / shares.sum()
    x = (z + c * z**2)[:, None] + epsilon * nodes
    bias = form.estimate(x) @ shares - z
    slope = 1 + 2 * c * z
    following = -15 * c**3 * epsilon**4 / slope**7 if estimator == "maximum_likelihood" else 0.0
    left = np.abs(bias - form.bias(z) - following)
    assert np.all(left <= 0.25 * np.abs(following) + 1e-12)
    spread = np.sqrt((form.estimate(x) - z[:, None] - bias[:, None]) ** 2 @ shares)
    np.testing.assert_allclose(
        form.resolution(z), spread, rtol=8 * (c * epsilon / slope.min() ** 2) ** 2
    )


def test_the_inverse_of_a_curved_response_undoes_it_and_ends_at_its_fold():
    form = Gaussian(mu=5, n=200, curvature=0.1).regression(Context()).closed_forms
    estimate = form["maximum_likelihood"].estimate
    z = np.linspace(-4.9, 10, 30)
    np.testing.assert_allclose(estimate(z + 0.1 * z**2), z, atol=1e-12)
    assert np.isnan(estimate(np.array([-2.6]))).all()
    step = 1e-5
    slope = (estimate(z + step) - estimate(z - step)) / (2 * step)
    np.testing.assert_allclose(
        form["maximum_likelihood"].point_resolution(z[10:]), 2.0 * slope[10:], rtol=1e-6
    )


def test_a_curved_response_that_folds_among_the_events_is_refused():
    with pytest.raises(ConfigurationError, match=r"above -5 only, 2.5 widths from .* 'wide'"):
        Gaussian(curvature=0.1).regression(Context())
    with pytest.raises(ConfigurationError, match=r"below 5 only, 3 widths .* 'shifted', .* most 0"):
        Gaussian(curvature=-0.1).transport(Context())


def test_a_curved_response_says_where_its_closed_forms_end():
    near = Gaussian(mu=5, mu_test=5, n=2000, curvature=0.1, epsilon=4.0).regression(Context())
    assert "the next one is 15 % of the bias at z = 5" in near.notes[0]
    assert any("of the events of 'wide' have an x" in warning for warning in near.warnings)
    far = Gaussian(mu=5, mu_test=5, n=2000, curvature=0.1, epsilon=0.5).regression(Context())
    assert far.warnings == ()


def test_the_map_of_a_curved_response_has_no_closed_form():
    curved = Gaussian(mu=5, mu_test=5, n=200, curvature=0.1)
    assert curved.transport(Context()).closed_forms == {}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sigma": -1}, "data.sigma must be positive, got -1"),
        ({"sigma": "wide"}, "data.sigma must be a finite number, got 'wide'"),
        ({"epsilon": 0}, "data.epsilon must be positive, got 0"),
        ({"mu": float("nan")}, "data.mu must be a finite number, got nan"),
        ({"mu_test": float("inf")}, "data.mu_test must be a finite number, got inf"),
        ({"curvature": "much"}, "data.curvature must be a finite number, got 'much'"),
        ({"n": 0}, "data.n must be a positive integer, got 0"),
        ({"n": 1.5}, "data.n must be a positive integer, got 1.5"),
        ({"n": True}, "data.n must be a positive integer, got True"),
    ],
)
def test_wrong_options_of_the_gaussian_are_named(options, message: str):
    with pytest.raises(ConfigurationError, match=message):
        Gaussian(**options)


@pytest.mark.parametrize("n", [1, 99])
def test_too_few_gaussian_events_are_counted(n: int):
    with pytest.raises(DataError, match=f"training sample holds {n} usable events .* 100 are"):
        Gaussian(n=n).regression(Context())


# The bundled dijets


@pytest.fixture(scope="module")
def full() -> RegressionTask:
    return Dijet().regression(Context())


@pytest.fixture(scope="module")
def jets() -> RegressionTask:
    return Dijet(target="jet_pt").regression(Context())


@pytest.mark.parametrize("detector", ["full", "fast"])
def test_the_bundled_dijets_say_where_they_come_from(detector: str):
    with h5py.File(Dijet(detector=detector).source()) as file:
        attributes = dict(file.attrs)
        units = {name: file[name].attrs["unit"] for name in COLUMNS}
        kept = np.array([np.count_nonzero(file["bin"][()] == b) for b in (1, 2, 3)])
        weights = [np.unique(file["weight"][()][file["bin"][()] == b]) for b in (1, 2, 3)]
    assert attributes["detector"] == detector
    assert "Pythia 8" in attributes["generator"]
    assert {"seed", "version_pythia8mc", "version_fastjet", "detector_constants"} <= set(attributes)
    assert {f"pythia_settings_bin{b}" for b in (1, 2, 3)} <= set(attributes)
    np.testing.assert_array_equal(kept, attributes["n_kept"])
    assert all(w.size == 1 for w in weights)
    expected = attributes["cross_section_mb"] / attributes["n_generated"]
    np.testing.assert_allclose(np.concatenate(weights), expected, rtol=1e-6)
    assert (units["weight"], units["gen1_pt"], units["reco2_phi"]) == ("mb", "GeV", "rad")


def test_the_bundled_files_are_small_and_large_enough():
    paths = [Dijet(detector=detector).source() for detector in ("full", "fast")]
    assert sum(path.stat().st_size for path in paths) <= 16 * MEGABYTES
    assert min(read_columns(path)["weight"].size for path in paths) >= 100_000


def test_the_uncalibrated_dijets_come_out_about_five_percent_low(full):
    for sample in (full.train, full.tests["nominal"]):
        response, width = mean_and_width(sample.x[:, 0] / sample.z[:, 0], sample.w)
        assert 0.93 < response < 0.97
        assert 0.02 < width < 0.08


def test_the_halves_are_complements(full):
    train, test = full.train.group, full.tests["nominal"].group
    assert abs(train.size - test.size) <= 1
    everything = np.sort(np.concatenate([train, test]))
    np.testing.assert_array_equal(everything, np.arange(train.size + test.size))


def test_the_resonance_is_narrow_and_has_enough_events(full):
    resonance = full.tests["resonance"]
    mean, width = mean_and_width(resonance.z[:, 0], resonance.w)
    assert mean == pytest.approx(2800.0, abs=1.0)
    assert width == pytest.approx(10.0, abs=0.5)
    assert resonance.effective_size >= 350
    assert np.isin(resonance.group, full.tests["nominal"].group).all()


def test_a_resonance_keeps_the_response_at_given_mass(full):
    """w·G/p keeps the mixture of generator slices: the raw response is that of QCD events."""
    resonance, nominal = full.tests["resonance"], full.tests["nominal"]
    near = nominal.take(np.abs(nominal.z[:, 0] - 2800.0) < 60.0)
    found, expected = (mean_and_width(s.x[:, 0] / s.z[:, 0], s.w) for s in (resonance, near))
    error = expected[1] * np.hypot(resonance.effective_size**-0.5, near.effective_size**-0.5)
    assert found[0] == pytest.approx(expected[0], abs=4 * error)


def test_a_resonance_goes_where_it_is_asked_to():
    data = Dijet(resonance_mass=2400.0, resonance_width=40.0)
    resonance = data.regression(Context()).tests["resonance"]
    mean, width = mean_and_width(resonance.z[:, 0], resonance.w)
    assert mean == pytest.approx(2400.0, abs=3.0)
    assert width == pytest.approx(40.0, rel=0.05)


def test_a_resonance_outside_the_sample_is_refused():
    with pytest.raises(DataError, match="has no overlap with the sample"):
        Dijet(resonance_mass=90.0, resonance_width=2.0).regression(Context())


def test_both_jets_of_an_event_are_on_one_side(jets):
    train, nominal = jets.train, jets.tests["nominal"]
    assert not np.isin(train.group, nominal.group).any()
    for sample in (train, *jets.tests.values()):
        _, rows = np.unique(sample.group, return_counts=True)
        assert (rows == 2).all()


def test_single_jets_have_eta_and_mass_and_the_weights_of_their_event(jets, full):
    assert [c.name for c in jets.train.x_columns] == ["pt_reco", "eta_reco", "m_reco"]
    assert [c.name for c in jets.train.z_columns] == ["pt_true"]
    assert jets.train.w.sum() == pytest.approx(2 * full.train.w.sum())
    resonance, masses = jets.tests["resonance"], full.tests["resonance"]
    np.testing.assert_allclose(resonance.effective_size, masses.effective_size)
    columns = read_columns(Dijet().source())
    row = int(np.flatnonzero(jets.train.group == jets.train.group[0])[0])
    event = jets.train.group[row]
    pt, y, m = (columns[f"reco1_{part}"][event] for part in ("pt", "y", "m"))
    momentum = np.hypot(pt, m) * np.sinh(y)
    np.testing.assert_allclose(jets.train.x[row], [pt, np.arcsinh(momentum / pt), m])


def test_the_split_follows_the_seed_and_the_fraction():
    first, same, other = (Dijet().regression(Context(seed=s)).train for s in (1, 1, 2))
    np.testing.assert_array_equal(first.group, same.group)
    assert np.mean(np.isin(first.group, other.group)) == pytest.approx(0.5, abs=0.02)
    task = Dijet(train_fraction=0.25).regression(Context())
    assert len(task.train) / len(task.tests["nominal"]) == pytest.approx(1 / 3, rel=1e-3)


def test_the_fast_detector_differs_visibly_from_the_full_one(full):
    fast = Dijet(detector="fast").regression(Context()).train
    one, other = (mean_and_width(s.x[:, 0] / s.z[:, 0], s.w) for s in (full.train, fast))
    assert other[0] - one[0] > 0.01
    assert one[1] / other[1] > 1.1
    assert not np.isin(fast.z, full.train.z).any()


def test_the_mass_equals_the_columns_of_an_independent_program(shared_data: Path):
    path = shared_data / "delphes_dijet/cms/delphes_dijet_cms.h5"
    task = Dijet(path=str(path), train_fraction=0.5).regression(Context())
    with h5py.File(path) as file:
        masses = {name: file[name][()] for name in ("mjj_true", "mjj_reco")}
    for sample in (task.train, task.tests["nominal"]):
        expected_z, expected_x = (masses[k][sample.group] for k in ("mjj_true", "mjj_reco"))
        np.testing.assert_allclose(sample.z[:, 0], expected_z, rtol=1e-4)
        np.testing.assert_allclose(sample.x[:, 0], expected_x, rtol=1e-4)
    (digest,) = task.files.values()
    assert len(digest) == 64


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"detector": "ful"}, "data.detector='ful': did you mean full"),
        ({"target": "mj"}, "data.target='mj': did you mean mjj"),
        ({"train_fraction": 0}, "data.train_fraction must be positive"),
        ({"train_fraction": 1.0}, "data.train_fraction must be < 1, got 1.0"),
        ({"resonance_mass": -5}, "data.resonance_mass must be positive, got -5"),
        ({"resonance_width": "10"}, "data.resonance_width must be a finite number, got '10'"),
    ],
)
def test_wrong_options_of_the_dijets_are_named(options, message: str):
    with pytest.raises(ConfigurationError, match=message):
        Dijet(**options)


def test_every_option_of_the_dijets_is_documented_by_name():
    text = str(Dijet.__doc__)
    assert [f.name for f in fields(Dijet) if f.name not in text and "fraction" not in f.name] == []


# Dijet files that cannot be used

Columns = dict[str, np.ndarray]


def columns_of(n: int) -> Columns:
    """Back-to-back jets with a falling pT, five percent low at detector level."""
    rng = np.random.default_rng(n)
    pt = 1000 * (1 + rng.pareto(8.0, n))
    columns = {"weight": np.full(n, 1e-10)}
    for jet in JETS:
        response = 0.95 + 0.05 * rng.normal(size=n) if jet.startswith("reco") else 1.0
        values = (pt * response, rng.normal(0, 0.5, n), np.full(n, 3.0 * (jet[-1] == "2")))
        columns |= {f"{jet}_{p}": v for p, v in zip(PARTS, (*values, 0.1 * pt), strict=True)}
    return columns


def stored(folder: Path, columns: Columns) -> Path:
    path = folder / "dijets.h5"
    with h5py.File(path, "w") as file:
        for name, values in columns.items():
            file[name] = values
    return path


def loaded(path: Path) -> Sample:
    """The nominal test sample of a file, with a resonance that its few events can have."""
    data = Dijet(path=str(path), resonance_mass=2200.0, resonance_width=200.0)
    return data.regression(Context()).tests["nominal"]


def test_a_file_of_the_same_layout_is_read(tmp_path: Path):
    sample = loaded(stored(tmp_path, columns_of(4000)))
    assert len(sample) == 2000
    assert mean_and_width(sample.x[:, 0] / sample.z[:, 0], sample.w)[0] == pytest.approx(
        0.95, abs=0.01
    )


def renamed(columns: Columns) -> Columns:
    columns["reco1_ptt"] = columns.pop("reco1_pt")
    return columns


def with_value(name: str, value: float, rows: slice = slice(7, 8)) -> Callable[[Columns], Columns]:
    def change(columns: Columns) -> Columns:
        columns[name][rows] = value
        return columns

    return change


def shorter(columns: Columns) -> Columns:
    columns["gen2_m"] = columns["gen2_m"][:-1]
    return columns


def two_dimensional(columns: Columns) -> Columns:
    return {name: values.reshape(-1, 2) for name, values in columns.items()}


def texts(columns: Columns) -> Columns:
    columns["gen1_pt"] = np.full(columns["gen1_pt"].size, b"many")
    return columns


ALL = slice(None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (renamed, "has no column 'reco1_pt': did you mean reco1_ptt"),
        (with_value("reco1_pt", np.nan), "'reco1_pt' holds 1 values of 4000 that are not finite"),
        (with_value("weight", np.inf), "'weight' holds 1 values of 4000 that are not finite"),
        (with_value("weight", 0.0, ALL), "all 4000 weights are zero"),
        (with_value("weight", -1.0, ALL), "the weights sum to -4000: a positive sum is needed"),
        (shorter, "must hold columns of one length"),
        (two_dimensional, "must hold columns of one length"),
        (texts, "cannot be read as HDF5 dijets"),
    ],
)
def test_a_file_with_wrong_columns_is_named(tmp_path: Path, change, message: str):
    with pytest.raises(DataError, match=message):
        loaded(stored(tmp_path, change(columns_of(4000))))


@pytest.mark.parametrize("target", ["mjj", "jet_pt"])
@pytest.mark.parametrize("pt", [0.0, -5.0])
def test_a_jet_without_momentum_is_named(tmp_path: Path, target: str, pt: float):
    path = stored(tmp_path, with_value("reco2_pt", pt)(columns_of(4000)))
    with pytest.raises(DataError, match="'reco2_pt' is a transverse momentum, but 1 "):
        Dijet(path=str(path), target=target).regression(Context())


@pytest.mark.parametrize(
    ("n", "message"),
    [
        (0, "holds no events"),
        (1, "holds 1 events: at least 100 are needed"),
        (99, "holds 99 events: at least 100 are needed"),
        (198, "the training sample holds 99 usable events .* of 99"),
    ],
)
def test_too_few_dijets_are_counted(tmp_path: Path, n: int, message: str):
    with pytest.raises(DataError, match=message):
        loaded(stored(tmp_path, columns_of(n)))


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "cannot be read as HDF5"), (b"pt eta phi\n1 2 3\n", "cannot be read as HDF5")],
    ids=["empty", "text"],
)
def test_a_file_of_another_kind_is_named(tmp_path: Path, content: bytes, message: str):
    path = tmp_path / "dijets.h5"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        loaded(path)


@pytest.mark.parametrize("kept", [0.01, 0.5, 0.99])
def test_a_truncated_copy_is_named(tmp_path: Path, kept: float):
    path = tmp_path / "dijets.h5"
    shutil.copyfile(Dijet().source(), path)
    size = path.stat().st_size
    with path.open("rb+") as file:
        file.truncate(int(kept * size))
    with pytest.raises(DataError, match="cannot be read as HDF5 dijets"):
        loaded(path)


def test_a_damaged_block_inside_a_file_is_named(tmp_path: Path):
    path = tmp_path / "dijets.h5"
    content = bytearray(Dijet().source().read_bytes())
    middle = len(content) // 2
    content[middle : middle + 200_000] = bytes(200_000)
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"dijets\.h5"):
        loaded(path)


def test_a_folder_and_a_missing_file_are_named(tmp_path: Path):
    with pytest.raises(DataError, match="a folder; an HDF5 file with dijets is needed"):
        loaded(tmp_path)
    with pytest.raises(CalibrateError, match=r"nowhere\.h5: no such file"):
        loaded(tmp_path / "nowhere.h5")
