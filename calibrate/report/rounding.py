"""Numbers as they are printed: value and error to the second significant digit of the error."""

from __future__ import annotations

import math

SMALLEST, LARGEST = 1e-4, 1e6
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
UNDEFINED = "n/a"


def formatted(value: float, error: float | None = None) -> str:
    """`1.0003 ± 0.0012`: the error to two significant digits, the value to the same place.

    Without an error (None, zero or not finite) the value has four significant digits. Numbers
    below 1e-4 or from 1e6 on share a power of ten: `(1.23 ± 0.45)·10⁻⁷`. `n/a` for NaN.
    """
    if math.isnan(value):
        return UNDEFINED
    if math.isinf(value):
        return "infinite" if value > 0 else "-infinite"
    if error is None or not math.isfinite(error) or error <= 0:
        return _alone(value)
    exponent = _common_exponent(value, error)
    value, error = _scaled(value, exponent), _scaled(error, exponent)
    place = _leading_place(error, digits=2) - 1
    text = f"{_rounded(value, place)} ± {_rounded(error, place)}"
    return f"({text}){_power(exponent)}" if exponent else text


def rounded_up(value: float, digits: int) -> str:
    """The smallest number of `digits` significant digits that is not below `value` > 0."""
    if not math.isfinite(value) or value <= 0:
        return formatted(value)
    place = math.floor(math.log10(value)) - digits + 1
    up = math.ceil(round(_scaled(value, place), 6))
    return formatted(float(f"{up}e{place}"))


def _alone(value: float) -> str:
    exponent = _common_exponent(value, 0.0)
    value = _scaled(value, exponent)
    place = min(0, _leading_place(value, digits=4) - 3) if value else 0
    text = _rounded(value, place)
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return text + _power(exponent) if exponent else text


def _common_exponent(value: float, error: float) -> int:
    """The shared power of ten, 0 where ordinary notation serves."""
    largest = max(abs(value), error)
    if largest == 0 or SMALLEST <= largest < LARGEST:
        return 0
    return math.floor(math.log10(largest))


def _scaled(value: float, exponent: int) -> float:
    """value / 10^exponent, exact where decimals are."""
    mantissa, power = f"{value:.17e}".split("e")
    return float(f"{mantissa}e{int(power) - exponent}")


def _leading_place(value: float, digits: int) -> int:
    """The power of ten of the first digit, after rounding to `digits` (0.0996 has -1)."""
    return int(f"{value:.{digits - 1}e}".split("e")[1])


def _rounded(value: float, place: int) -> str:
    """The value rounded to 10^place, with as many decimals, and never `-0`."""
    text = f"{round(value, -place):.{max(0, -place)}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def _power(exponent: int) -> str:
    return f"·10{str(exponent).translate(SUPERSCRIPTS)}"
