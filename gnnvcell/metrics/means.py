"""Scores of predicted mean expression, perturbation by perturbation.

All functions take (perturbations, genes) means of log1p expression. Most of a profile is common to all cells: against
means, a prediction of no change scores high. Scores of deltas stand beside them.
"""

import numpy as np
from numpy.typing import NDArray

from gnnvcell.metrics.deltas import checked, mae_delta, mse_delta


def mae(predicted: NDArray, true: NDArray, scored: NDArray | None = None) -> NDArray[np.float64]:
    """(perturbations,) mean absolute error of means over genes ("mae" of cell-eval).

    Args:
        predicted: (perturbations, genes) mean expression.
        true: (perturbations, genes) mean expression.
        scored: (perturbations, genes) bool; all when left out, as in cell-eval.

    Raises:
        DataError: shapes disagree or a scored value is not finite.
    """
    return mae_delta(predicted, true, scored)


def mse(predicted: NDArray, true: NDArray, scored: NDArray | None = None) -> NDArray[np.float64]:
    """(perturbations,) mean squared error of means over genes ("mse" of cell-eval); arguments as of ``mae``."""
    return mse_delta(predicted, true, scored)


def r2(predicted: NDArray, true: NDArray, scored: NDArray | None = None) -> NDArray[np.float64]:
    """Coefficient of determination over genes, ``1 - sum (true - predicted)^2 / sum (true - mean(true))^2``.

    bio-JEPA's "R2 all" is this over all genes, its "R2 top-50" over ``most_changed(true_delta, 50)``.

    Args:
        predicted: (perturbations, genes) mean expression.
        true: (perturbations, genes) mean expression.
        scored: (perturbations, genes) bool; all when left out.

    Returns:
        (perturbations,) at most 1; NaN where the truth does not vary.

    Raises:
        DataError: shapes disagree or a scored value is not finite.
    """
    x, y, inside = checked(predicted, true, scored)
    count = np.maximum(inside.sum(axis=1, keepdims=True), 1)
    spread = np.where(inside, y - y.sum(axis=1, keepdims=True) / count, 0.0)
    total, left = (spread**2).sum(axis=1), ((y - x) ** 2).sum(axis=1)
    return 1 - np.divide(left, total, out=np.full(len(x), np.nan), where=total > 0)


def most_changed(true_delta: NDArray, k: int, scored: NDArray | None = None) -> NDArray[np.bool_]:
    """Each perturbation's k genes of largest absolute true delta, as what is scored.

    ``pearson_delta(predicted, true, most_changed(true, 20))`` is the "Pearson top-20" of pseudobulks.

    Args:
        true_delta: (perturbations, genes).
        k: number of genes; all where fewer are scored.
        scored: (perturbations, genes) bool, to choose among; all when left out.

    Returns:
        (perturbations, genes) bool. Of equal deltas the first genes are taken.
    """
    size, _, inside = checked(np.abs(true_delta), true_delta, scored)
    size = np.where(inside, size, -1.0)
    top = np.argsort(-size, axis=1, kind="stable")[:, :k]
    chosen = np.zeros(size.shape, dtype=bool)
    np.put_along_axis(chosen, top, True, axis=1)
    return chosen & inside


def shift_magnitude(delta: NDArray, scored: NDArray | None = None) -> NDArray[np.float64]:
    """(perturbations,) Euclidean length of a delta over scored genes: the size of the shift that is predicted."""
    x, _, _ = checked(delta, delta, scored)
    return np.sqrt((x * x).sum(axis=1))
