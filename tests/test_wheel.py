"""What the wheel holds, and that it works where nothing of the source tree is."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NEEDED = ("build", "hatchling")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built without isolation, so without a network."""
    for name in NEEDED:
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed: a wheel cannot be built without a network")
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", str(folder)]
    done = subprocess.run([*command, str(ROOT)], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (path,) = folder.glob("*.whl")
    return path


def test_the_wheel_holds_the_configuration_the_template_and_the_events(wheel: Path):
    names = set(zipfile.ZipFile(wheel).namelist())
    expected = {"calibrate/conf/config.yaml", "calibrate/report/template.html"}
    expected.add("calibrate/catalogue/cms2011a_md5.txt")
    expected |= {f"calibrate/data/bundled/dijet_{d}.h5" for d in ("full", "fast")}
    expected |= {f"calibrate/data/bundled/top_jets_isr_{isr}.h5" for isr in ("on", "off")}
    expected |= {f"calibrate/{p.relative_to(ROOT)}" for p in (ROOT / "conf").rglob("*.yaml")}
    expected |= {str(p.relative_to(ROOT)) for p in (ROOT / "calibrate").rglob("*.py")}
    assert expected <= names


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path):
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"calibrate", "hep_calibrate"}
    unwanted = ("/tests/", "/scripts/", "/outputs/", "/benchmarks/", "__pycache__", ".pyc")
    assert [name for name in names if any(part in f"/{name}" for part in unwanted)] == []


def test_the_wheel_names_its_command_and_its_licence(wheel: Path):
    archive = zipfile.ZipFile(wheel)
    (info,) = {name.split("/")[0] for name in archive.namelist() if ".dist-info/" in name}
    assert (
        "calibrate = calibrate.cli.main:main" in archive.read(f"{info}/entry_points.txt").decode()
    )
    metadata = archive.read(f"{info}/METADATA").decode()
    assert "Name: hep-calibrate\n" in metadata
    assert "License-Expression: BSD-3-Clause\n" in metadata or "License-File: LICENSE" in metadata


def test_the_command_finds_its_configuration_in_any_folder(wheel: Path, tmp_path: Path):
    site, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
    zipfile.ZipFile(wheel).extractall(site)
    elsewhere.mkdir()
    code = (
        "from calibrate.cli.groups import configuration_folder as f; print(f());"
        "from calibrate.cli.main import cli; cli(['run', 'data=gaussian', '--help'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=elsewhere,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[0] == str(site / "calibrate" / "conf")
    assert "data.sigma=1.0" in done.stdout
    assert list(elsewhere.iterdir()) == []
