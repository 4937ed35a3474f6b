"""What an uncertainty is made of, and whether it has the right size: beside the RMSE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from calibrate.figures.labels import truth_axis, with_unit
from calibrate.figures.layout import (
    head,
    legend,
    logarithmic_where_wide,
    one_panel,
    set_range,
)
from calibrate.figures.marks import bin_scale, entry
from calibrate.figures.style import DARK, PALETTE, Look, looks, styled
from calibrate.records import ErrorBudget

PARTS: Mapping[str, tuple[str, Look]] = {
    "total": (r"$\sigma_{tot}$ (quoted)", Look(PALETTE[0], "o", 4)),
    "stochastic": (r"$\sigma_{stoch}$", Look(PALETTE[1], "s", 3)),
    "predictive": (r"$\sigma_{pred}$", Look(PALETTE[2], "D", 2)),
    "rmse": (r"RMSE of $\hat{z} - z$", Look(DARK, "X", 1)),
}


@styled()
def budget_figure(budget: ErrorBudget) -> Figure:
    """σ_tot, its parts where they are known, and the RMSE in bins of the true z."""
    figure, axes = one_panel()
    drawn = [name for name in PARTS if np.isfinite(getattr(budget, name)).any()]
    for name in drawn:
        value, error = getattr(budget, name), getattr(budget, f"{name}_error")
        look = PARTS[name][1]
        if name == "total":
            axes.stairs(value, budget.edges, baseline=None, color=look.colour, linewidth=1.6,
                        gid=name)  # fmt: skip
            continue
        axes.errorbar(budget.mean, value, error, color=look.colour, marker=look.marker,
                      linestyle="none", elinewidth=1.2, zorder=3 + look.order / 20,
                      gid=name)  # fmt: skip
    bin_scale(axes, budget.edges)
    axes.set_xlabel(truth_axis(budget.z_name, budget.z_unit))
    values = [getattr(budget, name) for name in drawn]
    set_range(axes, "y", [*values, [0.0]])
    axes.set_ylim(bottom=0)
    logarithmic_where_wide(axes, "y", values)
    axes.set_ylabel(with_unit("Root mean square", budget.z_unit))
    head(axes, f"{budget.method}, test sample: {budget.test}")
    legend(axes, [_part_entry(name) for name in drawn], columns=2)
    return figure


def _part_entry(name: str) -> tuple[Artist, str]:
    text, look = PARTS[name]
    if name == "total":
        return Line2D([], [], color=look.colour, linewidth=1.6), text
    return entry("", look, text)


@styled()
def quoted_figure(
    budgets: Sequence[ErrorBudget], style: Mapping[str, Look] | None = None
) -> Figure:
    """RMSE against the quoted Σ in bins of it: on the diagonal where Σ has the right size."""
    style = style or looks(budget.method for budget in budgets)
    figure, axes = one_panel()
    for budget in budgets:
        look = style[budget.method]
        axes.errorbar(budget.total, budget.rmse, budget.rmse_error, color=look.colour,
                      marker=look.marker, linestyle="none", elinewidth=1.2,
                      zorder=3 + look.order / 20, gid=budget.method)  # fmt: skip
    totals = [budget.total for budget in budgets]
    set_range(axes, "x", totals)
    set_range(axes, "y", [*totals, *(b.rmse + s * b.rmse_error for b in budgets for s in (-1, 1))])
    ends = np.array(axes.get_xlim())
    axes.plot(ends, ends, color=DARK, linewidth=1, zorder=1, gid="reference")
    unit = budgets[0].z_unit
    axes.set_xlabel(with_unit(r"Quoted $\Sigma(x)$ (root mean square in a bin)", unit))
    axes.set_ylabel(with_unit(r"RMSE of $\hat{z} - z$", unit))
    head(axes, f"test sample: {budgets[0].test}")
    entries = [entry(budget.method, style[budget.method]) for budget in budgets]
    diagonal: tuple[Artist, str] = (Line2D([], [], color=DARK, linewidth=1), "equal")
    legend(axes, [*entries, diagonal])
    return figure
