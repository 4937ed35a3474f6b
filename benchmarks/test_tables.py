"""How fast tables are read, beside the libraries alone. No limits: a busy machine is no bug.

python -m pytest benchmarks/test_tables.py --benchmark-only

CALIBRATE_BENCHMARK_ROWS sets the number of rows (100 000 by default).
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import uproot
from pyarrow import csv

from calibrate.tables import open_table

ROWS = int(os.environ.get("CALIBRATE_BENCHMARK_ROWS", "100000"))
STEP = 200_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tables")


def columns(number: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {f"c{i}": rng.normal(size=ROWS) for i in range(number)}


@pytest.fixture(scope="module")
def text(folder: Path) -> Path:
    """Twenty columns with all digits, about 390 bytes a row."""
    options = csv.WriteOptions(include_header=False, delimiter=" ")
    csv.write_csv(pa.table(columns(20)), folder / "a.txt", options)
    return folder / "a.txt"


@pytest.fixture(scope="module")
def root(folder: Path) -> Path:
    with uproot.recreate(folder / "a.root") as file:
        tree = file.mktree("Events", dict.fromkeys(columns(8), "f8"))
        for start in range(0, ROWS, 250_000):
            tree.extend({k: v[start : start + 250_000] for k, v in columns(8).items()})
    return folder / "a.root"


@pytest.fixture(scope="module")
def parquet(folder: Path) -> Path:
    pq.write_table(pa.table(columns(8)), folder / "a.parquet")
    return folder / "a.parquet"


def whole(path: Path) -> None:
    table = open_table(path)
    total = 0
    for chunk in table.chunks(table.names, STEP):
        total += chunk.entries
        touch(chunk.columns.values())
    assert total == ROWS


def touch(arrays: Iterable[np.ndarray]) -> float:
    return sum(float(np.sum(array)) for array in arrays)


@pytest.mark.parametrize("kind", ["text", "root", "parquet"])
def test_reading(benchmark, kind, request):
    benchmark.pedantic(whole, (request.getfixturevalue(kind),), rounds=3, warmup_rounds=1)


def test_reading_root_by_uproot_alone(benchmark, root):
    def read() -> None:
        for part in uproot.iterate(f"{root}:Events", library="np", step_size=STEP):
            touch(part.values())

    benchmark.pedantic(read, rounds=3, warmup_rounds=1)


def test_reading_parquet_by_pyarrow_alone(benchmark, parquet):
    def read() -> None:
        for batch in pq.ParquetFile(parquet).iter_batches(STEP):
            touch(np.asarray(column) for column in batch.columns)

    benchmark.pedantic(read, rounds=3, warmup_rounds=1)
