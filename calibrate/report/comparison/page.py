"""`comparison.html`: runs side by side, as one self-contained page."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from calibrate.figures import figures_for
from calibrate.records import Quantity
from calibrate.report.comparison.comparison import Comparison
from calibrate.report.comparison.numbers import Difference, best, difference
from calibrate.report.comparison.runs import INDEPENDENT, OVERLAPPING, REFERENCE, SAME, Run, shown
from calibrate.report.html import key_metrics, picture, provenance, template, verdict_of
from calibrate.report.rounding import formatted
from calibrate.report.tables import quantity

TEMPLATE = Path(__file__).with_name("page.html")
REPORT = "report.html"
MOST_SHOWN = 100
OF_SEVERAL_TESTS = "samples_"
"""Figures that show one method on all tests: they stand in the run's own report."""
EVENTS = {
    REFERENCE: "reference",
    SAME: "the same",
    INDEPENDENT: "independent",
    OVERLAPPING: "partly the same",
}


@dataclass(frozen=True)
class Shown:
    """A number as it is printed, and whether it is among the best; `beside` the first run's."""

    text: str
    beside: str
    best: bool


@dataclass(frozen=True)
class ShownRun:
    """What is told of one run; `link` leads to its own report."""

    label: str
    link: str
    facts: tuple[str, ...]


def figures_of(comparison: Comparison) -> dict[str, Any]:
    """The figures in which runs lie over each other, by name."""
    outcome = comparison.outcome
    drawn = figures_for(outcome.records, outcome.methods)
    return {key: each for key, each in drawn.items() if not key.startswith(OF_SEVERAL_TESTS)}


def render(
    comparison: Comparison, images: Mapping[str, bytes], folder: Path, about: Mapping[str, Any]
) -> str:
    """The page as it stands in `folder`; `images` are the figures by name as PNG."""
    outcome = comparison.outcome
    names = dict.fromkeys(name for found in outcome.metrics.values() for name in found)
    return template(TEMPLATE).render(
        data=about["data"],
        labels=outcome.methods,
        runs=[_run(label, run, comparison, folder) for label, run in comparison.runs.items()],
        verdicts=[verdict_of(label, outcome) for label in outcome.methods],
        warnings=comparison.warnings,
        notes=comparison.notes,
        differs=list(_options(comparison)),
        groups=[
            (heading, [(label, _row(name, comparison)) for name, label in wanted])
            for heading, wanted in key_metrics(outcome)
        ],
        all_metrics=[(name, _row(name, comparison)) for name in names],
        pictures=[picture(key, png, outcome) for key, png in images.items()],
        provenance=list(provenance(about)),
    )


def relative(run: Path, folder: Path) -> str:
    """The way from the comparison's folder to that of a run, with slashes."""
    return Path(os.path.relpath(run.resolve(), folder.resolve())).as_posix()


def _run(label: str, run: Run, comparison: Comparison, folder: Path) -> ShownRun:
    about = run.outcome.run
    commit = str(about.get("commit") or "unknown")
    facts = (
        run.method,
        str(about.get("seed", "")),
        EVENTS[comparison.samples[label]],
        str(about.get("version", "")),
        commit[:10] + ("+" if commit.endswith("+") else ""),
        run.folder.resolve().name,
    )
    return ShownRun(label, quote(f"{relative(run.folder, folder)}/{REPORT}"), facts)


def _options(comparison: Comparison) -> Iterator[tuple[str, list[str]]]:
    """Key and one text for each run; empty where it has no such option."""
    for key, values in comparison.differs.items():
        yield key, [shown(values[run]) if run in values else "" for run in comparison.runs]


def _row(name: str, comparison: Comparison) -> list[Shown]:
    """One number for each label, beside the first run's."""
    outcome, samples = comparison.outcome, comparison.samples
    found: list[Quantity | None] = [outcome.metrics[m].get(name) for m in outcome.methods]
    good = best(name, outcome, outcome.methods, samples)
    return [
        Shown(quantity(each), _beside(each, found[0], samples[label]), label in good)
        for label, each in zip(outcome.methods, found, strict=True)
    ]


def _beside(found: Quantity | None, first: Quantity | None, samples: str) -> str:
    if found is None or first is None or samples == REFERENCE:
        return ""
    other = difference(found, first, samples)
    return "" if other is None else said(other)


def said(other: Difference) -> str:
    """`+0.12 (≥ 3.1 σ)`: a difference to two digits of its error, and its significance; empty for
    equal numbers, and without errors."""
    if not other.value or not other.error or other.significance is None:
        return ""
    value, _, rest = formatted(other.value, other.error).lstrip("(").partition(" ±")
    sign, power = "+" if other.value > 0 else "", rest.partition(")")[2]
    if other.significance > MOST_SHOWN:
        return f"{sign}{value}{power} (> {MOST_SHOWN} σ)"
    return f"{sign}{value}{power} ({'≥ ' if other.bound else ''}{other.significance:.1f} σ)"
