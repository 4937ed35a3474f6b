"""The runs of a comparison: that they are of one dataset, and in which options they differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from calibrate.data.training_sample import OPTIONS
from calibrate.errors import ConfigurationError, MisfitError
from calibrate.kinds_of_task import INFERENCE, REGRESSION, TRANSPORT
from calibrate.records import Outcome

Options = Mapping[str, Any]
KINDS = {
    "closure": REGRESSION,
    "uncertainty": REGRESSION,
    "transport": TRANSPORT,
    "score": INFERENCE,
    "likelihood": INFERENCE,
}
"""The kind of task of a run that has metrics whose names begin so."""
FEWEST = 2
UNRELATED = (
    *("data.spectators", "data.uncalibrated", "data.tests"),
    *(f"data.{option}" for option in OPTIONS),
)
"""Options of a dataset that change no number of a test sample that two runs share."""
FILES = ("data.path", "data.target_path")
"""Where files are: what is in them is told by their sha256."""
WITHOUT_EFFECT = ("output", "report.figures", "note")
REFERENCE, SAME, INDEPENDENT, OVERLAPPING = "reference", "same", "independent", "overlapping"


@dataclass(frozen=True)
class Run:
    """A finished run: its folder, what it left, and its configuration by dotted keys."""

    folder: Path
    outcome: Outcome
    options: Options

    @classmethod
    def of(cls, folder: Path, outcome: Outcome, configuration: Mapping[str, Any]) -> Run:
        """With the nested configuration of its `config.yaml`. The `method` there is not the one
        that a run of `calibrate evaluate` studies: its stored calibration is named instead."""
        nested = dict(configuration)
        if "stored" in outcome.run:
            stored = Path(str(outcome.run["stored"].get("path"))).name
            nested = {**nested, "method": {}, "stored": stored}
        return cls(folder, outcome, dict(_flat(nested)))

    @property
    def method(self) -> str:
        """The studied method."""
        return self.outcome.methods[0]

    @property
    def data(self) -> str:
        """The dataset's name."""
        return str(self.outcome.run.get("data", ""))

    @property
    def sha256(self) -> list[str]:
        """Those of the data's files, sorted; empty for events that are drawn from the seed."""
        return sorted(self.outcome.run.get("data_sha256", {}).values())

    @property
    def kind(self) -> str:
        """`regression`, `transport` or `inference`, by its metrics; MisfitError for a run without
        any of their metrics."""
        found = {name.split("/")[0] for name in self.outcome.metrics[self.method]}
        for metrics, kind in KINDS.items():
            if metrics in found:
                return kind
        raise MisfitError(
            f"{self.folder} has neither {', '.join(KINDS)} metrics to compare: run it with "
            "evaluator=[closure], [transport] or [score]"
        )

    def samples_beside(self, first: Run) -> str:
        """How its test events relate to those of the first run: `same` (errors of the metrics are
        correlated), `independent` (drawn from another seed), `overlapping` (another split of the
        same files, or all of their events)."""
        if self is first:
            return REFERENCE
        if self.options.get("seed") != first.options.get("seed"):
            return OVERLAPPING if self.sha256 else INDEPENDENT
        both_fitted = "stored" not in self.options and "stored" not in first.options
        return SAME if both_fitted or not self.sha256 else OVERLAPPING


def require_comparable(runs: Sequence[Run]) -> None:
    """Raise ConfigurationError for fewer than two runs or one twice; MisfitError for runs of
    different kinds of task or different datasets, with what differs."""
    if len(runs) < FEWEST:
        raise ConfigurationError(f"a comparison needs at least two runs, got {len(runs)}")
    first, *others = runs
    seen: set[Path] = set()
    for run in runs:
        place = run.folder.resolve()
        if place in seen:
            raise ConfigurationError(f"{run.folder} is given twice: compare different runs")
        seen.add(place)
    for run in others:
        kinds = (run.kind, first.kind)
        if kinds[0] != kinds[1]:
            said = f"{run.folder} is a {kinds[0]} and {first.folder} a {kinds[1]}"
            raise MisfitError(f"runs of one kind of task can be compared, but {said}")
        found = "; ".join(_other_data(run, first))
        if found:
            raise MisfitError(
                f"runs of one dataset can be compared, but {run.folder} differs from "
                f"{first.folder} in {found}"
            )


def _other_data(run: Run, first: Run) -> Iterator[str]:
    """What makes the events of two runs different, seeds apart."""
    if run.data != first.data:
        yield f"data={run.data} against {first.data}"
        return
    known = bool(run.sha256 and first.sha256)
    if known and run.sha256 != first.sha256:
        yield "the content of its files (sha256)"
    ignored = (*UNRELATED, *FILES) if known else UNRELATED
    for key in dict.fromkeys([*run.options, *first.options]):
        if key.startswith("data.") and not _below(key, ignored):
            values = [each.options.get(key) for each in (run, first)]
            if values[0] != values[1]:
                yield f"{key}={shown(values[0])} against {shown(values[1])}"


def differing(runs: Mapping[str, Run]) -> dict[str, dict[str, Any]]:
    """The options in which runs differ, by dotted key, then by label.

    Options of a method are compared among the runs of that method, and are absent elsewhere.
    """
    methods = {label: run.method for label, run in runs.items()}
    found: dict[str, dict[str, Any]] = {}
    if len(set(methods.values())) > 1:
        found["method"] = dict(methods)
    for key in dict.fromkeys(key for run in runs.values() for key in run.options):
        if _below(key, WITHOUT_EFFECT):
            continue
        together = _by_method(runs) if _below(key, ("method",)) else [runs]
        found[key] = {label: v for group in together for label, v in _varying(key, group).items()}
    return {key: values for key, values in found.items() if values}


def _by_method(runs: Mapping[str, Run]) -> list[dict[str, Run]]:
    groups: dict[str, dict[str, Run]] = {}
    for label, run in runs.items():
        groups.setdefault(run.method, {})[label] = run
    return list(groups.values())


def _varying(key: str, runs: Mapping[str, Run]) -> dict[str, Any]:
    """The values of an option, if they are not the same in all runs; where it exists."""
    values = {label: run.options[key] for label, run in runs.items() if key in run.options}
    same = len(values) == len(runs) and len(set(map(shown, values.values()))) == 1
    return {} if same else values


def shown(value: object) -> str:
    """A value as it is written on the command line."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{','.join(map(shown, value))}]"
    if isinstance(value, float) and float(f"{value:g}") == value:
        return f"{value:g}"
    return str(value)


def _below(key: str, parents: Sequence[str]) -> bool:
    return any(key == parent or key.startswith(f"{parent}.") for parent in parents)


def _flat(options: Mapping[str, Any], parent: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in options.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{parent}{name}.")
        elif not isinstance(value, Mapping):
            yield f"{parent}{name}", value
