"""How fast m_jj of two million jets of CMS open data is loaded, and how much memory that takes,
beside a loop over jets as it stands in notebooks. No limits: a busy machine is no bug.

python -m pytest benchmarks/test_mod.py --benchmark-only

CALIBRATE_BENCHMARK_JETS sets the number of jets. Memory is shown by the names of the tests' extra
information (`--benchmark-json`), and printed with `-s`.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import h5py
import pytest

from calibrate.context import Context
from calibrate.data.cms_dijet import CmsDijet
from tests.mod_writer import simulated, write_set

JETS = int(os.environ.get("CALIBRATE_BENCHMARK_JETS", "2000000"))
FILES = 4
MEMORY = """
import json, sys
from calibrate.context import Context
from calibrate.data.cms_dijet import CmsDijet

def resident(key):
    lines = open("/proc/self/status").read().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(key)).split()[1])

small, large = sys.argv[1:]
CmsDijet(small).masses(Context())  # what is loaded and imported once does not count
open("/proc/self/clear_refs", "w").write("5")
before = resident("VmRSS")
sample = CmsDijet(large).masses(Context())
peak = resident("VmHWM") - before
arrays = (sample.x, sample.z, sample.w, sample.group, *sample.spectators.values())
print(json.dumps({"result": sum(each.nbytes for each in arrays), "peak": peak}))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sets: the large one, 1 % of its jets unmatched, 3 % of the pairs parted; a small one."""
    path = tmp_path_factory.mktemp("mod")
    write_set(path, "SIM1000", simulated(JETS // 2, repeated=100), FILES)
    write_set(path, "SIM1400", simulated(20_000))
    return path


def test_m_jj_of_all_jets(benchmark, folder):
    data = CmsDijet(f"{folder}/SIM1000*.h5")
    sample = benchmark.pedantic(data.masses, (Context(),), rounds=3, warmup_rounds=1)
    assert 0.97 * JETS / 2 < len(sample) < JETS / 2


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux")
def test_memory(benchmark, folder):
    command = [sys.executable, "-c", MEMORY, f"{folder}/SIM1400*.h5", f"{folder}/SIM1000*.h5"]

    def measured() -> dict[str, float]:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return json.loads(done.stdout)

    found = benchmark.pedantic(measured, rounds=1)
    ratio = found["peak"] / found["result"]
    benchmark.extra_info.update(found, ratio=ratio)
    print(f"result {found['result'] / 1e6:.1f} MB, peak {found['peak'] / 1e6:.1f} MB: {ratio:.2f}")


def test_a_loop_over_jets(benchmark, folder):
    """All columns in memory, and neighbours with one event number: parted pairs are lost."""
    benchmark.pedantic(looped, (sorted(folder.glob("SIM1000*.h5")),), rounds=1)


def looped(paths: list[Path]) -> list[tuple[float, float, float]]:
    found = []
    for path in paths:
        with h5py.File(path) as file:
            integers, floats = file["jets_i"][()], file["jets_f"][()]
            i = {name.decode(): k for k, name in enumerate(file["jets_i"].attrs["cols"])}
            f = {name.decode(): k for k, name in enumerate(file["jets_f"].attrs["cols"])}
        for row in range(len(integers) - 1):
            first, second = floats[row], floats[row + 1]
            if any(integers[row][i[n]] != integers[row + 1][i[n]] for n in ("rn", "lbn", "evn")):
                continue
            if first[f["gen_jet_pt"]] < 0 or second[f["gen_jet_pt"]] < 0:
                continue
            pair = [mass(first, second, f, prefix) for prefix in ("jet_", "gen_jet_")]
            found.append((*pair, first[f["weight"]]))
    return found


def mass(first, second, f: dict[str, int], prefix: str) -> float:
    total = [0.0, 0.0, 0.0, 0.0]
    for jet in (first, second):
        pt, y, phi, m = (jet[f[prefix + part]] for part in ("pt", "y", "phi", "m"))
        transverse = math.hypot(pt, m)
        for k, part in enumerate(
            (transverse * math.cosh(y), pt * math.cos(phi), pt * math.sin(phi),
             transverse * math.sinh(y))
        ):  # fmt: skip
            total[k] += part
    return math.sqrt(total[0] ** 2 - total[1] ** 2 - total[2] ** 2 - total[3] ** 2)
