"""The bins that fail, as the page lists them near its top."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from calibrate.records import FAILS, ClosureCurve, Record, SlicedClosure
from calibrate.report.rounding import formatted
from calibrate.sample import FloatArray


@dataclass(frozen=True)
class FailingBins:
    """The failing bins of one method as rows of texts; `sliced` if any is a slice's."""

    method: str
    rows: tuple[tuple[str, str, str, str, str], ...]
    sliced: bool


def failing_bins(methods: Sequence[str], records: Sequence[Record]) -> list[FailingBins]:
    """Test sample, bin, slice, bias ± error and tolerance, for the methods that fail anywhere."""
    found = [(method, tuple(_rows(method, records))) for method in methods]
    return [
        FailingBins(method, rows, any(row[2] for row in rows)) for method, rows in found if rows
    ]


def _rows(method: str, records: Sequence[Record]) -> Iterator[tuple[str, str, str, str, str]]:
    for record in records:
        if isinstance(record, ClosureCurve) and record.method == method:
            for b, state in enumerate(record.states):
                if state == FAILS:
                    yield (record.test, _bin(record, b), "", *_judged(record, b))
    for record in records:
        if isinstance(record, SlicedClosure) and record.method == method:
            for s, states in enumerate(record.states):
                for b in (b for b, state in enumerate(states) if state == FAILS):
                    judged = _judged(record, (s, b))
                    yield (record.test, _bin(record, b), _slice(record, s), *judged)


def _bin(record: ClosureCurve | SlicedClosure, b: int) -> str:
    return _interval(record.z_name, record.edges, b, record.z_unit)


def _slice(record: SlicedClosure, s: int) -> str:
    return _interval(record.by, record.by_edges, s, record.by_unit)


def _interval(name: str, edges: FloatArray, place: int, unit: str) -> str:
    low, high = map(float, edges[place : place + 2])
    ends = f"{formatted(low)}{' to ' if low < 0 else '-'}{formatted(high)}"
    return f"{name} {ends} {unit}".rstrip()


def _judged(record: ClosureCurve | SlicedClosure, at: int | tuple[int, int]) -> tuple[str, str]:
    scale, unit = (100.0, "%") if record.relative else (1.0, record.z_unit)
    bias, error = float(record.mean[at]) - record.reference, float(record.mean_error[at])
    sign = "+" if bias > 0 else ""
    number, size = formatted(scale * bias, scale * error), f"{scale * record.tolerance:.3g}"
    return f"{sign}{number} {unit}".rstrip(), f"±{size} {unit}".rstrip()
