"""The configuration folders as they are on disk: which groups, choices and keys there are.

Read as text, without Hydra: for `--help` and tab completion, which must be fast.
"""

from __future__ import annotations

import itertools
import re
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

from calibrate import plugins
from calibrate.checks import choice
from calibrate.errors import ConfigurationError

GROUPS = ("data", "method", "experiment", "evaluator")
INNER_KEY = re.compile(r"^  ([a-z_]\w*):(.*)$")
AT_START = re.compile(r"^[a-z_]")
KEY = re.compile(r"^( *)([a-z_]\w*):(.*)$")


def configuration_folder() -> Path:
    """`conf/` inside the installed package, else beside it in a source tree."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "conf"
    return installed if installed.is_dir() else package.parent / "conf"


def choices(group: str) -> list[str]:
    """The names one can give to a group: our own, and those that other packages bring."""
    folders = (configuration_folder(), *plugins.folders())
    return sorted({path.stem for folder in folders for path in (folder / group).glob("*.yaml")})


def choice_file(group: str, name: str) -> Path:
    """The file of a choice; our own, if packages bring further ones of its name."""
    return next(iter(_brought(group, name)), configuration_folder() / group / f"{name}.yaml")


def told_file(group: str, name: str) -> str:
    """The file of a choice, and the package that it is of."""
    package = next(iter(_brought(group, name).values()), plugins.OURS)
    return f"{choice_file(group, name)} of {package}"


def refuse_unknown(where: str, name: object, known: Sequence[str]) -> None:
    """Raise ConfigurationError for what is none of the known choices, and may be one of a package
    whose folder is missing."""
    try:
        choice(where, name, known)
    except ConfigurationError as error:
        raise ConfigurationError(f"{error}{missing_folders()}") from None


def missing_folders() -> str:
    """The packages whose choices are not known, and why, as the end of an error message."""
    return "".join(
        f"; the installed package {package} has its configuration files in '{place}', where there "
        "is no folder: install it again, or uninstall it"
        for package, place in plugins.missing_folders().items()
    )


def refuse_ambiguous(group: str, name: str) -> None:
    """Raise ConfigurationError, with the packages, if two of them bring a choice of one name."""
    packages = list(_brought(group, name).values())
    if len(packages) > 1:
        raise ConfigurationError(
            f"{group}={name} is brought by {' and by '.join(packages)}: uninstall a package, or "
            "have its file renamed"
        )


def _brought(group: str, name: str) -> dict[Path, str]:
    """The files of a choice, each with the package that it comes from."""
    folders = {configuration_folder(): plugins.OURS, **plugins.folders()}
    files = {folder / group / f"{name}.yaml": package for folder, package in folders.items()}
    return {path: package for path, package in files.items() if path.is_file()}


def summary(group: str, name: str) -> str:
    """The comment that a choice's file begins with, up to the end of its first sentence."""
    lines = [line for line in _lines(group, name) if not line.startswith("# @")]
    comment = itertools.takewhile(lambda line: line.startswith("# "), lines)
    text = " ".join(line[2:].strip() for line in comment)
    return re.split(r"(?<=[a-z)])\. (?=[A-Z])", text, maxsplit=1)[0]


def options(group: str, name: str) -> Iterator[tuple[str, str, str]]:
    """Key, default and explanation of every option of a choice."""
    note: list[str] = []
    for line in _lines(group, name):
        found = KEY.match(line)
        if line.startswith("# "):
            note.append(line[2:].strip())
        elif found and not found[1]:
            if found[2] != "defaults" and not found[2].startswith("_"):
                yield found[2], found[3].strip(), " ".join(note)
            note = []


def describe(overrides: Sequence[str]) -> str:
    """All groups with their choices, and the options of the choices named in the overrides."""
    chosen = dict(item.split("=", 1) for item in overrides if "=" in item)
    parts = [_describe_group(group) for group in GROUPS]
    parts.append("Options of the run (key=value):\n" + _listed(run_options()))
    for group in ("data", "method"):
        if chosen.get(group) in choices(group):
            name = chosen[group]
            found = [*options(group, name), *shared_options(group)]
            rows = [(f"{group}.{k}", value, note) for k, value, note in found]
            parts.append(f"Options of {group}={name}:\n" + _listed(rows))
    pair = f"{chosen.get('data')}_{chosen.get('method')}"
    if pair in choices("specialise"):
        set_there = filter(None, map(INNER_KEY.match, _lines("specialise", pair)))
        rows = [(f"method.{each[1]}", each[2].strip(), "") for each in set_there]
        parts.append(f"Set by specialise={pair} (left out by ~specialise):\n" + _listed(rows))
    if not any(chosen.get(group) for group in ("data", "method")):
        parts.append("The options of a choice: calibrate run data=… method=… --help")
    return "\n\n".join(parts)


def run_options() -> list[tuple[str, str, str]]:
    """The options of the run and of the sweep, which belong to no choice."""
    parts = ("hydra", "defaults", "report", "sweep", "data")
    rows = [row for row in options("", "config") if row[0] not in parts]
    return [
        *rows,
        ("report.figures", "true", "false: no figures now; `calibrate report` draws them"),
        *((f"sweep.{key}", value, note) for key, value, note in inner_options("config", "sweep")),
        (
            "hydra/launcher",
            "local",
            "of a sweep: local, batched, slurm (slurm_cpu, slurm_gpu), basic (one by one), joblib",
        ),
        ("hydra.launcher.workers", "null", "of local and batched; null: one for each core"),
    ]


def shared_options(group: str) -> list[tuple[str, str, str]]:
    """The options that every choice of a group has besides its own."""
    return list(inner_options("config", group)) if group == "data" else []


def inner_options(name: str, part: str) -> Iterator[tuple[str, str, str]]:
    """Key, default and explanation of every option below a part of a file."""
    lines = _lines("", name)
    note: list[str] = []
    for line in itertools.takewhile(lambda line: not AT_START.match(line),
                                    lines[lines.index(f"{part}:") + 1 :]):  # fmt: skip
        found = INNER_KEY.match(line)
        if line.startswith("  # "):
            note.append(line[4:].strip())
        elif found:
            yield found[1], found[2].strip(), " ".join(note)
            note = []


def _describe_group(group: str) -> str:
    rows = [_row(name, 18, _told(group, name)) for name in choices(group)]
    return "\n".join([f"{group}=", *rows])


def _told(group: str, name: str) -> str:
    """What a choice is, and where it comes from if that is not this package alone."""
    packages = list(_brought(group, name).values())
    other = "" if packages == [plugins.OURS] else f" [{', '.join(packages)}]"
    return summary(group, name) + other


def _listed(rows: Sequence[tuple[str, str, str]]) -> str:
    return "\n".join(_row(f"{key}={value}", 34, note) for key, value, note in rows)


def _row(name: str, width: int, text: str) -> str:
    """A name and its explanation, in lines of at most 100 characters."""
    indent = " " * (width + 3)
    return textwrap.fill(
        f"{name:<{width}} {text}".rstrip(), 100, initial_indent="  ", subsequent_indent=indent,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip


def _lines(group: str, name: str) -> list[str]:
    path = choice_file(group, name) if group else configuration_folder() / f"{name}.yaml"
    return path.read_text(encoding="utf-8", errors="replace").splitlines()
