"""Does a calibration close? One sentence from the states of its bins.

`ClosureCurve.states` judges bin by bin: b = ⟨u⟩ - reference with statistical error e and
tolerance t `fails` if |b| - 2e > t, else stays open (`cannot tell`) if 2e > t, else `closes`;
bins below 200 effective events have no say.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from calibrate.records import (
    CANNOT_TELL,
    CLOSES,
    FAILS,
    MINIMUM_EFFECTIVE,
    TOO_FEW,
    ClosureCurve,
)
from calibrate.report.rounding import formatted, rounded_up

COMPARABLE = 1 / 3
"""An error above this fraction of the bias is stated with it."""


@dataclass(frozen=True)
class Bin:
    """One bin with a say: bias b and its error, both in the unit of u."""

    low: float
    high: float
    bias: float
    error: float
    state: str


@dataclass(frozen=True)
class _Part:
    """The judged bins of one curve, and what the sentence calls it."""

    curve: ClosureCurve
    name: str
    bins: tuple[Bin, ...]

    def of(self, *states: str) -> list[Bin]:
        return [each for each in self.bins if each.state in states]


def overall(curves: Sequence[ClosureCurve]) -> str:
    """`fails` if any bin does, `closes` if every curve has judged bins and all of them close."""
    judged = [[state for state in curve.states if state != TOO_FEW] for curve in curves]
    every = [state for states in judged for state in states]
    if FAILS in every:
        return FAILS
    if not every or CANNOT_TELL in every or not all(judged):
        return CANNOT_TELL
    return CLOSES


def sentence(curves: Sequence[ClosureCurve]) -> str:
    """The verdict on one method from its curves on all test samples, in one sentence."""
    method = curves[0].method
    parts = list(_parts(curves))
    if not any(part.bins for part in parts):
        return f"The statistics allow no verdict on {method}: {_silence(parts)}."
    failing = [part for part in parts if part.of(FAILS)]
    open_ = [part for part in parts if part.of(CANNOT_TELL) and not part.of(FAILS)]
    closing = [part for part in parts if part.bins and not part.of(FAILS, CANNOT_TELL)]
    clauses = [_failure(part) for part in failing]
    clauses += [_doubt(part) for part in open_]
    clauses += [_success(closing, again=bool(failing or open_))] if closing else []
    silent = [part for part in parts if not part.bins]
    clauses += [_silence(silent)] if silent else []
    return f"{method} {_opening(failing, open_)}{'; '.join(clauses)}."


def _opening(failing: list[_Part], open_: list[_Part]) -> str:
    if failing:
        return "does not close: "
    return "may close, but the statistics cannot tell: " if open_ else ""


def _parts(curves: Sequence[ClosureCurve]) -> Iterator[_Part]:
    several = len({curve.z_name for curve in curves}) > 1
    for curve in curves:
        name = f"{curve.test} ({curve.z_name})" if several else curve.test
        yield _Part(curve, name, tuple(_bins(curve)))


def _bins(curve: ClosureCurve) -> Iterator[Bin]:
    for i, state in enumerate(curve.states):
        if state != TOO_FEW:
            bias = float(curve.mean[i] - curve.reference)
            low, high = float(curve.edges[i]), float(curve.edges[i + 1])
            yield Bin(low, high, bias, float(curve.mean_error[i]), state)


def _failure(part: _Part) -> str:
    bad, total = part.of(FAILS), len(part.bins)
    verb = "is" if len(bad) == 1 else "are"
    size = _amount(part.curve, part.curve.tolerance)
    text = f"{_share(len(bad), total)} on {part.name} {verb} off by more than {size}"
    text += f" ({_largest(part.curve, bad, several=len(bad) > 1)})"
    unclear = len(part.of(CANNOT_TELL))
    return text + (f", for {_count(unclear)} the statistics cannot tell" if unclear else "")


def _doubt(part: _Part) -> str:
    unclear, total = part.of(CANNOT_TELL), len(part.bins)
    size = _amount(part.curve, part.curve.tolerance)
    text = f"in {_share(len(unclear), total)} on {part.name} "
    text += f"twice the statistical error exceeds the tolerance of {size}"
    return f"{text} ({_largest(part.curve, part.bins, several=total > 1)})"


def _success(parts: list[_Part], again: bool) -> str:
    """`closes within 0.3 % in all 12 bins on nominal and resonance (tolerance 1 %)`; parts of
    different units or tolerances are stated apart."""
    kinds: dict[tuple[str, float, bool], list[_Part]] = {}
    for part in parts:
        curve = part.curve
        kinds.setdefault((curve.z_unit, curve.tolerance, curve.relative), []).append(part)
    clauses = [_within(group) for group in kinds.values()]
    return f"{'it ' if again else ''}closes {_listed(clauses)}"


def _within(parts: list[_Part]) -> str:
    """The largest bias, rounded up or with an error that compares to it, and where it holds."""
    owner, largest = max(
        ((part, each) for part in parts for each in part.bins), key=lambda pair: abs(pair[1].bias)
    )
    curve, where = owner.curve, _places(parts)
    size = _amount(curve, curve.tolerance)
    if abs(largest.bias) > curve.tolerance:
        shown = _largest(curve, [largest], several=True)
        return f"within the tolerance of {size} and two errors in {where} ({shown})"
    scale = 100 if curve.relative else 1
    bias, error = scale * abs(largest.bias), scale * largest.error
    bound = formatted(bias, error) if error > COMPARABLE * bias else rounded_up(bias, digits=2)
    return f"within {bound}{_unit(curve)} in {where} (tolerance {size})"


def _places(parts: list[_Part]) -> str:
    """`all 12 bins on nominal and resonance`, samples of equal numbers of bins together."""
    by_count: dict[int, list[str]] = {}
    for part in parts:
        by_count.setdefault(len(part.bins), []).append(part.name)
    return _listed([f"{_all(n)} on {_listed(names)}" for n, names in by_count.items()], "in ")


def _silence(parts: Sequence[_Part]) -> str:
    """`no bin on resonance has 200 effective events (at most 153)`."""
    sizes = np.concatenate([part.curve.n_effective for part in parts])
    most = np.max(sizes, initial=0.0, where=np.isfinite(sizes))
    where = _listed([part.name for part in parts], last="or")
    return f"no bin on {where} has {MINIMUM_EFFECTIVE:g} effective events (at most {most:.0f})"


def _largest(curve: ClosureCurve, bins: Sequence[Bin], several: bool) -> str:
    known = [each for each in bins if np.isfinite(each.bias)] or list(bins)
    worst = max(known, key=lambda each: abs(each.bias))
    scale = 100 if curve.relative else 1
    number = formatted(scale * worst.bias, scale * worst.error)
    sign = "+" if worst.bias > 0 and not number.startswith("(") else ""
    place = _interval(worst.low, worst.high, curve.z_unit)
    return f"{'largest ' if several else ''}{sign}{number}{_unit(curve)} at {place}"


def _interval(low: float, high: float, unit: str) -> str:
    joint = " to " if low < 0 else "-"
    return f"{formatted(low)}{joint}{formatted(high)}{f' {unit}' if unit else ''}"


def _amount(curve: ClosureCurve, size: float) -> str:
    return f"{100 * size if curve.relative else size:.3g}{_unit(curve)}"


def _unit(curve: ClosureCurve) -> str:
    if curve.relative:
        return " %"
    return f" {curve.z_unit}" if curve.z_unit else ""


def _share(some: int, total: int) -> str:
    return _all(total) if some == total else f"{some} of {total} bins"


def _all(total: int) -> str:
    return {1: "the only bin", 2: "both bins"}.get(total, f"all {total} bins")


def _count(number: int) -> str:
    return f"{number} bin" if number == 1 else f"{number} bins"


def _listed(words: Sequence[str], again: str = "", last: str = "and") -> str:
    """`a`, `a and b`, `a, b and c`; `again` is repeated before all but the first."""
    first, *others = words
    rest = [again + word for word in others]
    if not rest:
        return first
    return f"{', '.join([first, *rest[:-1]])} {last} {rest[-1]}"
