"""A comparison: runs under their labels, as one outcome, and what a reader must know of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from calibrate.figures.style import PALETTE, UNCALIBRATED
from calibrate.records import Outcome
from calibrate.report.comparison.joined import joined
from calibrate.report.comparison.labels import labelled
from calibrate.report.comparison.runs import (
    INDEPENDENT,
    OVERLAPPING,
    SAME,
    Run,
    differing,
    require_comparable,
)

EVALUATOR = "evaluator."


@dataclass(frozen=True)
class Comparison:
    """Runs by label, the first of which is the reference of all differences.

    `outcome` holds them as the methods of one study; `samples` says for each label (and for the
    uncalibrated response) how its test events relate to the reference's; `differs` are the
    options in which the runs differ, by key and label.
    """

    runs: Mapping[str, Run]
    outcome: Outcome
    samples: Mapping[str, str]
    differs: Mapping[str, Mapping[str, Any]]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]


def compare(given: Sequence[Run], labels: Sequence[str] = ()) -> Comparison:
    """Compare finished runs of one dataset; `labels` name them in their order.

    Raises what `require_comparable` and `labelled` raise.
    """
    require_comparable(given)
    runs = labelled(given, labels)
    first = given[0]
    outcome = joined(runs)
    samples = {label: run.samples_beside(first) for label, run in runs.items()}
    differs = differing(runs)
    notes = tuple(_notes(samples, outcome))
    warnings = (*_doubts(runs, samples, differs), *_of_runs(runs))
    if UNCALIBRATED in outcome.methods:
        samples = {UNCALIBRATED: SAME, **samples}
    return Comparison(runs, outcome, samples, differs, notes, warnings)


def _notes(samples: Mapping[str, str], outcome: Outcome) -> Iterator[str]:
    first, *others = samples
    related = [samples[label] for label in others]
    if any(each != INDEPENDENT for each in related):
        yield (
            f"Differences are to {first}. Tested on the same events, errors are correlated, and "
            "those of differences are not known: quoted is the significance that is reached "
            "whatever the correlation, |difference| over the sum of both errors (≥)."
        )
    if INDEPENDENT in related:
        alone = ", ".join(label for label in others if samples[label] == INDEPENDENT)
        yield (
            f"{alone}: other test events than {first}'s, drawn from another seed; errors are "
            "added in quadrature. They are those of the test events: the training samples differ "
            "too."
        )
    if UNCALIBRATED not in outcome.methods:
        yield "The uncalibrated response is left out: it is not in all runs with the same numbers."


def _doubts(
    runs: Mapping[str, Run], samples: Mapping[str, str], differs: Mapping[str, Mapping[str, Any]]
) -> Iterator[str]:
    parted = [label for label, each in samples.items() if each == OVERLAPPING]
    if parted:
        yield (
            f"{', '.join(parted)}: another split of the same files than {next(iter(runs))}'s, or "
            "all of their events: the test events overlap in part"
        )
    versions = {label: str(run.outcome.run.get("version")) for label, run in runs.items()}
    if len(set(versions.values())) > 1:
        said = ", ".join(f"{label} {version}" for label, version in versions.items())
        yield f"the runs are of different versions ({said}): definitions may have changed"
    options = [key for key in differs if key.startswith(EVALUATOR)]
    if options:
        yield (
            f"the runs are evaluated with other options ({', '.join(options)}): what depends on "
            "them is not of one definition"
        )
    calibrated = [label for label in runs if label != UNCALIBRATED]
    if len(calibrated) > len(PALETTE):
        yield f"{len(calibrated)} runs share {len(PALETTE)} colours: compare fewer at a time"


def _of_runs(runs: Mapping[str, Run]) -> Iterator[str]:
    """The warnings of the runs under their labels, without those on methods not compared."""
    for label, run in runs.items():
        others = tuple(f"{method}{end}" for method in run.outcome.methods[1:] for end in ":,")
        for text in run.outcome.warnings:
            if text.startswith((f"{run.method}:", f"{run.method},")):
                yield label + text[len(run.method) :]
            elif not text.startswith(others):
                yield f"{label}: {text}"
