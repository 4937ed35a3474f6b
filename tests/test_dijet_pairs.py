"""Dijets of one detector beside those of another: ROOT trees, the text and HDF5 columns."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from calibrate.cli.main import guarded
from calibrate.cli.run import run
from calibrate.context import Context
from calibrate.data.delphes_dijet import DelphesDijet
from calibrate.data.delphes_files import read_dijets
from calibrate.data.dijet import Dijet
from calibrate.data.dijet_columns import read_columns, read_events
from calibrate.errors import CalibrateError, ConfigurationError, DataError
from calibrate.kinematics import Jets, dijet_mass
from calibrate.methods.ot import OptimalTransport
from calibrate.statistics import weighted_mean, weighted_quantile
from calibrate.task import TransportTask
from tests.test_delphes_dijet import CROSS_SECTIONS, both_levels, delphes, real, text

Options = dict[str, object]


def columns_of(path: Path, source: Path, w: float | np.ndarray = 1.0, keep: int = 1) -> Path:
    """The dijets of a tree as HDF5 columns, every `keep`-th of them."""
    found = read_dijets(source, 0.3, None)
    with h5py.File(path, "w") as file:
        file["weight"] = np.broadcast_to(np.asarray(w, float), found.matched)[::keep]
        for level, jets in (("gen", found.gen), ("reco", found.reco)):
            for part, values in zip(("pt", "y", "phi", "m"), jets, strict=True):
                for i in (1, 2):
                    file[f"{level}{i}_{part}"] = values[::keep, i - 1]
    return path


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("pair")
    return tuple(delphes(folder / f"{seed}.root", both_levels(4000, seed)) for seed in (3, 70))  # type: ignore[return-value]


def posed(simulation: object, data: object, **options: object) -> TransportTask:
    """Without resonances, for which most of the small files have too few events."""
    given: Options = {"resonance_masses": (), **options}
    return DelphesDijet(_given(simulation), target_path=_given(data), **given).transport(  # type: ignore[arg-type]
        Context(seed=1)
    )


def _given(path: object) -> object:
    return str(path) if isinstance(path, Path) else path


# What is posed


def test_both_sides_are_split_and_data_has_no_truth(pair: tuple[Path, Path]):
    task = posed(*pair, train_fraction=0.25)
    assert list(task.tests) == ["nominal"]
    for part, n in ((task.train, 1000), (task.tests["nominal"], 3000)):
        assert (len(part.simulation), len(part.data)) == (n, n)
        assert [c.label for c in part.simulation.z_columns] == ["mjj_true [GeV]"]
        assert part.data.z_columns == ()
        assert part.data.x_columns[0].positive
    assert not np.isin(task.train.data.group, task.tests["nominal"].data.group).any()
    assert list(task.files) == [str(path) for path in pair]
    assert "data.target_path stands for data" in task.notes[0]
    assert sum("4000 events read" in note for note in task.notes) == 2


def test_resonances_are_those_of_the_truth_on_both_sides(pair: tuple[Path, Path]):
    """Of data, whose truth is gone from the task, it is the response that brings it back."""
    task = posed(*pair, resonance_masses=[1100, 1300.5], resonance_width=40.0)
    assert list(task.tests) == ["nominal", "resonance1100", "resonance1300.5"]
    for mass, name in ((1100, "resonance1100"), (1300.5, "resonance1300.5")):
        test = task.tests[name]
        simulated = test.simulation
        assert weighted_mean(simulated.z[:, 0], simulated.w) == pytest.approx(mass, abs=12)
        assert weighted_mean(test.data.x[:, 0], test.data.w) == pytest.approx(0.95 * mass, rel=0.02)
        assert not np.isin(test.data.group, task.train.data.group).any()


def test_the_pt_of_each_jet_is_one_feature_of_its_event(pair: tuple[Path, Path]):
    task = posed(*pair, target="jet_pt", resonance_masses=[1100], resonance_width=40.0)
    simulation = task.tests["resonance1100"].simulation
    assert [c.name for c in task.train.data.x_columns] == ["pt_reco"]
    assert {"eta_reco", "m_reco", "dr"} <= set(simulation.spectators)
    assert (np.unique(simulation.group, return_counts=True)[1] == 2).all()
    whole = read_dijets(pair[0], 0.3, None)
    masses = dijet_mass(*(Jets(*(part[:, i] for part in whole.gen)) for i in (0, 1)))
    assert weighted_mean(masses[simulation.group], simulation.w) == pytest.approx(1100, abs=12)


def test_each_side_has_its_cross_sections(pair: tuple[Path, Path]):
    task = posed(*pair, cross_section=4000.0, target_cross_section=[8000.0])
    assert (set(task.train.simulation.w), set(task.train.data.w)) == ({1.0}, {2.0})
    assert any("event weight 2 = 8000 mb / 4000" in note for note in task.notes)


def test_formats_may_differ_between_the_sides(pair: tuple[Path, Path], tmp_path: Path):
    tree = posed(*pair)
    columns = posed(pair[0], columns_of(tmp_path / "data.h5", pair[1], w=3.0))
    np.testing.assert_allclose(columns.train.data.x, tree.train.data.x, rtol=1e-12)
    assert set(columns.train.data.w) == {3.0}
    assert any("4000 matched dijets read, with weights of their own" in n for n in columns.notes)
    texts = posed(pair[0], text(tmp_path / "dijets14.txt"))
    assert set(texts.train.data.w) == {1.38e-11}


def test_the_bundled_dijets_carry_jet_pt_too():
    task = Dijet(target="jet_pt", resonance_masses=(2200,)).transport(Context())
    assert [c.label for c in task.train.simulation.x_columns] == ["pt_reco [GeV]"]
    assert task.tests["resonance2200"].data.z_columns == ()


# HDF5 columns


def test_columns_are_the_dijets_that_they_were_made_of(pair: tuple[Path, Path], tmp_path: Path):
    w = np.random.default_rng(1).uniform(0.5, 1.5, 4000)
    path = columns_of(tmp_path / "a.h5", pair[0], w)
    task = DelphesDijet(str(path), resonance_mass=None).regression(Context())
    expected = DelphesDijet(str(pair[0]), resonance_mass=None).regression(Context())
    np.testing.assert_allclose(task.train.x, expected.train.x, rtol=1e-12)
    np.testing.assert_array_equal(task.train.z, expected.train.z)
    np.testing.assert_array_equal(
        np.sort(np.concatenate([task.train.w, task.tests["nominal"].w])), np.sort(w)
    )


@pytest.mark.parametrize(("limit", "step"), [(4000, 1), (3999, 2), (1000, 4), (1334, 3)])
def test_a_limit_takes_every_kth_row(pair, tmp_path: Path, limit: int, step: int):
    """The first rows would all be of one bin of p̂_T."""
    path = columns_of(tmp_path / "a.h5", pair[0], np.arange(1.0, 4001.0))
    events = read_events(path, limit)
    np.testing.assert_array_equal(events.w, np.arange(1.0, 4001.0)[::step])
    np.testing.assert_array_equal(events.gen.pt[:, 0], read_columns(path)["gen1_pt"][::step])
    assert read_dijets(path, 0.3, limit).read <= limit


def test_several_files_of_columns_keep_their_weights(pair: tuple[Path, Path], tmp_path: Path):
    for name, w in (("a", 1.0), ("b", 0.5)):
        columns_of(tmp_path / f"{name}.h5", pair[name == "b"], w)
    task = DelphesDijet(f"{tmp_path}/*.h5", resonance_mass=None).regression(Context())
    w = np.concatenate([task.train.w, task.tests["nominal"].w])
    assert np.unique(w, return_counts=True)[1].tolist() == [4000, 4000]
    assert task.warnings == ()


# What is refused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target_path": []}, "data.target_path names no file"),
        ({"target_path": 3}, "data.target_path takes a text or a list of them, got 3"),
        ({"target_path": "a", "target_cross_section": [1.0, 2.0]},
         "data.target_cross_section needs one number for each of data.target_path: got 2 for 1"),
        ({"target_path": "a", "target_cross_section": -1.0},
         "each of data.target_cross_section must be positive, got -1"),
        ({"target_cross_section": 1.0}, "that of data.target_path, which is not given"),
        ({"resonance_masses": 2200}, "data.resonance_masses takes a list, got 2200"),
        ({"resonance_masses": ["x"]}, "each of data.resonance_masses must be a finite number"),
        ({"resonance_masses": [2200, 2200.0]}, "data.resonance_masses takes different masses"),
    ],
)  # fmt: skip
def test_wrong_options_are_named(options: Options, message: str):
    with pytest.raises(ConfigurationError, match=message):
        DelphesDijet("sim.root", **options)  # type: ignore[arg-type]


def test_a_transport_needs_data(pair: tuple[Path, Path]):
    with pytest.raises(ConfigurationError, match=r"detector with data\.target_path=…"):
        DelphesDijet(str(pair[0])).transport(Context())


def test_events_of_both_sides_are_refused(pair: tuple[Path, Path], tmp_path: Path):
    copy = tmp_path / "copy.root"
    copy.write_bytes(pair[0].read_bytes())
    for data in (pair[0], [str(pair[1]), str(copy)]):
        with pytest.raises(ConfigurationError, match=r"holds events of data\.path"):
            posed(pair[0], data)


def without_gen(path: Path) -> Path:
    return delphes(path, {"Jet": both_levels(200)["Jet"]})


def emptied(path: Path) -> Path:
    return delphes(path, both_levels(1))


def truncated(path: Path) -> Path:
    delphes(path, both_levels(2000))
    path.write_bytes(path.read_bytes()[:30_000])
    return path


def absent(path: Path) -> Path:
    return path


def in_mev(path: Path) -> Path:
    """Disjoint from GeV: nothing to transport to."""
    columns_of(path, delphes(path.with_suffix(".root"), both_levels(400)))
    with h5py.File(path, "r+") as file:
        for name in file:
            file[name][...] *= 1000 if name.endswith(("_pt", "_m")) else 1
    return path


def weighted(w: float) -> object:
    def made(path: Path) -> Path:
        source = delphes(path.with_suffix(".root"), both_levels(400))
        return columns_of(path, source, np.where(np.arange(400) % 5, w, -w))

    return made


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (without_gen, r"a\.root has no branch 'GenJet\.Eta', .*data without truth is for data=tab"),
        (emptied, "data.target_path: 1 events read, 1 with two gen jets, 1 with both matched: at"),
        (truncated, r"a\.root.*truncated or damaged"),
        (absent, r"no file .*a\.root"),
    ],
)
def test_files_of_data_that_cannot_be_used_are_named(pair, tmp_path: Path, make, message: str):
    with pytest.raises(DataError, match=message):
        posed(pair[0], make(tmp_path / "a.root"))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (in_mev, "do not overlap|disjoint|unit"),
        (weighted(1.0), "negative"),
        (weighted(0.0), "all 400 weights are zero"),
    ],
)
def test_events_that_cannot_be_transported_are_refused(pair, tmp_path: Path, make, message: str):
    with pytest.raises(CalibrateError, match=message):
        OptimalTransport().fit(posed(pair[0], make(tmp_path / "a.h5")), Context())


@pytest.mark.parametrize(
    ("mass", "message"),
    [
        (9000.0, "simulation: .*no overlap with the sample.*or change data.resonance_masses"),
        (
            1900.0,
            "simulation: the resonance at 1900 GeV would hold .* at least 100 .* most true m_jj",
        ),
    ],
)
def test_a_resonance_beyond_the_events_is_refused(pair, mass: float, message: str):
    with pytest.raises(DataError, match=message):
        posed(*pair, resonance_masses=[mass])


def test_a_resonance_beyond_the_events_of_data_names_data(pair, tmp_path: Path):
    few = delphes(tmp_path / "few.root", both_levels(300, 9))
    with pytest.raises(DataError, match=r"^data: the resonance at 1100 GeV would hold"):
        posed(pair[0], few, resonance_masses=[1100], resonance_width=15.0)


def test_weights_of_columns_and_cross_sections_exclude_each_other(pair, tmp_path: Path):
    path = columns_of(tmp_path / "a.h5", pair[1])
    with pytest.raises(
        ConfigurationError, match=r"a\.h5 has weights of its own: leave data.target_cross_section"
    ):
        posed(pair[0], path, target_cross_section=1.0)
    with pytest.raises(ConfigurationError, match=r"known of a\.h5, not of 3\.root: give data\.tar"):
        posed(delphes(tmp_path / "b.root", both_levels(200)), [str(path), str(pair[0])])


# The command


def command(*overrides: str) -> int:
    return guarded(lambda: run(["data=delphes_dijet", "report.figures=false", *overrides]))


@pytest.mark.parametrize("method", ["ot", "response_transport"])
def test_without_data_nothing_is_started(method: str, pair, tmp_path: Path, capsys):
    options = (f"method={method}", f"data.path={pair[0]}", f"output={tmp_path}/out")
    assert command(*options) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "data.target_path=…" in line
    assert not (tmp_path / "out").exists()


def test_a_run_carries_one_detector_to_another(pair, tmp_path: Path, capsys):
    status = command(
        "method=ot", f"data.path={pair[0]}", f"data.target_path={pair[1]}",
        "data.resonance_masses=[1100]", "data.resonance_width=40", f"output={tmp_path}/out",
        "evaluator.transport.refits=2",
    )  # fmt: skip
    assert status == 0, capsys.readouterr().err
    assert "resonance1100" in capsys.readouterr().out


# Real files


def side(detector: str, shared_data: Path, columns: bool) -> Options:
    paths, whole = real(shared_data, detector)
    if columns:
        return {"path": str(whole)}
    return {"path": paths, "cross_section": CROSS_SECTIONS[detector]}


@pytest.mark.parametrize("columns", [False, True])
def test_the_real_pair_has_its_resonances(shared_data: Path, columns: bool):
    """Half 16-84 % widths: the simulated detector's is nearly twice that of the one for data."""
    data = side("atlas", shared_data, columns)
    given = {**side("cms", shared_data, columns), **{f"target_{k}": v for k, v in data.items()}}
    tested = (2200.0, 2800.0, 3400.0) if columns else (2200.0,)
    task = DelphesDijet(**given, resonance_masses=tested).transport(Context())  # type: ignore[arg-type]
    assert list(task.tests) == ["nominal", *(f"resonance{mass:g}" for mass in tested)]
    for mass in tested:
        pair = task.tests[f"resonance{mass:g}"]
        simulated, measured = (
            weighted_quantile(sample.x[:, 0], sample.w, [0.16, 0.5, 0.84])
            for sample in (pair.simulation, pair.data)
        )
        assert simulated[1] == pytest.approx(1.001 * mass, rel=0.01)
        assert measured[1] == pytest.approx(0.9915 * mass, rel=0.01)
        assert np.ptp(simulated) > 1.4 * np.ptp(measured)
