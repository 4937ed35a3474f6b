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

from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cache
from importlib import import_module, metadata
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from calibrate.errors import ConfigurationError

OURS = "calibrate"
CONF, FITTED = "calibrate.conf", "calibrate.fitted"
GROUPS = ("calibrate.methods", "calibrate.data", "calibrate.evaluators", CONF, FITTED)
TARGET = "_target_"
"""The key of a node that names what it is built by."""


def named_object(target: str, where: str) -> Any:  # noqa: ANN401 - any class or function
    """What a `_target_` names: in a module, or inside a class there (`m.Outer.Inner`).

    Raises ConfigurationError, with the package, if it cannot be imported.
    """
    outer, _, name = target.rpartition(".")
    try:
        return getattr(_imported(outer), name)
    except Exception as error:  # importing runs their code, which may raise anything
        package = packages().get(target.partition(".")[0])
        of = f" of the installed package {package}" if package else ""
        raise ConfigurationError(
            f"{where} names '{target}'{of}, which cannot be imported: "
            f"{type(error).__name__}: {error}"
        ) from error


def _imported(path: str) -> Any:  # noqa: ANN401 - a module, or a class in one
    """The module of that name, else what is in the longest beginning of the name that is one."""
    try:
        return import_module(path)
    except ModuleNotFoundError as error:
        outer, _, name = path.rpartition(".")
        if not outer or not f"{path}.".startswith(f"{error.name}."):
            raise  # it is there: what it imports is not
        return getattr(_imported(outer), name)


def fitted_class(kind: str, own: Collection[str]) -> Any:  # noqa: ANN401 - any class
    """The class by which a package rebuilds stored objects of this kind; None if none does.

    Raises ConfigurationError, with the packages, if several bring the kind, one of our `own` being
    ours, or if the class cannot be imported.
    """
    found = [entry for entry in entries(FITTED) if entry.name == kind]
    bringing = [*([OURS] if kind in own else []), *map(_distribution, found)]
    if len(bringing) > 1:
        raise ConfigurationError(
            f"the stored kind '{kind}' is brought by {' and by '.join(bringing)}: uninstall a "
            "package, or have its kind renamed"
        )
    return named_object(_dotted(found[0]), f"a stored '{kind}'") if found else None


def versions(node: Any, kinds: Iterable[str] = ()) -> dict[str, str]:  # noqa: ANN401 - any node
    """The versions of the packages that the `_target_`s of a node, and stored objects of these
    `kinds`, are of, by distribution (all that share a name to import): none where all are ours."""
    stored, tops = set(kinds), {target.partition(".")[0] for target in targets(node)}
    tops |= {_top(entry) for entry in entries(FITTED) if entry.name in stored}
    found = {_distribution(entry) for group in GROUPS
             for entry in entries(group) if _top(entry) in tops}  # fmt: skip
    return {distribution: installed_version(distribution) for distribution in sorted(found)}


def targets(node: Any) -> Iterator[str]:  # noqa: ANN401 - nested plain containers
    """All `_target_`s of a node and of those inside it."""
    if isinstance(node, Mapping):
        if TARGET in node:
            yield str(node[TARGET])
        for value in node.values():
            yield from targets(value)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from targets(value)


@cache
def entries(group: str) -> tuple[EntryPoint, ...]:
    """The entry points of a group, which do not change while a process runs."""
    return tuple(entry_points(group=group))


@cache
def packages() -> Mapping[str, str]:
    """Importable packages with an entry point of ours, and the distribution that each is of."""
    return {_top(entry): _distribution(entry) for group in GROUPS for entry in entries(group)}


@cache
def folders() -> Mapping[Path, str]:
    """The folders of YAML files that are there, and the distribution that each is of."""
    found = ((_folder(entry), _distribution(entry)) for entry in entries(CONF))
    return {folder: distribution for folder, distribution in found if folder}


@cache
def missing_folders() -> Mapping[str, str]:
    """The distributions whose folder of YAML files is not there, and where it should be."""
    return {_distribution(entry): entry.value for entry in entries(CONF) if not _folder(entry)}


@cache
def installed_version(distribution: str) -> str:
    """The version of an installed distribution; `not installed` where it is not."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "not installed"


def _folder(entry: EntryPoint) -> Path | None:
    top, *inner = _dotted(entry).split(".")
    spec = find_spec(top)  # of a package at the top nothing is imported
    places = (spec and spec.submodule_search_locations) or ()
    there = (Path(place, *inner) for place in places)
    return next((folder for folder in there if folder.is_dir()), None)


def _dotted(entry: EntryPoint) -> str:
    return entry.value.replace(":", ".")


def _top(entry: EntryPoint) -> str:
    return _dotted(entry).partition(".")[0]


def _distribution(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist else _top(entry)
