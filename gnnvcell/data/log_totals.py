"""Log total counts of cells: how deeply each was sequenced, which normalised expression no longer says."""

import numpy as np
from numpy.typing import NDArray

from gnnvcell import keys
from gnnvcell.data.cells import BLOCK, Cells
from gnnvcell.data.values import ValueKind


def log_totals(cells: Cells, rows: NDArray | None = None) -> NDArray[np.float32]:
    """(rows,) log1p of all counts of a cell.

    From the column ``log_total_counts`` of obs, which ``gnnvcell data preprocess`` writes before it normalises; else
    from the sum of the cell's values, of log1p values on the linear scale (where these were normalised, the same for
    all cells).

    Args:
        cells: counts or log1p values.
        rows: which cells; all when left out.
    """
    rows = np.arange(len(cells)) if rows is None else np.asarray(rows)
    if keys.LOG_TOTAL in cells.obs:
        return cells.obs[keys.LOG_TOTAL].to_numpy(dtype=np.float32)[rows]
    sums = [np.zeros(0)]
    for start in range(0, len(rows), BLOCK):
        block = cells.take(rows[start : start + BLOCK]).astype(np.float64)
        if cells.values is not ValueKind.COUNTS:
            block.data = np.expm1(block.data)
        sums.append(np.asarray(block.sum(axis=1)).ravel())
    return np.log1p(np.concatenate(sums)).astype(np.float32)
