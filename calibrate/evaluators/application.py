"""The bias of fitted calibrations on the nominal test events under other spectra."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from calibrate.errors import DataError
from calibrate.estimate import Calibration
from calibrate.evaluators.spectra_family import applied
from calibrate.records import MINIMUM_EFFECTIVE, PriorApplication, Quantity, Table
from calibrate.sample import Sample
from calibrate.statistics import mean_error, weighted_mean
from calibrate.task import NOMINAL


def spectra_of(sample: Sample) -> tuple[dict[str, Sample], list[str]]:
    """The sample under all spectra that leave it enough effective events, and what to say of the
    others."""
    kept, sizes = {}, {}
    for name, reshape in applied(sample).items():
        try:
            reweighted = reshape(sample)
            size = reweighted.effective_size
        except DataError:
            size = 0.0  # nothing of the sample is left, or its weights sum to less than nothing
        if size >= MINIMUM_EFFECTIVE:
            kept[name] = reweighted
        else:
            sizes[name] = size
    return kept, too_few("the test sample", sizes)


def too_few(what: str, sizes: Mapping[str, float]) -> list[str]:
    """Why spectra are left out, given their effective events; nothing if none is."""
    if not sizes:
        return []
    told = ", ".join(f"'{spectrum}' ({size:.0f})" for spectrum, size in sizes.items())
    return [
        f"{what} has fewer than the {MINIMUM_EFFECTIVE} effective events that are needed on the "
        f"spectrum {told}: left out of the test on other spectra"
    ]


def bias_under(
    spectra: Mapping[str, Sample],
    nominal: Sample,
    method: str,
    fit: Calibration,
    tolerance: float,
) -> PriorApplication:
    """Mean of u under each spectrum of the nominal sample, with errors in closed form."""
    column = nominal.z_columns[0]
    estimate, z = fit.estimate(fit.domain.features(nominal)).z[:, 0], nominal.z[:, 0]
    u = estimate / z if column.positive else estimate - z
    mean = np.array([float(weighted_mean(u, sample.w)) for sample in spectra.values()])
    errors = [mean_error(u, value, sample.w, nominal.groups)
              for value, sample in zip(mean, spectra.values(), strict=True)]  # fmt: skip
    return PriorApplication(
        method=method,
        test=NOMINAL,
        z_name=column.name,
        z_unit=column.unit,
        relative=column.positive,
        tolerance=tolerance,
        spectra=tuple(spectra),
        n_effective=np.array([sample.effective_size for sample in spectra.values()]),
        mean=mean,
        mean_error=np.array(errors),
    )


def largest(found: PriorApplication) -> Quantity:
    """`prior/application`."""
    worst = int(np.argmax(np.abs(found.mean - found.reference)))
    return Quantity(float(abs(found.mean[worst] - found.reference)), float(found.mean_error[worst]))


def table(found: PriorApplication) -> Table:
    """One row per spectrum."""
    unit = "" if found.relative else found.z_unit
    rows = tuple(
        (name, float(size), float(mean), float(error))
        for name, size, mean, error in zip(
            found.spectra, found.n_effective, found.mean, found.mean_error, strict=True
        )
    )
    return Table(("spectrum", "n_effective", "mean", "mean_error"), ("", "", unit, unit), rows)
