"""Which examination a file gets: by its tables, trees or columns."""

from __future__ import annotations

from pathlib import Path

from calibrate.catalogue.download import checksum
from calibrate.catalogue.entries import set_of_file
from calibrate.contents.columns import tabular
from calibrate.contents.finding import Contents
from calibrate.contents.higgs import higgs, set_of
from calibrate.contents.simulated import delphes, mod, nanoaod
from calibrate.data.delphes_files import TREE as DELPHES
from calibrate.data.higgsml_files import LABELS
from calibrate.data.mod_files import is_mod
from calibrate.data.nanoaod_files import TREE as NANOAOD
from calibrate.errors import DataError
from calibrate.tables import open_table
from calibrate.tables.root import RootTable

UNREADABLE = "not readable"


def examine(path: Path) -> Contents:
    """What a file holds, and its problems. Raises DataError for a file that does not exist."""
    if not path.is_file():
        open_table(path)
    try:
        found = _examined(path)
    except DataError as error:
        found = Contents(UNREADABLE, {}, [str(error)])
    _compare(path, found)
    return found


def _examined(path: Path) -> Contents:
    if is_mod(path):
        return mod(path)
    for tree, examination in ((NANOAOD, nanoaod), (DELPHES, delphes)):
        try:
            table = open_table(path, tree)
        except DataError:
            continue
        if isinstance(table, RootTable):
            return examination(table)
    table = open_table(path)
    higgs_set = set_of(table.names)
    if higgs_set is None:
        return tabular(table)
    name, layout = higgs_set
    return higgs(open_table(path, words={layout.label: LABELS}), name, layout)


def _compare(path: Path, found: Contents) -> None:
    """With the checksum of the public file of that name."""
    public = set_of_file(path.name)
    if public is None:
        return
    file = next(file for file in public.files if file.name == path.name)
    expected = file.checksum.partition(":")[2]
    actual = checksum(file, path)
    found.facts["public file"] = f"of {public.name}, {file.checksum.partition(':')[0]} {actual}"
    if actual != expected:
        found.problems.append(
            f"it is not the public file of its name, whose checksum is {expected}: fetch it with "
            f"calibrate data fetch {public.name}"
        )
