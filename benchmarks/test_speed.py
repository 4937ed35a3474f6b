"""How long the parts take, and the whole. No limits: a busy machine is no bug.

python -m pytest benchmarks --benchmark-only
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import calibrate.cli.main  # noqa: F401 - first: it says how the threads of torch wait
from calibrate.cli.planning import Plan, plan
from calibrate.context import Context
from calibrate.pairing import low_discrepancy_pairs
from calibrate.task import RegressionTask

COMMAND = (sys.executable, "-m", "calibrate.cli.main")


@pytest.fixture(scope="module")
def gaussian() -> Plan:
    return plan(["method=gaussian_ansatz", "data=gaussian", "data.n=20000"])


@pytest.fixture(scope="module")
def dijet() -> Plan:
    return plan(["method=gaussian_ansatz", "data=dijet", "compare_with=[none,mse]"])


@pytest.fixture(scope="module")
def gaussian_task(gaussian: Plan) -> RegressionTask:
    return gaussian.study.data.regression(Context())


@pytest.fixture(scope="module")
def dijet_task(dijet: Plan) -> RegressionTask:
    return dijet.study.data.regression(Context())


def run(*arguments: str, folder: Path) -> None:
    subprocess.run([*COMMAND, *arguments], cwd=folder, check=True, capture_output=True)


def test_fit_of_the_gaussian_example(benchmark, gaussian, gaussian_task):
    method = gaussian.study.methods["gaussian_ansatz"]
    arguments = (gaussian_task, Context())
    benchmark.pedantic(method.fit, arguments, rounds=5, warmup_rounds=1)


@pytest.mark.parametrize("name", ["gaussian_ansatz", "mse"])
def test_fit_of_the_dijets(benchmark, dijet, dijet_task, name):
    method = dijet.study.methods[name]
    benchmark.pedantic(method.fit, (dijet_task, Context()), rounds=2)


@pytest.mark.parametrize("components", [1, 3])
def test_bayesian_fit_of_100_000_events_to_its_plateau(benchmark, components):
    options = ("data=asymmetric", "data.n=100000", f"method.components={components}")
    study = plan(["method=bayesian", *options]).study
    task = study.data.regression(Context())
    benchmark.pedantic(study.methods["bayesian"].fit, (task, Context()), rounds=1)


def test_50_weight_samples_for_a_million_events(benchmark):
    """Three Gaussians: mean, σ_stoch, σ_pred and the mixture; at most 2 GB."""
    options = ("data=asymmetric", "data.n=2000", "method.components=3", "method.steps=20")
    study = plan(["method=bayesian", *options]).study
    fitted = study.methods["bayesian"].fit(study.data.regression(Context()), Context())
    x = np.random.default_rng(0).uniform(350.0, 1050.0, (1_000_000, 1))
    benchmark.pedantic(fitted.estimate, (x,), rounds=1)


def test_closure_of_the_dijets(benchmark, dijet, dijet_task):
    """Two test samples of 80 000 and 4000 events, 100 replicas of the bootstrap."""
    fits = {"none": dijet.study.methods["none"].fit(dijet_task, Context())}
    closure = dijet.study.evaluators["closure"]
    arguments = (fits, dijet_task, lambda task: fits["none"], Context())
    benchmark.pedantic(closure, arguments, rounds=5, warmup_rounds=1)


def test_estimate_of_the_gaussian_example(benchmark, gaussian, gaussian_task):
    """The maximum of the likelihood by Newton steps for 200 000 events."""
    fitted = gaussian.study.methods["gaussian_ansatz"].fit(gaussian_task, Context())
    x = gaussian_task.tests["nominal"].x
    benchmark.pedantic(fitted.estimate, (x,), rounds=5, warmup_rounds=1)


def test_pairing_of_the_dijets(benchmark, dijet_task):
    """Eight pairs for each of 80 000 events."""
    train = dijet_task.train
    x, z = np.log(train.x), np.log(train.z)
    rng = np.random.default_rng(0)
    benchmark.pedantic(low_discrepancy_pairs, (x, z, train.w, 8, rng), rounds=5, warmup_rounds=1)


def test_reading_of_the_dijets(benchmark, dijet):
    benchmark.pedantic(dijet.study.data.regression, (Context(),), rounds=5, warmup_rounds=1)


def test_command_help(benchmark, tmp_path):
    benchmark.pedantic(run, ("--help",), {"folder": tmp_path}, rounds=5, warmup_rounds=1)


def test_command_on_the_gaussian_example(benchmark, tmp_path):
    """Imports, fit, closure on three samples of 200 000 events, figures and report."""
    arguments = ("run", "method=gaussian_ansatz", "data=gaussian")
    benchmark.pedantic(run, arguments, {"folder": tmp_path}, rounds=3, warmup_rounds=1)


def test_command_on_the_dijets(benchmark, tmp_path):
    arguments = ("run", "method=gaussian_ansatz", "data=dijet")
    benchmark.pedantic(run, arguments, {"folder": tmp_path}, rounds=1)
