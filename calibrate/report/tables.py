"""Tables as they are printed: value and error in one column, bounds in one, states marked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from calibrate.records import CANNOT_TELL, CLOSES, FAILS, Cell, Quantity, Table
from calibrate.report.rounding import formatted

MARKS: Mapping[str, str] = {CLOSES: "good", FAILS: "bad", CANNOT_TELL: "unsure"}


WORDS: Mapping[str, str] = {"fit": "fit range", "fit_chi2_per_ndf": "χ²/ndf of the fit"}
"""Headings that say more than the column's name."""


@dataclass(frozen=True)
class Printed:
    """A cell: its text, and `good`, `bad`, `unsure` where it holds a state (else empty)."""

    text: str
    mark: str = ""


@dataclass(frozen=True)
class PrintedTable:
    """Headings, and rows of cells as wide; `marks` (one a row) repeat the row's state."""

    heads: tuple[str, ...]
    rows: tuple[tuple[Printed, ...], ...]
    marks: tuple[str, ...]


def printed(table: Table) -> PrintedTable:
    """`c` and `c_error` become `c ± error`, `c_low` and `c_high` the interval `c`."""
    slots = list(_slots(table.columns))
    units = dict(zip(table.columns, table.units, strict=True))
    rows = tuple(
        tuple(_cell(slot, dict(zip(table.columns, row, strict=True))) for slot in slots)
        for row in table.rows
    )
    marks = tuple(next((cell.mark for cell in row if cell.mark), "") for row in rows)
    return PrintedTable(tuple(_head(slot, units) for slot in slots), rows, marks)


def quantity(found: Quantity | None) -> str:
    """`value ± error unit`; empty for a quantity that a method does not have."""
    if found is None:
        return ""
    if isinstance(found.value, str):
        return found.value
    text = formatted(found.value, found.error)
    return f"{text} {found.unit}" if found.unit else text


def _slots(columns: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """The columns that are printed together."""
    for name in columns:
        base, _, suffix = name.rpartition("_")
        if suffix == "error" and base in columns:
            continue
        if suffix == "high" and f"{base}_low" in columns:
            continue
        if suffix == "low" and f"{base}_high" in columns:
            yield name, f"{base}_high"
        elif f"{name}_error" in columns:
            yield name, f"{name}_error"
        else:
            yield (name,)


def _head(slot: tuple[str, ...], units: Mapping[str, str]) -> str:
    name = slot[0]
    if len(slot) == 2 and slot[1].endswith("_high"):
        name = name.removesuffix("_low")
    words = WORDS.get(name, name.replace("_", " "))
    return f"{words} [{units[slot[0]]}]" if units[slot[0]] else words


def _cell(slot: tuple[str, ...], row: Mapping[str, Cell]) -> Printed:
    value = row[slot[0]]
    if len(slot) == 2 and slot[1].endswith("_high"):
        return Printed(_interval(value, row[slot[1]]))
    if len(slot) == 2:
        return Printed(_text(value, row[slot[1]]))
    return Printed(_text(value), MARKS.get(value, "") if isinstance(value, str) else "")


def _interval(low: Cell, high: Cell) -> str:
    negative = isinstance(low, int | float) and low < 0
    return f"{_text(low)}{' to ' if negative else '-'}{_text(high)}"


def _text(value: Cell, error: Cell = None) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return str(value)
    return formatted(value, error if isinstance(error, int | float) else None)
