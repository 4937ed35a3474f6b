"""Resolution as a function of a transverse momentum: noise, stochastic and constant term."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from calibrate.records import (
    FITTED,
    MINIMUM_EFFECTIVE,
    POOR,
    ClosureCurve,
    Quantity,
    ResolutionFit,
    Table,
)
from calibrate.sample import Column
from calibrate.statistics.nsc import FEWEST_POINTS, fit_noise_stochastic_constant

PT = re.compile(r"(?<![a-z])pt(?![a-z])", re.IGNORECASE)
TERMS = ("noise", "stochastic", "constant")


class Resolution(NamedTuple):
    """The fit, and why there is none or why it is poor."""

    fit: ResolutionFit | None
    warning: str | None


def is_transverse_momentum(column: Column) -> bool:
    """Whether a column is positive by nature and its name has the word `pt` in it: `pt_true`,
    `GenJet_pt`, `pT`."""
    return column.positive and PT.search(column.name) is not None


def resolution_fit(curve: ClosureCurve) -> Resolution:
    """σ(u) = √(N|N|/z² + S²/z + C²) through half the 16-84 % intervals of the bins with enough
    events."""
    good = (curve.n_effective >= MINIMUM_EFFECTIVE) & np.isfinite(curve.iqr)
    good &= curve.iqr_error > 0
    about, points = f"no N-S-C fit of the resolution on {curve.test}", good.sum()
    if points < FEWEST_POINTS:
        return Resolution(
            None,
            f"{about}: {points} of {good.size} bins of {curve.z_name} have {MINIMUM_EFFECTIVE} "
            f"effective events and an interval, at least {FEWEST_POINTS} are needed",
        )
    z, sigma, error = curve.z_mean[good], curve.iqr[good], curve.iqr_error[good]
    found = fit_noise_stochastic_constant(z, sigma, error)
    if found is None:
        return Resolution(None, f"{curve.method}: {about}: it did not converge")
    values = zip(TERMS, found.terms, found.errors, strict=True)
    terms = {k: float(v) for name, t, e in values for k, v in ((name, t), (f"{name}_error", e))}
    fit = ResolutionFit(
        method=curve.method,
        test=curve.test,
        z_name=curve.z_name,
        z_unit=curve.z_unit,
        **terms,
        chi2=found.chi2,
        ndf=float(found.ndf),
        probability=found.probability,
        low=float(z[0]),
        high=float(z[-1]),
    )
    if fit.poor:
        return Resolution(fit, f"{curve.method}: poor N-S-C fit on {curve.test}: {_chi2(fit)}")
    return Resolution(fit, None)


def _chi2(fit: ResolutionFit) -> str:
    return f"χ²/ndf = {fit.chi2:.0f}/{fit.ndf:.0f}, its errors mean little"


def term_scalars(fit: ResolutionFit) -> dict[str, Quantity]:
    """The three terms as metrics."""
    return {
        f"resolution/{fit.test}/{name}": Quantity(value, error, unit)
        for name, value, error, unit in _terms(fit)
    }


def term_table(fit: ResolutionFit) -> Table:
    """The three terms, one row each, with χ² and range of the fit."""
    term, about = ("term", "unit", "value", "value_error"), ("chi2", "ndf", "fit_state")
    units = ("", "", "", "", fit.z_unit, fit.z_unit, "", "", "")
    shared = (fit.low, fit.high, fit.chi2, int(fit.ndf), POOR if fit.poor else FITTED)
    rows = ((name, unit, value, error, *shared) for name, value, error, unit in _terms(fit))
    return Table((*term, "z_low", "z_high", *about), units, tuple(rows))


def _terms(fit: ResolutionFit) -> Iterator[tuple[str, float, float, str]]:
    root = f"√{fit.z_unit}" if fit.z_unit else ""
    yield "noise", fit.noise, fit.noise_error, fit.z_unit
    yield "stochastic", fit.stochastic, fit.stochastic_error, root
    yield "constant", fit.constant, fit.constant_error, ""
