"""What a run is made of, resolved to plain values: it can be stored, hashed and built again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from calibrate.cli.compare_with import base_of, compared_with, with_options
from calibrate.cli.compose import METHOD, REQUIRED, SPECIALISE, compose, parse
from calibrate.cli.groups import options
from calibrate.cli.kinds import bases, with_defaults
from calibrate.errors import ConfigurationError, StorageError

HIDDEN = ("hydra", "sweep")
"""Parts of the composed configuration that are not of the run itself."""

BASE, DEFAULT_BASE = "base", "mse"
"""The option of a method that names another, and what it is where it names none."""

Plain = dict[str, Any]


@dataclass(frozen=True)
class Recipe:
    """The choices by name, the configuration, and the nodes of the methods compared with."""

    data: str
    method: str
    configuration: Plain
    compared: Mapping[str, Plain]

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Recipe:
        """A recipe from the plain values of a job, which may hold more than a run's."""
        own = {each.name for each in fields(cls)}
        return cls(**{key: value for key, value in stored.items() if key in own})

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
    overrides = with_defaults(overrides, parse(overrides))
    composed = compose(overrides)
    with usable():
        chosen = composed.hydra.runtime.choices
        for group in REQUIRED:
            _require_values(composed[group], group, chosen[group])
        _put_base(composed.method, chosen["data"], overrides)
        return Recipe(
            chosen["data"],
            chosen[METHOD],
            resolved(composed),
            _compared(composed, overrides),
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


def _compared(composed: DictConfig, overrides: Sequence[str]) -> dict[str, Plain]:
    """The nodes of the methods compared with, by name."""
    chosen, nodes = composed.hydra.runtime.choices, {}
    for name, given in compared_with(composed.compare_with, chosen[METHOD]).items():
        node = with_options(compose(_alone(chosen["data"], name, overrides)).method, given, name)
        _put_base(node, chosen["data"], overrides)
        nodes[name] = cast(Plain, OmegaConf.to_container(node, resolve=True))
    return nodes


def _put_base(node: DictConfig, data: str, overrides: Sequence[str]) -> None:
    """Put the options of the method that `base` names, as it is on this dataset, in its place."""
    if BASE not in node:
        return
    name, given = base_of(node[BASE] or DEFAULT_BASE, bases())
    part = compose(_alone(data, name, overrides)).method
    node[BASE] = with_options(part, given, name, f"{METHOD}.{BASE}")


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


def plain_options(text: str, where: object) -> Plain:
    """What `Recipe.text` wrote, as plain containers; StorageError, with its place, for another
    text."""
    try:
        found = OmegaConf.to_container(OmegaConf.create(text), resolve=False)
    except (OmegaConfBaseException, YAMLError) as error:
        reason = str(error).splitlines()[0]
        raise StorageError(f"{where} holds a damaged configuration: {reason}") from error
    return {str(k): v for k, v in found.items()} if isinstance(found, dict) else {}


def _alone(data: str, name: str, overrides: Sequence[str]) -> list[str]:
    """Overrides that compose another method to its defaults on this dataset: options of the
    studied one, be they the command line's or an experiment's, are not its own."""
    deleted = [
        item
        for item, override in zip(overrides, parse(overrides), strict=True)
        if override.key_or_group == SPECIALISE and override.is_delete()
    ]
    return [f"data={data}", f"{METHOD}={name}", *deleted]
