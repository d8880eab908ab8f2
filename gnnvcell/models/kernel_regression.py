"""Regression of every gene on one kernel between perturbations, each gene over its own measured rows."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

NEWTON_STEPS = 8
_SMALLEST_CURVATURE = 1e-4


def genes_by_measured_rows(measured: NDArray[np.bool_]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Genes that were measured under the same perturbations, with these rows; genes without a row are left out."""
    packed = np.packbits(measured, axis=0).T
    _, group = np.unique(packed, axis=0, return_inverse=True)
    order = np.argsort(group.ravel(), kind="stable")
    for genes in np.split(order, np.cumsum(np.bincount(group.ravel()))[:-1]):
        rows = np.flatnonzero(measured[:, genes[0]])
        if len(rows):
            yield rows, genes


def ridge_weights(
    kernel: NDArray, residual: NDArray, measured: NDArray[np.bool_], penalty: float
) -> tuple[NDArray[np.float32], float]:
    """Dual weights ``a_g = (K_gg + penalty I)^-1 r_g`` of kernel ridge regression for every gene.

    Args:
        kernel: (perturbations, perturbations) positive semi-definite.
        residual: (perturbations, genes) targets.
        measured: (perturbations, genes) which targets count.
        penalty: > 0.

    Returns:
        (perturbations, genes) weights, 0 where not measured; and the mean squared leave-one-out error,
        ``(a_i / (K + penalty I)^-1_ii)^2`` over measured pairs [Rasmussen & Williams 2006, eq. 5.12].
    """
    weights = np.zeros(residual.shape, dtype=np.float32)
    squared_error, count = 0.0, 0
    # Thousands of small systems: threads of the linear algebra library would only wait for each other.
    with threadpool_limits(limits=1, user_api="blas"):
        for rows, genes in genes_by_measured_rows(measured):
            inverse = np.linalg.inv(kernel[np.ix_(rows, rows)] + penalty * np.eye(len(rows)))
            solved = inverse @ residual[np.ix_(rows, genes)]
            weights[np.ix_(rows, genes)] = solved
            squared_error += float(((solved / np.diag(inverse)[:, None]) ** 2).sum())
            count += solved.size
    return weights, squared_error / max(count, 1)


def logistic_weights(
    kernel: NDArray, labels: NDArray, measured: NDArray[np.bool_], offset: NDArray, penalty: float
) -> NDArray[np.float32]:
    """Dual weights of kernel logistic regression for every gene, by Newton's method.

    The log odds of pair (p, g) are ``offset_g + sum_q K[p, q] a[q, g]``; the penalised likelihood is
    ``sum log p(label) - penalty / 2 a^T K a``. A Newton step is a ridge solve with the curvature as noise
    [Rasmussen & Williams 2006, algorithm 3.1].

    Args:
        kernel: (perturbations, perturbations) positive semi-definite.
        labels: (perturbations, genes) 0 or 1.
        measured: (perturbations, genes) which labels count.
        offset: (genes,) log odds of each gene.
        penalty: > 0.

    Returns:
        (perturbations, genes) weights, 0 where not measured.
    """
    weights = np.zeros(labels.shape, dtype=np.float32)
    with threadpool_limits(limits=1, user_api="blas"):
        for gene in np.flatnonzero(measured.any(axis=0)):
            rows = np.flatnonzero(measured[:, gene])
            weights[rows, gene] = _newton(kernel[np.ix_(rows, rows)], labels[rows, gene], offset[gene], penalty)
    return weights


def _newton(kernel: NDArray, labels: NDArray, offset: float, penalty: float) -> NDArray[np.float64]:
    field = np.zeros(len(labels))
    dual = np.zeros(len(labels))
    for _ in range(NEWTON_STEPS):
        chance = 1 / (1 + np.exp(-(offset + field)))
        curvature = np.maximum(chance * (1 - chance), _SMALLEST_CURVATURE)
        working = field + (labels - chance) / curvature
        dual = np.linalg.solve(kernel + np.diag(penalty / curvature), working)
        field = kernel @ dual
    return np.asarray(dual, dtype=np.float64)
