"""Where a result comes from: version, commit, environment, checksums of the inputs."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from pathlib import Path

from calibrate import plugins

DISTRIBUTION = "hep-calibrate"
PACKAGES = ("torch", "numpy", "scipy", "matplotlib", "mplhep", "h5py", "hydra-core", "omegaconf")


def version() -> str:
    """The installed version of this package; `unknown` when it runs without installation."""
    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return "unknown"


@cache
def commit() -> str | None:
    """The git commit of the source tree the package runs from, `+` if modified; None if the
    package does not run from a checkout of its own."""
    root = Path(__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return None
    head = _git(root, "rev-parse", "HEAD")
    changed = _git(root, "status", "--porcelain", "--untracked-files=no")
    return f"{head}+" if head and changed else head


@cache
def environment() -> Mapping[str, str]:
    """Versions of Python and of the packages that numbers depend on, and the machine."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    found["cpus"] = str(os.cpu_count())
    for package in (*PACKAGES, *plugins.packages().values()):
        found[package] = plugins.installed_version(package)
    return found


def sha256(path: Path) -> str:
    """The SHA-256 of a file's content, in hex."""
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def file_state(path: Path) -> tuple[int, int] | None:
    """Size and time of the last change [ns]: what tells at once that a file is another one; None
    where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


def _git(root: Path, *arguments: str) -> str | None:
    command = ["git", "-C", str(root), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
