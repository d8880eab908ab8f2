"""Rows of a sparse matrix, made dense: the inner loop of reading sets."""

from typing import Any, no_type_check

import numba
import numpy as np
from numpy.typing import NDArray


@numba.njit(nogil=True, cache=True)
@no_type_check
def _gather(data, indices, indptr, rows, out):
    for at in range(len(rows)):
        out[at] = 0
        for entry in range(indptr[rows[at]], indptr[rows[at] + 1]):
            out[at, indices[entry]] = data[entry]


def dense_rows(matrix: Any, rows: NDArray, out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
    """(rows, genes) float32 of some rows, in any order and with repeats.

    Args:
        matrix: (cells, genes) float32 CSR without duplicate entries.
        rows: which rows.
        out: (rows, genes) float32 to fill, where there is one.
    """
    rows = np.ascontiguousarray(rows, dtype=np.int64).ravel()
    if out is None:
        out = np.empty((len(rows), matrix.shape[1]), dtype=np.float32)
    _gather(matrix.data, matrix.indices, matrix.indptr, rows, out)
    return out
