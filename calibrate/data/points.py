"""Options that inference tasks share: the points that are observed, and the nuisances' ranges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from calibrate.checks import choice, finite_number, positive_number
from calibrate.errors import ConfigurationError
from calibrate.task import Nuisance, Point

STRENGTH = "mu"
Given = Mapping[str, float] | Sequence[float]
"""`{mu: 1, tau: 0.8}`, where nuisances that are not named are nominal; of one also [μ, value]."""


def limits(option: str, given: Any) -> tuple[float, float]:  # noqa: ANN401 - user input
    """Two rising numbers; ConfigurationError for anything else."""
    try:
        low, high = given
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"{option} takes [low, high], got {given!r}") from error
    for value in (low, high):
        finite_number(f"each of {option}", value)
    if not low < high:
        raise ConfigurationError(f"{option} takes [low, high] with low < high, got {given!r}")
    return float(low), float(high)


def points_of(given: Sequence[Given], nuisances: Sequence[Nuisance]) -> tuple[Point, ...]:
    """The points that data.points names.

    Raises ConfigurationError for what is no list of points, strengths that are not positive, other
    nuisances, and values outside the range that simulation covers.
    """
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise ConfigurationError(
            f"data.points takes a list of points, such as [{_example(nuisances)}], got {given!r}"
        )
    return tuple(_point(each, nuisances) for each in given)


def _point(given: Given, nuisances: Sequence[Nuisance]) -> Point:
    names = [nuisance.name for nuisance in nuisances]
    if isinstance(given, Mapping):
        named: dict[str, float] = dict(given)
    elif isinstance(given, Sequence) and len(given) == 2 and len(nuisances) == 1:
        named = dict(zip((STRENGTH, names[0]), given, strict=True))
    else:
        named = {}
    if STRENGTH not in named:
        raise ConfigurationError(
            f"a point of data.points is such as {_example(nuisances)}, got {given!r}"
        )
    for name in named:
        choice("a point of data.points", name, (STRENGTH, *names))
    positive_number("mu of a point of data.points", named[STRENGTH])
    values = {each.name: _value(named.get(each.name, each.nominal), each) for each in nuisances}
    return Point(float(named[STRENGTH]), values)


def _value(value: float, nuisance: Nuisance) -> float:
    finite_number(f"{nuisance.name} of a point of data.points", value)
    if not nuisance.low <= value <= nuisance.high:
        raise ConfigurationError(
            f"a point of data.points has {nuisance.name}={value:g}, outside the range "
            f"{nuisance.low:g} to {nuisance.high:g} that simulation covers: widen it, or choose "
            "another point"
        )
    return float(value)


def _example(nuisances: Sequence[Nuisance]) -> str:
    named = ", ".join(f"{each.name}: {each.nominal:g}" for each in nuisances)
    return f"{{{STRENGTH}: 1, {named}}}"
