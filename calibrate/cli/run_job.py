"""One job of a sweep of runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from calibrate.cli.order import Order
from calibrate.cli.planning import built
from calibrate.cli.recipe import Recipe
from calibrate.cli.run import run_in
from calibrate.context import Progress


def perform(order: Order, folder: Path, progress: Progress) -> None:
    """One study, in an ordinary run folder."""
    planned = built(Recipe(**order.recipe))
    context = planned.context(progress)
    if order.checkpoints:
        context = replace(context, checkpoints=order.checkpoints)
    run_in(folder, planned, order.command, context, {"content": order.content})
