"""The samples that come with the package, and files of the user in their place."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from calibrate.errors import DataError


def bundled(name: str) -> Path:
    """A bundled file."""
    return Path(str(resources.files("calibrate.data") / "bundled" / name))


def chosen_file(path: str | None, name: str, content: str) -> Path:
    """The file at `path`, or the bundled one; DataError if there is none, `content` is what it
    should hold."""
    if path is None:
        return bundled(name)
    chosen = Path(path)
    if not chosen.is_file():
        what = "a folder" if chosen.is_dir() else "no such file"
        raise DataError(f"data.path={path}: {what}; an HDF5 file with {content} is needed")
    return chosen
