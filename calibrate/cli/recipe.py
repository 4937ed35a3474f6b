"""What a run is made of, resolved to plain values: it can be stored, hashed and built again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, cast

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from calibrate.checks import choice
from calibrate.cli.compose import METHOD, REQUIRED, SPECIALISE, compose, parse
from calibrate.cli.groups import choices, options
from calibrate.cli.kinds import with_evaluators
from calibrate.errors import ConfigurationError

HIDDEN = ("hydra", "sweep")
"""Parts of the composed configuration that are not of the run itself."""

Plain = dict[str, Any]


@dataclass(frozen=True)
class Recipe:
    """The choices by name, the configuration, and the nodes of the methods compared with."""

    data: str
    method: str
    configuration: Plain
    compared: Mapping[str, Plain]

    def plain(self) -> Plain:
        """As nested plain values, for JSON."""
        return asdict(self)

    @property
    def text(self) -> str:
        """The configuration as YAML."""
        return OmegaConf.to_yaml(self.configuration)


def recipe(overrides: Sequence[str]) -> Recipe:
    """The resolved recipe of the run that the overrides name.

    Raises ConfigurationError for what does not exist, is missing or cannot be resolved.
    """
    overrides = with_evaluators(overrides, parse(overrides))
    composed = compose(overrides)
    with usable():
        chosen = composed.hydra.runtime.choices
        for group in REQUIRED:
            _require_values(composed[group], group, chosen[group])
        return Recipe(
            chosen["data"],
            chosen[METHOD],
            resolved(composed),
            {name: _method(overrides, name) for name in compared(composed, chosen[METHOD])},
        )


@contextmanager
def usable() -> Iterator[None]:
    """Name what makes a composed configuration unusable."""
    try:
        yield
    except (OmegaConfBaseException, AttributeError, KeyError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigurationError(
            f"the configuration cannot be used: {reason}; look at it with --cfg"
        ) from error


def resolved(composed: DictConfig) -> Plain:
    """The configuration of the run itself, interpolations resolved."""
    plain = cast(Plain, OmegaConf.to_container(shown(composed), resolve=True))
    return plain


def shown(composed: DictConfig) -> DictConfig:
    """The configuration without Hydra's and the sweep's own parts."""
    return OmegaConf.masked_copy(composed, [str(key) for key in composed if key not in HIDDEN])


def _method(overrides: Sequence[str], name: str) -> Plain:
    """The node of a method that is compared with."""
    node = compose(_with_method(overrides, name)).method
    return cast(Plain, OmegaConf.to_container(node, resolve=True))


def _require_values(part: Any, group: str, name: str) -> None:  # noqa: ANN401 - any node
    """Refuse options without a default that are not given."""
    missing = [
        f"{group}.{key}=…" + (f" ({note})" if note else "")
        for key, _, note in options(group, name)
        if isinstance(part, DictConfig) and OmegaConf.is_missing(part, key)
    ]
    if missing:
        needed = ", ".join(missing)
        raise ConfigurationError(f"{group}={name} needs {needed}")


def compared(composed: DictConfig, method: str) -> tuple[str, ...]:
    """The names of the methods compared with."""
    names = composed.compare_with
    if not isinstance(names, ListConfig):
        raise ConfigurationError(f"compare_with takes a list such as [none,mse], got {names!r}")
    for name in names:
        choice("compare_with", name, choices("method"))
    return tuple(dict.fromkeys(name for name in names if name != method))


def _with_method(overrides: Sequence[str], name: str) -> list[str]:
    """The overrides with another method, whose own options are its defaults."""
    kept = [
        item
        for item, override in zip(overrides, parse(overrides), strict=True)
        if override.key_or_group not in ("method", SPECIALISE) or override.is_delete()
        if not override.key_or_group.startswith("method.")
    ]
    return [*kept, f"method={name}"]
