"""What other installed packages bring: YAML files, classes that these name, fitted objects.

A package says so by entry points in its `pyproject.toml`:

    [project.entry-points."calibrate.conf"]
    their_package = "their_package.conf"

    [project.entry-points."calibrate.fitted"]
    their_kind = "their_package.method:TheirFitted"

The first is a folder of the package laid out as ours (`method/`, `data/`, `evaluator/`,
`experiment/` …), whose files are choices beside ours. The second is the class that a stored object
of this `kind` is rebuilt by. An entry point in these groups, or in one of `calibrate.methods`,
`calibrate.data`, `calibrate.evaluators`, lets a `_target_` name the package's classes. Nothing of a
package is imported before one of its choices is taken.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from calibrate.errors import ConfigurationError

CONF, FITTED = "calibrate.conf", "calibrate.fitted"
GROUPS = ("calibrate.methods", "calibrate.data", "calibrate.evaluators", CONF, FITTED)


def named_object(target: str, where: str) -> Any:  # noqa: ANN401 - any class or function
    """What a `_target_` names; ConfigurationError, with the package, if it cannot be imported."""
    module, _, name = target.rpartition(".")
    try:
        return getattr(import_module(module), name)
    except Exception as error:  # importing runs their code, which may raise anything
        package = packages().get(target.partition(".")[0])
        of = f" of the installed package {package}" if package else ""
        raise ConfigurationError(
            f"{where} names '{target}'{of}, which cannot be imported: "
            f"{type(error).__name__}: {error}"
        ) from error


def fitted_class(kind: str) -> Any:  # noqa: ANN401 - any class
    """The class that rebuilds stored objects of this kind; None if no package brings one.

    Raises ConfigurationError, with the package, if it cannot be imported.
    """
    for entry in entry_points(group=FITTED, name=kind):
        return named_object(entry.value.replace(":", "."), f"a stored '{kind}'")
    return None


@cache
def packages() -> Mapping[str, str]:
    """Importable packages with an entry point of ours, and the distribution that each is of."""
    return {_top(entry): _distribution(entry) for group in GROUPS
            for entry in entry_points(group=group)}  # fmt: skip


@cache
def folders() -> Mapping[Path, str]:
    """The folders of YAML files, and the distribution that each is of.

    Raises ConfigurationError, with the package, for one that is not there.
    """
    return {_folder(entry): _distribution(entry) for entry in entry_points(group=CONF)}


def _folder(entry: EntryPoint) -> Path:
    spec = find_spec(_top(entry))  # of a package at the top nothing is imported
    inner = entry.value.replace(":", ".").split(".")[1:]
    for location in (spec and spec.submodule_search_locations) or ():
        if Path(location, *inner).is_dir():
            return Path(location, *inner)
    raise ConfigurationError(
        f"the installed package {_distribution(entry)} has its configuration files in "
        f"'{entry.value}', where there is no folder: install it again, or uninstall it"
    )


def _top(entry: EntryPoint) -> str:
    return entry.value.replace(":", ".").partition(".")[0]


def _distribution(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist else _top(entry)
