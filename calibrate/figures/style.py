"""How figures look: the field's style by mplhep, one colour and marker for each method.

The base is mplhep's CMS style (ticks on all sides and inwards, axis labels at the axis ends),
made smaller for a figure that is read about 700 pixels wide, and without an experiment's name.
Colours are Okabe and Ito's, told apart by colour-blind readers; the untouched response is grey.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import matplotlib
import mplhep
from matplotlib.figure import Figure

from calibrate.figures.ticks import lighten_ticks

UNCALIBRATED = "none"
GREY = "#8c8c92"
DARK = "#1b1f3b"
PALETTE = ("#12356b", "#d55e00", "#009e73", "#b4508a", "#e69f00", "#3fa0e0")
MARKERS = ("o", "s", "D", "^", "v", "P")
WIDTH = 7.0
DPI = 140

RC: Mapping[str, Any] = MappingProxyType(
    {
        **mplhep.style.CMS,
        "figure.figsize": (WIDTH, 6.0),
        "figure.facecolor": "white",
        "font.size": 14,
        "mathtext.default": "it",
        "legend.fontsize": 11.5,
        "legend.frameon": True,
        "legend.framealpha": 1.0,
        "legend.edgecolor": "none",
        "legend.borderpad": 0.2,
        "legend.handletextpad": 0.5,
        "legend.columnspacing": 1.2,
        "legend.labelspacing": 0.35,
        "axes.linewidth": 1.1,
        "axes.labelpad": 4,
        "xtick.major.size": 7,
        "xtick.minor.size": 3.5,
        "ytick.major.size": 7,
        "ytick.minor.size": 3.5,
        "lines.linewidth": 1.4,
        "lines.markersize": 5,
        "errorbar.capsize": 0,
        "savefig.dpi": DPI,
        "pdf.fonttype": 3,  # outlines: subsetting TrueType fonts costs as much as drawing
    }
)


@contextmanager
def styled() -> Iterator[None]:
    """The style as a context, also a decorator; outside it nothing global has changed."""
    settings: Any = dict(RC)
    with matplotlib.rc_context(settings):
        yield


@dataclass(frozen=True)
class Look:
    """How one method, or one sample, is drawn in every figure."""

    colour: str
    marker: str
    order: int

    @property
    def calibrated(self) -> bool:
        """False for the untouched response, which stays in the background."""
        return self.colour != GREY


def looks(methods: Iterable[str]) -> dict[str, Look]:
    """One look per method, in the order of their first appearance; `none` is always grey."""
    chosen: dict[str, Look] = {}
    calibrated = 0
    for method in dict.fromkeys(methods):
        if method == UNCALIBRATED:
            chosen[method] = Look(GREY, "X", 1)
            continue
        turn = calibrated % len(PALETTE)
        chosen[method] = Look(PALETTE[turn], MARKERS[turn], 20 - min(calibrated, 10))
        calibrated += 1
    return chosen


def png_bytes(figure: Figure) -> bytes:
    """The figure as a PNG file; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    _write(figure, buffer, "png")
    return buffer.getvalue()


def save(figure: Figure, stem: Path, formats: Sequence[str] = ("png", "pdf")) -> list[Path]:
    """Write `stem.png`, `stem.pdf` …; no file carries a date."""
    paths = [stem.with_name(f"{stem.name}.{kind}") for kind in formats]
    for path, kind in zip(paths, formats, strict=True):
        _write(figure, path, kind)
    return paths


def _write(figure: Figure, target: Path | io.BytesIO, kind: str) -> None:
    options: dict[str, dict[str, Any]] = {
        "png": {"metadata": {"Software": "calibrate"}, "pil_kwargs": {"compress_level": 2}},
        "pdf": {"metadata": {"Creator": "calibrate", "CreationDate": None}},
        "svg": {"metadata": {"Creator": "calibrate", "Date": None}},
    }
    with styled():
        lighten_ticks(figure)
        figure.savefig(target, format=kind, dpi=DPI, **options.get(kind, {}))
