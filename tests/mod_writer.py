"""Synthetic MOD files, in the layout of the published ones, for tests and benchmarks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

SIM_I = ["fn", "rn", "lbn", "evn", "npv", "quality", "hard_pid"]
SIM_F = [
    *("jet_pt", "jet_y", "jet_phi", "jet_m", "jet_eta", "jec", "jet_area", "jet_max_nef"),
    *("gen_jet_pt", "gen_jet_y", "gen_jet_phi", "gen_jet_m", "gen_jet_eta"),
    *("hard_pt", "hard_y", "hard_phi", "weight"),
]
PARTICLES = ["pt", "y", "phi", "m", "pid", "vertex"]
COMPRESSION = {"compression": "gzip", "compression_opts": 4}


@dataclass(frozen=True)
class Jets:
    """All jets of a set in the order of its files: integers (n, 7) and floats (n, 17)."""

    i: np.ndarray
    f: np.ndarray

    def column(self, name: str) -> np.ndarray:
        return self.i[:, SIM_I.index(name)] if name in SIM_I else self.f[:, SIM_F.index(name)]

    def take(self, rows: np.ndarray | slice) -> Jets:
        return Jets(self.i[rows], self.f[rows])


def simulated(
    events: int,
    seed: int = 0,
    scattered: float = 0.03,
    unmatched: float = 0.01,
    repeated: int = 0,
    reach: int = 200_000,
) -> Jets:
    """Back-to-back dijets. A fraction `scattered` of the second jets comes up to `reach` rows
    later; a fraction `unmatched` of jets has no gen jet; `repeated` events come twice."""
    rng = np.random.default_rng(seed)
    gen_pt = np.repeat(1000 * (1 + rng.pareto(8, events)), 2) * rng.normal(1, 0.01, 2 * events)
    phi = np.repeat(rng.uniform(-np.pi, 0, events), 2) + np.tile([0, np.pi], events)
    columns = dict.fromkeys(SIM_F, np.zeros(2 * events))
    columns |= _level("gen_jet_", gen_pt, rng.normal(0, 0.5, 2 * events), phi, 0.1 * gen_pt)
    response = rng.normal(0.95, 0.04, 2 * events)
    columns |= _level("jet_", response * gen_pt, columns["gen_jet_y"], phi, 0.1 * gen_pt)
    columns["jec"] = rng.uniform(1.0, 1.1, 2 * events)
    columns["weight"] = np.repeat(rng.uniform(1, 2, events) * 1e-9, 2)
    lost = rng.random(2 * events) < unmatched
    for name in SIM_F:
        if name.startswith("gen_jet"):
            columns[name] = np.where(lost, -1.0, columns[name])
    integers = dict.fromkeys(SIM_I, np.zeros(2 * events, np.int64))
    number = np.repeat(rng.permutation(events), 2)
    integers |= {"rn": 1 + number % 2, "lbn": number // 200, "evn": 7 * number + 1_000_000_000}
    integers["quality"] = rng.integers(0, 4, 2 * events)
    jets = Jets(*(np.column_stack(list(part.values())) for part in (integers, columns)))
    place = np.arange(2.0 * events)
    moved = 1 + 2 * np.flatnonzero(rng.random(events) < scattered)
    place[moved] += rng.uniform(0, reach, moved.size)
    again = np.repeat(2 * rng.choice(events, repeated, replace=False), 2) + np.tile(
        [0, 1], repeated
    )
    rows = np.concatenate([np.arange(2 * events), again])
    place = np.concatenate([place, rng.uniform(0, 2 * events, again.size)])
    return jets.take(rows[np.argsort(place, kind="stable")])


def _level(
    prefix: str, pt: np.ndarray, y: np.ndarray, phi: np.ndarray, m: np.ndarray
) -> dict[str, np.ndarray]:
    eta = np.arcsinh(np.sinh(y) * np.hypot(1, m / pt))
    return {f"{prefix}{part}": v for part, v in zip(
        ("pt", "y", "phi", "m", "eta"), (pt, y, phi, m, eta), strict=True)}  # fmt: skip


def write_set(folder: Path, name: str, jets: Jets, files: int = 1) -> list[Path]:
    """The jets in `files` files of about equal length: pairs lie astride their borders too."""
    paths = []
    for number, rows in enumerate(np.array_split(np.arange(len(jets.i)), files)):
        paths.append(folder / f"{name}_Jet300_pT375-infGeV_{number}_compressed.h5")
        write_file(paths[-1], jets.take(rows))
    return paths


def write_file(path: Path, jets: Jets, chunks: tuple[int, int] | bool = True) -> Path:
    n = len(jets.i)
    with h5py.File(path, "w") as file:
        for name, values, columns in (("jets_i", jets.i, SIM_I), ("jets_f", jets.f, SIM_F)):
            file.create_dataset(name, data=values, chunks=chunks, **COMPRESSION)
            file[name].attrs["cols"] = np.array(columns, dtype="S")
        for name in ("pfcs", "gens"):
            file.create_dataset(name, (0, 6), float, maxshape=(None, 6), chunks=True, **COMPRESSION)
            file[name].attrs["cols"] = np.array(PARTICLES, dtype="S")
            index = np.zeros(n + 1, np.uint32)
            file.create_dataset(f"{name}_index", data=index, chunks=True, **COMPRESSION)
        file["filenames"] = np.array([[b"a.root"]])
    return path
