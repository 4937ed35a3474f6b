"""The command `calibrate`. Heavy imports wait until a command needs them."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from typing import NoReturn

import click

from calibrate.cli.completion import (
    complete_override,
    complete_public_set,
    complete_run_folder,
)
from calibrate.errors import CalibrateError

# Waiting OpenMP threads sleep instead of spinning: on a busy machine a spinning pair of threads
# is five times slower than one. Must be set before torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

EPILOG_RUN = """\b
Examples:
  calibrate run method=gaussian_ansatz data=dijet
  calibrate run method=mse data=gaussian data.mu=1 compare_with=[none,gaussian_ansatz]
  calibrate run experiment=fig1
  calibrate run -m data=gaussian method=mse data.mu=-2,-1,0,1,2 seed='range(0,3)'
  calibrate run experiment=fig2a
  calibrate run -m data=dijet method=mse seed='range(0,50)' hydra/launcher=slurm sweep.detach=true
"""


@click.group(no_args_is_help=False, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="hep-calibrate", prog_name="calibrate")
def cli() -> None:
    """Derive detector calibrations, test whether they close, and ship them."""


@cli.command(
    "run",
    add_help_option=False,
    epilog=EPILOG_RUN,
    context_settings={"ignore_unknown_options": True},
)
@click.argument("overrides", nargs=-1, shell_complete=complete_override)
@click.option("-m", "--multirun", is_flag=True, help="Run every combination of a sweep.")
@click.option("--cfg", "show", is_flag=True, help="Print the composed configuration and stop.")
@click.option("-h", "--help", "asked", is_flag=True, help="Show groups, options and stop.")
@click.pass_context
def run_command(
    ctx: click.Context, overrides: tuple[str, ...], multirun: bool, show: bool, asked: bool
) -> None:
    """Derive one calibration, evaluate it beside others, and leave a report.

    OVERRIDES are key=value: data=…, method=…, experiment=…, and any key below them.
    """
    if asked:
        from calibrate.cli.groups import describe

        click.echo(ctx.get_help() + "\n\n" + describe(overrides))
        return
    from calibrate.cli.compose import is_sweep

    if not show and (multirun or is_sweep(overrides)):
        from calibrate.cli.sweep import sweep

        ctx.exit(sweep(overrides))
    from calibrate.cli.run import run, show_configuration

    if show:
        click.echo(show_configuration(overrides), nl=False)
        return
    ctx.exit(run(overrides))


@cli.command("apply", context_settings={"max_content_width": 100})
@click.argument("run", metavar="RUN", shell_complete=complete_run_folder)
@click.argument("given", nargs=-1, metavar="INPUT… OUTPUT", type=click.Path())
@click.option("--column", "columns", multiple=True, metavar="FEATURE=EXPRESSION",
              help="Where a feature is in INPUT, if not in the column of its name.")  # fmt: skip
@click.option("--name", "names", multiple=True, help="Stem of the new columns' names, per truth.")
@click.option("--outside", default="flag", show_default=True, metavar="flag|clamp|refuse",
              help="Rows outside the range of the training sample.")  # fmt: skip
@click.option("--chunk", "rows", default=100_000, show_default=True, help="Rows read at a time.")
@click.option("--tree", help="ROOT tree or RNTuple, HDF5 group or dataset of INPUT.")
@click.option("--friend", is_flag=True, help="ROOT: a tree beside the old one, in a copied file.")
@click.pass_context
def apply_command(ctx: click.Context, run: str, given: tuple[str, ...], columns: tuple[str, ...],
                  names: tuple[str, ...], outside: str, rows: int, tree: str | None,
                  friend: bool) -> None:  # fmt: skip
    """Write OUTPUT, a copy of INPUT with the calibration of RUN as new columns.

    ROOT (trees, RNTuples), HDF5, Parquet, NPZ, CSV and other text; jagged stays jagged, other
    columns stay untouched. The new ones are STEM_calibrated, STEM_sigma (the resolution, where one
    is quoted), STEM_up and STEM_down (runs with replicas), and STEM_valid, false outside the range
    of the training sample.

    Several INPUTs, or a quoted pattern, are jobs: OUTPUT is a folder then, and takes files of the
    same names. The same command goes on where it ended; what is done is skipped. Options of the
    jobs are KEY=VALUE: hydra.launcher.workers=4, hydra/launcher=…, sweep.files=10 (files of one
    job), sweep.retry=failed, sweep.fail_fast=true.
    """
    from calibrate.cli.apply import apply_options, apply_run

    options = apply_options(columns, names, outside, rows, tree, friend)
    ctx.exit(apply_run(run, given, options))


@cli.command("evaluate", context_settings={"ignore_unknown_options": True})
@click.argument("run", metavar="RUN", shell_complete=complete_run_folder)
@click.argument("overrides", nargs=-1, shell_complete=complete_override)
@click.option("-m", "--multirun", is_flag=True, help="Chunks of files as jobs, merged at the end.")
@click.pass_context
def evaluate_command(
    ctx: click.Context, run: str, overrides: tuple[str, ...], multirun: bool
) -> None:
    """Evaluate the stored calibration of RUN on another dataset, and leave a report.

    OVERRIDES are key=value as for `calibrate run`: data=… is needed; method=… is shown beside it,
    such as method=column method.z=jet_pt_jec, an estimate that stands in a column of the data.

    With -m each chunk of sweep.files files is a job (data=table 'data.path=in/*.root'
    'evaluator=[closure]'), and events may be more than the memory holds. The same command with the
    same sweep.dir goes on where it ended.
    """
    if multirun:
        from calibrate.cli.evaluate_files import evaluate_files

        ctx.exit(evaluate_files(run, overrides))
    from calibrate.cli.evaluate import evaluate

    ctx.exit(evaluate(run, overrides))


@cli.command("compare")
@click.argument("folders", nargs=-1, metavar="RUN RUN …", shell_complete=complete_run_folder)
@click.option("--label", "labels", multiple=True, metavar="NAME",
              help="Name of a run, once for each; else method and differing options.")  # fmt: skip
@click.option("--output", metavar="FOLDER",
              help="A new folder  [default: one below outputs/comparisons/].")  # fmt: skip
@click.option("--figures/--no-figures", default=True, show_default=True, help="Draw figures.")
@click.pass_context
def compare_command(ctx: click.Context, folders: tuple[str, ...], labels: tuple[str, ...],
                    output: str | None, figures: bool) -> None:  # fmt: skip
    """Lay finished runs of one dataset side by side: comparison.html and comparison.json.

    Metrics with differences to the first run, overlaid figures, the options that differ.
    """
    from calibrate.cli.compare import compare_runs

    ctx.exit(compare_runs(folders, labels, output, figures))


@cli.command("report")
@click.argument("folder", type=click.Path(), metavar="RUN", shell_complete=complete_run_folder)
def report_command(folder: str) -> None:
    """Draw the figures of a finished run and write its page again, from its findings."""
    from calibrate.cli.report import redraw

    click.echo(redraw(folder))


@cli.group("data", context_settings={"max_content_width": 100})
def data_group() -> None:
    """Public files: list them, fetch them, and check what any file holds."""


@data_group.command("list")
def list_command() -> None:
    """Show the public files that are known: size, licence, citation, and what is here already."""
    from calibrate.cli.public import listing

    for line in listing():
        click.echo(line)


@data_group.command("fetch")
@click.argument("name", shell_complete=complete_public_set)
@click.argument("options", nargs=-1, metavar="[files=N]")
@click.option("--base-url", metavar="URL", help="A mirror that holds the files by their names.")
@click.option("--parallel", default=4, show_default=True, help="Files at a time.")
@click.option("--timeout", default=60.0, show_default=True,
              help="Seconds without a byte that end an attempt.")  # fmt: skip
def fetch_command(name: str, options: tuple[str, ...], base_url: str | None, parallel: int,
                  timeout: float) -> None:  # fmt: skip
    """Fetch the files of NAME, or the first N of them, into the folder of CALIBRATE_DATA.

    Interrupted, it goes on where it stopped. Files are checked against their checksums; one that
    does not match is kept aside and never used.
    """
    from calibrate.cli.public import fetch

    for line in fetch(name, options, base_url, parallel, timeout):
        click.echo(line)


@data_group.command("check")
@click.argument("path", type=click.Path())
def check_command(path: str) -> None:
    """Show what the file PATH holds, and what is wrong with it (exit status 1 then)."""
    from calibrate.cli.public import check

    for line in check(path):
        click.echo(line)


@cli.group("sweep", no_args_is_help=False)
def sweep_group() -> None:
    """Look at a sweep, go on with it, stop it, or collect what it found."""


DIR = click.argument("folder", metavar="DIR", type=click.Path())


@sweep_group.command("status")
@DIR
def sweep_status(folder: str) -> None:
    """How many jobs are done, and what runs or went wrong."""
    from calibrate.cli.sweep_status import status

    click.echo(status(folder))


@sweep_group.command("retry")
@DIR
@click.pass_context
def sweep_retry(ctx: click.Context, folder: str) -> None:
    """Do again what failed or was lost, and what was never started."""
    from calibrate.cli.sweep import retry

    ctx.exit(retry(folder))


@sweep_group.command("cancel")
@DIR
def sweep_cancel(folder: str) -> None:
    """Start no further job; those that run come to their end, those in Slurm are cancelled."""
    from calibrate.cli.sweep_status import cancel

    click.echo(cancel(folder))


@sweep_group.command("collect")
@DIR
def sweep_collect(folder: str) -> None:
    """Write the tables and the page again, of what is done so far."""
    from calibrate.cli.collect import collect_folder

    click.echo(collect_folder(folder))


def main() -> NoReturn:
    """Entry point: one clear line on stderr for every failure, exit status 1 or 2.

    All files are closed by then: the interpreter is left at once, since threads of libraries that
    are still waiting (pyarrow's) can bring the process down while it is taken apart.
    """
    status = guarded(lambda: cli.main(prog_name="calibrate", standalone_mode=False))
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(status)


def guarded(command: Callable[[], object]) -> int:
    """Run a command; its exit status, with errors told in one line."""
    try:
        status = command()
    except CalibrateError as error:
        return _fail(str(error), error.exit_status)
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx else "calibrate"
        return _fail(f"{error.format_message()} (see {where} --help)", error.exit_code)
    except click.ClickException as error:
        return _fail(error.format_message(), error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        return _fail("interrupted; a run folder without report.json is unfinished", 1)
    except BrokenPipeError:
        return 1
    except Exception as error:
        return _fail(f"unexpected {type(error).__name__}: {error}", 1)
    return status if isinstance(status, int) else 0


def _fail(message: str, status: int) -> int:
    print(f"calibrate: error: {' '.join(message.split())}", file=sys.stderr)
    return status


if __name__ == "__main__":
    main()
