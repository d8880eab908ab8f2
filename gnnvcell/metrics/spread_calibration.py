"""Are predicted standard deviations those of the errors? By size of the deviation, and as a nominal coverage."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtri

from gnnvcell.errors import ConfigError, DataError


def by_spread(errors: NDArray, spread: NDArray, *, bins: int = 10) -> pd.DataFrame:
    """Root mean squared error of predictions whose standard deviations are alike.

    Args:
        errors: of any shape, predicted less true; NaN where not measured, which is left out.
        spread: of the same shape, predicted standard deviations >= 0.
        bins: quantiles of the spread; fewer where spreads repeat.

    Returns:
        A row per bin, from small spreads to large: ``spread`` (root mean square of the spreads in it), ``error`` (root
        mean squared error) and ``count``. Of a calibrated model the two are equal.

    Raises:
        ConfigError: no bin.
        DataError: as of ``calibration_error``.
    """
    if bins < 1:
        raise ConfigError("spreads cannot be put into bins", expected="at least one bin", found=str(bins))
    found, sizes = _checked(errors, spread)
    edges = np.unique(np.quantile(sizes, np.linspace(0, 1, bins + 1)[1:-1]))
    place = np.searchsorted(edges, sizes, side="right")
    table = pd.DataFrame({"bin": place, "spread": sizes**2, "error": found**2})
    groups = table.groupby("bin")
    means: pd.DataFrame = np.sqrt(groups[["spread", "error"]].mean())  # type: ignore[assignment]
    return means.assign(count=groups.size()).reset_index(drop=True)


def calibration_error(errors: NDArray, spread: NDArray, *, bins: int = 10) -> float:
    """Mean over bins of ``|spread - error| / spread`` (ENCE) [Levi et al., Sensors 2022]; 0 is calibrated.

    Args:
        errors, spread, bins: as of ``by_spread``.

    Returns:
        Infinite where a bin of spreads that are all 0 has errors.

    Raises:
        DataError: shapes disagree, a spread of a measured pair is negative, NaN or infinite, or nothing was measured.
    """
    table = by_spread(errors, spread, bins=bins)
    apart, sizes = (table["spread"] - table["error"]).abs().to_numpy(), table["spread"].to_numpy()
    nothing = np.where(apart > 0, np.inf, 0.0)
    return float(np.divide(apart, sizes, out=nothing, where=sizes > 0).mean())


def normal_coverage(errors: NDArray, spread: NDArray, levels: NDArray) -> NDArray[np.float64]:
    """Share of errors within the central interval of a normal distribution, ``|error| <= z spread``.

    Args:
        errors, spread: as of ``by_spread``.
        levels: (levels,) nominal coverages between 0 and 1; ``z = Phi^-1((1 + level) / 2)``.

    Returns:
        (levels,). Equal to ``levels`` for normal errors of these standard deviations.

    Raises:
        ConfigError: a level is not between 0 and 1.
        DataError: as of ``calibration_error``.
    """
    wanted = np.asarray(levels, dtype=np.float64)
    if not ((wanted > 0) & (wanted < 1)).all():
        raise ConfigError("a nominal coverage is no share", expected="between 0 and 1", found=str(wanted.tolist()))
    found, sizes = _checked(errors, spread)
    return np.array([(np.abs(found) <= z * sizes).mean() for z in ndtri((1 + wanted) / 2)])


def _checked(errors: NDArray, spread: NDArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if np.shape(errors) != np.shape(spread):
        raise DataError("errors and spreads have different shapes", found=f"{np.shape(errors)} and {np.shape(spread)}")
    found, sizes = np.asarray(errors, dtype=np.float64).ravel(), np.asarray(spread, dtype=np.float64).ravel()
    inside = ~np.isnan(found)
    found, sizes = found[inside], sizes[inside]
    if not len(found) or not (sizes >= 0).all() or not np.isfinite(sizes).all():
        raise DataError(
            "these spreads cannot be laid against errors",
            expected="one or more measured pairs, each with a finite standard deviation >= 0",
            found=f"{len(found)} measured pairs, {int((~(sizes >= 0)).sum())} spreads that are negative or NaN",
        )
    return found, sizes
