"""Tab completion of overrides, run folders and public files."""

from __future__ import annotations

from pathlib import Path

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ZshComplete,
    add_completion_class,
)

from calibrate.cli.groups import GROUPS, choices, options, run_options, shared_options

LAUNCHER = "hydra/launcher"


def complete_override(
    ctx: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """`met` → `method=`; `method=m` → `method=mse`; `data.s` → `data.sigma=` once data is given."""
    given = dict(item.split("=", 1) for item in ctx.params.get("overrides") or () if "=" in item)
    found = [f"{group}=" for group in GROUPS]
    found += [f"{group}={name}" for group in (*GROUPS, LAUNCHER) for name in choices(group)]
    for group in ("data", "method"):
        if given.get(group) in choices(group):
            known = [*options(group, given[group]), *shared_options(group)]
            found += [f"{group}.{key}=" for key, _, _ in known]
    found += [f"{key}=" for key, _, _ in run_options()]
    keys = "=" not in incomplete
    return [CompletionItem(item) for item in found
            if item.startswith(incomplete) and item.endswith("=") == keys]  # fmt: skip


def complete_run_folder(
    ctx: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Finished runs below `outputs/`, newest first, or folders as they are typed."""
    found = sorted(Path("outputs").glob("*/*/*/report.json"), reverse=True)
    runs = [str(path.parent) for path in found if str(path.parent).startswith(incomplete)]
    return [CompletionItem(run) for run in runs] or [CompletionItem(incomplete, type="dir")]


def complete_public_set(
    ctx: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """The names of public files, with their titles."""
    from calibrate.catalogue.entries import public_sets  # dataclasses and their inspection: 15 ms

    return [
        CompletionItem(name, help=chosen.title)
        for name, chosen in public_sets().items()
        if name.startswith(incomplete)
    ]


@add_completion_class
class Bash(BashComplete):
    """Click's, without a space behind `method=`: its value follows."""

    source_template = BashComplete.source_template.replace(
        "COMPREPLY+=($value)", 'COMPREPLY+=("$value"); [[ $value == *= ]] && compopt -o nospace'
    )


@add_completion_class
class Zsh(ZshComplete):
    """Click's, without a space behind `method=`: all that is offered then ends so."""

    source_template = ZshComplete.source_template.replace(
        "compadd -U -V unsorted -a completions",
        """local suffix=' '
        [[ $completions[1] == *= ]] && suffix=''
        compadd -U -V unsorted -S "$suffix" -a completions""",
    )


@add_completion_class
class Fish(FishComplete):
    """Click's, with explanations that have a comma."""

    source_template = FishComplete.source_template.replace(
        'string split "," $completion', 'string split --max 1 "," $completion'
    )
