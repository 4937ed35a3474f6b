"""The main numbers of a run that has no verdict on closure: what was measured, at a glance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from calibrate.records import (
    ClosureCurve,
    Outcome,
    Quantity,
    TrainingCurve,
    TransportHistogram,
    TwoSample,
)
from calibrate.report.tables import quantity

MAIN: Mapping[str, tuple[tuple[str, str], ...]] = {
    "uncertainty": (
        ("sigma_stoch", "σ_stoch"),
        ("sigma_pred", "σ_pred"),
        ("sigma_tot", "σ_tot"),
        ("rmse", "RMSE"),
        ("coverage_68", "coverage of 68.3 %"),
    ),
    "prior": (
        ("verdict", "dependence on the spectrum"),
        ("sensitivity", "largest change"),
        ("application", "largest bias"),
    ),
    "score": (
        ("auc", "AUC"),
        ("exact_auc", "AUC of the exact score"),
        ("mean_abs_difference", "mean |score - exact|"),
    ),
    "likelihood": (
        ("mu_hat", "best μ"),
        ("width", "half 68 % interval"),
        ("width_ratio", "over the oracle's"),
        ("coverage_68", "coverage of 68 %"),
    ),
}
"""By family of metrics: the last part of the name, and what it is in words."""
FIT = "fit"
NAMES = {
    "uncertainty": "the quoted uncertainty",
    "prior": "the dependence on the training spectrum",
}
"""Families in words, where the name itself does not do."""
Numbers = dict[str, dict[str, dict[str, Quantity]]]


class NumberTable(NamedTuple):
    """Heads and rows of texts: a method at a place (test sample, point), and its numbers there."""

    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    @property
    def lines(self) -> list[str]:
        """As text in columns."""
        table = (self.heads, *self.rows)
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        padded = ([f"{t:<{w}}" for t, w in zip(row, widths, strict=True)] for row in table)
        return ["  ".join(row).rstrip() for row in padded]


def judged(outcome: Outcome) -> bool:
    """Whether there is a verdict on closure, or on agreement with data."""
    evidence = ClosureCurve | TransportHistogram | TwoSample
    return any(isinstance(record, evidence) for record in outcome.records)


def told(outcome: Outcome) -> list[str]:
    """The methods of which something is to be said: that of the study, and others with numbers."""
    first, *others = outcome.methods
    return [first, *(method for method in others if _numbers(method, outcome))]


def sentence(method: str, outcome: Outcome) -> str:
    """What was measured of a method instead of closure."""
    said = [
        NAMES.get(family, family) + (f" on {', '.join(places)}" if all(places) else "")
        for family, places in _numbers(method, outcome).items()
    ]
    if said:
        return f"No closure was measured of {method}, but {'; '.join(said)}."
    drawn = [r for r in outcome.records if not isinstance(r, TrainingCurve)]
    if any(getattr(record, "method", None) == method for record in drawn):
        return f"No number was measured of {method}: there are figures alone."
    return f"Nothing was measured of {method}."


def main_numbers(outcome: Outcome) -> Iterator[NumberTable]:
    """A table of each family of `MAIN` that was measured; columns without a number left out."""
    for family, wanted in MAIN.items():
        rows = [
            (method, place, *(quantity(found.get(last)) for last, _ in wanted))
            for method in outcome.methods
            for place, found in _numbers(method, outcome).get(family, {}).items()
        ]
        rows = [row for row in rows if any(row[2:])]
        if rows:
            kept = [i for i in range(len(rows[0])) if any(row[i] for row in rows)]
            heads = ("method", "on", *(head for _, head in wanted))
            shown = (tuple(row[i] or "–" for i in kept) for row in rows)
            yield NumberTable(tuple(heads[i] for i in kept), tuple(shown))


def _numbers(method: str, outcome: Outcome) -> Numbers:
    """The metrics of a method by family, place and last part; those of the fit left out."""
    found: Numbers = {}
    for name, each in outcome.metrics.get(method, {}).items():
        family, *place, last = name.split("/")
        if family != FIT:
            found.setdefault(family, {}).setdefault("/".join(place), {})[last] = each
    return found
