"""How long HiggsML takes to load and to shift: its real rows repeated with fresh EventIds.

python -m pytest benchmarks/test_higgsml.py --benchmark-only --benchmark-timer=time.process_time

CALIBRATE_TEST_DATA names the folder with higgsml_15000.csv.gz, CALIBRATE_BENCHMARK_ROWS the number
of rows (800 000 by default).
"""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv

from calibrate.context import Context
from calibrate.data.higgsml import HiggsML
from calibrate.data.higgsml_columns import derived_columns
from calibrate.data.higgsml_events import HiggsEvents
from calibrate.task import InferenceTask

ROWS = int(os.environ.get("CALIBRATE_BENCHMARK_ROWS", "800000"))
REAL = Path(os.environ.get("CALIBRATE_TEST_DATA", "absent")) / "higgsml_15000.csv.gz"

pytestmark = pytest.mark.skipif(not REAL.exists(), reason="CALIBRATE_TEST_DATA has no HiggsML")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> HiggsML:
    path = tmp_path_factory.mktemp("higgsml") / "many.csv.gz"
    rows = csv.read_csv(REAL)
    written = 0
    with gzip.open(path, "wb", compresslevel=1) as file:
        while written < ROWS:
            part = rows.slice(0, ROWS - written)
            fresh = pa.array(100_000 + written + np.arange(part.num_rows))
            options = csv.WriteOptions(include_header=not written, quoting_style="none")
            csv.write_csv(part.set_column(0, "EventId", fresh), file, options)
            written += part.num_rows
    return HiggsML(str(path), nuisances={"tau": 0.05, "jet": 0.03, "lepton": 0.02, "soft": 3.0})


@pytest.fixture(scope="module")
def events(data: HiggsML) -> HiggsEvents:
    return data.events(Context())


@pytest.fixture(scope="module")
def task(data: HiggsML) -> InferenceTask:
    return data.inference(Context())


def test_loading(benchmark, data):
    loaded = benchmark.pedantic(data.events, (Context(),), rounds=1)
    assert len(loaded) == ROWS


def test_shift_of_the_tau(benchmark, events):
    """Primary quantities at a scale of each event, and all that is derived from them."""
    scale = np.random.default_rng(0).uniform(0.7, 1.14, ROWS)
    benchmark.pedantic(lambda: derived_columns(events.shifted(tau=scale).primaries), rounds=3)


def test_shift_of_everything(benchmark, events):
    shift = {"tau": 0.9, "jet": 1.03, "lepton": 0.98, "soft": 3.0}
    benchmark.pedantic(lambda: derived_columns(events.shifted(**shift).primaries), rounds=3)


def test_sample_of_the_training(benchmark, task):
    """Two thirds of the rows, shifted and cut, as a sample of 29 features."""
    benchmark.pedantic(task.train.at, ({"tau": 0.9},), rounds=3)
