"""Checks of hyperparameters: each raises ConfigurationError that names option, value, remedy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from calibrate.errors import ConfigurationError, nearest

FEW = 5
"""Choices that are all named, besides the nearest one."""


def finite_number(option: str, value: Any) -> None:  # noqa: ANN401 - user input
    """Require a finite number."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not (number and math.isfinite(value)):
        raise ConfigurationError(f"{option} must be a finite number, got {value!r}")


def positive_number(option: str, value: Any) -> None:  # noqa: ANN401 - user input
    """Require a finite number above zero."""
    finite_number(option, value)
    if not value > 0:
        raise ConfigurationError(f"{option} must be positive, got {value!r}")


def not_negative(option: str, value: Any) -> None:  # noqa: ANN401 - user input
    """Require a finite number of at least zero."""
    finite_number(option, value)
    if value < 0:
        raise ConfigurationError(f"{option} must be ≥ 0, got {value!r}")


def fraction(option: str, value: Any) -> None:  # noqa: ANN401 - user input
    """Require a number above zero and below one."""
    positive_number(option, value)
    if not value < 1:
        raise ConfigurationError(f"{option} must be < 1, got {value}")


def positive_integer(option: str, value: Any) -> None:  # noqa: ANN401 - user input
    """Require an integer of at least one."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigurationError(f"{option} must be a positive integer, got {value!r}")


def count(option: str, value: Any) -> None:  # noqa: ANN401 - user input
    """Require an integer of at least zero."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ConfigurationError(f"{option} must be an integer ≥ 0, got {value!r}")


def number_of_replicas(option: str, value: Any) -> None:  # noqa: ANN401 - user input
    """Require a number of bootstrap replicas that has a spread, or none."""
    count(option, value)
    if value == 1:
        raise ConfigurationError(f"{option} must be at least 2 (0: errors in closed form), got 1")


def choice(option: str, value: Any, allowed: Sequence[str]) -> None:  # noqa: ANN401 - user input
    """Require one of the allowed words."""
    if value not in allowed:
        hint = nearest(str(value), allowed)
        if hint.endswith("?") and len(allowed) <= FEW:
            hint += f" (choices: {', '.join(allowed)})"
        raise ConfigurationError(f"{option}={value!r}: {hint}")


def layer_sizes(option: str, value: Any) -> tuple[int, ...]:  # noqa: ANN401 - user input
    """Require a list of layer sizes; an empty one is a linear map."""
    valid = isinstance(value, (list, tuple)) or hasattr(value, "__iter__")
    sizes = tuple(value) if valid and not isinstance(value, str) else None
    if sizes is None or any(isinstance(n, bool) or not isinstance(n, int) or n < 1 for n in sizes):
        raise ConfigurationError(f"{option} takes a list of layer sizes, got {value!r}")
    return sizes


def texts(option: str, value: Any) -> list[str]:  # noqa: ANN401 - user input
    """A text, or a list of texts, as a list; none may be empty."""
    given = [value] if isinstance(value, str) else value
    if not isinstance(given, Sequence) or not all(
        isinstance(each, str) and each.strip() for each in given
    ):
        raise ConfigurationError(f"{option} takes a text or a list of them, got {value!r}")
    return list(given)


def one_for_each(
    option: str, value: Sequence[float] | float | None, of: str, number: int
) -> list[float] | None:
    """A positive number, or a list of them, one for each of the `number` texts of option `of`."""
    if value is None:
        return None
    given = list(value) if isinstance(value, Sequence) else [value]
    if len(given) != number:
        raise ConfigurationError(
            f"{option} needs one number for each of {of}: got {len(given)} for {number}"
        )
    for each in given:
        positive_number(f"each of {option}", each)
    return given
