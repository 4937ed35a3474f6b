"""Generate dijet events: Pythia 8, a parametric detector, jets matched between the two levels.

    python scripts/generate_dijets.py n=160000 --detector both --output DIR --workers 8

Proton-proton collisions at 7 TeV, all hard QCD processes in three bins of pT-hat, Monash tune.
Visible stable particles are clustered with anti-kT R = 0.5 before and after the detector of
`detector.py`. An event keeps its two leading generated jets, each with the nearest measured
jet, if those are distinct and within Delta R < 0.3 (`dijet_events.py`).

The events of a bin are made in chunks. A chunk's random numbers follow from (seed, detector, bin,
chunk) alone, so the result does not depend on the number of workers. Finished chunks wait in a work
folder beside the output: an interrupted run, started again, goes on where it stopped.
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
from detector import DETECTORS, Detector
from dijet_events import BINS, Batch, bin_settings, generate

EVENTS = 160_000
CHUNK_EVENTS = 2000
SUMMARY = ("generated", "sigma", "error")  # numbers that a chunk stores beside its columns
UNITS = {"pt": "GeV", "y": "1", "phi": "rad", "m": "GeV", "weight": "mb", "event": "1", "bin": "1"}


# --- What is to be made ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Job:
    """One output file: a detector, a number of events and a seed."""

    detector: Detector
    events: int
    seed: int
    folder: Path

    @property
    def target(self) -> Path:
        """The HDF5 file to write."""
        return self.folder / f"dijet_{self.detector.name}.h5"

    @property
    def label(self) -> str:
        """What is made, for the progress bar."""
        return f"{self.detector.name} detector"

    @property
    def chunks(self) -> list[Chunk]:
        """All chunks, bin by bin."""
        return chunks_of(bin_events(self.events), CHUNK_EVENTS)

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that the result depends on, ready for JSON."""
        return {
            "detector": asdict(self.detector),
            "events": self.events,
            "seed": self.seed,
            "chunk_events": CHUNK_EVENTS,
            "bins": [bin_settings(number) for number in range(1, len(BINS) + 1)],
            "versions": versions(),
        }


def bin_events(events: int) -> list[int]:
    """Number of events to generate in each bin: its share of the total, at least one."""
    return [max(1, round(events * edges.share)) for edges in BINS]


def seed_sequence(job: Job, *path: int) -> np.random.SeedSequence:
    """Random seeds of a detector, or below it of a bin, chunk and purpose."""
    return np.random.SeedSequence((job.seed, list(DETECTORS).index(job.detector.name), *path))


# --- Chunks ---------------------------------------------------------------------------------------


def make(job: Job, chunk: Chunk) -> Columns:
    """Generate a chunk: its columns, and the numbers of `SUMMARY`."""
    place = (chunk.bin, chunk.index)
    rng = np.random.default_rng(seed_sequence(job, *place, 1))
    seed = pythia_seed(seed_sequence(job, *place))
    batch = generate(chunk.bin, chunk.events, seed, job.detector, rng)
    return batch.columns | {name: np.array(getattr(batch, name)) for name in SUMMARY}


def merge_bin(job: Job, number: int) -> Batch:
    """Join the chunks of a bin; sigma = sum n_i sigma_i / sum n_i over chunks of n_i events."""
    parts = finished(job, number)
    events, sigmas, errors = (np.array([part.pop(name) for part in parts]) for name in SUMMARY)
    total = events.sum()
    return Batch(
        generated=int(total),
        sigma=float(events @ sigmas / total),
        error=float(np.linalg.norm(events * errors) / total),
        columns=joined(parts),
    )


def final_columns(job: Job, samples: list[Batch]) -> Columns:
    """All columns of the file, in one reproducible random order of the events."""
    kept = [sample.kept for sample in samples]
    order = np.random.default_rng(seed_sequence(job)).permutation(sum(kept))
    weights = [sample.sigma / sample.generated for sample in samples]
    columns: Columns = {
        "event": np.arange(sum(kept), dtype=np.int32),
        "bin": np.repeat(np.arange(1, len(samples) + 1, dtype=np.uint8), kept)[order],
        "weight": np.repeat(weights, kept)[order],
    }
    for name in samples[0].columns:
        whole = np.concatenate([sample.columns[name] for sample in samples])
        columns[name] = storable(name, whole)[order]
    return columns


def attributes(job: Job, samples: list[Batch]) -> dict[str, Any]:
    """What a reader of the file may want to know of its making, in values that HDF5 can hold."""
    used = {f"version_{name}": found for name, found in job.settings["versions"].items()}
    settings = {f"pythia_settings_bin{n}": found for n, found in enumerate(job.settings["bins"], 1)}
    generated = np.array([sample.generated for sample in samples])
    kept = np.array([sample.kept for sample in samples])
    return {
        "tool": "scripts/generate_dijets.py",
        "generator": "Pythia 8, HardQCD:all, pp at 7 TeV; anti-kT R = 0.5; parametric detector",
        **used,
        **settings,
        "detector": job.detector.name,
        "detector_constants": json.dumps(asdict(job.detector)),
        "seed": job.seed,
        "units": "GeV, rad, mb",
        "cross_section_mb": [sample.sigma for sample in samples],
        "cross_section_error_mb": [sample.error for sample in samples],
        "n_generated": generated,
        "n_kept": kept,
        "n_dropped": generated - kept,
    }


def finish(job: Job) -> None:
    """Merge the chunks into the HDF5 file."""
    samples = [merge_bin(job, number) for number in range(1, len(BINS) + 1)]
    write(job.target, final_columns(job, samples), UNITS, attributes(job, samples))


# --- Command line ---------------------------------------------------------------------------------


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = command_line(__doc__, EVENTS, "detector, over all bins")
    parser.add_argument("--detector", choices=[*DETECTORS, "both"], default="both")
    return parser.parse_args(arguments)


def run(options: argparse.Namespace) -> None:
    """Make the files that the command line asks for."""
    names = list(DETECTORS) if options.detector == "both" else [options.detector]
    jobs = [Job(DETECTORS[name], options.n, options.seed, options.output) for name in names]
    produce(jobs, make, finish, options)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; the exit status."""
    return exit_status(lambda: run(parse(arguments)))


if __name__ == "__main__":
    sys.exit(main())
