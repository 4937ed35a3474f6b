"""The methods that a study compares with: names, or names with options of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from omegaconf import DictConfig, ListConfig, OmegaConf

from calibrate.checks import choice
from calibrate.cli.groups import choices
from calibrate.errors import ConfigurationError, nearest


def compared_with(given: Any, studied: str) -> dict[str, Mapping[str, Any]]:  # noqa: ANN401
    """The options by name of a list such as `[none, {mse: {degree: 1}}]`, without the studied
    method. Raises ConfigurationError for anything else, and for unknown methods."""
    if not isinstance(given, ListConfig):
        raise ConfigurationError(f"compare_with takes a list such as [none,mse], got {given!r}")
    found: dict[str, Mapping[str, Any]] = {}
    for item in given:
        for name, values in (item if isinstance(item, DictConfig) else {item: {}}).items():
            choice("compare_with", name, choices("method"))
            if not isinstance(values, Mapping):
                raise ConfigurationError(
                    f"compare_with takes options such as {{{name}: {{key: value}}}}, got {values!r}"
                )
            if found.setdefault(name, values) != values:
                raise ConfigurationError(f"compare_with names {name} twice, with other options")
    return {name: values for name, values in found.items() if name != studied}


def with_options(part: DictConfig, given: Mapping[str, Any], name: str) -> DictConfig:
    """A method's options with those given; ConfigurationError for one that it does not have."""
    known = [str(option) for option in part.keys() if not str(option).startswith("_")]  # noqa: SIM118
    for key in given:
        if key not in known:
            hint = nearest(str(key), known)
            raise ConfigurationError(f"compare_with: no option '{key}' of {name}: {hint}")
    return cast(DictConfig, OmegaConf.merge(part, given))
