"""Does transported simulation describe data? One sentence from the χ² of every feature of every
test; with several features also from the classifier, which sees their correlations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from calibrate.records import (
    CANNOT_TELL,
    CLOSES,
    FAILS,
    SpectrumShift,
    TransportHistogram,
    TwoSample,
)
from calibrate.report.rounding import formatted

SMALLEST = 1e-4
Evidence = TransportHistogram | TwoSample


@dataclass(frozen=True)
class _Test:
    """What is known about one test."""

    name: str
    features: tuple[TransportHistogram, ...]
    classifiers: tuple[TwoSample, ...]

    @property
    def state(self) -> str:
        """`fails` if anything does, `closes` if all does. For one feature χ² alone decides."""
        judges: list[Evidence] = [*self.features]
        judges += self.classifiers if len(self.features) > 1 else ()
        return _worst([each.state for each in judges])


def overall(evidence: Sequence[Evidence]) -> str:
    """`fails` if any test does, `closes` if all do."""
    return _worst([test.state for test in _tests(evidence)])


def sentence(evidence: Sequence[Evidence]) -> str:
    """The verdict on one method from all its tests, in one sentence."""
    tests = list(_tests(evidence))
    if not tests:
        return "No transport was measured."
    opening = {
        FAILS: "does not describe data",
        CANNOT_TELL: "may describe data, but the statistics cannot tell",
        CLOSES: "describes data",
    }[overall(evidence)]
    ordered = [t for state in (FAILS, CANNOT_TELL, CLOSES) for t in tests if t.state == state]
    return f"{evidence[0].method} {opening}: {'; '.join(map(_clause, ordered))}."


def stands_on(
    assumption: str, evidence: Sequence[Evidence], shifts: Sequence[SpectrumShift]
) -> str:
    """What the result stands and falls with, and what a varied spectrum would do to it."""
    if not assumption:
        return ""
    tests = [each for each in evidence if isinstance(each, TransportHistogram)]
    widths = {test.test: test.data_width for test in tests}
    moved = [
        f"{shift.test}: mean ±{formatted(float(f'{shift.mean:.2g}'))}{_of(shift.unit)}, width "
        f"±{100 * shift.width / widths[shift.test]:.2g} %"
        for shift in shifts
        if shift.test in widths
    ]
    varied = f" A varied spectrum shifts, beside the statistical errors: {'; '.join(moved)}."
    return f"{shifts[0].method if shifts else tests[0].method} is {assumption}." + (
        varied if moved else ""
    )


def _of(unit: str) -> str:
    return f" {unit}" if unit else ""


def _worst(states: Sequence[str]) -> str:
    if FAILS in states:
        return FAILS
    return CLOSES if states and set(states) == {CLOSES} else CANNOT_TELL


def _tests(evidence: Sequence[Evidence]) -> Iterator[_Test]:
    for name in dict.fromkeys(each.test for each in evidence):
        about = [each for each in evidence if each.test == name]
        yield _Test(
            name,
            tuple(each for each in about if isinstance(each, TransportHistogram)),
            tuple(each for each in about if isinstance(each, TwoSample)),
        )


def _clause(test: _Test) -> str:
    verb = {FAILS: "it fails on", CLOSES: "it closes on", CANNOT_TELL: "open on"}[test.state]
    several = len(test.features) > 1
    said = [f"{each.name}: {_feature(each)}" if several else _feature(each)
            for each in test.features]  # fmt: skip
    said += [f"AUC of a classifier {formatted(each.auc, each.error)}" for each in test.classifiers]
    return f"{verb} {test.name} ({'; '.join(said)})"


def _feature(test: TransportHistogram) -> str:
    unit = f" {test.unit}" if test.unit else ""
    mean = _difference(test.mean, test.mean_error, test.data_mean, test.data_mean_error)
    ratio, error = _ratio(test)
    width = f"{ratio - 1:+.1%}".replace("%", " %") + f" ± {100 * error:.1f} %"
    chi2 = formatted(float(f"{test.chi2 / test.ndf:.3g}")) if test.ndf else "n/a"
    return (
        f"χ²/ndf = {chi2}, {_probability(test.probability)}; mean {mean}{unit} "
        f"and width {width} from data's"
    )


def _difference(value: float, error: float, other: float, other_error: float) -> str:
    text = formatted(value - other, (error**2 + other_error**2) ** 0.5)
    return text if text.startswith(("-", "(")) else f"+{text}"


def _ratio(test: TransportHistogram) -> tuple[float, float]:
    """Width of the simulation over data's, with its error."""
    ratio = test.width / test.data_width
    relative = (test.width_error / test.width) ** 2 + (test.data_width_error / test.data_width) ** 2
    return ratio, float(ratio * relative**0.5)


def _probability(p: float) -> str:
    return f"p < {SMALLEST:g}" if p < SMALLEST else f"p = {p:.2g}"
