"""Is a classifier as good as one that knows the true nuisances? One sentence: from the intervals of
the signal strength at the observed points, or, without a likelihood, from areas under ROC curves.

The reference is the oracle, trained at the true values, or else the exact score.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from calibrate.records import CANNOT_TELL, CLOSES, FAILS, Outcome, Quantity
from calibrate.report.rounding import formatted

REFERENCES = ("oracle_classifier", "exact_classifier")
SCORE, LIKELIHOOD = "score", "likelihood"
WIDER = 1.05
"""How many times the reference's width an interval of μ may have."""
LESS = 0.002
"""How much smaller than the reference's an area under the ROC curve may be, if not by its error."""
Metrics = Mapping[str, Quantity]


def measured(outcome: Outcome) -> bool:
    """Whether this is the outcome of an inference."""
    kinds = {name.split("/")[0] for found in outcome.metrics.values() for name in found}
    return bool(kinds & {SCORE, LIKELIHOOD})


def sentence_and_state(method: str, outcome: Outcome) -> tuple[str, str]:
    """What is said about a method, and `closes` (as good as the reference), `fails` or
    `cannot tell`."""
    metrics = outcome.metrics[method]
    reference = next((name for name in REFERENCES if name in outcome.methods), None)
    if any(name.startswith(f"{LIKELIHOOD}/") for name in metrics):
        return _of_intervals(method, metrics, reference, outcome)
    return _of_areas(method, metrics, reference, outcome)


def widths(metrics: Metrics) -> dict[str, float]:
    """Of the intervals of μ, by point."""
    found = {}
    for name, high in metrics.items():
        kind, *place, last = name.split("/")
        low = metrics.get("/".join([kind, *place, "mu_low"]))
        if kind == LIKELIHOOD and last == "mu_high" and low is not None:
            found["/".join(place)] = float(high.value) - float(low.value)
    return found


def _of_intervals(
    method: str, metrics: Metrics, reference: str | None, outcome: Outcome
) -> tuple[str, str]:
    own = widths(metrics)
    if not own:
        return f"{method} has no interval of μ.", CANNOT_TELL
    known = widths(outcome.metrics[reference]) if reference else {}
    ratios = {place: width / known[place] for place, width in own.items() if known.get(place)}
    if not ratios or reference == method:
        said = "; ".join(f"±{formatted(0.5 * width)} at {place}" for place, width in own.items())
        return f"{method} measures μ with half intervals {said}.", CANNOT_TELL
    worst = max(ratios, key=lambda place: ratios[place])
    good = ratios[worst] <= WIDER
    opening = "measures μ as well as" if good else "measures μ less well than"
    return (
        f"{method} {opening} {reference}: intervals of {min(ratios.values()):.3g} to "
        f"{ratios[worst]:.3g} times the width, the widest at {worst}.",
        CLOSES if good else FAILS,
    )


def _of_areas(
    method: str, metrics: Metrics, reference: str | None, outcome: Outcome
) -> tuple[str, str]:
    areas = dict(_areas(metrics))
    if not areas:
        return f"{method} has no area under a ROC curve.", CANNOT_TELL
    others = dict(_areas(outcome.metrics[reference])) if reference not in (None, method) else {}
    exact = {place: metrics.get(f"{place}/exact_auc") for place in areas}
    known = {place: exact[place] or others.get(place) for place in areas}
    losses = {place: float(best.value) - float(areas[place].value)
              for place, best in known.items() if best is not None}  # fmt: skip
    if not losses:
        said = "; ".join(f"{formatted(float(q.value), q.error)} at {place.split('/')[1]}"
                         for place, q in areas.items())  # fmt: skip
        return f"{method} separates signal from background with AUC {said}.", CANNOT_TELL
    worst = max(losses, key=lambda place: losses[place])
    good = losses[worst] <= max(LESS, areas[worst].error or 0.0)
    against = "the exact score" if exact[worst] is not None else reference
    opening = "separates as well as" if good else "separates less well than"
    area = formatted(float(areas[worst].value), areas[worst].error)
    return (
        f"{method} {opening} {against}: AUC {area} "
        f"at {worst.split('/')[1]}, {losses[worst]:.2g} below it at most.",
        CLOSES if good else FAILS,
    )


def _areas(metrics: Metrics) -> Iterator[tuple[str, Quantity]]:
    for name, found in metrics.items():
        place, _, last = name.rpartition("/")
        if name.startswith(f"{SCORE}/") and last == "auc":
            yield place, found
