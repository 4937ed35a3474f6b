"""The estimate before loading: what is free, and what is refused."""

from __future__ import annotations

import gzip
import math
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from calibrate import memory
from calibrate.cli.compose import plan
from calibrate.context import Context
from calibrate.data import sources
from calibrate.data.cms_dijet import CmsDijet
from calibrate.data.delphes_dijet import DelphesDijet
from calibrate.data.table import Table
from calibrate.errors import ConfigurationError, DataError
from calibrate.memory import free_memory, group_free, require_memory
from calibrate.tables import open_table
from tests.mod_writer import simulated, write_file

GIB = 1 << 30


def group(folder: Path, limit: str, used: int, cached: int = 0, version: int = 2) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    names = memory.LIMITS[version]
    (folder / names[0]).write_text(f"{limit}\n", "utf-8")
    (folder / names[1]).write_text(f"{used}\n", "utf-8")
    stat = "inactive_file" if version == 2 else "total_inactive_file"
    (folder / "memory.stat").write_text(f"inactive_file 0\nanon 7\n{stat} {cached}\n", "utf-8")


def left(tmp_path: Path, lines: str) -> float:
    own = tmp_path / "cgroup"
    own.write_text(lines, "utf-8")
    return min(group_free(own, tmp_path / "mounted"))


def test_a_control_group_leaves_its_limit_less_what_is_used(tmp_path: Path):
    group(tmp_path / "mounted/job/step", str(8 * GIB), 3 * GIB, cached=GIB)
    assert left(tmp_path, "0::/job/step\n") == 6 * GIB


def test_groups_above_limit_too(tmp_path: Path):
    group(tmp_path / "mounted/job/step", "max", GIB)
    group(tmp_path / "mounted/job", str(4 * GIB), 3 * GIB)
    assert left(tmp_path, "0::/job/step\n") == GIB


def test_inside_a_container_the_group_is_the_root(tmp_path: Path):
    group(tmp_path / "mounted", str(2 * GIB), GIB)
    assert left(tmp_path, "0::/\n") == GIB
    assert left(tmp_path, "0::/somewhere/outside\n") == GIB


def test_the_first_version_of_control_groups(tmp_path: Path):
    group(tmp_path / "mounted/memory/job", str(8 * GIB), 3 * GIB, cached=GIB, version=1)
    assert left(tmp_path, "9:cpu:/\n4:memory:/job\n0::/\n") == 6 * GIB


def test_without_limits_nothing_is_held_back(tmp_path: Path):
    group(tmp_path / "mounted", "max", GIB)
    assert left(tmp_path, "0::/\n") == math.inf
    assert min(group_free(tmp_path / "nowhere", tmp_path)) == math.inf


def test_free_memory_is_at_most_what_the_system_has():
    assert 0 < free_memory() <= psutil.virtual_memory().total


def test_more_than_the_share_is_refused_with_advice():
    require_memory(Context(), 0.1 * free_memory(), "loading", "read less")
    with pytest.raises(DataError, match=r"loading needs about .* GiB .* 70 % of .*: read less, or"):
        require_memory(Context(), 0.9 * free_memory(), "loading", "read less")
    require_memory(Context(memory=None), math.inf, "loading", "read less")


def test_the_share_is_an_option_of_the_run():
    pair = ["data=gaussian", "method=mse"]
    assert (plan(pair).memory, plan([*pair, "memory=null"]).memory) == (0.7, None)
    with pytest.raises(ConfigurationError, match="memory must be < 1, got 70"):
        plan([*pair, "memory=70"])


# Estimates


def columns(n: int, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    z = rng.uniform(1, 2, n)
    return {"x": z * rng.normal(1, 0.1, n), "z": z}


def test_a_table_is_refused_after_its_first_chunk(tmp_path: Path, monkeypatch):
    """50 000 rows in two files, of which 1 000 are read; four values each, with file and entry."""
    monkeypatch.setattr(sources, "CHUNK", 1000)
    for name in "ab":
        pq.write_table(pa.table(columns(25_000)), tmp_path / f"{name}.parquet")
    data = Table(f"{tmp_path}/*.parquet", "x", "z")
    needed = sources.BYTES * 4 * 50_000
    data.regression(Context(memory=1.05 * needed / free_memory()))
    with pytest.raises(DataError, match=r"loading about 5e\+04 entries needs .*: read fewer files"):
        data.regression(Context(memory=0.5 * needed / free_memory()))
    selected = Table(f"{tmp_path}/*.parquet", "x", "z", select="z > 1.8")
    selected.regression(Context(memory=0.5 * needed / free_memory()))
    limited = Table(f"{tmp_path}/*.parquet", "x", "z", max_events=2000)
    limited.regression(Context(memory=0.5 * needed / free_memory()))


def test_cms_files_are_refused_before_they_are_read(tmp_path: Path):
    path = write_file(tmp_path / "a.h5", simulated(1000))
    with pytest.raises(DataError, match="loading up to 1000 events needs about"):
        CmsDijet(str(path)).masses(Context(memory=1e-9))


def test_delphes_files_are_refused_after_the_first(tmp_path: Path):
    row = " ".join(["0", "500", "0.1", "1", "50", "1", "480", "0.1", "1", "48"] * 2)
    for name in ("dijets.txt", "dijets14.txt"):
        (tmp_path / name).write_text(f"{row}\n" * 300, "utf-8")
    with pytest.raises(DataError, match=r"loading about 600 dijets needs about .* fewer files"):
        DelphesDijet(f"{tmp_path}/*.txt").regression(Context(memory=1e-9))


@pytest.mark.parametrize("suffix", ["csv", "csv.gz", "npz"])
def test_entries_are_expected_where_they_are_not_known(tmp_path: Path, suffix: str):
    found = columns(60_000)
    path = tmp_path / f"a.{suffix}"
    if suffix == "npz":
        np.savez(path, **found)
    else:
        lines = "\n".join(f"{x:.12f},{z:.12f}" for x, z in zip(*found.values(), strict=True))
        text = f"x,z\n{lines}\n".encode()
        path.write_bytes(gzip.compress(text) if suffix == "csv.gz" else text)
    assert open_table(path).expected_entries == pytest.approx(60_000, rel=0.05)
