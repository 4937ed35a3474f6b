"""The report as one self-contained HTML page: verdict, numbers, figures, provenance."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from calibrate.records import (
    CANNOT_TELL,
    CLOSES,
    FAILS,
    ClosureCurve,
    FitSummary,
    Outcome,
    SpectrumShift,
    TransportHistogram,
    TwoSample,
)
from calibrate.report import inference_verdict, measured, transport_verdict, verdict
from calibrate.report.captions import caption
from calibrate.report.failing import failing_bins
from calibrate.report.rounding import formatted
from calibrate.report.tables import MARKS, PrintedTable, printed, quantity

TEMPLATE = Path(__file__).with_name("template.html")
SYMBOLS = {CLOSES: "✓", FAILS: "✗", CANNOT_TELL: "?"}
TRAINING = "training_"
PROVENANCE = ("command", "seed", "version", "commit", "environment", "data_sha256", "seconds")

KEY_METRICS: tuple[tuple[str, str, str], ...] = (
    ("closure", "mean", "mean of u"),
    ("closure", "median", "median of u"),
    ("closure", "mode", "mode of u (fit of the core)"),
    ("closure", "bias_slope", "slope of the bias with z"),
    ("closure", "max_abs_bias", "largest bias in a bin"),
    ("closure", "chi2_per_bin", "χ² of no bias, per bin"),
    ("resolution", "std", "resolution: standard deviation"),
    ("resolution", "iqr", "resolution: half 16-84 % interval"),
    ("resolution", "noise", "noise term N of the resolution"),
    ("resolution", "stochastic", "stochastic term S of the resolution"),
    ("resolution", "constant", "constant term C of the resolution"),
    ("point_resolution", "mean_sigma", "mean quoted Σ(x)"),
    ("point_resolution", "pull_width", "pull width (ideal: 1)"),
    ("point_resolution", "coverage_68", "coverage of ±Σ (ideal: 0.683)"),
    ("point_resolution", "coverage_95", "coverage of ±1.96 Σ (ideal: 0.95)"),
    ("uncertainty", "sigma_stoch", "σ_stoch"),
    ("uncertainty", "sigma_pred", "σ_pred"),
    ("uncertainty", "sigma_tot", "quoted σ_tot"),
    ("uncertainty", "rmse", "RMSE of ẑ - z"),
    ("uncertainty", "coverage_68", "coverage of central 68.3 % intervals"),
    ("uncertainty", "coverage_68_hpd", "coverage of 68.3 % regions of highest density"),
    ("uncertainty", "coverage_95", "coverage of central 95 % intervals"),
    ("uncertainty", "crps", "CRPS"),
    ("uncertainty", "nll", "mean -log p(z|x)"),
    ("uncertainty", "ence", "ENCE of Σ(x)"),
    ("uncertainty", "sigma_cal", "σ_cal by smeared labels"),
    ("uncertainty", "sigma_smear", "σ_smear of the labels"),
    ("uncertainty", "sigma_input", "σ by smeared inputs"),
    ("transport", "mean", "mean"),
    ("transport", "mean_spectrum", "shift of the mean by a varied spectrum"),
    ("transport", "data_mean", "mean of data"),
    ("transport", "std", "standard deviation"),
    ("transport", "data_std", "standard deviation of data"),
    ("transport", "iqr", "half 16-84 % interval"),
    ("transport", "iqr_spectrum", "shift of this interval by a varied spectrum"),
    ("transport", "data_iqr", "half 16-84 % interval of data"),
    ("transport", "chi2_per_bin", "χ² against data, per degree of freedom"),
    ("transport", "auc", "AUC of a classifier against data (0.5: alike)"),
    ("transport", "uncalibrated_auc", "AUC of the untouched simulation"),
    ("transport", "ks", "largest difference of the distribution functions"),
    ("transport", "wasserstein", "mean distance to data (Wasserstein)"),
    ("score", "auc", "area under the ROC curve"),
    ("score", "exact_auc", "area of the exact score"),
    ("score", "mean_abs_difference", "mean |score - exact score|"),
    ("likelihood", "mu_hat", "best μ"),
    ("likelihood", "mu_low", "lower end of the 68 % interval of μ"),
    ("likelihood", "mu_high", "upper end of the 68 % interval of μ"),
    ("likelihood", "width", "half the 68 % interval of μ"),
    ("likelihood", "width_ratio", "its width over the oracle's"),
    ("likelihood", "nuisance_hat", "best nuisance"),
    ("likelihood", "over_constraint", "post-fit over pre-fit width of the nuisance"),
    ("likelihood", "coverage_68", "coverage of the 68 % interval (ideal: 0.683)"),
)
BY_PLACE = ("closure", "uncertainty", "transport", "score", "likelihood")
"""Families of metrics whose second part names a test sample, a value of a nuisance or a point."""
PRIOR_METRICS: tuple[tuple[str, str], ...] = (
    ("prior/verdict", "dependence on the training spectrum"),
    ("prior/sensitivity", "largest change on other training spectra"),
    ("prior/application", "largest bias on other test spectra"),
)
FIT_METRICS: tuple[tuple[str, str], ...] = (
    ("fit/mutual_information", "mutual information"),
    ("fit/seconds", "time of the fit"),
)


@dataclass(frozen=True)
class Verdict:
    """The sentence on one method, its state (`closes`, `fails` or `cannot tell`), and what the
    result stands and falls with, if anything."""

    method: str
    sentence: str
    state: str
    assumption: str = ""

    @property
    def mark(self) -> str:
        """`good`, `bad` or `unsure`, for colour."""
        return MARKS[self.state]

    @property
    def symbol(self) -> str:
        """The state as one character."""
        return SYMBOLS[self.state]


@dataclass(frozen=True)
class Picture:
    """A figure with its caption, as a data URI."""

    name: str
    title: str
    text: str
    source: str

    @property
    def wide(self) -> bool:
        """Whether it takes the whole width of the page, to be read."""
        return self.name.startswith("map_")


@dataclass(frozen=True)
class MetricGroup:
    """Rows (label, one text per method) under a heading."""

    heading: str
    rows: tuple[tuple[str, tuple[str, ...]], ...]


def render(outcome: Outcome, images: Mapping[str, bytes]) -> str:
    """The page of a study; `images` are the figures by name as PNG, possibly none."""
    pictures = [picture(key, png, outcome) for key, png in images.items()]
    return template(TEMPLATE).render(
        methods=outcome.methods,
        data=str(outcome.run.get("data", "")),
        verdicts=[verdict_of(method, outcome) for method in measured.told(outcome)],
        key_metrics=list(_key_metrics(outcome)),
        all_metrics=_all_metrics(outcome),
        warnings=outcome.warnings,
        failing=failing_bins(outcome.methods, outcome.records),
        pictures=[each for each in pictures if not each.name.startswith(TRAINING)],
        training_pictures=[each for each in pictures if each.name.startswith(TRAINING)],
        tables={method: _tables(method, outcome) for method in outcome.methods},
        fits={method: _fit(outcome.summaries[method]) for method in _fitted(outcome)},
        notes=outcome.notes,
        configuration=outcome.configuration,
        provenance=list(provenance(outcome.run)),
    )


@cache
def template(path: Path) -> Template:
    """A page's template, compiled once; the style sheet of all pages is beside this module."""
    environment = Environment(
        loader=FileSystemLoader([path.parent, TEMPLATE.parent]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(path.name)


def verdict_of(method: str, outcome: Outcome) -> Verdict:
    """Whether a method closes (describes data, separates as well as possible)."""
    if inference_verdict.measured(outcome):
        return Verdict(method, *inference_verdict.sentence_and_state(method, outcome))
    known = [r for r in outcome.records if isinstance(r, TransportHistogram | TwoSample)]
    tests = [record for record in known if record.method == method]
    if tests:
        said, state = transport_verdict.sentence(tests), transport_verdict.overall(tests)
        shifts = [r for r in outcome.records if isinstance(r, SpectrumShift) and r.method == method]
        stands = transport_verdict.stands_on(outcome.summaries[method].assumption, tests, shifts)
        return Verdict(method, said, state, stands)
    curves = [r for r in outcome.records if isinstance(r, ClosureCurve) and r.method == method]
    if curves:
        return Verdict(method, verdict.sentence(curves), verdict.overall(curves))
    return Verdict(method, measured.sentence(method, outcome), CANNOT_TELL)


def picture(key: str, png: bytes, outcome: Outcome) -> Picture:
    """A figure with what is said about it."""
    title, text = caption(key, outcome.records)
    return Picture(key, title, text, f"data:image/png;base64,{base64.b64encode(png).decode()}")


def _key_metrics(outcome: Outcome) -> Iterator[MetricGroup]:
    """The metrics that most readers look for, one text per method."""
    for heading, wanted in key_metrics(outcome):
        rows = [(label, _across(name, outcome)) for name, label in wanted]
        yield MetricGroup(heading, tuple(rows))


def key_metrics(outcome: Outcome) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Headings, each with names of metrics that any method has and what they are in words: by
    test sample, then those of other spectra and of the fit."""
    groups = [
        (f"on {test}", [(f"{kind}/{test}/{name}", label) for kind, name, label in KEY_METRICS])
        for test in _tests(outcome)
    ]
    groups += [("under other spectra", [*PRIOR_METRICS]), ("fit", [*FIT_METRICS])]
    for heading, wanted in groups:
        known = [(name, label) for name, label in wanted if any(_across(name, outcome))]
        if known:
            yield heading, known


def _tests(outcome: Outcome) -> list[str]:
    """The test samples, in the order in which they were reported."""
    names = (name.split("/") for found in outcome.metrics.values() for name in found)
    return list(dict.fromkeys(parts[1] for parts in names if parts[0] in BY_PLACE and parts[2:]))


def _all_metrics(outcome: Outcome) -> list[tuple[str, tuple[str, ...]]]:
    names = dict.fromkeys(name for found in outcome.metrics.values() for name in found)
    return [(name, _across(name, outcome)) for name in names]


def _across(name: str, outcome: Outcome) -> tuple[str, ...]:
    found = (outcome.metrics.get(method, {}).get(name) for method in outcome.methods)
    return tuple(quantity(each) for each in found)


def _tables(method: str, outcome: Outcome) -> list[tuple[str, PrintedTable]]:
    return [(name, printed(table)) for name, table in outcome.tables.get(method, {}).items()]


def _fitted(outcome: Outcome) -> list[str]:
    """The methods that were fitted: `none` has nothing to tell."""
    return [
        method
        for method, found in outcome.summaries.items()
        if found.steps or found.loss is not None or found.notes or found.warnings
    ]


def _fit(summary: FitSummary) -> list[tuple[str, str]]:
    facts = [("steps", str(summary.steps)), ("time", f"{formatted(summary.seconds)} s")]
    facts.append(("restarts", str(summary.restarts)))
    if summary.loss is not None:
        facts.append(("final loss", f"{summary.loss:.6g}"))
    if summary.mutual_information is not None:
        facts.append(("mutual information", f"{formatted(summary.mutual_information)} nat"))
    facts += [("note", note) for note in summary.notes]
    return facts + [("warning", warning) for warning in summary.warnings]


def provenance(run: Mapping[str, Any]) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Each entry of the run as (name, facts); a plain value is one fact without a name."""
    for name in [*(n for n in PROVENANCE if n in run), *(n for n in run if n not in PROVENANCE)]:
        value = run[name]
        if isinstance(value, Mapping):
            facts = [(str(key), _plain(each)) for key, each in value.items()]
        else:
            facts = [("", _plain(value))]
        yield name.replace("_", " "), facts


def _plain(value: object) -> str:
    if value is None:
        return "unknown"
    if isinstance(value, float):
        return formatted(value)
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return str(value)
