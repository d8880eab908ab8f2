"""Scores of intervals: how often they hold the truth, and how wide they are, perturbation by perturbation.

All functions take (perturbations, genes) bounds and say of each perturbation the mean over its scored genes, NaN where
none is scored. A bound may be infinite; that of a scored pair may not be NaN.
"""

import numpy as np
from numpy.typing import NDArray

from gnnvcell.errors import ConfigError, DataError


def interval_coverage(
    lower: NDArray, upper: NDArray, true: NDArray, scored: NDArray | None = None
) -> NDArray[np.float64]:
    """Share of true values with ``lower <= true <= upper``.

    Args:
        lower: (perturbations, genes).
        upper: (perturbations, genes).
        true: (perturbations, genes).
        scored: (perturbations, genes) bool; all when left out.

    Returns:
        (perturbations,).

    Raises:
        DataError: shapes disagree, a scored value is NaN, or a lower bound is above its upper one.
    """
    low, high, y, inside = _checked(lower, upper, true, scored)
    return _mean((low <= y) & (y <= high), inside)


def interval_width(lower: NDArray, upper: NDArray, scored: NDArray | None = None) -> NDArray[np.float64]:
    """Mean width; arguments and errors as of ``interval_coverage``.

    Returns:
        (perturbations,), infinite where an interval is.
    """
    low, high, _, inside = _checked(lower, upper, lower, scored)
    return _mean(high - low, inside)


def interval_score(
    lower: NDArray, upper: NDArray, true: NDArray, scored: NDArray | None = None, *, level: float
) -> NDArray[np.float64]:
    """Mean of ``width + 2 / (1 - level) * (how far outside the truth is)``: low where narrow and right.

    It is smallest for the true quantiles [Gneiting & Raftery, JASA 2007, eq. 43].

    Args:
        lower, upper, true, scored: as of ``interval_coverage``.
        level: coverage that the intervals are meant to have, between 0 and 1.

    Returns:
        (perturbations,) in the unit of the values.

    Raises:
        ConfigError: the level is not between 0 and 1.
        DataError: as of ``interval_coverage``.
    """
    if not 0 < level < 1:
        raise ConfigError(f"no interval has the level {level:g}", expected="a share between 0 and 1, such as 0.9")
    low, high, y, inside = _checked(lower, upper, true, scored)
    with np.errstate(invalid="ignore"):  # infinity less infinity, of pairs that nothing misses
        missed = np.fmax(np.fmax(low - y, y - high), 0.0)
    return _mean(high - low + 2 / (1 - level) * missed, inside)


def _checked(
    lower: NDArray, upper: NDArray, true: NDArray, scored: NDArray | None
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    low, high, y = (np.asarray(part, dtype=np.float64) for part in (lower, upper, true))
    inside = np.ones(low.shape, dtype=bool) if scored is None else np.asarray(scored, dtype=bool)
    if low.ndim != 2 or not low.shape == high.shape == y.shape == inside.shape:
        raise DataError(
            "intervals and true values have different shapes",
            expected="(perturbations, genes) of all",
            found=f"{low.shape}, {high.shape}, true {y.shape}, scored {inside.shape}",
        )
    unknown = inside & (np.isnan(low) | np.isnan(high) | np.isnan(y))
    if unknown.any():
        raise DataError(f"{int(unknown.sum())} scored bounds or true values are NaN", remedy="leave them out: scored")
    if (low > high)[inside].any():
        raise DataError(f"{int((low > high)[inside].sum())} lower bounds are above the upper ones")
    return low, high, y, inside


def _mean(values: NDArray, inside: NDArray[np.bool_]) -> NDArray[np.float64]:
    count = inside.sum(axis=1)
    total = np.where(inside, values, 0.0).sum(axis=1, dtype=np.float64)
    return np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0)
