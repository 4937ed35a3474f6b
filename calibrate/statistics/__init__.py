"""Weighted statistics of unbinned arrays, with bootstrap errors: arrays in, arrays out."""

from calibrate.statistics.bins import bin_index, equal_statistics_edges
from calibrate.statistics.bootstrap import Poisson, bootstrap_binned, bootstrap_ratios
from calibrate.statistics.distance import ChiSquare, Distances, chi_square
from calibrate.statistics.goodness import Goodness, core_goodness
from calibrate.statistics.mode import ModeFits, truncated_gaussian_modes
from calibrate.statistics.moments import (
    binned_sum,
    grouped_squares,
    mean_error,
    weighted_covariance,
    weighted_mean,
    weighted_std,
)
from calibrate.statistics.polygon import polygon
from calibrate.statistics.quantiles import refuse_negative, weighted_quantile
from calibrate.statistics.separation import area_under_curve
from calibrate.statistics.summary import Fluctuations, Summary, summarise

__all__ = [
    "ChiSquare",
    "Distances",
    "Fluctuations",
    "Goodness",
    "ModeFits",
    "Poisson",
    "Summary",
    "area_under_curve",
    "bin_index",
    "binned_sum",
    "bootstrap_binned",
    "bootstrap_ratios",
    "chi_square",
    "core_goodness",
    "equal_statistics_edges",
    "grouped_squares",
    "mean_error",
    "polygon",
    "refuse_negative",
    "summarise",
    "truncated_gaussian_modes",
    "weighted_covariance",
    "weighted_mean",
    "weighted_quantile",
    "weighted_std",
]
