"""Records drawn as figures: the only room that imports matplotlib."""

from __future__ import annotations

from calibrate.figures.closure import closure_figure
from calibrate.figures.curves import calibration_figure, joint_figure
from calibrate.figures.gallery import figures_for
from calibrate.figures.pull import pull_figure
from calibrate.figures.resolution import resolution_figure
from calibrate.figures.response import response_figure
from calibrate.figures.slices import map_figure, slices_figure
from calibrate.figures.spectra import spectra_figure
from calibrate.figures.style import png_bytes, save
from calibrate.figures.training import training_figure

__all__ = [
    "calibration_figure",
    "closure_figure",
    "figures_for",
    "joint_figure",
    "map_figure",
    "png_bytes",
    "pull_figure",
    "resolution_figure",
    "response_figure",
    "save",
    "slices_figure",
    "spectra_figure",
    "training_figure",
]
