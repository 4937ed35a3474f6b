"""Generate jets of boosted top quarks, with and without initial-state radiation.

    python scripts/generate_top_jets.py n=200000 --isr both --output DIR --workers 8

Proton-proton collisions at 14 TeV, tt̄ with hadronic decays, Monash tune, no multiparton
interactions. Visible stable particles, seen by the detector `full` of `detector.py`, are clustered
with anti-kT R = 1.2. A jet is kept if a top quark of 400-1000 GeV lies within Delta R < 1.2, and
its own |eta| is below 2 (`top_jet_events.py`); an event has up to two.

The sample is flat in the true pT, and all jets have weight 1. The hard process is generated with
its pT-hat spectrum times pT-hat^6, which makes it about flat. A jet whose true pT is below pT-hat,
mostly because the top quark radiated, is kept with probability (true pT / pT-hat)^6: at a given
true pT such jets have the share that the falling spectrum of the LHC gives them. Jets above pT-hat,
whose top quarks recoil against initial-state radiation, would need weights above 1 and are left as
they are; `pthat` is a column. Last, of each 25 GeV of true pT the same number of jets is kept, at
random.

The events are made in chunks. A chunk's random numbers follow from (seed, ISR, chunk) alone, so the
result does not depend on the number of workers. Finished chunks wait in a work folder beside the
output: an interrupted run, started again, goes on where it stopped.
"""

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from chunks import Chunk, chunks_of, finished, joined, pythia_seed, versions
from columns import Columns, storable, write
from command import command_line, exit_status, produce
from detector import FULL, Floats, Integers
from pythia_events import GenerationError
from top_jet_events import BIAS, TRUE_PT, generate, pythia_settings

EVENTS = 200_000
CHUNK_EVENTS = 2000
STEP = 25.0  # of true pT within which the spectrum is left as it is [GeV]
UNITS = {
    "event": "1",
    "pt": "GeV",
    "pthat": "GeV",
    "eta": "1",
    "m": "GeV",
    "constituents": "1",
    "girth": "rad",
}


# --- What is to be made ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Job:
    """One output file: with initial-state radiation or without, a number of events and a seed."""

    isr: bool
    events: int
    seed: int
    folder: Path

    @property
    def label(self) -> str:
        """What is made, for the progress bar."""
        return f"ISR {'on' if self.isr else 'off'}"

    @property
    def target(self) -> Path:
        """The HDF5 file to write."""
        return self.folder / f"top_jets_isr_{'on' if self.isr else 'off'}.h5"

    @property
    def chunks(self) -> list[Chunk]:
        """All chunks, of a single bin."""
        return chunks_of([self.events], CHUNK_EVENTS)

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that the result depends on, ready for JSON."""
        return {
            "detector": asdict(FULL),
            "events": self.events,
            "seed": self.seed,
            "chunk_events": CHUNK_EVENTS,
            "pythia": pythia_settings(self.isr),
            "versions": versions(),
        }


def seed_sequence(job: Job, *path: int) -> np.random.SeedSequence:
    """Random seeds of a file, or below it of a chunk and purpose."""
    return np.random.SeedSequence((job.seed, int(job.isr), *path))


def make(job: Job, chunk: Chunk) -> Columns:
    """Generate the jets of a chunk, with event numbers of the whole file."""
    rng = np.random.default_rng(seed_sequence(job, chunk.index, 1))
    seed = pythia_seed(seed_sequence(job, chunk.index))
    columns = generate(job.isr, chunk.events, seed, FULL, rng)
    return columns | {"event": columns["event"] + np.int32(chunk.index * CHUNK_EVENTS)}


# --- The file -------------------------------------------------------------------------------------


def mixed(top_pt: Floats, pthat: Floats, rng: np.random.Generator) -> Integers:
    """Rows left by a thinning with probability min(1, (true pT / pT-hat)^BIAS)."""
    return np.flatnonzero(rng.random(top_pt.size) < (top_pt / pthat) ** BIAS)


def flat(top_pt: Floats, rng: np.random.Generator) -> Integers:
    """Rows, ascending, that hold the same number of jets in each step of the true pT."""
    edges = np.arange(TRUE_PT[0], TRUE_PT[1] + STEP, STEP)
    order = rng.permutation(top_pt.size)
    rows = [order[step == np.digitize(top_pt[order], edges)] for step in range(1, edges.size)]
    number = min(row.size for row in rows)
    if not number:
        raise GenerationError(
            f"{top_pt.size} jets leave a step of {STEP:g} GeV in true pT empty: raise n"
        )
    return np.sort(np.concatenate([row[:number] for row in rows]))


def attributes(job: Job, found: int, kept: int) -> dict[str, Any]:
    """What a reader of the file may want to know of its making, in values that HDF5 can hold."""
    used = {f"version_{name}": number for name, number in job.settings["versions"].items()}
    return {
        "tool": "scripts/generate_top_jets.py",
        "command": f"python scripts/generate_top_jets.py n={job.events} --seed {job.seed} "
        f"--isr {'on' if job.isr else 'off'}",
        "generator": "Pythia 8, hadronic tt̄, pp at 14 TeV, no MPI; anti-kT R = 1.2, |eta| < 2; "
        "parametric detector; flat in true top pT (400-1000 GeV)",
        **used,
        "pythia_settings": job.settings["pythia"],
        "isr": job.isr,
        "detector": FULL.name,
        "detector_constants": json.dumps(asdict(FULL)),
        "seed": job.seed,
        "units": "GeV, rad",
        "n_generated": job.events,
        "n_matched": found,
        "n_kept": kept,
    }


def finish(job: Job) -> None:
    """Flatten the jets of all chunks into the HDF5 file."""
    jets = joined(finished(job, 1))
    rng = np.random.default_rng(seed_sequence(job))
    rows = mixed(jets["top_pt"], jets["pthat"], rng)
    rows = rows[flat(jets["top_pt"][rows], rng)]
    columns = {
        name: values[rows] if values.dtype.kind in "iu" else storable(name, values[rows])
        for name, values in jets.items()
    }
    write(job.target, columns, UNITS, attributes(job, jets["top_pt"].size, rows.size))


# --- Command line ---------------------------------------------------------------------------------


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = command_line(__doc__, EVENTS, "file")
    parser.add_argument("--isr", choices=["on", "off", "both"], default="both")
    return parser.parse_args(arguments)


def run(options: argparse.Namespace) -> None:
    """Make the files that the command line asks for."""
    wanted = {"on": [True], "off": [False], "both": [True, False]}[options.isr]
    jobs = [Job(isr, options.n, options.seed, options.output) for isr in wanted]
    produce(jobs, make, finish, options)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; the exit status."""
    return exit_status(lambda: run(parse(arguments)))


if __name__ == "__main__":
    sys.exit(main())
