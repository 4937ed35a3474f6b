"""Numbers of sweeps: launchers, overhead per job, a long ledger, Eq. 39 over the grid.

    python benchmarks/sweep_numbers.py [launchers] [overhead] [status] [closure] [flat]

On two idle cores: launchers 8 minutes, overhead 2, status seconds, closure 5, flat 3.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

from calibrate.records import ClosureCurve
from calibrate.storage import load_records
from calibrate.sweep.job import DONE, Planned
from calibrate.sweep.ledger import Ledger

CALIBRATE = [sys.executable, "-m", "calibrate.cli.main"]
NINETY = (
    "data=gaussian", "method=gaussian_ansatz", "data.mu=-2,-1,0,1,2", "data.sigma=0.5,1,2",
    "data.epsilon=1,2", "seed=range(0,3)", "report.figures=false",
)  # fmt: skip
GRID = ("data.mu=-2,0,1", "data.sigma=0.5,1,2", "data.epsilon=1,2")
TRAINING, SEEDS = 2000, "seed=range(0,60)"
JOBS = 1000


def sweep(folder: Path, *overrides: str, threads: int | None = None) -> float:
    """Run a sweep; its seconds. `threads` of numerical libraries, None for their own choice."""
    start = time.perf_counter()
    command = [*CALIBRATE, "run", "-m", *overrides, f"sweep.dir={folder}"]
    environment = {**os.environ, **({} if threads is None else {"OMP_NUM_THREADS": str(threads)})}
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
    return time.perf_counter() - start


def launchers(root: Path) -> None:
    """The 90 jobs of the Gaussian Ansatz under each launcher; `basic` also with one thread, as the
    workers of the others have: by itself it gives a job all cores."""
    seconds = {
        name: sweep(root / name, *NINETY, f"hydra/launcher={name.split()[0]}", threads=threads)
        for name, threads in (
            ("local", None), ("joblib", None), ("basic", None), ("basic with one thread", 1),
        )
    }  # fmt: skip
    for name, value in seconds.items():
        gains = ", ".join(
            f"{seconds[other] / value:.2f} times as fast as {other}"
            for other in ("basic", "basic with one thread") if other != name
        )  # fmt: skip
        print(f"{name}: 90 jobs in {value:.0f} s, {value / 90:.2f} s a job; {gains}")


def overhead(root: Path) -> None:
    """Polynomial jobs in a sweep, beyond the time that the runs themselves take."""
    overrides = ("data=gaussian", "method=mse", "evaluator=[closure]", "compare_with=[]",
                 "data.n=200", "report.figures=false")  # fmt: skip
    for launcher in ("basic", "local"):
        seed, folder = f"seed=range(0,{JOBS})", root / f"overhead_{launcher}"
        total = sweep(folder, *overrides, seed, f"hydra/launcher={launcher}")
        with Ledger(folder) as ledger:
            jobs = ledger.jobs()
        reports = [json.loads((folder / str(job.folder) / "report.json").read_text("utf-8"))
                   for job in jobs]  # fmt: skip
        own = sum(sum(report["run"]["seconds"].values()) for report in reports)
        busy = 1 if launcher == "basic" else 2
        print(f"{launcher}: {JOBS} jobs in {total:.1f} s, {1000 * total / JOBS:.1f} ms each; the "
              f"runs themselves {own:.1f} s, the sweep {1000 * (total - own / busy) / JOBS:.1f} ms "
              "a job, with start, tables and page")  # fmt: skip


def status(root: Path) -> None:
    """`calibrate sweep status` of 10 000 jobs."""
    recipe = {"method": "mse", "configuration": {"text": "x" * 2000}}
    jobs = [Planned((f"seed={i}",), {"seed": i}, recipe, f"{i:064d}") for i in range(10_000)]
    folder = root / "long"
    folder.mkdir()
    with Ledger(folder, new=True) as ledger:
        ledger.plan(jobs)
        ledger.note(command="calibrate run -m", fail_fast=False)
        for _ in range(20):
            job = ledger.claim()
            if job:
                ledger.fail(job, "an error")
    start = time.perf_counter()
    subprocess.run([*CALIBRATE, "sweep", "status", str(folder)], check=True,
                   stdout=subprocess.DEVNULL)  # fmt: skip
    print(f"status of 10 000 jobs in {time.perf_counter() - start:.2f} s, interpreter included")


def curves(folder: Path) -> dict[tuple[float, ...], list[ClosureCurve]]:
    """The closure of every run on the nominal sample, by (μ, σ, ε)."""
    found = defaultdict(list)
    with Ledger(folder) as ledger:
        done = [job for job in ledger.jobs() if job.state == DONE]
    for job in done:
        records = load_records(folder / str(job.folder) / "findings.h5")
        point = tuple(value for key, value in job.parameters.items() if key != "seed")
        found[point].append(next(r for r in records if isinstance(r, ClosureCurve)))
    return found


def fit_error(curve: ClosureCurve, mu: float, sigma: float, epsilon: float) -> np.ndarray:
    """The error of a bin's mean from a straight line fitted to N events by least squares:
    Σ_MSE² (1 + (z - μ)²/(σ² + ε²))/N at the bin's mean z, which is its mean x too."""
    total = sigma**2 + epsilon**2
    square = (epsilon * sigma) ** 2 / total * (1 + (curve.z_mean - mu) ** 2 / total)
    return np.sqrt(square / TRAINING)


def closure(root: Path) -> None:
    """χ² of the bias of MSE against Eq. 39 per run and bin, at every point of the grid. The error
    of the fit is shared by all bins of a run: about two degrees of freedom a run where it rules."""
    folder = root / "closure"
    sweep(folder, "data=gaussian", "method=mse", *GRID, f"data.n={TRAINING}", SEEDS,
          "evaluator=[closure]", "compare_with=[]", "report.figures=false")  # fmt: skip
    total, number = 0.0, 0
    for point, found in curves(folder).items():
        terms = np.concatenate([
            (c.mean - c.exact_bias) ** 2 / (c.mean_error**2 + fit_error(c, *point) ** 2)
            for c in found
        ])  # fmt: skip
        total, number = total + terms.sum(), number + terms.size
        print(f"μ, σ, ε = {point}: χ²/n = {terms.mean():.2f} (n = {terms.size})")
    print(f"Eq. 39: χ²/n = {total / number:.3f} over all points, n = {number}")


def flat(root: Path) -> None:
    """The Gaussian Ansatz against no bias: slope of the bias at every point."""
    folder = root / "flat"
    sweep(folder, "data=gaussian", "method=gaussian_ansatz", *GRID, "evaluator=[closure]",
          "compare_with=[]", "report.figures=false", "seed=range(0,5)")  # fmt: skip
    document = json.loads((folder / "sweep.json").read_text("utf-8"))
    name = "closure/nominal/bias_slope"
    for row in document["rows"]:
        cells = dict(zip(document["columns"], row, strict=True))
        error = cells[f"{name}_spread"] / np.sqrt(cells["runs"])
        print(f"flat {row[:3]}: slope of the bias {cells[name]:+.4f} ± {error:.4f}")


if __name__ == "__main__":
    chosen = sys.argv[1:] or ["launchers", "overhead", "status", "closure", "flat"]
    with tempfile.TemporaryDirectory() as scratch:
        for part in chosen:
            globals()[part](Path(scratch))
