"""Tables of one score: what it measures at each point, and what each nuisance does to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from calibrate.evaluators.inferred import Inferred
from calibrate.records import Cell, Table

LIKELIHOOD: Mapping[str, str] = {
    "point": "", "mu_hat": "", "mu_low": "", "mu_high": "", "width": "", "width_error": "",
    "width_exact_templates": "", "width_statistical": "", "width_ratio": "",
    "width_ratio_error": "", "ams1": "", "coverage_68": "", "coverage_68_error": "", "bias": "",
    "bias_error": "", "spread": "", "spread_error": "",
}  # fmt: skip
IMPACTS = ("point", "nuisance", "best", "post_fit_low", "post_fit_high", "constraint_width",
           "over_constraint", "mu_at_low", "mu_at_high")  # fmt: skip


def tables(inferred: Sequence[Inferred], reference: Mapping[str, Inferred]) -> dict[str, Table]:
    """`likelihood` and `impacts`, a row for each point (and nuisance)."""
    rows = tuple(_row(each, reference.get(each.model.point.name)) for each in inferred)
    impacts = tuple(row for each in inferred for row in _impacts(each))
    return {
        "likelihood": Table(tuple(LIKELIHOOD), tuple(LIKELIHOOD.values()), rows),
        "impacts": Table(IMPACTS, ("",) * len(IMPACTS), impacts),
    }


def _row(inferred: Inferred, reference: Inferred | None) -> tuple[Cell, ...]:
    numbers = {
        name.rpartition("/")[2]: quantity for name, quantity in inferred.scalars(reference).items()
    }
    row: dict[str, Cell] = {"point": inferred.model.point.name}
    for name in list(LIKELIHOOD)[1:]:
        base = name.removesuffix("_error")
        if base in numbers:
            row[name] = numbers[base].error if name != base else numbers[base].value
    return tuple(row.get(name) for name in LIKELIHOOD)


def _impacts(inferred: Inferred) -> list[tuple[Cell, ...]]:
    rows = []
    for k, nuisance in enumerate(inferred.model.expected.nuisances):
        interval, impact = inferred.nuisances[k], inferred.impacts[k]
        row: tuple[Cell, ...] = (
            inferred.model.point.name, nuisance.name, float(inferred.best[1 + k]), interval.low,
            interval.high, nuisance.width, inferred.over_constraint(k), *impact,
        )  # fmt: skip
        rows.append(row)
    return rows
