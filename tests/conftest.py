"""What several test modules share: small tasks with known answers."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from calibrate.context import Context
from calibrate.data.gaussian import Gaussian
from calibrate.sample import Column, Sample
from calibrate.task import RegressionTask

RESOLUTION = 0.05


def relative_sample(rng: np.random.Generator, n: int, weighted: bool = True) -> Sample:
    """A steeply falling positive z, x ~ N(0.95 z, (0.05 z)²), weights over two decades."""
    z = 100.0 * (1 + rng.pareto(6.0, n))
    x = 0.95 * z * (1 + RESOLUTION * rng.normal(size=n))
    w = rng.choice([1.0, 0.01], n) * 1e-9 if weighted else np.ones(n)
    return Sample(
        x[:, None],
        z[:, None],
        w,
        (Column("pt_reco", "GeV", positive=True),),
        (Column("pt_true", "GeV", positive=True),),
    )


def planar_sample(rng: np.random.Generator, n: int) -> Sample:
    """Three features that measure two correlated truths with correlated Gaussian noise."""
    z = rng.multivariate_normal([1.0, -1.0], [[1.0, 0.3], [0.3, 0.5]], n)
    response = np.array([[1.0, 0.2], [0.0, 1.0], [0.5, 0.5]])
    noise = rng.multivariate_normal(np.zeros(3), PLANAR_NOISE, n)
    columns = tuple(Column(name) for name in ("x0", "x1", "x2"))
    truths = (Column("z0"), Column("z1"))
    return Sample(z @ response.T + noise, z, np.ones(n), columns, truths)


PLANAR_RESPONSE = np.array([[1.0, 0.2], [0.0, 1.0], [0.5, 0.5]])
PLANAR_NOISE = np.array([[0.5, 0.1, 0.0], [0.1, 0.4, 0.0], [0.0, 0.0, 0.8]])


@pytest.fixture
def gaussian_task() -> RegressionTask:
    return Gaussian(n=2000).regression(Context())


@pytest.fixture
def relative_task() -> RegressionTask:
    rng = np.random.default_rng(1)
    train, test = (relative_sample(rng, n) for n in (3000, 6000))
    return RegressionTask(train, {"nominal": test}, ("pt_reco",))


@pytest.fixture
def planar_task() -> RegressionTask:
    rng = np.random.default_rng(2)
    train, test = (planar_sample(rng, n) for n in (4000, 4000))
    return RegressionTask(train, {"nominal": test}, ("x0", "x1"))


@pytest.fixture
def shared_data() -> Path:
    """Real files that are not part of the project; skips where they are not given."""
    folder = os.environ.get("CALIBRATE_TEST_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("CALIBRATE_TEST_DATA names no folder with the real test files")
    return Path(folder)
