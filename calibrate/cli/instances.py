"""Nodes of the configuration as objects: only classes of this package and of its plugins."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import signature
from typing import Any

import hydra
from hydra.errors import InstantiationException

from calibrate.errors import CalibrateError, ConfigurationError, nearest
from calibrate.plugins import TARGET, named_object, packages, targets

OWN_ROOMS = ("calibrate.data.", "calibrate.methods.", "calibrate.evaluators.")


def instantiated(part: Any, where: str) -> Any:  # noqa: ANN401 - whatever the target is
    """The object that a node, plain values, describes; `where` names the node.

    Raises ConfigurationError if it cannot be built, or what its constructor raises of ours.
    """
    check_targets(part, where)
    _refuse_unknown(part, where)
    try:
        return hydra.utils.instantiate(part, _convert_="all")
    except InstantiationException as error:
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, CalibrateError):
                raise cause from error
            cause = cause.__cause__
        raise ConfigurationError(f"{where} cannot be built: {error}") from error


def _refuse_unknown(part: Mapping[str, Any], where: str) -> None:
    """Name an option that the target does not have: an experiment may have set it for another."""
    target = named_object(str(part[TARGET]), where)
    try:
        known = list(signature(target).parameters)
    except (TypeError, ValueError):
        return  # the instantiation says what is wrong
    for key in part:
        if not key.startswith("_") and key not in known:
            raise ConfigurationError(
                f"{target.__name__} has no option '{key}': {nearest(key, known)}; one that an "
                f"experiment sets is left out by ~{where}.{key}"
            )


def check_targets(part: Any, where: str) -> None:  # noqa: ANN401 - any node
    """Raise ConfigurationError for a `_target_` outside this package and its plugins."""
    allowed = allowed_packages()
    if not isinstance(part, Mapping) or TARGET not in part:
        raise ConfigurationError(f"{where} must have options and a _target_, got {part!r}")
    for target in targets(part):
        if not target.startswith(allowed):
            raise ConfigurationError(
                f"{where} names '{target}': only targets of {', '.join(allowed)} are "
                "instantiated; a package adds its own by an entry point"
            )


def allowed_packages() -> tuple[str, ...]:
    """How a `_target_` may begin."""
    return OWN_ROOMS + tuple(f"{package}." for package in packages())
