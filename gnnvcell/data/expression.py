"""Matrices of expression in memory: what their values may be, and counts brought to log1p of counts per 10,000."""

from typing import Any, Literal, get_args

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from gnnvcell.errors import DataError, did_you_mean

Assume = Literal["counts", "log1p"]
COUNTS_PER_CELL = 1e4
_ENTRIES_AT_A_TIME = 1 << 20


def checked_expression(matrix: object, assume: str = "counts") -> sp.csr_array | NDArray:
    """The matrix as a dense array or CSR with sorted indices, when all values are what they are taken for.

    Values are not copied where the matrix is one of these already.

    Args:
        matrix: (cells, genes), dense or sparse, in memory.
        assume: "counts": whole numbers >= 0. "log1p": finite numbers >= 0, log-normalised.

    Raises:
        DataError: no matrix in memory, or a value that is negative, NaN, infinite or, of counts, not whole.
    """
    if assume not in get_args(Assume):
        raise DataError(f"cells cannot be taken as {assume!r}", remedy=did_you_mean(assume, get_args(Assume)))
    if matrix is None or not (sp.issparse(matrix) or isinstance(matrix, np.ndarray)):
        raise DataError("the cells have no count matrix in memory", found=type(matrix).__name__)
    usable: Any = np.asarray(matrix) if isinstance(matrix, np.ndarray) else sp.csr_array(matrix)
    if usable.dtype == np.float16:
        usable = usable.astype(np.float32)
    if not isinstance(usable, np.ndarray) and not usable.has_sorted_indices:
        usable = usable.sorted_indices()
    _check(usable.data if isinstance(usable, sp.csr_array) else usable, assume)
    return usable


def counts_scale(matrix: sp.csr_array | NDArray) -> NDArray[np.float64]:
    """(cells,) what brings the counts of a cell to a sum of 10,000; 0 for a cell without counts."""
    total = np.asarray(matrix.sum(axis=1, dtype=np.float64)).ravel()
    return np.divide(COUNTS_PER_CELL, total, out=np.zeros_like(total), where=total > 0)


def log_normalise(counts: object) -> sp.csc_array:
    """log1p of counts per 10,000, (cells, genes) float64; a cell without counts stays zero.

    Raises:
        DataError: no matrix, or values that are negative, NaN, infinite or not whole.
    """
    checked = checked_expression(counts)
    matrix = sp.csr_array(checked, dtype=np.float64, copy=checked is counts)
    matrix = sp.csr_array(matrix.multiply(counts_scale(matrix)[:, None]))
    matrix.data = np.log1p(matrix.data)
    return sp.csc_array(matrix)


def _check(values: NDArray, assume: str) -> None:
    bad, example = 0, ""
    lines = max(1, _ENTRIES_AT_A_TIME // (values.shape[1] if values.ndim == 2 else 1))
    for start in range(0, len(values), lines):
        block = values[start : start + lines]
        wrong = ~np.isfinite(block) | (block < 0)
        if assume == "counts" and block.dtype.kind == "f":
            wrong |= block != np.floor(block)
        if wrong.any():
            bad, example = bad + int(wrong.sum()), example or str(block[wrong][0])
    if bad and assume == "counts":
        raise DataError(
            f"{bad:,} entries are not counts",
            expected="whole numbers >= 0",
            found=example,
            remedy='pass raw counts, or assume="log1p" for log-normalised values',
        )
    if bad:
        raise DataError(
            f"{bad:,} entries are not log1p values",
            expected="finite numbers >= 0",
            found=example,
            remedy="residuals and z-scores cannot be tested; pass log1p values or counts",
        )
