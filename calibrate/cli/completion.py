"""Tab completion of overrides, run folders and public files."""

from __future__ import annotations

from pathlib import Path

import click
from click.shell_completion import CompletionItem

from calibrate.cli.groups import GROUPS, choices, options, shared_options


def complete_override(
    ctx: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """`met` → `method=`; `method=m` → `method=mse`; `data.s` → `data.sigma=` once data is given."""
    given = dict(item.split("=", 1) for item in ctx.params.get("overrides") or () if "=" in item)
    found = [f"{group}=" for group in GROUPS]
    found += [f"{group}={name}" for group in GROUPS for name in choices(group)]
    for group in ("data", "method"):
        if given.get(group) in choices(group):
            known = [*options(group, given[group]), *shared_options(group)]
            found += [f"{group}.{key}=" for key, _, _ in known]
    parts = ("hydra", "report", "data")
    found += [f"{key}=" for key, _, _ in options("", "config") if key not in parts]
    matching = [item for item in found if item.startswith(incomplete)]
    if "=" not in incomplete:
        matching = [item for item in matching if item.endswith("=")]
    return [CompletionItem(item) for item in matching]


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
