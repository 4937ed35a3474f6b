"""Figures drawn from constructed records: what is on the axes is what the records hold."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, to_rgb
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.patches import StepPatch

from calibrate.figures import (
    calibration_figure,
    closure_figure,
    figures_for,
    joint_figure,
    map_figure,
    png_bytes,
    pull_figure,
    resolution_figure,
    response_figure,
    save,
    slices_figure,
    spectra_figure,
    training_figure,
)
from calibrate.figures.pull import deviations, gaussian_density
from calibrate.figures.resolution import quoted_over_actual
from calibrate.figures.response import core
from calibrate.figures.slices import cell_text, slice_names
from calibrate.figures.style import GREY, looks, styled
from calibrate.figures.training import distance
from calibrate.records import (
    CalibrationCurve,
    ClosureCurve,
    JointHistogram,
    PullHistogram,
    ResolutionFit,
    ResponseHistogram,
    SlicedClosure,
    SpectrumHistogram,
    TrainingCurve,
)
from calibrate.sample import FloatArray

BINS = 6
Drawing = Callable[[Sequence[ClosureCurve]], Figure]


def closure(
    method: str = "gaussian_ansatz", test: str = "nominal", *, bins: int = BINS, slope: float = 0.0
) -> ClosureCurve:
    """A relative closure curve whose bias grows by `slope` per bin."""
    edges = np.linspace(1000.0, 4000.0, bins + 1)
    bias = slope * (np.arange(bins) - (bins - 1) / 2)
    full, unknown = np.ones(bins), np.full(bins, np.nan)
    return ClosureCurve(
        method=method, test=test, z_name="mjj_true", z_unit="GeV", relative=True, tolerance=0.01,
        edges=edges, z_mean=0.49 * edges[1:] + 0.51 * edges[:-1], n_effective=1000 * full,
        mean=1 + bias, mean_error=0.001 * full, median=1.001 + bias, median_error=0.0012 * full,
        std=0.03 * full, std_error=0.0005 * full, iqr=0.029 * full, iqr_error=0.0006 * full,
        sigma=unknown if method == "none" else 0.033 * full, sigma_error=0.0001 * full,
        exact_bias=unknown, exact_resolution=unknown,
    )  # fmt: skip


def additive(curve: ClosureCurve, scale: float = 1.0) -> ClosureCurve:
    """The same biases as differences ẑ - z, in units of `scale`."""
    named = ("mean_error", "median_error", "std", "std_error", "iqr", "iqr_error", "sigma")
    scaled = {name: scale * getattr(curve, name) for name in named}
    scaled |= {name: scale * (getattr(curve, name) - 1) for name in ("mean", "median")}
    scaled |= {"edges": scale * (curve.edges - 2500), "z_mean": scale * (curve.z_mean - 2500)}
    return replace(curve, relative=False, tolerance=0.01 * scale, **scaled)


def response(method: str, mean: float = 1.0, overflow: float = 0.0) -> ResponseHistogram:
    edges = np.linspace(0.8, 1.2, 41)
    u = 0.5 * (edges[1:] + edges[:-1])
    density = np.exp(-0.5 * ((u - mean) / 0.03) ** 2) / (0.03 * math.sqrt(2 * math.pi))
    return ResponseHistogram(
        method, "nominal", "mjj_true", "GeV", True, edges, density, np.sqrt(density / 200),
        0.0, overflow, mean, 0.00021, 0.0302,
    )  # fmt: skip


def pull(method: str = "gaussian_ansatz") -> PullHistogram:
    edges = np.linspace(-5, 5, 41)
    density = gaussian_density(edges)
    return PullHistogram(
        method, "nominal", edges, density, np.full(40, 0.01), 0.0, 0.0, 0.0123, 1.0456
    )


def calibration(method: str, slope: float) -> CalibrationCurve:
    x = np.linspace(-6.0, 6.0, 61)
    sigma = np.full(61, 2.0)
    return CalibrationCurve(method, "x", "", "z", "", x, slope * x, sigma, slope * x, sigma)


def spectrum(sample: str, level: str, name: str = "mjj") -> SpectrumHistogram:
    edges = np.linspace(1000, 4000, 31)
    density = np.exp(-edges[:-1] / 400) / 40
    return SpectrumHistogram(sample, level, name, "GeV", edges, density, 0.1 * density, 0.0, 0.0)


def with_modes(curve: ClosureCurve, mode: float = 1.002, probability: float = 0.5) -> ClosureCurve:
    full = np.ones(curve.mean.size)
    return replace(
        curve, mode=mode * full, mode_error=0.002 * full, fit=0.03 * full, fit_error=0.001 * full,
        fit_low=0.957 * full, fit_high=1.047 * full, fit_chi2=37 * full, fit_ndf=37 * full,
        fit_probability=probability * full,
    )  # fmt: skip


def sliced(method: str = "gaussian_ansatz", by: str = "abs(eta_reco)") -> SlicedClosure:
    """Four bins and three slices: one cell fails, one has few events, one is empty."""
    mean = np.ones((3, 4))
    mean[2, 1] = 1.05
    n = np.full((3, 4), 1000.0)
    n[0, 0], n[1, 3] = 100.0, 0.0
    mean[1, 3] = np.nan
    edges, full = np.array([20.0, 50, 100, 200, 900]), np.ones((3, 4))
    return SlicedClosure(
        method=method, test="nominal", z_name="pt_true", z_unit="GeV", relative=True,
        tolerance=0.02, by=by, by_unit="", edges=edges, by_edges=np.array([0, 0.8, 1.3, 2.5]),
        z_mean=0.5 * (edges[1:] + edges[:-1]) * full, n_effective=n, mean=mean,
        mean_error=0.001 * full, std=0.1 * full, std_error=0.001 * full, iqr=0.09 * full,
        iqr_error=0.001 * full,
    )  # fmt: skip


def terms(method: str = "gaussian_ansatz", chi2: float = 9.5) -> ResolutionFit:
    return ResolutionFit(
        method, "nominal", "mjj_true", "GeV", -1.234, 0.15, 1.0123, 0.012, 0.0412, 0.0011,
        chi2, 9.0, 0.4 if chi2 < 20 else 1e-9, 1000.0, 4000.0,
    )  # fmt: skip


def found(axes: Axes, gid: str) -> list[Line2D]:
    return [line for line in axes.lines if line.get_gid() == gid]


def heights(axes: Axes, gid: str) -> FloatArray:
    (line,) = found(axes, gid)
    return np.asarray(line.get_ydata(), dtype=float)


def legend_texts(axes: Axes) -> list[str]:
    legend = axes.get_legend()
    return [text.get_text() for text in legend.get_texts()] if legend else []


def panels(figure: Figure) -> tuple[Axes, Axes]:
    lower, upper = figure.axes
    return upper, lower


def test_closure_shows_the_record_above_and_the_bias_below() -> None:
    curve = closure(slope=0.002)
    upper, lower = panels(closure_figure([curve]))
    np.testing.assert_array_equal(heights(upper, "gaussian_ansatz:mean"), curve.mean)
    np.testing.assert_array_equal(found(upper, "gaussian_ansatz:mean")[0].get_xdata(), curve.z_mean)
    np.testing.assert_allclose(heights(lower, "gaussian_ansatz:mean bias"), curve.mean - 1)
    np.testing.assert_allclose(heights(lower, "gaussian_ansatz:median bias"), curve.median - 1)


def test_closure_leaves_the_uncalibrated_response_out_of_the_lower_panel() -> None:
    curves = [closure(), replace(closure("none"), mean=np.full(BINS, 0.95))]
    upper, lower = panels(closure_figure(curves))
    assert found(upper, "none:mean")
    assert not found(lower, "none:mean bias")
    assert to_rgb(found(upper, "none:mean")[0].get_color()) == to_rgb(GREY)
    assert "none (uncalibrated)" in legend_texts(upper)
    assert max(np.abs(lower.get_ylim())) < 0.05
    alone = panels(closure_figure([curves[1]]))[1]
    assert found(alone, "none:mean bias")


def test_closure_panels_hold_every_calibrated_point_or_an_arrow() -> None:
    curves = [closure(), closure("mse", slope=0.5)]
    upper, lower = panels(closure_figure(curves))
    low, high = upper.get_ylim()
    assert low < curves[1].mean.min()
    assert curves[1].mean.max() < high
    limit = lower.get_ylim()[1]
    outside = sum(line.get_xdata().size for line in found(lower, "mse:outside"))
    assert outside == np.count_nonzero(np.abs(curves[1].mean - 1) > limit) > 0
    assert limit < 0.1


def test_bins_of_few_events_are_faint_and_do_not_set_the_range() -> None:
    few = np.full(BINS, 1000.0)
    few[-1] = 199.0
    mean = np.ones(BINS)
    mean[-1] = 7.0
    upper, _ = panels(closure_figure([replace(closure(), n_effective=few, mean=mean)]))
    (faint,) = found(upper, "gaussian_ansatz:mean:faint")
    assert faint.get_alpha() < 0.5
    assert faint.get_ydata().tolist() == [7.0]
    assert upper.get_ylim()[1] < 2


def test_closed_forms_are_dashed_where_known_and_absent_elsewhere() -> None:
    exact = np.array([np.nan, *np.full(BINS - 1, 0.002)])
    known = replace(closure(), exact_bias=exact, exact_resolution=exact + 0.028)
    upper, lower = panels(closure_figure([known]))
    np.testing.assert_allclose(heights(upper, "gaussian_ansatz:closed form"), 1.002)
    np.testing.assert_allclose(heights(lower, "gaussian_ansatz:closed form"), 0.002)
    assert "closed form" in legend_texts(upper)
    spread, _ = panels(resolution_figure([known]))
    np.testing.assert_allclose(heights(spread, "gaussian_ansatz:closed form"), 0.03)
    upper, _ = panels(closure_figure([closure()]))
    assert not found(upper, "gaussian_ansatz:closed form")
    assert "closed form" not in legend_texts(upper)


def test_tolerance_band_lies_around_the_reference() -> None:
    for curve, reference in ((closure(), 1.0), (additive(closure()), 0.0)):
        upper, _ = panels(closure_figure([curve]))
        (band,) = [patch for patch in upper.patches if patch.get_gid() == "tolerance"]
        assert band.get_y() == pytest.approx(reference - 0.01)
        assert band.get_height() == pytest.approx(0.02)


def test_axis_labels_carry_units() -> None:
    upper, lower = panels(closure_figure([closure()]))
    assert lower.get_xlabel() == "True $m_{jj}$ [GeV]"
    assert upper.get_ylabel() == r"Mean $\hat{z}/z$"
    upper, lower = panels(closure_figure([additive(closure())]))
    assert upper.get_ylabel() == r"Mean $\hat{z} - z$ [GeV]"
    assert lower.get_ylabel() == "Bias [GeV]"


def test_resolution_shows_spread_and_quoted_over_actual() -> None:
    curve = closure()
    upper, lower = panels(resolution_figure([curve, closure("none")]))
    np.testing.assert_array_equal(heights(upper, "gaussian_ansatz:std"), curve.std)
    np.testing.assert_array_equal(heights(upper, "none:iqr"), curve.iqr)
    np.testing.assert_allclose(heights(lower, "gaussian_ansatz:quoted over actual"), 1.1)
    assert not found(lower, "none:quoted over actual")
    steps = [patch.get_gid() for patch in upper.patches if isinstance(patch, StepPatch)]
    assert steps == ["gaussian_ansatz:sigma"]


def test_quoted_over_actual_propagates_both_errors() -> None:
    ratio, error = quoted_over_actual(closure())
    expected = 1.1 * math.hypot(0.0001 / 0.033, 0.0005 / 0.03)
    np.testing.assert_allclose(ratio, 1.1)
    np.testing.assert_allclose(error, expected)
    ratio, error = quoted_over_actual(replace(closure(), std=np.zeros(BINS)))
    assert np.isnan(ratio).all()
    assert np.isnan(error).all()


def test_response_steps_equal_the_density_and_the_legend_its_moments() -> None:
    histograms = [response("gaussian_ansatz"), response("none", 0.95, overflow=0.012)]
    (axes,) = response_figure(histograms).axes
    steps = {patch.get_gid(): patch for patch in axes.patches if isinstance(patch, StepPatch)}
    for histogram in histograms:
        np.testing.assert_array_equal(steps[histogram.method].get_data().values, histogram.density)
    first, second = legend_texts(axes)
    assert first == "gaussian_ansatz: mean 1.00000 ± 0.00021, width 0.0302"
    assert second.endswith("\n1.2 % above the range")


def test_unit_gaussian_is_averaged_over_bins() -> None:
    edges = np.array([-np.inf, -1.0, 0.0, 1.0])
    assert gaussian_density(edges[1:]) == pytest.approx([0.341344746, 0.341344746])
    fine = np.linspace(-8, 8, 1601)
    assert np.sum(gaussian_density(fine) * 0.01) == pytest.approx(1.0, abs=1e-12)


def test_pull_deviations_are_in_units_of_the_error() -> None:
    histogram = replace(pull(), density=gaussian_density(pull().edges) + 0.02)
    np.testing.assert_allclose(deviations(histogram), 2.0)
    upper, lower = panels(pull_figure([histogram]))
    np.testing.assert_allclose(heights(lower, "gaussian_ansatz:deviation"), 2.0)
    assert found(upper, "gaussian")
    assert legend_texts(upper)[0] == "gaussian_ansatz: mean 0.012, width 1.046"
    assert np.isnan(deviations(replace(pull(), density_error=np.zeros(40)))).all()


def test_training_shows_the_loss_the_distance_and_restarts() -> None:
    loss = np.array([1.0, 0.5, np.nan, 0.1, 0.2])
    curve = TrainingCurve("mse", loss, "mean squared error", np.array([3.0]))
    upper, lower = panels(training_figure(curve))
    np.testing.assert_array_equal(heights(upper, "loss"), loss)
    np.testing.assert_allclose(heights(lower, "distance"), [0.9, 0.4, np.nan, np.nan, 0.1])
    assert lower.get_yscale() == "log"
    assert found(upper, "restart")[0].get_xdata()[0] == 4
    assert "mse: mean squared error" in [text.get_text() for text in upper.texts]


def test_long_training_is_smoothed_on_top_of_the_raw_curve() -> None:
    loss = np.linspace(1.0, 0.0, 6001)
    upper, _ = panels(training_figure(TrainingCurve("mse", loss, "loss")))
    np.testing.assert_array_equal(heights(upper, "loss"), loss)
    (smooth,) = found(upper, "loss:smoothed")
    expected = np.interp(smooth.get_xdata(), np.arange(1, 6002), loss)
    np.testing.assert_allclose(smooth.get_ydata(), expected, atol=1e-9)


@pytest.mark.parametrize("loss", [[], [1.0], [2.0, 2.0], [np.nan, np.inf]])
def test_training_of_a_degenerate_loss_is_drawn(loss: list[float]) -> None:
    png_bytes(training_figure(TrainingCurve("mse", np.array(loss), "loss")))
    assert np.isnan(distance(np.array(loss))).all()


def test_calibration_curve_shows_points_closed_form_and_diagonal() -> None:
    curves = [calibration("gaussian_ansatz", 1.0), calibration("mse", 0.2)]
    (axes,) = calibration_figure(curves).axes
    for curve in curves:
        (line,) = found(axes, curve.method)
        x = np.asarray(line.get_xdata(), dtype=float)
        assert 14 <= x.size <= 16
        np.testing.assert_allclose(line.get_ydata(), np.interp(x, curve.x, curve.estimate))
        np.testing.assert_array_equal(
            heights(axes, f"{curve.method}:closed form"), curve.exact_estimate
        )
    assert found(axes, "diagonal")
    assert not np.intersect1d(*(found(axes, c.method)[0].get_xdata() for c in curves)).size


def test_calibration_curve_without_closed_form_or_resolution() -> None:
    unknown = np.full(61, np.nan)
    bare = replace(
        calibration("none", 1.0), sigma=unknown, exact_estimate=unknown, exact_sigma=unknown,
        x_unit="GeV", z_unit="cm",
    )  # fmt: skip
    (axes,) = calibration_figure([bare]).axes
    assert not found(axes, "none:closed form")
    assert not found(axes, "diagonal")
    assert legend_texts(axes) == ["none (uncalibrated)"]


def test_joint_shows_the_counts_with_logarithmic_colours_over_a_large_range() -> None:
    counts = np.array([[0.0, 1.0, 10.0], [-1.0, 2.0, 1000.0]])
    histogram = JointHistogram(
        "x", "", "z", "GeV", np.array([0.0, 1, 2]), np.array([0.0, 1, 2, 3]), counts
    )
    axes = joint_figure(histogram).axes[0]
    (mesh,) = axes.collections
    shown = np.ma.filled(np.ma.asarray(mesh.get_array()), np.nan)
    np.testing.assert_array_equal(shown, np.where(counts > 0, counts, np.nan).T)
    assert isinstance(mesh.norm, LogNorm)
    assert axes.get_ylabel() == r"True $\mathit{z}$ [GeV]"
    png_bytes(joint_figure(replace(histogram, counts=np.zeros((2, 3)))))


def test_spectra_shade_truth_and_mark_the_detector_in_one_colour_per_sample() -> None:
    histograms = [
        spectrum("nominal", "truth", "mjj_true"),
        spectrum("nominal", "detector"),
        spectrum("resonance", "truth", "mjj_true"),
    ]
    (axes,) = spectra_figure(histograms).axes
    shades = {patch.get_gid(): patch for patch in axes.patches}
    (marks,) = found(axes, "nominal:detector")
    np.testing.assert_array_equal(marks.get_ydata(), histograms[1].density)
    nominal = to_rgb(shades["nominal:truth"].get_facecolor())
    assert nominal == to_rgb(marks.get_color())
    assert nominal != to_rgb(shades["resonance:truth"].get_facecolor())
    assert axes.get_yscale() == "log"
    assert axes.get_xlabel() == "$m_{jj}$ [GeV]"


def test_names_and_colours_are_stable_over_all_figures() -> None:
    records = [
        closure("none"), closure("mse"), closure("gaussian_ansatz"), closure("mse", "wide"),
        response("mse"), pull("mse"), calibration("mse", 0.2), spectrum("nominal", "truth"),
        TrainingCurve("mse", np.array([1.0, 0.5]), "loss"),
        JointHistogram("x", "", "z", "", np.arange(3.0), np.arange(3.0), np.ones((2, 2))),
    ]  # fmt: skip
    figures = figures_for(records, methods=("gaussian_ansatz", "none", "mse"))
    assert list(figures) == [
        "closure_nominal", "closure_wide", "response_nominal", "resolution_nominal",
        "resolution_wide", "pull_nominal", "calibration_curve", "joint", "spectra",
        "training_mse",
    ]  # fmt: skip
    style = looks(("gaussian_ansatz", "none", "mse"))
    for name in ("closure_nominal", "closure_wide"):
        upper, _ = panels(figures[name])
        assert found(upper, "mse:mean")[0].get_color() == style["mse"].colour
    texts = legend_texts(panels(figures["closure_nominal"])[0])
    assert texts[:3] == ["gaussian_ansatz", "none (uncalibrated)", "mse"]


def test_several_truth_columns_have_their_name_in_the_figures() -> None:
    records = [closure(), replace(closure(), z_name="pt 1/2")]
    assert set(figures_for(records)) == {
        "closure_nominal_mjj_true", "closure_nominal_pt_1_2",
        "resolution_nominal_mjj_true", "resolution_nominal_pt_1_2",
    }  # fmt: skip


@pytest.mark.parametrize("draw", [closure_figure, resolution_figure])
def test_arrays_of_nan_are_drawn_without_a_warning(draw: Drawing) -> None:
    names = ("z_mean", "n_effective", "mean", "mean_error", "median", "median_error", "std",
             "std_error", "iqr", "iqr_error", "sigma", "sigma_error")  # fmt: skip
    unknown = replace(closure(), **{name: np.full(BINS, np.nan) for name in names})
    assert png_bytes(draw([unknown])).startswith(b"\x89PNG")
    assert png_bytes(draw([closure(), replace(unknown, method="mse")])).startswith(b"\x89PNG")


@pytest.mark.parametrize("draw", [closure_figure, resolution_figure])
@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_any_scale_any_sign_and_one_bin_are_drawn(draw: Drawing, scale: float) -> None:
    png_bytes(draw([additive(closure(slope=0.001), scale)]))
    png_bytes(draw([additive(closure(bins=1), scale)]))


def test_names_are_never_read_as_mathematics() -> None:
    odd = replace(closure("a$b_{$"), test="$x^{", z_name="$q^{$", z_unit="$")
    png_bytes(closure_figure([odd]))


def test_the_legend_stands_above_all_points() -> None:
    curves = [closure(name, slope=0.01) for name in ("a", "b", "c", "d")]
    figure = closure_figure(curves)
    png_bytes(figure)
    upper, _ = panels(figure)
    legend = upper.get_legend()
    assert legend is not None
    bottom = legend.get_window_extent().y0
    top = max(float(np.max(curve.mean + curve.mean_error)) for curve in curves)
    assert upper.transData.transform((2000.0, top))[1] < bottom


def test_a_legend_of_long_names_stays_within_its_panel() -> None:
    names = [f"mse hidden=[{k},{k},{k}] degree=null activation=relu" for k in (10, 20, 30)]
    curves = [closure(name) for name in names]
    for figure in (closure_figure(curves), response_figure([response(name) for name in names * 2])):
        (axes,) = (each for each in figure.axes if each.get_legend())
        legend = axes.get_legend()
        assert len(legend.get_texts()) >= len(names)
        with styled():
            drawn, panel = legend.get_window_extent(), axes.get_window_extent()
        assert drawn.x1 <= panel.x1 + 1
        assert drawn.height <= 0.65 * panel.height


def test_the_same_records_give_the_same_bytes(tmp_path: Path) -> None:
    first, second = (
        save(closure_figure([closure()]), tmp_path / name, ("png", "pdf")) for name in "ab"
    )
    assert [path.name for path in first] == ["a.png", "a.pdf"]
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()
    assert png_bytes(closure_figure([closure()])) == first[0].read_bytes()


def test_drawing_leaves_global_settings_alone() -> None:
    before = dict(matplotlib.rcParams)
    png_bytes(response_figure([response("mse")]))
    assert dict(matplotlib.rcParams) == before


def test_before_and_after_on_all_samples_is_one_figure_per_calibrated_method() -> None:
    records = [
        replace(response(method, mean), test=test)
        for test, mean in (("nominal", 1.0), ("resonance", 0.99))
        for method in ("gaussian_ansatz", "none", "mse")
    ]
    drawn = figures_for(records)
    names = {name for name in drawn if name.startswith("samples_")}
    assert names == {"samples_gaussian_ansatz", "samples_mse"}
    (axes,) = drawn["samples_mse"].axes
    shown = {patch.get_gid(): patch for patch in axes.patches if isinstance(patch, StepPatch)}
    tests = ("nominal", "resonance")
    levels = ("calibrated", "uncalibrated")
    assert set(shown) == {f"{level}:{test}" for level in levels for test in tests}
    np.testing.assert_array_equal(shown["calibrated:nominal"].get_data().values, records[2].density)
    assert not any(name.startswith("samples") for name in figures_for(records[:3]))


def test_modes_stand_beside_mean_and_median_where_they_were_fitted() -> None:
    curve = with_modes(closure())
    mode = curve.mode.copy()
    mode[0] = np.nan
    upper, lower = panels(closure_figure([replace(curve, mode=mode)]))
    heights_of_mode = heights(lower, "gaussian_ansatz:mode bias")
    assert np.isnan(heights_of_mode[0])
    np.testing.assert_allclose(heights_of_mode[1:], 0.002)
    x = [found(lower, f"gaussian_ansatz:{kind} bias")[0].get_xdata() for kind in
         ("mean", "median", "mode")]  # fmt: skip
    assert (x[0] < x[1]).all()
    assert (x[1] < x[2]).all()
    assert "mode" in legend_texts(upper)
    poor = panels(closure_figure([with_modes(closure(), probability=1e-5)]))[0]
    assert "mode (6 of 6 fits poor)" in legend_texts(poor)
    assert not any(text.startswith("mode") for text in legend_texts(
        panels(closure_figure([closure()]))[0]))  # fmt: skip


def test_points_of_one_bin_stay_in_it() -> None:
    curves = [with_modes(closure(name)) for name in "abcde"]
    _, lower = panels(closure_figure(curves))
    edges = curves[0].edges
    for line in lower.lines:
        if str(line.get_gid()).endswith("bias"):
            x = np.asarray(line.get_xdata())
            assert ((x > edges[:-1]) & (x < edges[1:])).all()


def test_lines_at_one_percent_stand_beside_another_tolerance() -> None:
    wide = replace(closure(), tolerance=0.03)
    upper, lower = panels(closure_figure([wide]))
    for axes, reference in ((upper, 1.0), (lower, 0.0)):
        lines = sorted(line.get_ydata()[0] for line in found(axes, "guide"))
        np.testing.assert_allclose(lines, [reference - 0.01, reference + 0.01])
    assert {"tolerance ±3 %", "±1 %"} <= set(legend_texts(upper))
    for other in (closure(), additive(wide)):
        upper, lower = panels(closure_figure([other]))
        assert not found(upper, "guide")
        assert not found(lower, "guide")
        assert "±1 %" not in legend_texts(upper)


def test_the_core_of_a_response_is_drawn_in_its_window() -> None:
    histogram = replace(
        response("gaussian_ansatz"), n_effective=5000.0, mode=1.0, mode_error=0.0004, fit=0.03,
        fit_low=0.955, fit_high=1.045, fit_inside=0.8664, fit_chi2=41.2, fit_ndf=37.0,
        fit_probability=0.3,
    )  # fmt: skip
    (axes,) = response_figure([histogram]).axes
    (line,) = found(axes, "gaussian_ansatz:core")
    assert (line.get_xdata()[0], line.get_xdata()[-1]) == (0.955, 1.045)
    u = 0.5 * (histogram.edges[1:] + histogram.edges[:-1])
    np.testing.assert_allclose(core(histogram, u), histogram.density, rtol=1e-3)
    (text,) = legend_texts(axes)
    assert r"mode 1.00000 ± 0.00040 in [0.955, 1.045], $\chi^2$/ndf = 41/37" in text
    assert "poor" not in text
    poor = replace(histogram, fit_probability=1e-6)
    assert "41/37 (poor fit)" in legend_texts(response_figure([poor]).axes[0])[0]
    failed = replace(response("gaussian_ansatz"), n_effective=5000.0)
    assert "mode: no fit converged" in legend_texts(response_figure([failed]).axes[0])[0]


def test_the_terms_of_the_resolution_stand_in_the_legend() -> None:
    fit = terms()
    figure = resolution_figure([closure()], fits=[fit])
    png_bytes(figure)
    upper, _ = panels(figure)
    (line,) = found(upper, "gaussian_ansatz:nsc")
    z = np.asarray(line.get_xdata())
    assert (z[0], z[-1]) == pytest.approx((fit.low, fit.high))
    expected = np.sqrt(-(1.234**2) / z**2 + 1.0123**2 / z + 0.0412**2)
    np.testing.assert_allclose(line.get_ydata(), expected)
    (second,) = [a for a in upper.artists if isinstance(a, Legend)]
    text = second.get_texts()[0].get_text()
    assert text == (
        r"N = -1.23 ± 0.15 GeV, S = 1.012 ± 0.012 GeV$^{1/2}$, C = 0.0412 ± 0.0011, "
        r"$\chi^2$/ndf = 9.5/9"
    )
    bottom, top = second.get_window_extent().y0, closure().std.max()
    assert upper.transData.transform((2000.0, top))[1] < bottom
    poor = resolution_figure([closure()], fits=[terms(chi2=900.0)]).axes[1]
    (second,) = [a for a in poor.artists if isinstance(a, Legend)]
    assert second.get_texts()[0].get_text().endswith("900/9 (poor fit)")


def test_slices_are_curves_of_one_method() -> None:
    curve = sliced()
    upper, lower = panels(slices_figure(curve))
    np.testing.assert_allclose(heights(upper, "slice 2"), curve.mean[2] - 1)
    np.testing.assert_allclose(heights(lower, "slice 0"), 0.09)
    assert found(upper, "slice 0:faint")[0].get_xdata().size == 1
    names = [
        rf"{a} $\leq$ |$\eta$| < {b}" for a, b in (("0", "0.8"), ("0.8", "1.3"), ("1.3", "2.5"))
    ]
    assert slice_names(curve) == names
    assert set(names) < set(legend_texts(upper))
    assert len(found(upper, "guide")) == 2
    assert lower.get_xlabel() == "True $p_{T}$ [GeV]"


def test_a_map_has_numbers_hatches_and_holes() -> None:
    curve = sliced()
    figure = map_figure(curve)
    axes, bar = figure.axes
    (mesh,) = axes.collections
    shown = np.ma.filled(np.ma.asarray(mesh.get_array(), dtype=float), np.nan).reshape(3, 4)
    expected = 100 * (curve.mean - 1)
    expected[0, 0] = np.nan  # few events
    np.testing.assert_allclose(shown, expected)
    assert mesh.norm.vmin == -mesh.norm.vmax
    assert [p.get_gid() for p in axes.patches if p.get_hatch()] == ["fails 2 1"]
    texts = [text.get_text() for text in axes.texts]
    assert "+5.00\n±0.10" in texts
    assert sum("±" in text for text in texts) == 10
    assert axes.get_ylabel() == r"Reconstructed |$\eta$|"
    assert bar.get_ylabel() == "Bias [%]"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "fails (tolerance ±2 %)", "below 200 effective events"
    ]  # fmt: skip
    assert png_bytes(figure).startswith(b"\x89PNG")


def test_numbers_in_cells_follow_their_error() -> None:
    assert cell_text(0.6312, 0.22) == "+0.63\n±0.22"
    assert cell_text(-12.3, 1.4) == "-12.3\n±1.4"
    assert cell_text(1e-5, 1e-6) == "+0.000\n±0.000"


def test_slices_of_nothing_are_drawn() -> None:
    nothing = np.full((3, 4), np.nan)
    names = ("z_mean", "mean", "mean_error", "std", "std_error", "iqr", "iqr_error")
    empty = replace(sliced(), n_effective=np.zeros((3, 4)), **dict.fromkeys(names, nothing))
    for draw in (slices_figure, map_figure):
        assert png_bytes(draw(empty)).startswith(b"\x89PNG")
    many = replace(sliced(by="a$b"), relative=False, z_unit="$")
    for draw in (slices_figure, map_figure):
        assert png_bytes(draw(many)).startswith(b"\x89PNG")


def test_the_studied_method_alone_is_drawn_in_slices() -> None:
    records = [sliced("none"), sliced("mse"), sliced("gaussian_ansatz"),
               sliced("gaussian_ansatz", "npv")]  # fmt: skip
    drawn = figures_for(records, ("gaussian_ansatz", "none", "mse"))
    assert set(drawn) == {
        "closure_nominal_by_abs_eta_reco", "map_nominal_abs_eta_reco",
        "closure_nominal_by_npv", "map_nominal_npv",
    }  # fmt: skip
    head = [text.get_text() for text in panels(drawn["closure_nominal_by_npv"])[0].texts]
    assert "gaussian_ansatz, test sample: nominal" in head


def test_light_ticks_stand_where_the_ticks_stood() -> None:
    figure = closure_figure([closure()])
    places = [(axes.xaxis.get_majorticklocs(), axes.get_ylim()) for axes in figure.axes]
    png_bytes(figure)
    for axes, (major, limits) in zip(figure.axes, places, strict=True):
        marks = found(axes, "ticks")
        assert len(marks) == 8
        low, high = axes.get_xlim()
        inside = major[(major >= low) & (major <= high)]
        np.testing.assert_allclose(marks[0].get_xdata(), inside)
        assert axes.get_ylim() == limits
        assert not any(tick.tick1line.get_visible() for tick in axes.xaxis.get_major_ticks())
    png_bytes(figure)
    assert all(len(found(axes, "ticks")) == 8 for axes in figure.axes)
