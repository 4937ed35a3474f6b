"""What closure looks at: one truth column of one test sample under one method."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from calibrate.estimate import Calibration, Replicated
from calibrate.evaluators.answer import Answer, Binning, Scalars, curve_record
from calibrate.evaluators.histograms import pull_histogram, response_histogram, tail_histogram
from calibrate.evaluators.residuals import Residual, binned_mean, effective_events
from calibrate.evaluators.shared_error import Chosen
from calibrate.evaluators.slices import Sliced, sliced_closure
from calibrate.evaluators.told import told
from calibrate.records import (
    MINIMUM_EFFECTIVE,
    ClosureCurve,
    Quantity,
    Record,
    SlicedClosure,
)
from calibrate.sample import FloatArray, IntArray, Sample
from calibrate.statistics import (
    Fluctuations,
    Summary,
    bin_index,
    core_goodness,
    mean_error,
    summarise,
    weighted_mean,
)
from calibrate.task import ClosedForm

COVERAGE_LEVELS = {"coverage_68": 1.0, "coverage_95": 1.96}


@dataclass(frozen=True)
class View:
    """One truth column of one test sample under one method, and how to bin it."""

    method: str
    fit: Calibration
    residual: Residual
    sample: Sample
    binning: Binning
    fluctuations: Fluctuations
    closed_form: ClosedForm | None
    slices: tuple[Sliced, ...] = ()
    nsc: bool = False

    @cached_property
    def index(self) -> IntArray:
        """The bin of each event."""
        order = self.sample.ascending[:, self.residual.component]
        return bin_index(self.residual.z, self.binning.z_edges, order)

    @cached_property
    def whole(self) -> Summary:
        """Statistics of u over the whole sample."""
        r, w = self.residual, self.sample.w
        zeros = np.zeros(len(w), np.int64)
        return summarise(r.u, w, zeros, 1, self.fluctuations, mode=True, ascending=r.ascending)

    def answer(self) -> Answer:
        """Everything this view contributes; numpy leaves other threads room to work."""
        return Answer.of(self, self.curve(), self.sliced())

    def sliced(self) -> list[SlicedClosure]:
        """Statistics in bins of z × slices of other columns."""
        edges, tolerance = self.binning.z_edges, self.binning.tolerance
        about = (self.method, self.residual, self.sample)
        return [sliced_closure(*about, s, edges, tolerance, self.fluctuations) for s in self.slices]

    def curve(self) -> ClosureCurve:
        """Statistics in bins of z."""
        bins = self.binning.z_edges.size - 1
        index, w, r = self.index, self.sample.w, self.residual
        found = summarise(r.u, w, index, bins, self.fluctuations, mode=True, ascending=r.ascending)
        core = core_goodness(r.u, w, index, found.mode, found.fit, self.sample.groups)
        z_mean = binned_mean(r.z, w, index, bins)
        sigma, sigma_error = self._quoted(index, bins)
        exact = self.closed_form
        unknown = np.full(bins, np.nan)
        return curve_record(
            *(self.method, r, self.binning, found, core),
            z_mean=z_mean,
            n_effective=effective_events(w, index, bins, self.sample.groups),
            calibration_error=self._shared(index, bins),
            sigma=sigma,
            sigma_error=sigma_error,
            exact_bias=unknown if exact is None else exact.bias(z_mean) / self._unit_of_u(z_mean),
            exact_resolution=unknown
            if exact is None
            else self._exact_resolution(exact, index, bins),
        )

    def scalars(self, curve: ClosureCurve) -> Scalars:
        """The metrics of this test sample; those without a value are left out."""
        r = self.residual
        found = locations(r, self.whole) | self._differences() | bias_metrics(r, curve)
        if self.closed_form:
            found |= self._exact(self.closed_form)
        return {name: q for name, q in found.items() if np.isfinite(q.value)}

    def histograms(self) -> list[Record]:
        """The response, and the pulls where Σ(x) is quoted."""
        edges, sample = self.binning.u_edges, self.sample
        response = response_histogram(self.method, self.residual, sample, edges, self.whole)
        found: list[Record] = [response]
        if self.binning.tail_edges is not None:
            found.append(
                tail_histogram(self.method, self.residual, sample, self.binning.tail_edges)
            )
        if self.residual.sigma is not None:
            found.append(pull_histogram(self.method, self.residual, sample))
        return found

    def warnings(self, curve: ClosureCurve) -> list[str]:
        """What a reader of the numbers has to know."""
        w = self.sample.w
        outside = float(np.sum(w[~self.residual.inside]) / np.sum(w))
        size, negative = self.sample.effective_size, bool(np.any(w < 0))
        return told(self.method, self.residual.label, outside, negative, size, curve)

    def _quoted(self, index: IntArray, bins: int) -> tuple[FloatArray, FloatArray]:
        """Root mean square of the quoted Σ per bin (over z if relative), and its error."""
        if self.residual.sigma is None:
            return np.full(bins, np.nan), np.full(bins, np.nan)
        scale = self._unit_of_u(self.residual.z)
        square, w = (self.residual.sigma / scale) ** 2, self.sample.w
        mean = binned_mean(square, w, index, bins)
        variance = np.maximum(binned_mean(square**2, w, index, bins) - mean**2, 0.0)
        n_effective = np.maximum(effective_events(w, index, bins, self.sample.groups), 1.0)
        root = np.sqrt(mean)
        return root, np.sqrt(variance / n_effective) / (2 * root)

    def _shared(self, index: IntArray, bins: int) -> FloatArray:
        """Statistical error of the calibration's mean per bin (over z if relative)."""
        fit, r = self.fit, self.residual
        if not isinstance(fit, Replicated):
            return np.full(bins, np.nan)
        return Chosen.of(fit, self.sample, r, index, bins).error(fit, r.component, bins)

    def _exact_resolution(self, form: ClosedForm, index: IntArray, bins: int) -> FloatArray:
        """Σ(z) of the closed form (over z if relative), with the spread of its bias inside the bin
        added."""
        z, w = self.residual.z, self.sample.w
        bias, noise = (values / self._unit_of_u(z) for values in (form.bias(z), form.resolution(z)))
        mean = binned_mean(bias, w, index, bins)
        return np.sqrt(binned_mean(noise**2 + bias**2, w, index, bins) - mean**2)

    def _exact(self, form: ClosedForm) -> Scalars:
        """What the closed form expects on these events: mean and spread of u, slope of the bias."""
        r, w = self.residual, self.sample.w / np.sum(self.sample.w)
        bias, noise = form.bias(r.z), form.resolution(r.z)
        u, width = (values / self._unit_of_u(r.z) for values in (bias, noise))
        mean, centred = w @ u, r.z - w @ r.z
        spread = np.sqrt(w @ (width**2 + (u - mean) ** 2))
        slope = (w @ (bias * centred)) / (w @ centred**2)
        return {
            f"closure/{r.label}/exact_mean": Quantity(float(r.reference + mean), None, r.unit),
            f"closure/{r.label}/exact_bias_slope": Quantity(float(slope)),
            f"resolution/{r.label}/exact_std": Quantity(float(spread), None, r.unit),
        }

    def _unit_of_u(self, z: FloatArray) -> FloatArray:
        """What a difference is divided by to be one of u: z if relative."""
        return z if self.residual.column.positive else np.ones_like(z)

    def _differences(self) -> Scalars:
        """Bias slope, pulls and coverage: functions of means, with errors in closed form."""
        r, unit = self.residual, self.residual.column.unit
        found = {f"closure/{r.label}/bias_slope": self._slope(r.estimate - r.z, r.z)}
        if r.sigma is not None:
            prefix, pull = f"point_resolution/{r.label}", (r.estimate - r.z) / r.sigma
            found[f"{prefix}/mean_sigma"] = self._mean(r.sigma, unit)
            found[f"{prefix}/pull_mean"] = self._mean(pull)
            found[f"{prefix}/pull_width"] = self._width(pull)
            for name, reach in COVERAGE_LEVELS.items():
                found[f"{prefix}/{name}"] = self._mean((np.abs(pull) <= reach).astype(np.float64))
        return found

    def _mean(self, values: FloatArray, unit: str = "") -> Quantity:
        value = float(weighted_mean(values, self.sample.w))
        return Quantity(value, self._error(values - value), unit)

    def _width(self, values: FloatArray) -> Quantity:
        """Standard deviation; d√V = dV/(2√V)."""
        w = self.sample.w
        squares = (values - weighted_mean(values, w)) ** 2
        variance = float(weighted_mean(squares, w))
        width = np.sqrt(max(variance, 0.0))
        return Quantity(width, self._error((squares - variance) / (2 * width)) if width else 0.0)

    def _slope(self, y: FloatArray, x: FloatArray) -> Quantity:
        """cov(y, x)/var(x); of its influence there remains the residual of the straight line."""
        w = self.sample.w
        x, y = x - weighted_mean(x, w), y - weighted_mean(y, w)
        variance = float(weighted_mean(x * x, w))
        slope = float(weighted_mean(x * y, w)) / variance
        return Quantity(slope, self._error(x * (y - slope * x) / variance))

    def _error(self, influence: FloatArray) -> float:
        """Of what changes by the mean of `influence` (n,), itself of mean zero."""
        return mean_error(influence, 0.0, self.sample.w, self.sample.groups)


def locations(r: Residual, whole: Summary) -> Scalars:
    """Location and spread of u over the whole sample."""
    names = {"closure": ("mean", "median", "mode"), "resolution": ("std", "iqr", "fit")}
    return {
        f"{family}/{r.label}/{name}": Quantity(
            float(getattr(whole, name)[0]), _finite(getattr(whole, f"{name}_error")[0]), r.unit
        )
        for family, members in names.items()
        for name in members
    }


def bias_metrics(r: Residual, curve: ClosureCurve) -> Scalars:
    """Largest |bias| over the bins with enough events, and χ² of no bias per bin."""
    usable = (curve.n_effective >= MINIMUM_EFFECTIVE) & (curve.mean_error > 0)
    if not usable.any():
        return {}
    bias, error = curve.mean[usable] - curve.reference, curve.mean_error[usable]
    worst = int(np.argmax(np.abs(bias)))
    chi2 = float(np.mean((bias / error) ** 2))
    return {
        f"closure/{r.label}/max_abs_bias": Quantity(abs(bias[worst]), float(error[worst]), r.unit),
        f"closure/{r.label}/chi2_per_bin": Quantity(chi2, None),
    }


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
