"""The combinations of a sweep, in Hydra's grammar, and their recipes.

Composition by Hydra takes tens of milliseconds. Combinations that differ in plain values alone
(`data.mu=-1,0,1`) are composed once; each value is then set where Hydra would have set it.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from hydra.core.override_parser.types import Override

from calibrate.cli.compose import EXPERIMENT, METHOD, parse
from calibrate.cli.groups import GROUPS, choice_file, choices, refuse_unknown
from calibrate.cli.recipe import Recipe, recipe
from calibrate.errors import ConfigurationError

ROOT_VALUES = ("seed", "replicas", "device", "note")
"""Keys without a dot whose values change nothing but themselves."""
NAMES_ANOTHER = "method.base"
"""A key whose value brings the options of what it names."""
HANDLED = re.compile(r"(hydra|sweep)[./].*")
"""Keys that concern the sweep, not its jobs."""
INTERPOLATION = "${"
EMPTY = re.compile(r"=\s*choice\(\s*\)\s*$")
NO_VALUE = "names no value: a sweep needs at least one"

Combination = tuple[str, ...]


@cache
def parsed(text: str) -> Override:
    """One override, parsed; the same text is parsed once."""
    return parse([text])[0]


@dataclass(frozen=True)
class Swept:
    """Overrides with sweeps in them: the fixed ones, and the values of each swept key."""

    fixed: tuple[str, ...]
    axes: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, overrides: Sequence[str]) -> Swept:
        """Of several overrides of one key the last counts.

        Raises ConfigurationError for a misspelt choice, a sweep without values, a range without
        steps.
        """
        fixed: dict[str, str] = {}
        axes: dict[str, tuple[str, ...]] = {}
        for text in overrides:
            if EMPTY.search(text):
                raise ConfigurationError(f"{text} {NO_VALUE}")
            each = parsed(text)
            if HANDLED.fullmatch(each.key_or_group):
                continue
            key = each.get_key_element()
            fixed.pop(key, None)
            axes.pop(key, None)
            if each.is_sweep_override():
                axes[key] = _values(each, text)
            else:
                fixed[key] = text
        return cls(tuple(fixed.values()), axes)

    def combinations(self) -> Iterator[Combination]:
        """The overrides of each job; the last axis runs fastest."""
        texts = [[f"{key}={value}" for value in values] for key, values in self.axes.items()]
        for chosen in itertools.product(*texts):
            yield (*self.fixed, *chosen)

    def parameters(self, combination: Combination) -> dict[str, Any]:
        """The values of the swept keys in one of the combinations."""
        chosen = combination[len(self.fixed) :]
        return {key: _plain(parsed(text)) for key, text in zip(self.axes, chosen, strict=True)}


def _values(override: Override, text: str) -> tuple[str, ...]:
    if not override.is_discrete_sweep():
        raise ConfigurationError(f"{text} has no steps: list the values, or use range()")
    try:
        values = tuple(str(value) for value in override.sweep_string_iterator())
    except ValueError as error:
        raise ConfigurationError(f"{text}: {error}") from error
    if not values:
        raise ConfigurationError(f"{text} {NO_VALUE}")
    if override.key_or_group in GROUPS:
        for value in values:
            refuse_unknown(override.key_or_group, value, choices(override.key_or_group))
    return values


def _plain(override: Override) -> Any:  # noqa: ANN401 - any value
    value = override.value()
    if isinstance(value, str | int | float | bool | None):
        return value
    return override.get_value_element_as_str()


@dataclass(frozen=True)
class Composer:
    """Recipes of many combinations; what they have in common is composed once."""

    known: dict[tuple[str, ...], Recipe] = field(default_factory=dict)

    def recipe(self, combination: Combination) -> Recipe:
        """The recipe of one combination, as `recipe` gives it."""
        if _interpolates(combination):
            return recipe(combination)
        simple = {text for text in combination if _is_simple(text, combination)}
        shape = tuple(parsed(text).key_or_group if text in simple else text for text in combination)
        if shape not in self.known:
            self.known[shape] = recipe(combination)
        base = self.known[shape]
        configuration = deepcopy(base.configuration)
        for text in combination:
            if text in simple:
                _set(configuration, parsed(text))
        return replace(base, configuration=configuration)


def _interpolates(combination: Combination) -> bool:
    """Whether a value may follow from another one, by `${…}` in an override or an experiment."""
    return any(INTERPOLATION in text or _follows(parsed(text)) for text in combination)


def _follows(override: Override) -> bool:
    group, name = override.key_or_group, str(override.value())
    return group == EXPERIMENT and INTERPOLATION in _experiment_text(name)


@cache
def _experiment_text(name: str) -> str:
    """The file of an experiment as it stands; empty where there is none of that name."""
    path = choice_file(EXPERIMENT, name)
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def _is_simple(text: str, combination: Combination) -> bool:
    """Whether an override changes one plain value that no other one touches."""
    override = parsed(text)
    key, value = override.key_or_group, override.value()
    if override.type.name != "CHANGE" or "@" in override.get_key_element() or "/" in key:
        return False
    if ("." not in key and key not in ROOT_VALUES) or key == NAMES_ANOTHER:
        return False
    if not isinstance(value, str | int | float | bool | None):
        return False
    keys = [parsed(other).key_or_group for other in combination if other != text]
    return not any(_touch(key, other) for other in keys if other not in (*GROUPS, METHOD))


def _touch(key: str, other: str) -> bool:
    return f"{key}.".startswith(f"{other}.") or f"{other}.".startswith(f"{key}.")


def _set(configuration: dict[str, Any], override: Override) -> None:
    *path, last = override.key_or_group.split(".")
    node = configuration
    for name in path:
        node = node[name]
    node[last] = override.value()
