"""What the runs of a comparison are called: method, and the options in which it differs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from calibrate.errors import ConfigurationError
from calibrate.figures.style import UNCALIBRATED
from calibrate.report.comparison.runs import Run, differing, shown

NAMING = ("method.", "seed", "replicas", "stored")
"""Options by which runs of one method are told apart."""


def labelled(runs: Sequence[Run], given: Sequence[str]) -> dict[str, Run]:
    """The runs by label: as given, or automatic.

    Raises ConfigurationError unless there is one label for each run, no two of them equal, and
    none is the name of the uncalibrated response.
    """
    labels = [label.strip() for label in given] or _automatic(runs)
    if len(labels) != len(runs):
        raise ConfigurationError(
            f"{len(labels)} labels for {len(runs)} runs: give --label once for each run, in their "
            "order, or not at all"
        )
    for label, run in zip(labels, runs, strict=True):
        if not label or (label == UNCALIBRATED and run.method != UNCALIBRATED):
            raise ConfigurationError(f"--label '{label}' cannot name a run: give a name of its own")
    twice = [label for label, number in Counter(labels).items() if number > 1]
    if twice:
        raise ConfigurationError(f"--label '{twice[0]}' is given twice: labels tell runs apart")
    return dict(zip(labels, runs, strict=True))


def _automatic(runs: Sequence[Run]) -> list[str]:
    """Methods' names; those that share one with the options that differ among them; those that
    share these with the end of their folder's name."""
    by_folder = {str(place): run for place, run in enumerate(runs)}
    names = {place: _named(place, by_folder) for place in by_folder}
    counts = Counter(names.values())
    return [
        name if counts[name] == 1 else f"{name} {by_folder[place].folder.resolve().name[-6:]}"
        for place, name in names.items()
    ]


def _named(place: str, runs: dict[str, Run]) -> str:
    method = runs[place].method
    alike = {key: run for key, run in runs.items() if run.method == method}
    parts = [
        f"{key.removeprefix('method.')}={shown(values[place])}"
        for key, values in differing(alike).items()
        if key.startswith(NAMING) and place in values
    ]
    return " ".join([method, *parts])
