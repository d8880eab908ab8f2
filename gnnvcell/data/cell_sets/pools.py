"""Control cells by cell type and batch."""

import numpy as np
from numpy.typing import NDArray

from gnnvcell.errors import DataError


def control_pools(
    is_control: NDArray[np.bool_], pool: NDArray[np.int64], needed: NDArray[np.int64], names: dict[int, str]
) -> dict[int, NDArray[np.int64]]:
    """Pool to the rows of its control cells, for the pools that sets need.

    Args:
        is_control: (cells,) whether a cell is a control.
        pool: (cells,) cell type and batch (or cell type alone) of each cell, as one number.
        needed: numbers of pools that have perturbed cells.
        names: number to what it means, for messages.

    Raises:
        DataError: a pool has no control cell.
    """
    rows = np.flatnonzero(is_control)
    rows = rows[np.argsort(pool[rows], kind="stable")]
    keys, start = np.unique(pool[rows], return_index=True)
    found = {int(key): part for key, part in zip(keys, np.split(rows, start[1:]), strict=True)} if len(rows) else {}
    bare = [int(key) for key in np.unique(needed) if int(key) not in found]
    if bare:
        raise DataError(
            f"{len(bare)} batches or cell types have perturbed cells and no control cells",
            expected="control cells beside every perturbed cell",
            found=names.get(bare[0], str(bare[0])),
            remedy='drop those cells, or match by cell type (controls="context") where only batches lack controls',
        )
    return found
