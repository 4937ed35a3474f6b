"""What is known of the public files: address, checksum, size, licence, citation."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

from calibrate.errors import ConfigurationError, nearest

UNITS = ("B", "kB", "MB", "GB", "TB")
MOD_RECORDS = {"1000": 3341502, "1400": 3341770, "1800": 3341772}
"""Zenodo's record of SIM and GEN files of each p̂_T set."""
MOD_CITATION = (
    "P. T. Komiske, R. Mastandrea, E. M. Metodiev, P. Naik, J. Thaler, Exploring the Space of Jets "
    "with CMS Open Data, arXiv:1908.08542; DOI 10.5281/zenodo."
)
HIGGSML = "atlas-higgs-challenge-2014-v2.csv.gz"


@dataclass(frozen=True)
class PublicFile:
    """One file: its name, address, checksum `algorithm:hex`, and size [bytes] where it is known."""

    name: str
    url: str
    checksum: str
    size: int | None = None


@dataclass(frozen=True)
class PublicSet:
    """Files that belong together, fetched by one `name`; `data` is the dataset that reads them."""

    name: str
    title: str
    files: tuple[PublicFile, ...]
    licence: str
    citation: str

    @property
    def size(self) -> int | None:
        """Bytes in all; None if that of any file is not known."""
        sizes = [file.size for file in self.files]
        return None if None in sizes else sum(size or 0 for size in sizes)


@cache
def public_sets() -> Mapping[str, PublicSet]:
    """All sets by name."""
    sets = [*_mod_sets(), _higgsml()]
    return {each.name: each for each in sets}


def public_set(name: str) -> PublicSet:
    """The set of a name; ConfigurationError lists near ones."""
    sets = public_sets()
    if name not in sets:
        raise ConfigurationError(
            f"no public files '{name}': {nearest(name, sets)} (calibrate data list)"
        )
    return sets[name]


def set_of_file(name: str) -> PublicSet | None:
    """The set that a file of this name belongs to."""
    found = (each for each in public_sets().values() if any(f.name == name for f in each.files))
    return next(found, None)


def human_size(size: int | None) -> str:
    """Bytes as they are read: `65.6 MB`, or `size unknown`."""
    if size is None:
        return "size unknown"
    value = float(size)
    for unit in UNITS:
        if value < 1000 or unit == UNITS[-1]:
            break
        value /= 1000
    return f"{value:.0f} B" if unit == "B" else f"{value:.1f} {unit}"


def _mod_sets() -> list[PublicSet]:
    """Checksums in the order in which the files were numbered."""
    listed = resources.files(__package__).joinpath("cms2011a_md5.txt").read_text("utf-8")
    lines = [line.split() for line in listed.splitlines()]
    sets = []
    for level, what in (("SIM", "full simulation, jets with their gen jets"), ("GEN", "gen jets")):
        for low, record in MOD_RECORDS.items():
            pattern = re.compile(rf"{level}{low}_.*_(\d+)_compressed\.h5")
            chosen = [(pattern.fullmatch(name), md5) for md5, name in lines]
            numbered = [(int(found[1]), found[0], md5) for found, md5 in chosen if found]
            files = tuple(
                PublicFile(name, _zenodo(record, name), f"md5:{md5}")
                for _, name, md5 in sorted(numbered)
            )
            high = {"1000": "1000-1400", "1400": "1400-1800", "1800": "above 1800"}[low]
            title = f"CMS 2011A dijets, {what}, p̂T {high} GeV (MOD HDF5)"
            licence = "as stated in the Zenodo record"
            citation = f"{MOD_CITATION}{record}"
            sets.append(PublicSet(f"{level}{low}", title, files, licence, citation))
    return sets


def _zenodo(record: int, name: str) -> str:
    return f"https://zenodo.org/record/{record}/files/{name}?download=1"


def _higgsml() -> PublicSet:
    file = PublicFile(
        HIGGSML,
        f"https://opendata.cern.ch/record/328/files/{HIGGSML}",
        "sha1:639b1dbd97a709a739122a9a5dcd99b49d55d86c",
        65_630_848,
    )
    return PublicSet(
        "higgsml",
        "ATLAS Higgs challenge 2014, version 2: 818 238 events, H → ττ and background (CSV)",
        (file,),
        "CC0",
        "ATLAS collaboration, Dataset from the ATLAS Higgs Boson Machine Learning Challenge 2014, "
        "DOI 10.7483/OPENDATA.ATLAS.ZBP2.M5T8",
    )
