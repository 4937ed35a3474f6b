"""kill -9 on a sweep or one of its workers at random moments, again and again.

    python benchmarks/sweep_kills.py [KILLS] [JOBS] [SEED]

After KILLS kills (30) the sweep of JOBS jobs (150) is started once more and left alone. Then every
job must be done, by one finished run alone, and the tables must equal those of an undisturbed
sweep. Takes about six minutes on two cores; exit status 1 if anything is wrong.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from calibrate.errors import StorageError
from calibrate.sweep.job import DONE
from calibrate.sweep.ledger import Ledger

MOST_ENDED = 3
"""Jobs that a start may end before it is killed, at most."""
LONGEST = 1.0
"""Seconds more, at most, until the kill."""


def command(folder: Path, jobs: int) -> list[str]:
    return [
        sys.executable, "-m", "calibrate.cli.main", "run", "-m", "data=gaussian", "method=mse",
        "data.n=500", "evaluator=[closure]", "evaluator.closure.replicas=20",
        "report.figures=false", "compare_with=[]", "data.mu=0,1", f"seed=range(0,{jobs // 2})",
        "hydra.launcher.workers=2", f"sweep.dir={folder}",
    ]  # fmt: skip


def kill_once(folder: Path, jobs: int, rng: random.Random) -> str:
    """Start the sweep, and kill it or a worker: before its first job, or after some."""
    before, wanted = reports(folder), rng.randint(-1, MOST_ENDED)
    with subprocess.Popen(command(folder, jobs), stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL) as sweep:  # fmt: skip
        while reports(folder) - before < wanted and sweep.poll() is None:
            time.sleep(0.02)
        while wanted >= 0 and not running(folder) and sweep.poll() is None:
            time.sleep(0.02)
        time.sleep(rng.uniform(0, LONGEST))
        workers = running(folder)
        if workers and rng.random() < 0.5:
            os.kill(rng.choice(workers), signal.SIGKILL)
            time.sleep(rng.uniform(0, LONGEST))
            sweep.kill()
            return "worker, then sweep"
        sweep.kill()
        return "sweep"


def reports(folder: Path) -> int:
    return len(list(folder.glob("runs/*/report.json")))


def running(folder: Path) -> list[int]:
    try:
        with Ledger(folder) as ledger:
            return [process.pid for _, process in ledger.running() if process.alive]
    except StorageError:
        return []


def tables(folder: Path) -> list[list[list[object]]]:
    """Both tables without times and run folders."""
    found = []
    for stem in ("jobs", "sweep"):
        document = json.loads((folder / f"{stem}.json").read_text("utf-8"))
        kept = [i for i, name in enumerate(document["columns"])
                if "seconds" not in name and name != "folder"]  # fmt: skip
        found.append([[row[i] for i in kept] for row in document["rows"]])
    return found


def main(kills: int = 30, jobs: int = 150, seed: int = 0) -> int:
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as name:
        calm, killed = Path(name) / "calm", Path(name) / "killed"
        subprocess.run(command(calm, jobs), check=True, stdout=subprocess.DEVNULL)
        for number in range(kills):
            what = kill_once(killed, jobs, rng)
            print(f"kill {number + 1}: {what}; {reports(killed)} of {jobs} reports", flush=True)
        subprocess.run(command(killed, jobs), check=False, stdout=subprocess.DEVNULL)
        with Ledger(killed) as ledger:
            found = ledger.jobs()
        folders = list(killed.glob("runs/*"))
        whole = [path for path in folders if (path / "report.json").is_file()]
        once = all(
            sum(path.name.startswith(f"{job.number:04d}_") for path in whole) == 1 for job in found
        )
        checks = {
            f"all {jobs} jobs are done": [job.state for job in found] == [DONE] * jobs,
            f"each by one finished run ({len(folders)} were begun)": once,
            "the tables are those of an undisturbed sweep": tables(killed) == tables(calm),
        }
    for check, passed in checks.items():
        print(f"{'yes' if passed else 'NO'}: {check}")
    return 0 if all(checks.values()) else 1


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
