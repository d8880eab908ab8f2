"""Reliability of predicted probabilities: of the pairs that were given a probability, how many have the label."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gnnvcell.errors import DataError


@dataclass(frozen=True, eq=False)
class Reliability:
    """A reliability diagram in bins of equal counts [Naeini et al., AAAI 2015].

    Args:
        predicted: (bins,) mean predicted probability.
        observed: (bins,) share of label 1.
        count: (bins,) predictions.
        outside: share of predictions below 0 or above 1: of more than a few the scores are no probabilities.
    """

    predicted: NDArray[np.float64]
    observed: NDArray[np.float64]
    count: NDArray[np.int64]
    outside: float

    @property
    def error(self) -> float:
        """Expected calibration error, ``sum_b n_b / n |predicted_b - observed_b|``; 0 is best."""
        return float(np.average(np.abs(self.predicted - self.observed), weights=self.count))


def reliability(predicted: NDArray, labels: NDArray, *, bins: int = 10) -> Reliability:
    """Predicted probabilities against labels, in bins of equal counts; equal predictions stay in one bin.

    Args:
        predicted: (pairs,) probability of label 1.
        labels: (pairs,) 0 or 1.
        bins: at most so many; fewer where predictions repeat.

    Raises:
        DataError: shapes differ, a prediction is not finite, or there are none.

    Example:
        >>> found = reliability(np.array([0.2, 0.2, 0.8, 0.8]), np.array([0, 0, 1, 0]), bins=2)
        >>> found.predicted, found.observed
        (array([0.2, 0.8]), array([0. , 0.5]))
        >>> round(found.error, 3)
        0.25
    """
    predicted, labels = np.asarray(predicted, dtype=np.float64), np.asarray(labels, dtype=bool)
    if predicted.shape != labels.shape or predicted.ndim != 1 or not len(predicted):
        raise DataError(
            "predictions and labels do not belong together",
            expected="one label for each of one or more predictions",
            found=f"{predicted.shape} and {labels.shape}",
        )
    if not np.isfinite(predicted).all():
        raise DataError(f"{int((~np.isfinite(predicted)).sum())} predicted probabilities are NaN or infinite")
    values, place, count = np.unique(predicted, return_inverse=True, return_counts=True)
    middle = np.cumsum(count) - count / 2  # of each value, among all in order
    bin_of = np.minimum((middle / len(predicted) * bins).astype(np.int64), bins - 1)[place]
    sizes = np.bincount(bin_of, minlength=bins)
    used = sizes > 0
    sums = [np.bincount(bin_of, weights=column, minlength=bins)[used] for column in (predicted, labels)]
    outside = float(((values < 0) | (values > 1)) @ count / len(predicted))
    return Reliability(sums[0] / sizes[used], sums[1] / sizes[used], sizes[used], outside)
