"""Generate dijet events: Pythia 8, a parametric detector, jets matched between the two levels.

    python scripts/generate_dijets.py n=160000 --detector both --output DIR --workers 8

Proton-proton collisions at 7 TeV, all hard QCD processes in three bins of pT-hat, Monash tune.
Visible stable particles are clustered with anti-kT R = 0.5 before and after the detector of
`dijet_detector.py`. An event keeps its two leading generated jets, each with the nearest measured
jet, if those are distinct and within Delta R < 0.3 (`dijet_events.py`).

The events of a bin are made in chunks. A chunk's random numbers follow from (seed, detector, bin,
chunk) alone, so the result does not depend on the number of workers. Finished chunks wait in a work
folder beside the output: an interrupted run, started again, goes on where it stopped.
"""

import argparse
import json
import os
import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from multiprocessing import Pool
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from dijet_detector import DETECTORS, Detector
from dijet_events import BINS, Batch, GenerationError, bin_settings, generate, require
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

Columns = dict[str, NDArray[Any]]

EVENTS = 160_000
CHUNK_EVENTS = 2000
MANTISSA_BITS = 12  # kept of pT and mass: a relative error of at most 2^-13
ANGLE_BITS = 12  # y and phi are rounded to multiples of 2^-12
SUMMARY = ("generated", "sigma", "error")  # numbers that a chunk stores beside its columns
UNITS = {"pt": "GeV", "y": "1", "phi": "rad", "m": "GeV", "weight": "mb", "event": "1", "bin": "1"}
INTERRUPTED = 130  # exit status after Ctrl-C


# --- What is to be made ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Chunk:
    """A part of the events of one bin, with random numbers of its own."""

    bin: int  # from 1
    index: int  # from 0, within the bin
    events: int

    @property
    def name(self) -> str:
        """Name of its file in the work folder."""
        return f"bin{self.bin}-{self.index:05d}.npz"


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
    def work(self) -> Path:
        """The folder of finished chunks."""
        return self.folder / f"dijet_{self.detector.name}.work"

    @property
    def chunks(self) -> list[Chunk]:
        """All chunks, bin by bin."""
        return [
            Chunk(number, index, min(CHUNK_EVENTS, total - start))
            for number, total in enumerate(bin_events(self.events), start=1)
            for index, start in enumerate(range(0, total, CHUNK_EVENTS))
        ]

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that the result depends on, ready for JSON."""
        return {
            "detector": asdict(self.detector),
            "events": self.events,
            "seed": self.seed,
            "chunk_events": CHUNK_EVENTS,
            "bins": [bin_settings(number) for number in range(1, len(BINS) + 1)],
            "versions": {name: version(name) for name in ("pythia8mc", "fastjet", "numpy")},
        }


def bin_events(events: int) -> list[int]:
    """Number of events to generate in each bin: its share of the total, at least one."""
    return [max(1, round(events * edges.share)) for edges in BINS]


def seed_sequence(job: Job, *path: int) -> np.random.SeedSequence:
    """Random seeds of a detector, or below it of a bin, chunk and purpose."""
    return np.random.SeedSequence((job.seed, list(DETECTORS).index(job.detector.name), *path))


def pythia_seed(job: Job, chunk: Chunk) -> int:
    """Pythia's own seed for a chunk, from 1 to 9e8."""
    return int(seed_sequence(job, chunk.bin, chunk.index).generate_state(1)[0]) % 900_000_000 + 1


# --- Chunks ---------------------------------------------------------------------------------------


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """A path to write to, moved to the target once all is written: the target is never partial."""
    unfinished = target.with_name(f".{target.name}")
    yield unfinished
    unfinished.replace(target)


def make_chunk(job: Job, chunk: Chunk) -> None:
    """Generate a chunk and leave it in the work folder."""
    rng = np.random.default_rng(seed_sequence(job, chunk.bin, chunk.index, 1))
    batch = generate(chunk.bin, chunk.events, pythia_seed(job, chunk), job.detector, rng)
    with replacing(job.work / chunk.name) as path:
        content: dict[str, Any] = {name: getattr(batch, name) for name in SUMMARY}
        np.savez(path, **content | batch.columns)


def open_work(job: Job) -> None:
    """Make the work folder, or check that it holds chunks of this very job."""
    job.work.mkdir(parents=True, exist_ok=True)
    record = job.work / "settings.json"
    if not record.exists():
        with replacing(record) as path:
            path.write_text(json.dumps(job.settings, indent=1))
    found = json.loads(record.read_text())
    different = [name for name in job.settings if found.get(name) != job.settings[name]]
    if different:
        raise GenerationError(
            f"{job.work} holds chunks of other settings ({', '.join(different)}): "
            "remove it or choose another --output"
        )


def start_worker() -> None:
    """Leave Ctrl-C to the parent process, and discard the banners that libraries print."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def make_chunks(job: Job, workers: int) -> None:
    """Generate the missing chunks in parallel."""
    missing = [chunk for chunk in job.chunks if not (job.work / chunk.name).exists()]
    if not missing:
        return
    with Pool(min(workers, len(missing)), initializer=start_worker) as pool:
        done = pool.imap_unordered(partial(make_chunk, job), missing)
        follow(done, len(missing), f"{job.detector.name} detector")


def follow(steps: Iterable[None], total: int, label: str) -> None:
    """Exhaust an iterable under a progress bar, or with some twenty lines if not on a terminal."""
    console = Console(stderr=True)
    if console.is_terminal:
        steps = track(steps, label, total, console=console)
    for done, _ in enumerate(steps, start=1):
        if not console.is_terminal and (done % max(1, total // 20) == 0 or done == total):
            console.print(f"{label}: {done} of {total} chunks")


# --- The file -------------------------------------------------------------------------------------


def merge_bin(job: Job, number: int) -> Batch:
    """Join the chunks of a bin; sigma = sum n_i sigma_i / sum n_i over chunks of n_i events."""
    parts = [dict(np.load(job.work / c.name)) for c in job.chunks if c.bin == number]
    events, sigmas, errors = (np.array([part.pop(name) for part in parts]) for name in SUMMARY)
    total = events.sum()
    return Batch(
        generated=int(total),
        sigma=float(events @ sigmas / total),
        error=float(np.linalg.norm(events * errors) / total),
        columns={name: np.concatenate([part[name] for part in parts]) for name in parts[0]},
    )


def round_mantissa(values: NDArray[Any], bits: int) -> NDArray[Any]:
    """Round to nearest, keeping so many stored bits: a relative error of at most 2^-(bits+1)."""
    mantissa, exponent = np.frexp(values)
    steps = 2.0 ** (bits + 1)
    return np.asarray(np.ldexp(np.round(mantissa * steps) / steps, exponent))


def round_angle(values: NDArray[Any], bits: int) -> NDArray[Any]:
    """Round to the nearest multiple of 2^-bits."""
    return np.round(values * 2.0**bits) / 2.0**bits


def storable(name: str, values: NDArray[Any]) -> NDArray[np.float32]:
    """A column of four-momenta without the digits that no detector resolves."""
    angle = name.endswith(("_y", "_phi"))
    rounded = round_angle(values, ANGLE_BITS) if angle else round_mantissa(values, MANTISSA_BITS)
    return rounded.astype(np.float32)


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
    versions = {f"version_{name}": found for name, found in job.settings["versions"].items()}
    settings = {f"pythia_settings_bin{n}": found for n, found in enumerate(job.settings["bins"], 1)}
    generated = np.array([sample.generated for sample in samples])
    kept = np.array([sample.kept for sample in samples])
    return {
        "tool": "scripts/generate_dijets.py",
        "generator": "Pythia 8, HardQCD:all, pp at 7 TeV; anti-kT R = 0.5; parametric detector",
        **versions,
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


def write(job: Job) -> None:
    """Merge the chunks into the HDF5 file."""
    samples = [merge_bin(job, number) for number in range(1, len(BINS) + 1)]
    with replacing(job.target) as path, h5py.File(path, "w") as file:
        file.attrs.update(attributes(job, samples))
        for name, values in final_columns(job, samples).items():
            column = file.create_dataset(
                name, data=values, chunks=values.shape, shuffle=True, compression=9
            )
            column.attrs["unit"] = UNITS[name.split("_")[-1]]


# --- Command line ---------------------------------------------------------------------------------


def natural(text: str) -> int:
    """A positive whole number."""
    number = int(text)
    if number < 1:
        raise ValueError(f"{number} is not positive")
    return number


def event_count(text: str) -> int:
    """The number in 'n=200000'."""
    key, equals, number = text.partition("=")
    if key != "n" or not equals:
        raise argparse.ArgumentTypeError(f"expected n=NUMBER, got {text!r}")
    return natural(number)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    summary, _, details = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        description=summary, epilog=details, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    total = f"events to generate per detector, over all bins (n={EVENTS})"
    add("n", nargs="?", type=event_count, default=EVENTS, metavar="n=NUMBER", help=total)
    add("--detector", choices=[*DETECTORS, "both"], default="both")
    add("--output", type=Path, default=Path(), metavar="DIR", help="folder of the files (here)")
    add("--seed", type=natural, default=1, help="any whole number from 1 (1)")
    add("--workers", type=natural, default=os.cpu_count(), help="processes (all cores)")
    add("--force", action="store_true", help="overwrite an existing file")
    return parser.parse_args(arguments)


def run(options: argparse.Namespace) -> None:
    """Make the files that the command line asks for."""
    names = list(DETECTORS) if options.detector == "both" else [options.detector]
    jobs = [Job(DETECTORS[name], options.n, options.seed, options.output) for name in names]
    for job in jobs:
        if job.target.exists() and not options.force:
            raise GenerationError(f"{job.target} exists: choose another --output, or --force")
    for package in ("pythia8mc", "fastjet"):
        require(package)
    for job in jobs:
        open_work(job)
    for job in jobs:
        make_chunks(job, options.workers)
        write(job)
        print(f"{job.target} written; its chunks in {job.work} may be removed")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; the exit status."""
    try:
        run(parse(arguments))
    except GenerationError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted: the same command goes on from the finished chunks", file=sys.stderr)
        return INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main())
