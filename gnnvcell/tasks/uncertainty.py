"""How far a prediction's own uncertainty can be trusted: coverage of intervals, and error against uncertainty."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gnnvcell.errors import DataError
from gnnvcell.metrics import (
    ErrorCurve,
    by_spread,
    calibration_error,
    error_curve,
    interval_coverage,
    interval_score,
    interval_width,
    normal_coverage,
)

PAIRS, PERTURBATIONS, SUPPORT = "pairs", "perturbations", "support"
NOMINAL = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95])


@dataclass(frozen=True, eq=False)
class StatedUncertainty:
    """What a prediction says of its error; of each part None where it says nothing.

    Args:
        spread: (perturbations, genes) standard deviations.
        lower, upper: (perturbations, genes) interval; infinite ones are not scored, and counted.
        level: share of true effects that the intervals are meant to hold.
        support: (perturbations,) graph evidence; more of it should mean less error.
    """

    spread: NDArray | None = None
    lower: NDArray | None = None
    upper: NDArray | None = None
    level: float | None = None
    support: NDArray | None = None


@dataclass(frozen=True, eq=False)
class UncertaintyScores:
    """Scores of stated uncertainty.

    Args:
        metrics: of intervals ``coverage``, ``width``, ``interval_score`` and ``without_end`` (share of pairs whose
            interval is infinite), means over perturbations; ``calibration_error`` of spreads; of each curve
            ``area_<name>`` and ``gain_<name>`` (1: as good as knowing the errors, 0: as good as chance).
        per_perturbation: index perturbation; ``error`` (root mean squared over scored genes), ``spread`` (root mean
            square over all genes: what is stated does not depend on what is scored), ``coverage``, ``width``,
            ``support``, as far as they are known.
        curves: error against uncertainty: "pairs" (absolute error by spread), "perturbations" (root mean squared error
            by spread), "support" (the same by lack of graph support).
        by_spread: ``metrics.by_spread``; empty without spreads.
        nominal: ``level`` to ``coverage`` of normal intervals of these spreads; empty without spreads.
        level: of the intervals; None without.
    """

    metrics: dict[str, float]
    per_perturbation: pd.DataFrame
    curves: dict[str, ErrorCurve]
    by_spread: pd.DataFrame
    nominal: pd.DataFrame
    level: float | None


def score_uncertainty(
    predicted: NDArray, true: NDArray, scored: NDArray, stated: StatedUncertainty, names: NDArray
) -> UncertaintyScores:
    """Score what a prediction says of its error.

    Args:
        predicted: (perturbations, genes) effects.
        true: (perturbations, genes) measured effects.
        scored: (perturbations, genes) bool: measured, and not a perturbation's own target.
        stated: what is said.
        names: (perturbations,).

    Raises:
        DataError: nothing is stated or nothing is scored, intervals without their level, or as of the metrics.
    """
    if stated.spread is None and stated.upper is None and stated.support is None:
        raise DataError("the prediction says nothing of its error", expected="spreads, intervals or graph support")
    error = np.where(scored, np.asarray(predicted, dtype=np.float64) - true, np.nan)
    count = np.isfinite(error).sum(axis=1)
    if not count.any():
        raise DataError("no pair of perturbation and gene is scored", expected="measured effects")
    table = pd.DataFrame({"error": _root_mean(error)}, index=pd.Index(names, name="perturbation"))
    metrics, curves = _intervals(stated, true, scored, table), {}
    bins, nominal = pd.DataFrame(), pd.DataFrame()
    if stated.spread is not None:
        table["spread"] = _root_mean(np.asarray(stated.spread, dtype=np.float64))
        curves[PAIRS] = error_curve(np.abs(error), np.asarray(stated.spread))
        curves[PERTURBATIONS] = error_curve(table["error"].to_numpy(), table["spread"].to_numpy())
        bins = by_spread(error, np.asarray(stated.spread))
        metrics["calibration_error"] = calibration_error(error, np.asarray(stated.spread))
        covered = normal_coverage(error, np.asarray(stated.spread), NOMINAL)
        nominal = pd.DataFrame({"level": NOMINAL, "coverage": covered})
    if stated.support is not None:
        table["support"] = np.asarray(stated.support, dtype=np.float64)
        curves[SUPPORT] = error_curve(table["error"].to_numpy(), -table["support"].to_numpy())
    for name, curve in curves.items():
        metrics |= {f"area_{name}": curve.area, f"gain_{name}": curve.gain}
    return UncertaintyScores(metrics, table, curves, bins, nominal, stated.level if "coverage" in metrics else None)


def _intervals(stated: StatedUncertainty, true: NDArray, scored: NDArray, table: pd.DataFrame) -> dict[str, float]:
    if stated.lower is None or stated.upper is None:
        return {}
    if stated.level is None:
        raise DataError("intervals come without their level", expected="the share of true effects they should hold")
    ends = np.isfinite(stated.lower) & np.isfinite(stated.upper)
    inside = scored & ends
    table["coverage"] = interval_coverage(stated.lower, stated.upper, true, inside)
    table["width"] = interval_width(stated.lower, stated.upper, inside)
    score = interval_score(stated.lower, stated.upper, true, inside, level=stated.level)
    return {
        "coverage": float(table["coverage"].mean()),
        "width": float(table["width"].mean()),
        "interval_score": float(np.nanmean(score)),
        "without_end": float((scored & ~ends).sum() / scored.sum()),
    }


def _root_mean(values: NDArray) -> NDArray[np.float64]:
    """(rows,) root mean square of what is not NaN; NaN where all is."""
    inside = np.isfinite(values)
    total, count = np.where(inside, values, 0.0) ** 2, inside.sum(axis=1)
    return np.sqrt(np.divide(total.sum(axis=1), count, out=np.full(len(count), np.nan), where=count > 0))
