"""Error against uncertainty: what is left of the error when the least certain predictions are left out."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gnnvcell.errors import DataError


@dataclass(frozen=True, eq=False)
class ErrorCurve:
    """The risk-coverage curve of some predictions [Geifman & El-Yaniv, NeurIPS 2017].

    Args:
        kept: (n,) share of predictions that are kept, 1/n to 1, the most certain first.
        error: (n,) mean error of those.
        best: (n,) the same, had the true errors said what to keep.
    """

    kept: NDArray[np.float64]
    error: NDArray[np.float64]
    best: NDArray[np.float64]

    @property
    def area(self) -> float:
        """Mean of the curve (AURC), in the unit of the errors; lower is better."""
        return float(self.error.mean())

    @property
    def best_area(self) -> float:
        """Area of an order by the true errors, below which none can be."""
        return float(self.best.mean())

    @property
    def chance_area(self) -> float:
        """Area of an order that knows nothing: the mean error."""
        return float(self.error[-1])

    @property
    def gain(self) -> float:
        """``(chance - area) / (chance - best)``: 1 for the true order, 0 for one that knows nothing, below 0 for one
        that misleads; NaN where all errors are equal.
        """
        possible = self.chance_area - self.best_area
        return (self.chance_area - self.area) / possible if possible > 1e-12 * abs(self.chance_area) else float("nan")


def error_curve(errors: NDArray, uncertainty: NDArray) -> ErrorCurve:
    """Mean error of the most certain share of predictions, for every share.

    Equal uncertainties are in no order: each of them counts with their mean error. NaN errors (what was not measured)
    are left out, with their uncertainties.

    Args:
        errors: (n,) or of any shape, >= 0, such as the root mean squared error of each perturbation, or the absolute
            error of each gene under each perturbation.
        uncertainty: of the same shape; only its order matters. ``-support`` is one.

    Raises:
        DataError: shapes disagree, an error is negative or infinite, an uncertainty is NaN, or nothing is left.
    """
    found, unsure = np.asarray(errors, dtype=np.float64).ravel(), np.asarray(uncertainty, dtype=np.float64).ravel()
    if np.shape(errors) != np.shape(uncertainty):
        raise DataError(
            "errors and uncertainties have different shapes", found=f"{np.shape(errors)} and {np.shape(uncertainty)}"
        )
    inside = ~np.isnan(found)
    found, unsure = found[inside], unsure[inside]
    if not len(found) or np.isnan(unsure).any() or (found < 0).any() or not np.isfinite(found).all():
        raise DataError(
            "these errors cannot be laid against their uncertainties",
            expected="one or more errors >= 0, each with an uncertainty",
            found=f"{len(found)} errors, {int((found < 0).sum())} below 0, {int(np.isnan(unsure).sum())} without "
            "an uncertainty",
        )
    count = np.arange(1, len(found) + 1)
    _, group, sizes = np.unique(unsure, return_inverse=True, return_counts=True)
    expected = (np.bincount(group.ravel(), weights=found) / sizes)[np.sort(group.ravel())]
    return ErrorCurve(count / len(found), np.cumsum(expected) / count, np.cumsum(np.sort(found)) / count)
