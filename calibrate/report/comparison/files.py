"""The folder of a comparison: `comparison.html`, figures, and `comparison.json`, written last."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from calibrate.context import Context
from calibrate.records import Quantity
from calibrate.report.comparison.comparison import Comparison
from calibrate.report.comparison.numbers import best, difference
from calibrate.report.comparison.page import figures_of, relative, render
from calibrate.report.comparison.runs import REFERENCE
from calibrate.report.files import save_figures
from calibrate.report.html import verdict_of
from calibrate.storage import write_text

SCHEMA = 1
JSON_FILE, HTML_FILE = "comparison.json", "comparison.html"


def write(
    folder: Path, comparison: Comparison, about: Mapping[str, Any], figures: bool, context: Context
) -> Path:
    """Write everything to an existing folder; the page's path."""
    drawn = figures_of(comparison) if figures else {}
    images = save_figures(folder, drawn, context)
    write_text(folder / HTML_FILE, render(comparison, images, folder, about))
    document = {"schema": SCHEMA, **about, **_document(comparison, folder)}
    write_text(folder / JSON_FILE, json.dumps(document, indent=1, allow_nan=False))
    return folder / HTML_FILE


def _document(comparison: Comparison, folder: Path) -> dict[str, Any]:
    outcome = comparison.outcome
    names = dict.fromkeys(name for found in outcome.metrics.values() for name in found)
    return {
        "runs": [_run(label, comparison, folder) for label in comparison.runs],
        "metrics": {name: _metric(name, comparison) for name in names},
        "differs": comparison.differs,
        "notes": comparison.notes,
        "warnings": comparison.warnings,
    }


def _run(label: str, comparison: Comparison, folder: Path) -> dict[str, Any]:
    run = comparison.runs[label]
    verdict = verdict_of(label, comparison.outcome)
    known = ("data", "seed", "version", "commit", "command")
    return {
        "label": label,
        "folder": relative(run.folder, folder),
        "method": run.method,
        **{name: run.outcome.run.get(name) for name in known},
        "samples": comparison.samples[label],
        "verdict": {"state": verdict.state, "sentence": verdict.sentence},
        "warnings": list(run.outcome.warnings),
    }


def _metric(name: str, comparison: Comparison) -> dict[str, Any]:
    """By label: value, error, unit, difference to the first run, and whether it is the best."""
    outcome = comparison.outcome
    good = best(name, outcome, outcome.methods, comparison.samples)
    first = outcome.metrics[outcome.methods[0]].get(name)
    found = {label: outcome.metrics[label].get(name) for label in outcome.methods}
    return {
        label: {
            **asdict(each),
            "difference": _difference(each, first, comparison.samples[label]),
            "best": label in good,
        }
        for label, each in found.items()
        if each is not None
    }


def _difference(found: Quantity, first: Quantity | None, samples: str) -> dict[str, Any] | None:
    other = None if first is None or samples == REFERENCE else difference(found, first, samples)
    if other is None:
        return None
    return {
        "value": other.value,
        "error": other.error,
        "error_is_bound": other.bound,
        "significance": other.significance,
    }
