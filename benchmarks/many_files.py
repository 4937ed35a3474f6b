"""`calibrate apply` and `evaluate -m` over many files: two workers against one, memory of a worker,
and the merged closure beside the single pass.

    python benchmarks/many_files.py [--files 40] [--events 250000] [--format root] [--keep FOLDER]
                                    [--method mse] [apply] [evaluate]

The files take 32 bytes an event, outputs and parts as much again: 1.5 GB with the defaults. Memory
is the largest resident set of any process of the command, workers and driver; numpy and torch have
one thread everywhere.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import uproot

CALIBRATE = [sys.executable, "-m", "calibrate.cli.main"]
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
DATA = ("data=table", "data.x=[jet_pt,jet_eta]", "data.z=gen_pt", "data.w=weight",
        "evaluator=[closure]", "report.figures=false")  # fmt: skip
METHODS = {
    "mse": ("method=mse", "method.degree=3"),
    "gaussian_ansatz": ("method=gaussian_ansatz",),
}
EXACT = 1e-12
FROM_ERRORS = ("chi2_per_bin", "noise", "stochastic", "constant")
"""Metrics that follow from bootstrap errors."""


def events(seed: int, n: int) -> dict[str, np.ndarray]:
    """Jets with |η|-dependent resolution and event weights."""
    rng = np.random.default_rng(seed)
    gen, eta = 60 * np.exp(rng.normal(0, 0.4, n)), rng.uniform(-2.5, 2.5, n)
    reco = 0.9 * gen * rng.normal(1, 0.04 + 0.02 * np.abs(eta))
    return {"jet_pt": reco, "jet_eta": eta, "gen_pt": gen, "weight": rng.random(n)}


def write(folder: Path, n: int, suffix: str, seed: int) -> Path:
    """One file of n events."""
    path, columns = folder / f"jets_{seed:03d}.{suffix}", events(seed, n)
    if suffix == "root":
        with uproot.recreate(path) as file:
            file.mktree("jets", dict.fromkeys(columns, "f8")).extend(columns)
    else:
        with h5py.File(path, "w") as file:
            for name, values in columns.items():
                file[name] = values
    return path


def write_files(folder: Path, files: int, n: int, suffix: str) -> None:
    """Files of n events each, by two processes."""
    folder.mkdir(parents=True)
    with ProcessPoolExecutor(2) as pool:
        list(pool.map(partial(write, folder, n, suffix), range(files)))


def measured(*arguments: str) -> tuple[float, float]:
    """Seconds of a command, and MiB of the largest of its processes so far."""
    start = time.perf_counter()
    command = [*CALIBRATE, *map(str, arguments)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, **ONE_THREAD})
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return time.perf_counter() - start, peak / 1024


def trained(root: Path, method: str, suffix: str) -> str:
    """A run on 40 000 other events."""
    path = write(root, 40_000, suffix, 999)
    measured("run", *METHODS[method], *DATA, f"data.path={path}", f"output={root / 'runs'}")
    return str(next((root / "runs").glob("table/*/*")))


def compared(root: Path, what: str, *command: str) -> None:
    """The same command with one worker and with two."""
    seconds = {}
    for workers in (1, 2):
        where = [item.format(workers) for item in command]
        seconds[workers], peak = measured(*where, f"hydra.launcher.workers={workers}")
        print(f"{what}: {workers} worker{'s' if workers > 1 else ''} {seconds[workers]:.1f} s, "
              f"largest process so far {peak:.0f} MiB")  # fmt: skip
    print(f"{what}: two workers are {seconds[1] / seconds[2]:.2f} times one")


def apply(root: Path, run: str, pattern: str) -> None:
    """Write calibrated copies."""
    compared(root, "apply", "apply", run, pattern, f"{root}/out_{{}}")


def evaluate(root: Path, run: str, pattern: str) -> None:
    """Parts, merged; and the single pass."""
    options = (*DATA, f"data.path={pattern}")
    compared(root, "evaluate -m", "evaluate", "-m", run, *options, f"sweep.dir={root}/parts_{{}}",
             f"output={root}/merged_{{}}")  # fmt: skip
    seconds, peak = measured("evaluate", run, *options, f"output={root}/single", "memory=null")
    print(f"single pass: {seconds:.1f} s, largest process so far {peak:.0f} MiB")
    single, merged = (metrics(root / name) for name in ("single", "merged_2"))
    names = [name for name in single if not name.endswith(FROM_ERRORS)]
    worst = max(names, key=lambda name: difference(single[name], merged[name]))
    print(f"largest relative difference of {len(names)} numbers, merged to single pass: "
          f"{difference(single[worst], merged[worst]):.1e} ({worst}; wanted: {EXACT})")  # fmt: skip
    errors = [merged[n]["error"] / single[n]["error"] for n in names if single[n]["error"]]
    print(f"their errors: {min(errors):.2f} to {max(errors):.2f} times those of the single pass")


def metrics(folder: Path) -> dict[str, dict[str, float]]:
    """The metrics of the one report below a folder."""
    path = next(folder.glob("table/*/*/report.json"))
    return json.loads(path.read_text("utf-8"))["metrics"]


def difference(one: dict[str, float], other: dict[str, float]) -> float:
    """Relative to the larger of value and error."""
    scale = max(abs(one["value"]), one["error"] or 0.0)
    return abs(one["value"] - other["value"]) / scale if scale else 0.0


def main() -> None:
    """Write the files, and measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="*", help="apply, evaluate; both without")
    parser.add_argument("--files", type=int, default=40)
    parser.add_argument("--events", type=int, default=250_000)
    parser.add_argument("--format", choices=("root", "h5"), default="root")
    parser.add_argument("--method", choices=tuple(METHODS), default="mse")
    parser.add_argument("--keep", type=Path, help="a new folder that stays")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = given.keep or Path(temporary)
        write_files(root / "in", given.files, given.events, given.format)
        run = trained(root, given.method, given.format)
        for name, job in (("apply", apply), ("evaluate", evaluate)):
            if not given.what or name in given.what:
                job(root, run, f"{root}/in/*.{given.format}")


if __name__ == "__main__":
    main()
