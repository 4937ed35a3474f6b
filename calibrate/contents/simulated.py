"""Simulated jets with their gen jets: MOD, NanoAOD, Delphes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from calibrate.contents.columns import scanned
from calibrate.contents.finding import Contents
from calibrate.data.delphes_files import BRANCHES, read_dijets
from calibrate.data.mod_files import ModFile
from calibrate.data.mod_pairs import EventPairs, JetCuts
from calibrate.data.nanoaod_files import Counts, MatchedJets, collections
from calibrate.errors import DataError
from calibrate.tables.root import RootTable

RADIUS = 0.3
ROWS = 100_000
NONE = np.empty(0, np.int64)
GEN_WEIGHT = "genWeight"
NANOAOD_READ = ("Jet_pt", "GenJet_pt")


def mod(path: Path) -> Contents:
    """Jets, matches, events and weights of a MOD file; DataError where it is none."""
    file, cuts = ModFile.of(path), JetCuts()
    found = Contents("MOD HDF5 of CMS open data")
    found.facts["entries"] = f"{file.jets} jets"
    found.columns(list(file.places))
    missing = [name for name in cuts.columns if name not in file.places]
    if missing:
        found.facts["level"] = f"no pairs of gen and detector level: {', '.join(missing[:4])} …"
        return found
    pairs = EventPairs(cuts)
    try:
        numbers = np.concatenate([number for number, _ in pairs.blocks(file)] or [NONE])
    except DataError as error:
        found.problems.append(str(error))
        return found
    kept = int(np.count_nonzero(pairs.kept(numbers)))
    counts = pairs.counts
    share = counts.unmatched / max(counts.jets, 1)
    found.facts["matches"] = f"{counts.unmatched} jets without a gen jet ({100 * share:.2f} %)"
    found.facts["events"] = (
        f"{kept} with two matched jets, {counts.single} with one, {counts.repeated} with more"
    )
    found.facts["weights"] = f"weight: sum over all jets {counts.weight:.6g} nb"
    return found


def nanoaod(table: RootTable) -> Contents:
    """Jets, matches and weights of NanoAOD."""
    found = Contents("CMS NanoAOD")
    found.facts["entries"] = f"{table.entries} events"
    found.columns(table.names, "branches")
    found.facts["collections"] = ", ".join(collections(table.names)) or "none"
    if GEN_WEIGHT in table.names:
        tallies = scanned(table, [GEN_WEIGHT], Contents(""))
        found.weights(GEN_WEIGHT, tallies[GEN_WEIGHT])
        found.broken(tallies)
    else:
        found.facts["weights"] = f"no {GEN_WEIGHT}"
    counts = Counts()
    try:
        for _ in MatchedJets(table.path, counts).chunks(NANOAOD_READ, ROWS):
            pass
    except DataError as error:
        found.problems.append(str(error))
    else:
        found.facts["matches"] = (
            f"{counts.jets} jets, {counts.matched} with a saved gen jet, {counts.unmatched} "
            f"without one, {counts.unsaved} whose gen jet was not saved"
        )
    return found


def delphes(table: RootTable) -> Contents:
    """Jets, matched dijets and weights of a Delphes tree."""
    found = Contents("Delphes")
    found.facts["entries"] = f"{table.entries} events"
    found.columns(table.names, "branches")
    there = [name for name in BRANCHES if name in table.names]
    tallies = scanned(table, there, Contents(""))
    found.facts["jets"] = ", ".join(
        f"{tallies[name].number} {name.split('.')[0]}" for name in there if name.endswith(".PT")
    )
    found.facts["weights"] = "Event.Weight and Event.CrossSection are not reliable in Delphes"
    try:
        dijets = read_dijets(table.path, RADIUS, None)
    except DataError as error:
        found.problems.append(str(error))
    else:
        found.facts["matches"] = (
            f"{dijets.two_gen_jets} events with two gen jets, {dijets.matched} with both matched "
            f"(ΔR < {RADIUS})"
        )
    return found
