"""Tab completion as it is typed: the shells themselves, in a terminal of their own."""

from __future__ import annotations

import os
import re
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.shell_completion import BashComplete, FishComplete, ZshComplete

from calibrate.cli.completion import Bash, Fish, Zsh

ROOT = Path(__file__).resolve().parents[1]
SHELLS = {
    "bash": (
        "bash --noprofile --norc -i",
        'eval "$(_CALIBRATE_COMPLETE=bash_source calibrate)"; '
        "COMP_WORDBREAKS=${COMP_WORDBREAKS//=}",
    ),
    "zsh": (
        "zsh -f -i",
        'autoload -Uz compinit && compinit -u; eval "$(_CALIBRATE_COMPLETE=zsh_source calibrate)"',
    ),
    "fish": ("fish --no-config -i", "_CALIBRATE_COMPLETE=fish_source calibrate | source"),
}
"""How each is started without the user's own files, and what those would say."""
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\x1b\][^\x07]*\x07|\x1b[=>]|\x1b\(B|\r")
WELL_OVER = 60.0
"""Seconds after which a shell that says nothing is given up."""
TAB, HOME = "\t", "\x01"


class Terminal:
    """A shell that believes that somebody sits before it."""

    def __init__(self, command: str, folder: Path) -> None:
        given = {"HOME": str(folder), "TERM": "xterm", "PYTHONPATH": str(ROOT)}
        given["PATH"] = f"{folder / 'bin'}:{os.environ['PATH']}"
        sized = f"stty rows 40 cols 160; exec {command}"
        self.process = subprocess.Popen(
            [sys.executable, "-c", f"import pty; pty.spawn(['sh', '-c', {sized!r}])"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=folder, env={**os.environ, **given},
        )  # fmt: skip

    def types(self, keys: str, *until: str) -> str:
        """Press keys, and read until the screen shows some texts."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(keys.encode())
        self.process.stdin.flush()
        raw, end = "", time.monotonic() + WELL_OVER
        while not all(text in (shown := ESCAPES.sub("", raw)) for text in until):
            ready, _, _ = select.select([self.process.stdout], [], [], end - time.monotonic())
            assert ready, f"no {until!r} after {keys!r}, but {shown!r}"
            raw += os.read(self.process.stdout.fileno(), 65536).decode(errors="replace")
        return shown

    def close(self) -> None:
        """The window is closed."""
        self.process.kill()
        self.process.communicate()


@pytest.fixture(params=SHELLS)
def terminal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Terminal]:
    """A shell that has read what the manual says."""
    command, start = SHELLS[request.param]
    if shutil.which(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    program = tmp_path / "bin" / "calibrate"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m calibrate.cli.main "$@"\n')
    program.chmod(0o755)
    opened = Terminal(command, tmp_path)
    opened.types(start + "; echo rea''dy\n", "ready")
    yield opened
    opened.close()


def test_keys_values_and_subcommands_are_completed(terminal: Terminal):
    """Behind `method=` goes on what is typed next; behind a value comes a space."""
    terminal.types("calibrate ru" + TAB, "calibrate run ")
    terminal.types("met" + TAB, "method=")
    terminal.types("numer" + TAB, "numerical_inversion ")
    terminal.types("data=gau" + TAB, "data=gaussian ")
    terminal.types("data.mu_" + TAB, "data.mu_test=")
    shown = terminal.types("3" + HOME + "printf '<%s>' \n", "<data.mu_test=3>")
    words = ("calibrate", "run", "method=numerical_inversion", "data=gaussian", "data.mu_test=3")
    assert "".join(f"<{word}>" for word in words) in shown


def test_choices_are_listed(terminal: Terminal):
    terminal.types(
        "calibrate run method=n" + TAB + TAB, "method=none", "method=numerical_inversion"
    )


def test_what_is_put_into_clicks_scripts_has_its_place_there():
    for ours, clicks in ((Bash, BashComplete), (Zsh, ZshComplete), (Fish, FishComplete)):
        assert ours.source_template != clicks.source_template
