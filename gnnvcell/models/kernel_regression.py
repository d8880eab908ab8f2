"""Regression of every gene on one kernel between perturbations, each gene over its own measured rows."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

NEWTON_STEPS = 8
_ENTRIES_AT_ONCE = 1 << 20  # of the matrices that are decomposed together: 8 MB
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
    kernel: NDArray, residual: NDArray, measured: NDArray[np.bool_], penalties: Sequence[float]
) -> list[tuple[NDArray[np.float32], float]]:
    """Dual weights ``a_g = (K_gg + penalty I)^-1 r_g`` of kernel ridge regression for every gene and several penalties.

    One decomposition ``K_gg = V diag(w) V^T`` serves all penalties; genes with equally many measured rows go together.

    Args:
        kernel: (perturbations, perturbations) positive semi-definite.
        residual: (perturbations, genes) targets.
        measured: (perturbations, genes) which targets count.
        penalties: each > 0.

    Returns:
        For each penalty (perturbations, genes) weights, 0 where not measured; and the mean squared leave-one-out error,
        ``(a_i / (K + penalty I)^-1_ii)^2`` over measured pairs [Rasmussen & Williams 2006, eq. 5.12].
    """
    weights = [np.zeros(residual.shape, dtype=np.float32) for _ in penalties]
    squared_error, count = np.zeros(len(penalties)), 0
    # Thousands of small systems: threads of the linear algebra library would only wait for each other.
    with threadpool_limits(limits=1, user_api="blas"):
        for rows, genes in _of_one_shape(measured):
            place = rows[:, :, None], genes[:, None, :]
            values, vectors = np.linalg.eigh(kernel[rows[:, :, None], rows[:, None, :]].astype(np.float64))
            turned = vectors.transpose(0, 2, 1) @ residual[place]
            for number, penalty in enumerate(penalties):
                shrink = 1 / (values + penalty)
                solved = vectors @ (shrink[:, :, None] * turned)
                diagonal = (vectors**2 @ shrink[:, :, None])[:, :, 0]
                weights[number][place] = solved
                squared_error[number] += float(((solved / diagonal[:, :, None]) ** 2).sum())
            count += turned.size
    return [(found, float(error) / max(count, 1)) for found, error in zip(weights, squared_error, strict=True)]


def _of_one_shape(measured: NDArray[np.bool_]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """(systems, rows) and (systems, genes) of as many systems of one shape as are solved at once."""
    shapes: dict[tuple[int, int], list[tuple[NDArray[np.int64], NDArray[np.int64]]]] = {}
    for rows, genes in genes_by_measured_rows(measured):
        shapes.setdefault((len(rows), len(genes)), []).append((rows, genes))
    for (rows, _), systems in shapes.items():
        at_once = max(_ENTRIES_AT_ONCE // rows**2, 1)
        for start in range(0, len(systems), at_once):
            part = systems[start : start + at_once]
            yield np.stack([rows for rows, _ in part]), np.stack([genes for _, genes in part])


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
