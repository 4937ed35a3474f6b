"""What anchors compare: spectra of control regions, asymmetries of two objects per event."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from calibrate.context import Context
from calibrate.data.dijet import Dijet
from calibrate.data.gaussian import Gaussian
from calibrate.errors import ConfigurationError, DataError, FitError, MisfitError
from calibrate.loading import load
from calibrate.methods.anchors import BALANCE, SPECTRUM, comparisons, regions
from calibrate.methods.response_fit import Model, solve
from calibrate.methods.response_map import ResponseMap
from calibrate.methods.response_transport import ResponseTransport
from calibrate.sample import Column, FloatArray, Sample, without_truth
from calibrate.storage import save_state
from calibrate.task import Pair, TransportTask

X, Z = (Column("x"),), (Column("z"),)
BOTH = [SPECTRUM, BALANCE]


def fitted(task: TransportTask, **options) -> ResponseMap:
    options = {"anchor": SPECTRUM, "spectrum_variation": 0, **options}
    return ResponseTransport(**options).fit(task, Context())


def stretched(z: FloatArray, noise: FloatArray) -> FloatArray:
    """Data's x: offset 0.2 + 0.1 z and scale 1.5 e^{0.1 z} on a simulated response N(z, 1)."""
    return np.asarray(z + 0.2 + 0.1 * z + 1.5 * np.exp(0.1 * z) * noise)


def region(rng: np.random.Generator, mu: float, sigma: float, n: int = 30000) -> Pair:
    z, truth = rng.normal(mu, sigma, (2, n))
    simulation = Sample((z + rng.normal(size=n))[:, None], z[:, None], np.ones(n), X, Z)
    x = stretched(truth, rng.normal(size=n))
    return Pair(simulation, Sample(x[:, None], np.empty((n, 0)), np.ones(n), X, ()))


def several(seed: int = 0) -> TransportTask:
    rng = np.random.default_rng(seed)
    train = region(rng, 0.0, 1.0)
    controls = {"high": region(rng, 3.0, 1.0), "low": region(rng, -3.0, 0.5)}
    return TransportTask(train, {"nominal": train}, controls=controls)


def at(found: ResponseMap, z: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Offset and scale at z."""
    ends = [found.moved(z + r, z) - z for r in (-1.0, 1.0)]
    return (ends[0] + ends[1]) / 2, (ends[1] - ends[0]) / 2


def objects(
    rng: np.random.Generator, width: float, offset: float, n: int, mu: float = 0.0
) -> Sample:
    """Two objects of one z per event, a true imbalance of 0.3 and noise of `width`."""
    z = np.repeat(rng.normal(mu, 2.0, n), 2) + 0.3 * rng.normal(size=2 * n)
    x = z + offset + width * rng.normal(size=2 * n)
    group = np.repeat(np.arange(n), 2)
    return Sample(x[:, None], z[:, None], np.ones(2 * n), X, Z, group=group)


def balanced(mu_data: float = 0.0) -> TransportTask:
    rng = np.random.default_rng(3)
    pair = Pair(
        objects(rng, 1.0, 0.0, 20000),
        without_truth(objects(rng, 2.0, 0.5, 20000, mu_data)),
    )
    return TransportTask(pair, {"nominal": pair})


def test_a_difference_that_depends_on_z_is_found_with_several_regions():
    found = fitted(several(), z_dependence=1)
    z = np.array([-3.0, 0.0, 3.0])
    offset, scale = at(found, z)
    np.testing.assert_allclose(offset, 0.2 + 0.1 * z, atol=0.06)
    np.testing.assert_allclose(scale, 1.5 * np.exp(0.1 * z), rtol=0.03)
    beyond, _ = at(found, np.array([20.0, 30.0]))
    assert beyond[0] == pytest.approx(beyond[1])


def test_two_regions_suffice_for_a_line():
    task = several()
    found = fitted(replace(task, controls={"high": task.controls["high"]}), z_dependence=1)
    offset, scale = at(found, np.array([1.5]))
    assert offset[0] == pytest.approx(0.35, abs=0.05)
    assert scale[0] == pytest.approx(1.5 * np.exp(0.15), rel=0.03)


def test_a_stored_dependence_is_the_same(tmp_path: Path):
    task = several()
    found = fitted(task, z_dependence=1, pieces=3)
    save_state(tmp_path / "fitted.h5", found.kind, found.state())
    s = task.train.simulation
    np.testing.assert_array_equal(found.transport(s.x, s.z), load(tmp_path).transport(s.x, s.z))


def test_one_map_for_all_regions_does_not_describe_a_dependence():
    constant = fitted(several())
    bent = fitted(several(), z_dependence=1)
    assert constant.summary.loss > bent.summary.loss + 100


def test_one_region_is_refused_with_the_reason():
    task = replace(several(), controls={})
    with pytest.raises(ConfigurationError, match=r"needs 2 control regions .* got 1: one marginal"):
        fitted(task, z_dependence=1)
    with pytest.raises(ConfigurationError, match=r"s = 1, o = z and s = 1\.5, o = 0\.658 z"):
        fitted(Gaussian(n=500).transport(Context()), z_dependence=1)


@pytest.mark.parametrize("seed", range(3))
def test_forced_on_one_region_the_flat_direction_is_caught(seed: int):
    """s = 1, o = z and s = 1.5, o = 0.658 z have one marginal: no noise may hide it."""
    task = Gaussian(n=50000).transport(Context(seed))
    simulation = task.train.simulation
    model = Model.of(simulation, simulation, pieces=1, degree=1, free=True)
    with pytest.raises(FitError, match=r"do not determine the response: .*the offset·t"):
        solve(model, comparisons(task, (SPECTRUM,), 1))


def test_control_regions_share_one_map():
    controls = [[3.0, 1.0], [-2.0, 0.5]]
    alone = fitted(Gaussian(n=4000).transport(Context()))
    task = Gaussian(n=4000, controls=controls).transport(Context())
    assert [len(regions(t)) for t in (task, replace(task, controls={}))] == [3, 1]
    more = fitted(task)
    assert more.slopes[0] == pytest.approx(2.0, abs=0.1)
    assert more.slopes[0] != alone.slopes[0]
    for name, (mu, _) in zip(task.controls, controls, strict=True):
        assert task.controls[name].simulation.z.mean() == pytest.approx(mu, abs=0.1)


def test_balance_finds_the_scale_and_leaves_the_offset():
    found = fitted(balanced(), anchor=BALANCE)
    assert found.slopes[0] == pytest.approx(2.0, rel=0.02)
    assert found.offset == 0.0
    assert "offset 0 ± not fitted" in found.summary.notes[0]
    assert found.summary.assumption.endswith("the offset remains the simulation's")


def test_balance_does_not_need_the_spectrum():
    """Data at another spectrum: the width of the asymmetry is the same, the spectrum misleads."""
    task = balanced(mu_data=3.0)
    assert fitted(task, anchor=BALANCE).slopes[0] == pytest.approx(2.0, rel=0.02)
    assert fitted(task).offset == pytest.approx(3.5, abs=0.1)


def test_both_anchors_find_both():
    found = fitted(balanced(), anchor=BOTH)
    assert found.slopes[0] == pytest.approx(2.0, rel=0.02)
    assert found.offset == pytest.approx(0.5, abs=0.06)


def test_the_true_imbalance_is_that_of_the_simulation():
    """A simulation without imbalance takes data's for resolution."""
    task = balanced()
    simulation = task.train.simulation
    one, other = simulation.z[0::2, 0], simulation.z[1::2, 0]
    z = np.repeat((one + other) / 2, 2)
    x = simulation.x[:, 0] - simulation.z[:, 0] + z
    aligned = replace(simulation, x=x[:, None], z=z[:, None])
    found = fitted(replace(task, train=Pair(aligned, task.train.data)), anchor=BALANCE)
    assert found.slopes[0] == pytest.approx(np.hypot(2.0, 0.3), rel=0.02)


def test_balance_sees_a_scale_that_depends_on_z():
    rng = np.random.default_rng(5)
    simulation, data = objects(rng, 1.0, 0.0, 40000), objects(rng, 1.0, 0.0, 40000)
    z = data.z[:, 0]
    x = z + 1.5 * np.exp(0.1 * z) * (data.x[:, 0] - z)
    pair = Pair(simulation, without_truth(replace(data, x=x[:, None])))
    found = fitted(TransportTask(pair, {"nominal": pair}), anchor=BALANCE, z_dependence=1)
    _, scale = at(found, np.array([-2.0, 2.0]))
    np.testing.assert_allclose(scale, 1.5 * np.exp([-0.2, 0.2]), rtol=0.05)


def test_balance_with_one_object_per_event_says_so():
    task = Gaussian(n=500).transport(Context())
    with pytest.raises(MisfitError, match=r"two objects per event .* largest group found holds 1:"):
        fitted(task, anchor=BALANCE)


def test_an_event_without_a_second_object_is_left_out():
    task = balanced()
    s, d = task.train.simulation, task.train.data
    lonely = np.arange(len(s)) % 10 != 1
    found = fitted(replace(task, train=Pair(s.take(lonely), d)), anchor=BALANCE)
    assert found.slopes[0] == pytest.approx(2.0, rel=0.02)


@pytest.mark.parametrize("target", ["mjj", "jet_pt"])
def test_dijets_balance(target: str):
    """The jets of the events say what a falling m_jj spectrum hardly does: the width."""
    task = Dijet(target=target, resonance_masses=()).transport(Context())
    assert list(task.controls) == (["jets"] if target == "mjj" else [])
    found = fitted(task, anchor=BOTH)
    spectrum = fitted(task) if target == "mjj" else found
    assert found.slopes[0] == pytest.approx(1.5, rel=0.05)
    assert found.offset == pytest.approx(-0.027, abs=0.006)
    assert spectrum.slopes[0] == pytest.approx(found.slopes[0], rel=0.15)


def test_simulation_and_data_apart_are_refused():
    task = Gaussian(n=500).transport(Context())
    data = task.train.data
    far = Pair(task.train.simulation, replace(data, x=data.x + 1000))
    with pytest.raises(DataError, match=r"do not overlap in x: simulation lies in .* check units"):
        fitted(replace(task, train=far))


def test_the_anchors_are_named():
    with pytest.raises(ConfigurationError, match="did you mean balance"):
        ResponseTransport(anchor=[SPECTRUM, "balence"])
    assert ResponseTransport(anchor=BOTH).anchors == (SPECTRUM, BALANCE)
