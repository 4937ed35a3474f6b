"""Which figures a set of records makes, and what they are called."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from matplotlib.figure import Figure

from calibrate.figures.closure import closure_figure
from calibrate.figures.curves import calibration_figure, joint_figure
from calibrate.figures.likelihood import (
    coverage_figure,
    profile_figure,
    template_figure,
)
from calibrate.figures.likelihood import map_figure as likelihood_map_figure
from calibrate.figures.prior import application_figure, carried_figure, sensitivity_figure
from calibrate.figures.pull import pull_figure
from calibrate.figures.resolution import resolution_figure
from calibrate.figures.response import response_figure, tails_figure
from calibrate.figures.samples import samples_figure
from calibrate.figures.score import decision_figure, separation_figure
from calibrate.figures.slices import map_figure, slices_figure
from calibrate.figures.spectra import measured, spectra_figure
from calibrate.figures.style import UNCALIBRATED, Look, looks
from calibrate.figures.training import training_figure
from calibrate.figures.transport import transport_figure, transport_map_figure
from calibrate.records import (
    CalibrationCurve,
    ClosureCurve,
    DecisionMap,
    JointHistogram,
    LikelihoodMap,
    PriorApplication,
    PriorSensitivity,
    ProfileCurve,
    PullHistogram,
    Record,
    Repetitions,
    ResolutionFit,
    ResponseHistogram,
    SeparationCurve,
    SlicedClosure,
    SpectrumHistogram,
    SpectrumShift,
    TailHistogram,
    TemplateCurve,
    TrainingCurve,
    TransportApplication,
    TransportCurve,
    TransportHistogram,
)

R = TypeVar("R")
Figures = dict[str, Figure]
Style = Mapping[str, Look]


def figures_for(records: Sequence[Record], methods: Sequence[str] = ()) -> Figures:
    """All figures of a study by a name fit for a file: `closure_nominal`, `joint` …

    A method keeps its colour in all of them, and its place: that in `methods`, then that of its
    first record. A name ends in the quantity's name only where there are several quantities.
    """
    style = looks([*methods, *(m for m in map(_method, records) if m)])
    order = {method: place for place, method in enumerate(style)}
    ordered = sorted(records, key=lambda record: order.get(_method(record), -1))
    return {
        **_by_truth(ordered, style),
        **_by_slices(ordered, style),
        **_across_samples(ordered, style),
        **_pulls(ordered, style),
        **_transported(ordered, style),
        **_scored(ordered, style),
        **_learned(ordered, style),
        **_priors(ordered, style),
        **_inferred(ordered, style),
        **_samples(ordered),
        **_trainings(ordered),
    }


def _by_truth(records: Sequence[Record], style: Style) -> Figures:
    curves = _groups(_only(ClosureCurve, records), lambda r: (r.test, r.z_name))
    shapes = _groups(_only(ResponseHistogram, records), lambda r: (r.test, r.z_name))
    tails = _groups(_only(TailHistogram, records), lambda r: (r.test, r.z_name))
    return {
        **{f"closure_{name}": closure_figure(group, style) for name, group in curves.items()},
        **{f"response_{name}": response_figure(group, style) for name, group in shapes.items()},
        **{f"tails_{name}": tails_figure(group, style) for name, group in tails.items()},
        **{
            f"resolution_{name}": resolution_figure(group, style, _fits_of(group, records))
            for name, group in curves.items()
        },
    }


def _fits_of(curves: Sequence[ClosureCurve], records: Sequence[Record]) -> list[ResolutionFit]:
    about = {(curve.test, curve.z_name) for curve in curves}
    return [fit for fit in _only(ResolutionFit, records) if (fit.test, fit.z_name) in about]


def _by_slices(records: Sequence[Record], style: Style) -> Figures:
    """Slices of the studied method alone: of the first that is calibrated, or of the first."""
    sliced = _only(SlicedClosure, records)
    known = list(dict.fromkeys(curve.method for curve in sliced))
    studied = next((method for method in known if style[method].calibrated), "".join(known[:1]))
    groups = _groups([c for c in sliced if c.method == studied], lambda c: (c.test, c.z_name))
    figures: Figures = {}
    for name, group in groups.items():
        for curve in group:
            by = _file_name(curve.by).strip("_")
            figures[f"closure_{name}_by_{by}"] = slices_figure(curve)
            figures[f"map_{name}_{by}"] = map_figure(curve)
    return figures


def _across_samples(records: Sequence[Record], style: Style) -> Figures:
    """A figure per calibrated method, where responses on several samples are known before too."""
    shapes = [r for r in _only(ResponseHistogram, records) if r.relative]
    before = [r for r in shapes if r.method == UNCALIBRATED]
    return {
        _file_name(f"samples_{method}"): samples_figure(after, before)
        for method in style
        if style[method].calibrated
        and len(before) > 1
        and len(after := [r for r in shapes if r.method == method]) > 1
    }


def _priors(records: Sequence[Record], style: Style) -> Figures:
    groups = _groups(_only(PriorApplication, records), lambda r: (r.test, ""))
    figures = {f"prior_{name}": application_figure(group, style) for name, group in groups.items()}
    carried = _groups(_only(TransportApplication, records), lambda r: (r.test, ""))
    figures |= {f"prior_carried_{name}": carried_figure(group, style)
                for name, group in carried.items()}  # fmt: skip
    for found in _only(PriorSensitivity, records):
        figures[_file_name(f"prior_sensitivity_{found.method}")] = sensitivity_figure(found)
    return figures


def _inferred(records: Sequence[Record], style: Style) -> Figures:
    """Profiles, maps and coverage of all methods together; templates of each method by itself."""
    profiles = _groups(_only(ProfileCurve, records), lambda r: (r.point, ""))
    maps = _groups(_only(LikelihoodMap, records), lambda r: (r.point, r.nuisance))
    templates = _groups(_only(TemplateCurve, records), lambda r: (r.method, r.nuisance))
    repetitions = _only(Repetitions, records)
    return {
        **{f"likelihood_{name}": profile_figure(group, style) for name, group in profiles.items()},
        **{
            f"likelihood_map_{name}": likelihood_map_figure(group, style)
            for name, group in maps.items()
        },
        **({"coverage": coverage_figure(repetitions, style)} if repetitions else {}),
        **{f"templates_{name}": template_figure(group[0]) for name, group in templates.items()},
    }


def _pulls(records: Sequence[Record], style: Style) -> Figures:
    groups = _groups(_only(PullHistogram, records), lambda r: (r.test, ""))
    return {f"pull_{name}": pull_figure(group, style) for name, group in groups.items()}


def _transported(records: Sequence[Record], style: Style) -> Figures:
    shapes = _groups(_only(TransportHistogram, records), lambda r: (r.test, r.name))
    maps = _groups(_only(TransportCurve, records), lambda r: (r.test, r.name))
    shifts = _groups(_only(SpectrumShift, records), lambda r: (r.test, r.name))
    return {
        **{
            f"transport_{name}": transport_figure(group, style, shifts.get(name, ()))
            for name, group in shapes.items()
        },
        **{
            f"transport_map_{name}": transport_map_figure(group, style)
            for name, group in maps.items()
        },
    }


def _scored(records: Sequence[Record], style: Style) -> Figures:
    curves = _groups(_only(SeparationCurve, records), lambda r: ("score", r.nuisance))
    maps = _groups(_only(DecisionMap, records), lambda r: ("decision", r.nuisance))
    return {
        **{name: separation_figure(group, style) for name, group in curves.items()},
        **{name: decision_figure(group, style) for name, group in maps.items()},
    }


def _learned(records: Sequence[Record], style: Style) -> Figures:
    curves = _only(CalibrationCurve, records)
    groups = _groups(curves, lambda r: ("calibration_curve", f"{r.x_name}_{r.z_name}"))
    return {name: calibration_figure(group, style) for name, group in groups.items()}


def _samples(records: Sequence[Record]) -> Figures:
    joints = _groups(_only(JointHistogram, records), lambda r: ("joint", f"{r.x_name}_{r.z_name}"))
    spectra = _only(SpectrumHistogram, records)
    truths = {r.name for r in spectra if not measured(r)}
    apart = _groups(spectra, lambda r: ("spectra", r.name if len(truths) > 1 else ""))
    return {
        **{name: joint_figure(group[0]) for name, group in joints.items()},
        **{name: spectra_figure(group) for name, group in apart.items()},
    }


def _trainings(records: Sequence[Record]) -> Figures:
    curves = [curve for curve in _only(TrainingCurve, records) if curve.loss.size]
    return {_file_name(f"training_{curve.method}"): training_figure(curve) for curve in curves}


def _method(record: Record) -> str:
    return "" if isinstance(record, JointHistogram | SpectrumHistogram) else record.method


def _only(kind: type[R], records: Sequence[Record]) -> list[R]:
    return [record for record in records if isinstance(record, kind)]


def _groups(records: Sequence[R], key: Callable[[R], tuple[str, str]]) -> dict[str, list[R]]:
    """Records by the first part of their key, and by the second where it takes several values."""
    keys = dict.fromkeys(map(key, records))
    shared = [first for first, _ in keys]
    groups: dict[str, list[R]] = {}
    for record in records:
        first, second = key(record)
        name = f"{first}_{second}" if shared.count(first) > 1 else first
        groups.setdefault(_file_name(name), []).append(record)
    return groups


def _file_name(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.+-]+", "_", text)
