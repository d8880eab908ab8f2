"""One pass over cells for everything that wants to see their values."""

from abc import ABC, abstractmethod

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from tqdm import tqdm

from gnnvcell.data.cells import BLOCK, Cells
from gnnvcell.data.expression import COUNTS_PER_CELL
from gnnvcell.data.values import ValueKind


class Reader(ABC):
    """Something that looks at cells, a block at a time."""

    @abstractmethod
    def add(self, rows: NDArray[np.int64], block: sp.csr_array) -> None:
        """Take in some cells: (rows,) their positions, and (rows, genes) float32 values as they are stored."""


def read_through(
    cells: Cells,
    *readers: Reader,
    rows: NDArray | None = None,
    what: str = "reading cells",
    size: int = BLOCK,
    progress: bool = True,
) -> None:
    """Show all cells to several readers in one pass.

    Args:
        cells: in memory or on disk.
        readers: each sees every block.
        rows: which cells, ascending; all when left out.
        what: of the progress bar.
        size: cells in a block.
        progress: a bar on stderr, where that is a terminal.
    """
    total = len(cells) if rows is None else len(rows)
    with tqdm(total=total, desc=what, unit="cell", disable=None if progress else True) as bar:
        for taken, block in cells.blocks(size, rows=rows):
            for reader in readers:
                reader.add(taken, block)
            bar.update(len(taken))


def linear(block: sp.csr_array, values: ValueKind) -> sp.csr_array:
    """Counts per 10,000, float64: counts scaled, log1p values taken back."""
    scaled = sp.csr_array(block, dtype=np.float64, copy=True)
    if values is ValueKind.COUNTS:
        total = np.asarray(scaled.sum(axis=1)).ravel()
        scale = np.divide(COUNTS_PER_CELL, total, out=np.zeros_like(total), where=total > 0)
        scaled.data *= np.repeat(scale, np.diff(scaled.indptr))
    else:
        np.expm1(scaled.data, out=scaled.data)
    return scaled
