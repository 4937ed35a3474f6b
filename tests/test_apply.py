"""A stored calibration applied to files: the same numbers as in memory, all else untouched."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import awkward as ak
import h5py
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import uproot

from calibrate.apply import Applied, Options, apply, estimates
from calibrate.context import Context
from calibrate.errors import ConfigurationError, DataError, NoEstimateError, StorageError
from calibrate.estimate import Calibration, Domain, Estimate
from calibrate.loading import load
from calibrate.methods.bayesian import Bayesian
from calibrate.methods.ensemble import Ensemble, bootstrap_ensemble
from calibrate.methods.gaussian_ansatz import GaussianAnsatz
from calibrate.methods.mse import MSE
from calibrate.sample import Column, Sample
from calibrate.storage import save_state
from calibrate.task import RegressionTask

N = 1000
STEM = "gen_pt"


def events(n: int = N, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = np.exp(rng.normal(5, 0.4, n))
    return {
        "jet_pt": truth * rng.normal(0.95, 0.08, n),
        "jet_eta": rng.uniform(-2.5, 2.5, n),
        "gen_pt": truth,
        "event": np.arange(n) + 2**60,
        "good": rng.random(n) < 0.5,
    }


def sample(columns: dict[str, np.ndarray]) -> Sample:
    return Sample(
        np.column_stack([columns["jet_pt"], columns["jet_eta"]]),
        columns["gen_pt"],
        np.ones(len(columns["gen_pt"])),
        (Column("jet_pt", "GeV", positive=True), Column("jet_eta")),
        (Column("gen_pt", "GeV", positive=True),),
    )


@pytest.fixture(scope="module")
def task() -> RegressionTask:
    return RegressionTask(sample(events()), {"nominal": sample(events(seed=1))}, ("jet_pt",))


@pytest.fixture(scope="module")
def polynomial(task: RegressionTask) -> Calibration:
    return MSE(degree=2).fit(task, Context())


@pytest.fixture(scope="module")
def ansatz(task: RegressionTask) -> Calibration:
    small = {"hidden_a": (8,), "hidden_b": (8,), "hidden_c": (4,), "hidden_d": (4,), "steps": 10}
    return GaussianAnsatz(**small).fit(task, Context())


def write_root(path: Path, columns: dict[str, np.ndarray]) -> None:
    with uproot.recreate(path) as file:
        file.mktree("jets", {k: v.dtype for k, v in columns.items()}).extend(columns)


def write_ntuple(path: Path, columns: dict[str, np.ndarray]) -> None:
    with uproot.recreate(path) as file:
        file.mkrntuple("jets", columns)


def write_hdf5(path: Path, columns: dict[str, np.ndarray]) -> None:
    with h5py.File(path, "w") as file:
        file.attrs["origin"] = "a test"
        for name, values in columns.items():
            file[name] = values


def write_compound(path: Path, columns: dict[str, np.ndarray]) -> None:
    with h5py.File(path, "w") as file:
        file["jets"] = np.rec.fromarrays(list(columns.values()), names=list(columns))


def read_root(path: Path) -> dict[str, np.ndarray]:
    return uproot.open(path)["jets"].arrays(library="np")


def read_hdf5(path: Path) -> dict[str, np.ndarray]:
    with h5py.File(path) as file:
        return {name: values[()] for name, values in file.items()}


def read_compound(path: Path) -> dict[str, np.ndarray]:
    with h5py.File(path) as file:
        rows = file["jets"][()]
        return {name: rows[name] for name in rows.dtype.names}


def read_arrow(table: pa.Table) -> dict[str, np.ndarray]:
    return {name: table[name].to_numpy() for name in table.column_names}


FORMATS: dict[str, tuple[Callable, Callable]] = {
    "a.root": (write_root, read_root),
    "ntuple.root": (write_ntuple, read_root),
    "a.h5": (write_hdf5, read_hdf5),
    "compound.h5": (write_compound, read_compound),
    "a.npz": (lambda path, c: np.savez_compressed(path, **c), lambda path: dict(np.load(path))),
    "a.parquet": (
        lambda path, c: pq.write_table(pa.table(c), path),
        lambda path: read_arrow(pq.read_table(path)),
    ),
    "a.csv": (
        lambda path, c: pyarrow.csv.write_csv(pa.table(c), path),
        lambda path: read_arrow(pyarrow.csv.read_csv(path)),
    ),
}


@pytest.fixture(params=FORMATS)
def written(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Callable]:
    """A file of one format, and how to read it."""
    write, read = FORMATS[request.param]
    path = tmp_path / request.param
    write(path, events(seed=2))
    return path, read


def run(
    fitted: Calibration, source: Path, name: str = "out", **options: object
) -> tuple[Path, Applied]:
    target = source.with_name(f"{name}_{source.name}")
    return target, apply(fitted, source, target, Options(**options), Context())  # type: ignore[arg-type]


# Numbers


@pytest.mark.parametrize("method", ["polynomial", "ansatz"])
def test_a_file_holds_what_the_calibration_gives_in_memory(method, written, request):
    fitted, (source, read) = request.getfixturevalue(method), written
    target, done = run(fitted, source, rows=333)
    before, after, exact = events(seed=2), read(target), fitted.estimate(sample(events(seed=2)).x)
    np.testing.assert_allclose(after[f"{STEM}_calibrated"], exact.z[:, 0], rtol=1e-15)
    np.testing.assert_allclose(after[f"{STEM}_sigma"], exact.sigma[:, 0], rtol=1e-15)
    np.testing.assert_array_equal(after[f"{STEM}_valid"].astype(bool), exact.inside)
    assert done == Applied(N, int((~exact.inside).sum()), 0, 0, done.columns, 0)
    for name, values in before.items():
        np.testing.assert_array_equal(after[name], values)
    assert set(after) == {*before, *done.columns}


def test_the_cut_into_chunks_does_not_change_a_bit(ansatz, written, monkeypatch):
    monkeypatch.setattr(estimates, "BLOCK", 128)
    source, read = written
    one, other = (read(run(ansatz, source, f"rows{n}", rows=n)[0]) for n in (7, N))
    for name, values in one.items():
        np.testing.assert_array_equal(other[name], values)


def test_single_precision_features_give_single_precision_estimates(ansatz, tmp_path: Path):
    columns = {k: v.astype(np.float32) if v.dtype == float else v for k, v in events().items()}
    write_hdf5(tmp_path / "a.h5", columns)
    target, _ = run(ansatz, tmp_path / "a.h5")
    found = read_hdf5(target)[f"{STEM}_calibrated"]
    x = np.column_stack([columns["jet_pt"], columns["jet_eta"]]).astype(np.float64)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, ansatz.estimate(x).z[:, 0].astype(np.float32))


def test_features_may_be_expressions_and_names_chosen(polynomial, tmp_path: Path):
    columns = events()
    write_hdf5(tmp_path / "a.h5", {"pt_mev": 1e3 * columns["jet_pt"], "eta": columns["jet_eta"]})
    given = {"jet_pt": "pt_mev / 1000", "jet_eta": "eta"}
    target, done = run(polynomial, tmp_path / "a.h5", columns=given, names=["pt"])
    assert done.columns == ("pt_calibrated", "pt_sigma", "pt_valid")
    exact = polynomial.estimate(sample(events()).x).z[:, 0]
    np.testing.assert_allclose(read_hdf5(target)["pt_calibrated"], exact, rtol=1e-12)


# Jagged columns


def jagged() -> tuple[ak.Array, ak.Array]:
    columns, counts = events(), np.random.default_rng(3).integers(0, 4, 400)
    rows = slice(0, counts.sum())
    return tuple(ak.unflatten(columns[k][rows], counts) for k in ("jet_pt", "jet_eta"))


def test_jagged_root_stays_jagged_and_shares_the_counter(polynomial, tmp_path: Path):
    pt, eta = jagged()
    with uproot.recreate(tmp_path / "a.root") as file:
        columns = {"Jet": ak.zip({"pt": pt, "eta": eta}), "run": np.arange(len(pt))}
        types = {name: ak.type(values).content for name, values in columns.items()}
        file.mktree("Events", types).extend(columns)
        file.mktree("other", {"x": np.int64}).extend({"x": np.arange(3)})
    given = {"jet_pt": "Jet_pt", "jet_eta": "Jet_eta"}
    target, done = run(
        polynomial, tmp_path / "a.root", columns=given, names=["Jet_new"], rows=77, tree="Events"
    )
    with uproot.open(target) as file:
        after = file["Events"].arrays()
        assert ak.array_equal(after["Jet_pt"], pt)
        assert ak.array_equal(after["run"], np.arange(len(pt)))
        assert ak.array_equal(ak.num(after["Jet_new_calibrated"]), ak.num(pt))
        assert file["Events"]["Jet_new_calibrated"].count_branch.name == "nJet"
        assert ak.array_equal(file["other"]["x"].array(), np.arange(3))
    x = np.column_stack([ak.flatten(pt), ak.flatten(eta)])
    np.testing.assert_allclose(
        ak.flatten(after["Jet_new_calibrated"]), polynomial.estimate(x).z[:, 0], rtol=1e-15
    )
    assert done.rows == len(x)


def test_jagged_parquet_stays_jagged(polynomial, tmp_path: Path):
    pt, eta = jagged()
    ak.to_parquet(ak.Array({"jet_pt": pt, "jet_eta": eta}), tmp_path / "a.parquet")
    target, _ = run(polynomial, tmp_path / "a.parquet", rows=101)
    after = ak.from_parquet(target)
    assert ak.to_list(after["jet_pt"]) == ak.to_list(pt)
    assert ak.to_list(ak.num(after[f"{STEM}_calibrated"])) == ak.to_list(ak.num(pt))


def test_a_friend_tree_leaves_the_old_one_alone(polynomial, tmp_path: Path):
    write_root(tmp_path / "a.root", events())
    target, _ = run(polynomial, tmp_path / "a.root", friend=True)
    with uproot.open(target) as file:
        assert set(file["jets"].keys()) == set(events())
        friend = file["jets_calibrated"].arrays(library="np")
    exact = polynomial.estimate(sample(events()).x)
    np.testing.assert_array_equal(friend[f"{STEM}_calibrated"], exact.z[:, 0])


@pytest.mark.parametrize("name", ["a.h5", "a.npz"])
def test_features_of_another_length_than_most_columns_are_refused(polynomial, name, tmp_path):
    columns = events()
    others = {f"other{i}": np.zeros(3) for i in range(len(columns) + 1)}
    FORMATS[name][0](tmp_path / name, {**columns, **others})
    with pytest.raises(DataError, match=rf"the features have {N} rows, most columns 3: write"):
        run(polynomial, tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_friend_tree_is_for_root_alone(polynomial, tmp_path: Path):
    write_hdf5(tmp_path / "a.h5", events())
    with pytest.raises(ConfigurationError, match="--friend adds a tree to ROOT files"):
        run(polynomial, tmp_path / "a.h5", friend=True)


def test_real_nanoaod_keeps_all_its_branches(polynomial, shared_data: Path, tmp_path: Path):
    source = shared_data / "nanoAOD_2015_CMS_Open_Data_ttbar.root"
    given = {"jet_pt": "Jet_pt", "jet_eta": "Jet_eta"}
    options = Options(given, ["Jet_new"], rows=64, tree="Events")
    apply(polynomial, source, tmp_path / "out.root", options, Context())
    before, after = (uproot.open(path)["Events"] for path in (source, tmp_path / "out.root"))
    assert set(after.keys()) == {*before.keys(), *(f"Jet_new_{k}" for k in
                                 ("calibrated", "sigma", "valid"))}  # fmt: skip
    for name in before.keys():  # noqa: SIM118 - a tree, not a mapping
        one, other = before[name].array(), after[name].array()
        assert ak.array_equal(one, other, equal_nan=True, dtype_exact=not name.startswith("n"))


# The range of validity


def test_rows_outside_are_flagged_and_counted(polynomial, tmp_path: Path):
    columns = events()
    columns["jet_eta"][:5] = 4.0
    write_hdf5(tmp_path / "a.h5", columns)
    target, done = run(polynomial, tmp_path / "a.h5")
    assert done.outside == 5
    assert list(np.flatnonzero(~read_hdf5(target)[f"{STEM}_valid"])) == list(range(5))


def test_rows_outside_are_clamped_on_request(polynomial, tmp_path: Path):
    columns = events()
    columns["jet_eta"][:5] = 4.0
    write_hdf5(tmp_path / "a.h5", columns)
    target, done = run(polynomial, tmp_path / "a.h5", outside="clamp")
    after, edge = read_hdf5(target), sample(columns).x[:5].copy()
    edge[:, 1] = polynomial.domain.x_range[1, 1]
    assert done.outside == 5
    assert not after[f"{STEM}_valid"][:5].any()
    np.testing.assert_array_equal(
        after[f"{STEM}_calibrated"][:5], polynomial.estimate(edge).z[:, 0]
    )


def test_rows_outside_are_refused_on_request(polynomial, tmp_path: Path):
    columns = events()
    columns["jet_eta"][:5] = 4.0
    write_hdf5(tmp_path / "a.h5", columns)
    with pytest.raises(DataError, match=f"5 of {N} rows lie outside"):
        run(polynomial, tmp_path / "a.h5", outside="refuse")
    assert [path.name for path in tmp_path.iterdir()] == ["a.h5"]


def test_rows_that_cannot_be_used_are_nan_and_counted(ansatz, tmp_path: Path):
    columns = events()
    columns["jet_eta"][0], columns["jet_pt"][1] = np.nan, -1.0
    write_hdf5(tmp_path / "a.h5", columns)
    target, done = run(ansatz, tmp_path / "a.h5")
    after = read_hdf5(target)
    assert done.unusable == 2
    assert np.isnan(after[f"{STEM}_calibrated"][:2]).all()
    assert np.isfinite(after[f"{STEM}_calibrated"][2:]).all()
    assert not after[f"{STEM}_valid"][:2].any()


@dataclass(frozen=True)
class Gap:
    """A calibration that has no estimate where the transverse momentum lies in a gap."""

    whole: Calibration
    low: float
    high: float

    @property
    def domain(self) -> Domain:
        return self.whole.domain

    def estimate(self, x: np.ndarray) -> Estimate:
        rows = np.flatnonzero((x[:, 0] > self.low) & (x[:, 0] < self.high))
        if rows.size:
            raise NoEstimateError(f"no maximum for {rows.size} events", rows.tolist())
        return self.whole.estimate(x)


def test_a_row_without_an_estimate_does_not_cost_the_others_theirs(polynomial, tmp_path: Path):
    columns = events()
    columns["jet_eta"][0] = np.nan
    write_hdf5(tmp_path / "a.h5", columns)
    low, high = np.quantile(columns["jet_pt"], (0.1, 0.2))
    target, done = run(Gap(polynomial, low, high), tmp_path / "a.h5")
    after, found = read_hdf5(target), polynomial.estimate(sample(events()).x).z[:, 0]
    gap = (columns["jet_pt"] > low) & (columns["jet_pt"] < high)
    assert done.unsolved == np.count_nonzero(gap[1:])
    assert np.isnan(after[f"{STEM}_calibrated"][gap]).all()
    assert not after[f"{STEM}_valid"][gap].any()
    left = ~gap & (np.arange(N) > 0)
    np.testing.assert_array_equal(after[f"{STEM}_calibrated"][left], found[left])


def test_a_calibration_without_any_estimate_says_so(polynomial, tmp_path: Path):
    write_hdf5(tmp_path / "a.h5", events())
    with pytest.raises(NoEstimateError, match="no maximum"):
        run(Gap(polynomial, -np.inf, np.inf), tmp_path / "a.h5")
    assert [path.name for path in tmp_path.iterdir()] == ["a.h5"]


# Replicas


@pytest.fixture(scope="module")
def ensemble(task: RegressionTask, polynomial: Calibration) -> Ensemble:
    return bootstrap_ensemble(polynomial, MSE(degree=2), task, 200, Context())


def test_bootstrap_refits_scatter_as_the_fit_itself_does():
    """Against fits to independent samples."""

    def fit(train: Sample) -> Calibration:
        task = RegressionTask(train, {"nominal": train}, ("jet_pt",))
        return MSE(degree=1).fit(task, Context())

    train = sample(events(10 * N))
    task = RegressionTask(train, {"nominal": train}, ("jet_pt",))
    found = bootstrap_ensemble(fit(train), MSE(degree=1), task, 200, Context())
    x = np.array([[100.0, 0.0], [150.0, 1.0], [250.0, -1.0]])
    independent = [
        fit(sample(events(10 * N, seed))).estimate(x).z[:, 0] for seed in range(100, 300)
    ]
    actual = np.std(independent, axis=0)
    np.testing.assert_allclose(found.estimate(x).statistical[:, 0], actual, rtol=0.25)


def test_an_ensemble_is_stored_and_applied_with_its_variations(ensemble, tmp_path: Path):
    save_state(tmp_path / "fitted.h5", ensemble.kind, ensemble.state())
    loaded = load(tmp_path)
    columns = events(seed=2)
    expected = ensemble.estimate(sample(columns).x)
    np.testing.assert_array_equal(loaded.estimate(sample(columns).x).statistical,
                                  expected.statistical)  # fmt: skip
    write_hdf5(tmp_path / "a.h5", columns)
    after = read_hdf5(run(loaded, tmp_path / "a.h5")[0])
    spread = 0.5 * (after[f"{STEM}_up"] - after[f"{STEM}_down"])
    np.testing.assert_allclose(spread, expected.statistical[:, 0], rtol=1e-10)


def test_a_bayesian_network_writes_its_error_budget_mode_and_interval(task, tmp_path: Path):
    fitted = Bayesian(components=2, hidden=(), steps=20, samples=5).fit(task, Context())
    columns = events(seed=2)
    columns["jet_pt"][0] = np.nan
    write_hdf5(tmp_path / "a.h5", columns)
    after = read_hdf5(run(fitted, tmp_path / "a.h5")[0])
    added = [values for name, values in after.items() if name.startswith(f"{STEM}_")]
    assert all(np.isnan(values[0]) for values in added if values.dtype.kind == "f")
    expected = fitted.estimate(sample({name: v[1:] for name, v in columns.items()}).x)
    total = np.hypot(after[f"{STEM}_sigma_stoch"], after[f"{STEM}_sigma_pred"])[1:]
    np.testing.assert_allclose(total, after[f"{STEM}_sigma"][1:], rtol=1e-9)
    np.testing.assert_allclose(after[f"{STEM}_sigma_pred"][1:], expected.statistical[:, 0],
                               rtol=1e-3)  # fmt: skip
    low, mode, high = (after[f"{STEM}_{name}"][1:] for name in ("low", "mode", "high"))
    assert np.all((low < mode) & (mode < high))


# Refusals


def test_an_output_that_exists_is_kept(polynomial, tmp_path: Path):
    write_hdf5(tmp_path / "a.h5", events())
    (tmp_path / "out_a.h5").write_text("mine")
    with pytest.raises(StorageError, match=r"out_a.h5 exists: it is kept"):
        run(polynomial, tmp_path / "a.h5")
    assert (tmp_path / "out_a.h5").read_text() == "mine"


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"columns": {"jet_pd": "x"}}, ConfigurationError, "has the features jet_pt, jet_eta"),
        ({"columns": {"jet_pt": "jetpt"}}, DataError, "no column 'jetpt': did you mean jet_pt"),
        ({"columns": {"jet_pt": "open('x')"}}, ConfigurationError, "calls 'open'"),
        ({"names": ["a", "b"]}, ConfigurationError, "--name is needed once for each of gen_pt"),
        ({"tree": "nothing"}, DataError, "has no 'nothing'"),
        ({"outside": "ignore"}, ConfigurationError, "--outside"),
        ({"rows": 0}, ConfigurationError, "--chunk"),
    ],
)
def test_what_cannot_be_applied_leaves_nothing(polynomial, tmp_path, options, error, message):
    write_hdf5(tmp_path / "a.h5", events())
    with pytest.raises(error, match=message):
        run(polynomial, tmp_path / "a.h5", **options)
    assert [path.name for path in tmp_path.iterdir()] == ["a.h5"]


def test_new_columns_never_replace_old_ones(polynomial, written):
    source, _ = written
    target, _ = run(polynomial, source)
    with pytest.raises(DataError, match=f"has a column '{STEM}_calibrated' already"):
        run(polynomial, target, "again")
    assert not target.with_name(f"again_{target.name}").exists()


def test_a_full_disk_leaves_no_half_file(polynomial, written):
    """A limit on the size of files stands for a disk without space."""
    source, _ = written
    save_state(source.with_name("fitted.h5"), polynomial.kind, polynomial.state())
    limit = source.stat().st_size // 2
    done = subprocess.run(
        [sys.executable, "-m", "calibrate.cli.main", "apply", "fitted.h5", source.name, "out"],
        cwd=source.parent,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert done.returncode == 1
    assert done.stderr.startswith("calibrate: error: cannot write")
    assert done.stderr.count("\n") == 1
    assert {path.name for path in source.parent.iterdir()} == {source.name, "fitted.h5"}


def test_the_command_tells_what_it_did(polynomial, tmp_path: Path):
    columns = events()
    columns["jet_eta"][:5] = 4.0
    write_hdf5(tmp_path / "a.h5", columns)
    save_state(tmp_path / "fitted.h5", polynomial.kind, polynomial.state())
    command = ["apply", ".", "a.h5", "b.h5", "--column", "jet_pt=1.0 * jet_pt", "--name", "j"]
    done = subprocess.run(
        [sys.executable, "-m", "calibrate.cli.main", *command],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "5 rows (0.5 %) outside the range of the training: flagged" in done.stdout
    assert done.stdout.endswith("b.h5\n")
    assert "j_calibrated" in read_hdf5(tmp_path / "b.h5")


@pytest.mark.parametrize("name", ["out.root", "out.parquet", "out.csv", "out.gz"])
def test_a_name_that_says_another_format_is_refused(polynomial, tmp_path: Path, name: str):
    write_hdf5(tmp_path / "a.h5", events())
    with pytest.raises(ConfigurationError, match=rf"a.h5 is HDF5, and so is its copy: {name}"):
        apply(polynomial, tmp_path / "a.h5", tmp_path / name, Options(), Context())
    assert [path.name for path in tmp_path.iterdir()] == ["a.h5"]


def test_names_of_columns_are_words(polynomial, tmp_path: Path):
    write_hdf5(tmp_path / "a.h5", events())
    with pytest.raises(ConfigurationError, match="--name takes letters, digits"):
        run(polynomial, tmp_path / "a.h5", names=["a,b"])
