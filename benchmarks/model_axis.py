"""Networks side by side: what is gained, and whether their spread is the statistical error.

python benchmarks/model_axis.py speed spread launcher
"""

from __future__ import annotations

import math
import subprocess
import sys
import tempfile
import time

import numpy as np
import torch

from calibrate import cores
from calibrate.context import Context
from calibrate.data.gaussian import Gaussian
from calibrate.methods.bayesian import Bayesian
from calibrate.methods.mse import MSE
from calibrate.methods.resampled import ResampledEnsemble
from calibrate.methods.together import Request, fit_together, succeeded
from calibrate.minibatch import minimise_minibatch
from calibrate.sample import FloatArray
from calibrate.task import RegressionTask

NETWORKS = 40
SHAPES = {
    "mse, 50-50-50, batch 1000 (default)": MSE(epochs=5),
    "mse, 50-50-50, batch 250": MSE(epochs=5, batch=250),
    "mse, 16-16, batch 200": MSE(epochs=5, hidden=(16, 16), batch=200),
    "bayesian, 100-100-50-50, batch 500": Bayesian(steps=60, patience=1000),
}
SIZES, SAMPLES = (10_000, 50_000), 20


def main() -> None:
    """Run the parts that are named."""
    parts = {"speed": speed, "spread": spread, "launcher": launcher}
    for part in sys.argv[1:] or parts:
        parts[part]()


def speed() -> None:
    """The training of one network, and of forty along the model axis."""
    print(f"\n{NETWORKS} networks of 10 000 events each; one by one takes {NETWORKS} times one")
    for threads in sorted({1, cores.available()}):
        torch.set_num_threads(threads)
        print(f"{threads} threads: s of wall time and CPU for one and for {NETWORKS}; ratios")
        for name, method in SHAPES.items():
            one, many = (_seconds(method, number) for number in (1, NETWORKS))
            wall, cpu = (b / a for a, b in zip(one, many, strict=True))
            times = "   ".join(f"{a:.3f} {b:.3f}" for a, b in (one, many))
            print(f"  {name:36s} {times}   × {wall:.1f} wall, × {cpu:.1f} CPU", flush=True)


def _seconds(method: MSE | Bayesian, number: int) -> tuple[float, float]:
    """The shortest of three trainings: wall time, and CPU time."""
    times = []
    for _ in range(3):
        learners = [
            method.learner(_task(10_000, seed), Context(seed=seed)) for seed in range(number)
        ]
        members = [learner.begin(learner.context) for learner in learners]
        wall, cpu = time.perf_counter(), time.process_time()
        minimise_minibatch(members)
        times.append((time.perf_counter() - wall, time.process_time() - cpu))
    return min(times)


def _task(n: int, seed: int) -> RegressionTask:
    return Gaussian(n=n).regression(Context(seed=seed))


def spread() -> None:
    """σ_pred on the Gaussian example against the spread over independent samples."""
    torch.set_num_threads(cores.available())
    x = _task(10_000, 0).tests["nominal"].x[:5000]
    network, bayesian = MSE(), Bayesian()
    for n in SIZES:
        truth = _spread(network, n, x)
        print(f"\nN = {n}: mse 50-50-50, spread over {SAMPLES} samples {truth:.4f}", flush=True)
        for samples in ("bootstrap", "parts"):
            method = ResampledEnsemble(network, NETWORKS, samples)
            found = method.fit(_task(n, 0), Context()).estimate(x)
            _tell(f"ensemble of {NETWORKS}, {samples}", _rms(found.statistical), truth)
        truth = _spread(bayesian, n, x)
        print(f"N = {n}: bayesian, spread {truth:.4f}", flush=True)
        found = bayesian.fit(_task(n, 0), Context()).estimate(x)
        _tell("σ_pred of one", _rms(found.statistical), truth)
        print(f"  line: {math.sqrt(0.8 * 2 / n):.4f} (least squares)")


def _spread(method: MSE | Bayesian, n: int, x: FloatArray) -> float:
    """Root mean square over x of the standard deviation of ẑ(x) over independent samples."""
    seeds = range(100, 100 + SAMPLES)
    fits = fit_together([Request(method, _task(n, s), Context(seed=s)) for s in seeds])
    return _rms(np.std([succeeded(fit).estimate(x).z for fit in fits], axis=0, ddof=1))


def _rms(values: FloatArray | None) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def _tell(name: str, found: float, truth: float) -> None:
    print(f"  {name:36s} {found:.4f}, {found / truth:.2f} times the spread", flush=True)


def launcher() -> None:
    """A sweep of forty networks by the launchers, and one run."""
    print(f"\ncalibrate run -m, {NETWORKS} seeds of 20 000 events, 50-50-50, 50 epochs")
    common = ["data=gaussian", "data.n=20000", "method=mse", "~specialise", "evaluator=[curves]",
              "compare_with=[]", "report.figures=false"]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        alone = _command("run", *common, f"output={folder}")
        print(f"  one run {alone:.1f} s", flush=True)
        for name in ("batched", "local", "basic"):
            seconds = _command("run", "-m", *common, f"seed=range(0,{NETWORKS})",
                               f"hydra/launcher={name}", f"sweep.dir={folder}/{name}")  # fmt: skip
            print(f"  {name:8s} {seconds:.1f} s", flush=True)


def _command(*arguments: str) -> float:
    start = time.perf_counter()
    command = [sys.executable, "-m", "calibrate.cli.main", *arguments]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
