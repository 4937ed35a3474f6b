"""The methods that a study compares with: names, or names with options of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from omegaconf import DictConfig, ListConfig, OmegaConf

from calibrate.cli.groups import choices, refuse_unknown
from calibrate.errors import ConfigurationError, nearest


def compared_with(given: Any, studied: str) -> dict[str, Mapping[str, Any]]:  # noqa: ANN401
    """The options by name of a list such as `[none, {mse: {degree: 1}}]`, without the studied
    method. Raises ConfigurationError for anything else, and for unknown methods."""
    if not isinstance(given, ListConfig):
        raise ConfigurationError(f"compare_with takes a list such as [none,mse], got {given!r}")
    found: dict[str, Mapping[str, Any]] = {}
    for item in given:
        for name, values in (item if isinstance(item, DictConfig) else {item: {}}).items():
            refuse_unknown("compare_with", name, choices("method"))
            if not isinstance(values, Mapping):
                raise ConfigurationError(
                    f"compare_with takes options such as {{{name}: {{key: value}}}}, got {values!r}"
                )
            if found.setdefault(name, values) != values:
                raise ConfigurationError(f"compare_with names {name} twice, with other options")
    return {name: values for name, values in found.items() if name != studied}


def base_of(given: Any, methods: Sequence[str]) -> tuple[str, Mapping[str, Any]]:  # noqa: ANN401
    """Name and options of `method.base`, one of the methods that are fitted alone.

    Raises ConfigurationError for anything but a name or `{NAME: {KEY: VALUE}}`.
    """
    (name, values), *more = given.items() if isinstance(given, DictConfig) else [(given, {})]
    if more or not isinstance(values, Mapping):
        raise ConfigurationError(
            f"method.base takes a name or {{name: {{key: value}}}}, got {given!r}"
        )
    refuse_unknown("method.base", name, methods)
    return name, values


def with_options(
    part: DictConfig, given: Mapping[str, Any], name: str, where: str = "compare_with"
) -> DictConfig:
    """A method's options with those given at a place; ConfigurationError for one that it does not
    have."""
    known = [str(option) for option in part.keys() if not str(option).startswith("_")]  # noqa: SIM118
    for key in given:
        if key not in known:
            hint = nearest(str(key), known)
            raise ConfigurationError(f"{where}: no option '{key}' of {name}: {hint}")
    return cast(DictConfig, OmegaConf.merge(part, given))
