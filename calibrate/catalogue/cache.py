"""Where fetched files are kept, and what to do where one is not there."""

from __future__ import annotations

import os
from fnmatch import fnmatch
from pathlib import Path

from calibrate.catalogue.entries import PublicSet, human_size, public_sets

VARIABLE = "CALIBRATE_DATA"


def cache_folder() -> Path:
    """The folder that the variable CALIBRATE_DATA names, else the system's place for caches."""
    named = os.environ.get(VARIABLE)
    if named:
        return Path(named).expanduser()
    import pooch

    return Path(pooch.os_cache("calibrate"))


def set_folder(chosen: PublicSet) -> Path:
    """The folder of a set."""
    return cache_folder() / chosen.name


def fetched(chosen: PublicSet) -> list[Path]:
    """The files of a set that are there, in their order; checked when they were fetched."""
    folder = set_folder(chosen)
    return [folder / file.name for file in chosen.files if (folder / file.name).is_file()]


def fetch_command(chosen: PublicSet) -> str:
    """How a set is fetched, and how large it is."""
    number = len(chosen.files)
    part = ", a part of them with files=2" if number > 1 else ""
    files = f"{number} files" if number > 1 else "1 file"
    return f"calibrate data fetch {chosen.name} ({files}, {human_size(chosen.size)}{part})"


def fetch_hint(pattern: str) -> str:
    """The end of a message about files that are not there: how to fetch them, if they are public.

    `pattern` is a path or a glob.
    """
    name = Path(pattern).name
    for chosen in public_sets().values():
        glob = name if name.startswith(chosen.name) else ""
        if any(file.name == name or fnmatch(file.name, glob) for file in chosen.files):
            return f"; it is public: {fetch_command(chosen)} puts it into {set_folder(chosen)}"
    return ""
