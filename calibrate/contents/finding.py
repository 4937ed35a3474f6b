"""What an examination of a file finds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from calibrate.tables.columns import Values

SHOWN = 12
"""Columns named at most."""


@dataclass
class Contents:
    """The `format`, `facts` by name in the order in which they are told, and the `problems`."""

    format: str
    facts: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def columns(self, names: Sequence[str], what: str = "columns") -> None:
        """Their number and the first ones."""
        more = " …" if len(names) > SHOWN else ""
        self.facts[what] = f"{len(names)}: {', '.join(names[:SHOWN])}{more}"

    def weights(self, name: str, sums: Tally) -> None:
        """Of the event weights in one column."""
        self.facts["weights"] = (
            f"{name}: sum {sums.total:.6g}, from {sums.low:.6g} to {sums.high:.6g}, "
            f"{sums.negative} negative"
        )

    def broken(self, tallies: Mapping[str, Tally]) -> None:
        """A problem for each column with values that are not finite."""
        for name, tally in tallies.items():
            if tally.broken:
                self.problems.append(
                    f"column '{name}' holds {tally.broken} values of {tally.number} that are not "
                    "finite"
                )


@dataclass
class Tally:
    """Of the values of one column: number, those not finite, sum, smallest, largest, negative."""

    number: int = 0
    broken: int = 0
    total: float = 0.0
    low: float = np.inf
    high: float = -np.inf
    negative: int = 0

    def add(self, values: Values) -> None:
        """Further values (n,)."""
        plain = np.asarray(values, dtype=np.float64)
        good = plain[np.isfinite(plain)]
        self.number += plain.size
        self.broken += plain.size - good.size
        if good.size:
            self.total += float(np.sum(good))
            self.low, self.high = min(self.low, good.min()), max(self.high, good.max())
            self.negative += int(np.count_nonzero(good < 0))
