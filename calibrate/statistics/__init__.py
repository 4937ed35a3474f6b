"""Weighted statistics of unbinned arrays, with bootstrap errors: arrays in, arrays out."""

from calibrate.statistics.bins import bin_index, equal_statistics_edges
from calibrate.statistics.bootstrap import Poisson, bootstrap_ratios
from calibrate.statistics.mode import ModeFit, truncated_gaussian_mode
from calibrate.statistics.moments import (
    binned_sum,
    grouped_squares,
    weighted_covariance,
    weighted_mean,
    weighted_std,
)
from calibrate.statistics.quantiles import weighted_quantile
from calibrate.statistics.summary import Summary, summarise

__all__ = [
    "ModeFit",
    "Poisson",
    "Summary",
    "bin_index",
    "binned_sum",
    "bootstrap_ratios",
    "equal_statistics_edges",
    "grouped_squares",
    "summarise",
    "truncated_gaussian_mode",
    "weighted_covariance",
    "weighted_mean",
    "weighted_quantile",
    "weighted_std",
]
