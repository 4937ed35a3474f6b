"""Words and symbols on figures: column names as mathematics, u with its unit."""

from __future__ import annotations

import re

from calibrate.records import Deviation

_SYMBOLS = (
    ("mjj", "$m_{jj}$"),
    ("pt", "$p_{T}$"),
    ("eta", r"$\eta$"),
    ("phi", r"$\phi$"),
)
_TRUTH_WORDS = ("true", "truth", "gen", "particle")
_DETECTOR_WORDS = ("reco", "reconstructed", "rec", "det", "detector")


def plain(text: str) -> str:
    """Text that matplotlib must not read as mathematics."""
    return text.replace("$", r"\$")


def symbol(name: str) -> str:
    """A column's name as it is printed: `m_jj` as a symbol, `z` in italics, else in words."""
    if re.fullmatch(r"[A-Za-z]", name):
        return rf"$\mathit{{{name}}}$"
    known = dict(_SYMBOLS)
    words = re.sub(r"\bm_jj", "mjj", name).split("_")
    return " ".join(known.get(word.lower(), plain(word)) for word in words)


def bare(name: str) -> str:
    """A column's name without the words that say its level: `mjj_true` gives `mjj`."""
    words = name.split("_")
    levels = (*_TRUTH_WORDS, *_DETECTOR_WORDS)
    return "_".join(word for word in words if word.lower() not in levels) or name


def with_unit(text: str, unit: str) -> str:
    """`text [unit]`, or the text alone for a number without unit."""
    return f"{text} [{plain(unit)}]" if unit else text


def truth_axis(name: str, unit: str) -> str:
    """The label of an axis that shows truth: `True m_jj [GeV]`."""
    return with_unit(f"True {symbol(bare(name))}", unit)


def level_of(name: str) -> str:
    """`True`, `Reconstructed`, or nothing where a column's name does not say its level."""
    words = name.lower().split("_")
    if any(word in _TRUTH_WORDS for word in words):
        return "True"
    return "Reconstructed" if any(word in _DETECTOR_WORDS for word in words) else ""


def feature_axis(name: str, unit: str) -> str:
    """The label of an axis that shows a feature: `Reconstructed m_jj [GeV]`, or `x`."""
    said = level_of(name) == "Reconstructed"
    return with_unit(f"Reconstructed {symbol(bare(name))}" if said else symbol(name), unit)


def deviation(record: Deviation) -> str:
    """u = ẑ/z or ẑ - z as a symbol."""
    return r"$\hat{z}/z$" if record.relative else r"$\hat{z} - z$"


def deviation_unit(record: Deviation) -> str:
    """The unit of u: none if relative, else that of z."""
    return "" if record.relative else record.z_unit


def rounded(value: float, error: float) -> str:
    """`value ± error`, both to the second significant digit of the error."""
    if not error > 0:
        return f"{value:.4g}"
    decimals = max(0, 1 - int(f"{error:.1e}".split("e")[1]))
    return f"{value:.{decimals}f} ± {error:.{decimals}f}"


GREEK = ("alpha", "beta", "gamma", "delta", "epsilon", "lambda", "mu", "sigma", "tau")


def parameter(key: str) -> str:
    """A swept key as it is printed: `data.mu` as μ, else its name in words."""
    name = key.rpartition(".")[2]
    if name in GREEK:
        return f"$\\{name}$"
    return plain(name.replace("_", " "))


def shown_value(value: float | int | str | bool | None) -> str:
    """The value of a swept parameter as it is printed."""
    if isinstance(value, bool) or value is None:
        return str(value).lower().replace("none", "null")
    return f"{value:g}" if isinstance(value, int | float) else value
