"""Checks of the options of `data=table` that hold for simulation and for data alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from calibrate.checks import finite_number, texts
from calibrate.errors import ConfigurationError
from calibrate.task import NOMINAL

Names = Sequence[str] | str
NamedFiles = Mapping[str, Names]


def one_text(option: str, given: object) -> None:
    """Require one text, or nothing."""
    if not isinstance(given, str | None):
        raise ConfigurationError(f"{option} takes one text, got {given!r}")


def pairs(option: str, given: object, example: str) -> None:
    """Require a mapping from names, or nothing."""
    named = isinstance(given, Mapping) and all(isinstance(key, str) for key in given)
    if given is not None and not named:
        raise ConfigurationError(
            f"{option} takes pairs, such as '{option}={example}', got {given!r}"
        )


def named_files(option: str, given: NamedFiles | None) -> None:
    """Require files by the names of further tests, or nothing."""
    pairs(option, given, "{pileup: b.root}")
    for name, files in (given or {}).items():
        if name == NOMINAL:
            raise ConfigurationError(
                f"{option}: '{NOMINAL}' is what the training leaves: choose another name"
            )
        if not texts(f"{option}.{name}", files):
            raise ConfigurationError(f"{option}.{name} names no file")


def factors(option: str, given: object, path_option: str, path: Names) -> None:
    """Require one factor for each of a path, or nothing."""
    if given is None:
        return
    needed = len(texts(path_option, path))
    if not isinstance(given, Sequence) or len(given) != needed:
        raise ConfigurationError(
            f"{option} takes a list of one factor for each of {path_option}, which are {needed}: "
            f"got {given!r}"
        )
    for factor in given:
        finite_number(f"each of {option}", factor)
