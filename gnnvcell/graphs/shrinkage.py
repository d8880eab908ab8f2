"""Shrunk correlation: the sample correlation pulled towards zero by as much as its own uncertainty asks for.

Schäfer and Strimmer, Statistical Applications in Genetics and Molecular Biology 4, 32 (2005), target D (unequal
variances, no correlation), equation 10: r* = (1 - lambda) r off the diagonal, with
lambda = sum_{i != j} Var(r_ij) / sum_{i != j} r_ij^2, cut to [0, 1].
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from gnnvcell.errors import DataError

_BLOCK_VALUES = 1 << 22


def standardised(values: NDArray[np.floating]) -> NDArray[np.float32]:
    """(samples, variables) to zero mean and unit variance (divisor n - 1) per variable.

    Raises:
        DataError: fewer than three samples, or a variable that does not vary.
    """
    if len(values) < 3:
        raise DataError(f"{len(values)} samples cannot give a correlation", expected="at least 3")
    result = np.empty(values.shape, dtype=np.float32)
    constant = 0
    for part in _column_blocks(values):
        centred = values[:, part] - values[:, part].mean(axis=0, dtype=np.float64)
        spread = np.sqrt((centred**2).sum(axis=0) / (len(values) - 1))
        constant += int((spread == 0).sum())
        result[:, part] = centred / np.where(spread > 0, spread, 1.0)
    if constant:
        raise DataError(f"{constant} variables do not vary", remedy="leave them out")
    return result


def shrinkage_intensity(z: NDArray[np.floating]) -> float:
    """Lambda of standardised data, in [0, 1]; 1 where there is nothing but noise.

    With w_kij = z_ki z_kj and its mean over the n samples, Var(r_ij) = n / (n - 1)^3 sum_k (w_kij - mean)^2. The sums
    over all pairs need no matrix of pairs: sum_ij sum_k w_kij^2 is sum_k (sum_i z_ki^2)^2, and sum_ij mean_ij^2 is the
    squared norm of the smaller of the two Gram matrices, over n^2.

    Args:
        z: (samples n, variables p) as ``standardised`` gives.
    """
    n = len(z)
    per_sample = np.zeros(n)
    # Terms with i = j are in both sums and have to come off.
    diagonal_moment = diagonal_mean = 0.0
    for part in _column_blocks(z):
        squares = z[:, part].astype(np.float64) ** 2
        per_sample += squares.sum(axis=1)
        diagonal_moment += (squares**2).sum()
        diagonal_mean += (squares.sum(axis=0) ** 2).sum()
    second_moment = (per_sample**2).sum() - diagonal_moment
    squared_mean = (_gram_norm(z) - diagonal_mean) / n**2
    variance = n / (n - 1) ** 3 * (second_moment - n * squared_mean)
    correlation = squared_mean * (n / (n - 1)) ** 2
    if correlation <= 0:
        return 1.0
    return float(np.clip(variance / correlation, 0.0, 1.0))


def _column_blocks(values: NDArray) -> Iterator[slice]:
    step = max(1, _BLOCK_VALUES // max(len(values), 1))
    for start in range(0, values.shape[1], step):
        yield slice(start, start + step)


def _gram_norm(z: NDArray[np.floating]) -> float:
    """Squared Frobenius norm of z^T z, by blocks of the smaller side."""
    side = z if len(z) <= z.shape[1] else z.T
    step = max(1, _BLOCK_VALUES // max(len(side), 1))
    total = 0.0
    for start in range(0, len(side), step):
        block = side[start : start + step] @ side.T
        total += float((block.astype(np.float64) ** 2).sum())
    return total
