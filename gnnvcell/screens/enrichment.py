"""Change of gene sets under perturbations, against random sets of the same size."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray


class SetChanges(NamedTuple):
    """Changes of gene sets, each (perturbations, sets).

    Args:
        change: mean predicted change of the set's genes (log1p).
        excess: change less the mean of random sets of the same size.
        z: excess over the standard deviation of the random sets.
        p: share of the random sets that are at least as far from their mean, (1 + count) / (1 + draws).
    """

    change: NDArray[np.float64]
    excess: NDArray[np.float64]
    z: NDArray[np.float64]
    p: NDArray[np.float64]


def set_changes(
    values: NDArray, counted: NDArray, sets: Sequence[NDArray[np.int64]], *, draws: int = 1000, seed: int = 0
) -> SetChanges:
    """Mean change of gene sets and of random sets of as many genes.

    The null is that the genes of a set are any genes. Genes of a real set move together, so that it is too narrow
    [Wu & Smyth, Nucleic Acids Res 2012]: take p as a rank among sets, not as an error rate over experiments.

    Args:
        values: (perturbations, genes) predicted changes.
        counted: (perturbations, genes) bool; False for a perturbation's own targets.
        sets: columns of each set.
        draws: random sets of each size.
        seed: of the draws.
    """
    y, w = np.where(counted, values, 0.0).astype(np.float64), counted.astype(np.float64)
    change = _means(_indicator(sets, y.shape[1]), y, w)
    mean, sd, p = (np.zeros(change.shape) for _ in range(3))
    for size in sorted({len(one) for one in sets}):
        rng = np.random.default_rng([seed, size])
        drawn = [rng.choice(y.shape[1], size, replace=False) for _ in range(draws)]
        null = _means(_indicator(drawn, y.shape[1]), y, w)
        of_size = [at for at, one in enumerate(sets) if len(one) == size]
        centre = null.mean(axis=1)
        mean[:, of_size], sd[:, of_size] = centre[:, None], null.std(axis=1, ddof=1)[:, None]
        away = np.sort(np.abs(null - centre[:, None]), axis=1)
        for row in range(len(y)):
            own = np.abs(change[row, of_size] - centre[row])
            farther = draws - np.searchsorted(away[row], own - 1e-12)
            p[row, of_size] = (1 + farther) / (1 + draws)
    excess = change - mean
    return SetChanges(change, excess, np.divide(excess, sd, out=np.zeros_like(excess), where=sd > 1e-12), p)


def _indicator(sets: Sequence[NDArray[np.int64]], genes: int) -> sp.csr_array:
    rows = np.repeat(np.arange(len(sets)), [len(one) for one in sets])
    return sp.csr_array((np.ones(len(rows)), (rows, np.concatenate(sets))), shape=(len(sets), genes))


def _means(sets: sp.csr_array, y: NDArray, w: NDArray) -> NDArray[np.float64]:
    """(perturbations, sets) means over the genes that count; 0 where none does."""
    total, count = (sets @ y.T).T, (sets @ w.T).T
    return np.divide(total, count, out=np.zeros_like(total), where=count > 0)


def q_values(p: NDArray) -> NDArray[np.float64]:
    """Benjamini-Hochberg over all p values of an array.

    Example:
        >>> q_values(np.array([0.01, 0.02, 0.9])).round(3).tolist()
        [0.03, 0.03, 0.9]
    """
    flat = np.asarray(p, dtype=np.float64).ravel()
    order = np.argsort(flat)
    scaled = flat[order] * len(flat) / np.arange(1, len(flat) + 1)
    q = np.empty_like(flat)
    q[order] = np.minimum.accumulate(scaled[::-1])[::-1].clip(max=1.0)
    return q.reshape(np.shape(p))
