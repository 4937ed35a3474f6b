"""Weighted statistics of unbinned arrays, with errors by group: arrays in, arrays out."""

from calibrate.statistics.bins import bin_index, equal_statistics_edges
from calibrate.statistics.bootstrap import Fluctuations, Poisson, bootstrap_binned, fluctuations_of
from calibrate.statistics.distance import ChiSquare, Distances, chi_square
from calibrate.statistics.ence import normalised_error
from calibrate.statistics.goodness import Goodness, core_goodness
from calibrate.statistics.means import binned_means, mean_values, root, shares_below
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
from calibrate.statistics.summary import Summary, summarise

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
    "binned_means",
    "binned_sum",
    "bootstrap_binned",
    "chi_square",
    "core_goodness",
    "equal_statistics_edges",
    "fluctuations_of",
    "grouped_squares",
    "mean_error",
    "mean_values",
    "normalised_error",
    "polygon",
    "refuse_negative",
    "root",
    "shares_below",
    "summarise",
    "truncated_gaussian_modes",
    "weighted_covariance",
    "weighted_mean",
    "weighted_quantile",
    "weighted_std",
]
