"""Every value of a matrix of cells looked at: what is broken, what is empty, how much each cell and gene has."""

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from gnnvcell.data.cells import Cells
from gnnvcell.data.passes import Reader


class ValueScan(Reader):
    """Sums over all values, filled by ``passes.read_through``.

    Args:
        cells: the cells that will be read.

    Attributes:
        cell_totals: (cells,) float64 sum of finite values.
        cell_nonzero: (cells,) int64 values that are not zero.
        gene_totals: (genes,) float64 sum of finite values.
        gene_nonzero: (genes,) int64 values that are not zero.
        gene_max, gene_min: (genes,) float64 over all cells read, zeros included.
        nan, infinite, negative: numbers of such values; infinite ones of either sign.
        fractional: number of finite values that are not whole.
        read: cells seen.
    """

    def __init__(self, cells: Cells) -> None:
        count, genes = cells.shape
        self.cell_totals, self.cell_nonzero = np.zeros(count), np.zeros(count, dtype=np.int64)
        self.gene_totals, self.gene_nonzero = np.zeros(genes), np.zeros(genes, dtype=np.int64)
        self.gene_max, self.gene_min = np.full(genes, -np.inf), np.full(genes, np.inf)
        self.nan = self.infinite = self.negative = self.fractional = self.read = 0

    def add(self, rows: NDArray[np.int64], block: sp.csr_array) -> None:
        """See ``passes.Reader``."""
        known = self._without_broken(block)
        data = known.data
        self.negative += int((data < 0).sum())
        self.fractional += int((data != np.floor(data)).sum())
        self.cell_totals[rows] = np.asarray(known.sum(axis=1, dtype=np.float64)).ravel()
        self.gene_totals += np.bincount(known.indices, data, len(self.gene_totals))
        self._add_nonzero(rows, block)
        self._add_extremes(known)
        self.read += len(rows)

    def _without_broken(self, block: sp.csr_array) -> sp.csr_array:
        """The block with zeros for values that are not finite, which are counted."""
        finite = np.isfinite(block.data)
        if finite.all():
            return block
        nan = int(np.isnan(block.data).sum())
        self.nan += nan
        self.infinite += int((~finite).sum()) - nan
        return sp.csr_array((np.where(finite, block.data, 0), block.indices, block.indptr), shape=block.shape)

    def _add_nonzero(self, rows: NDArray[np.int64], block: sp.csr_array) -> None:
        there = block.data != 0  # zeros may be stored
        if there.all():
            self.cell_nonzero[rows] = np.diff(block.indptr)
            self.gene_nonzero += np.bincount(block.indices, minlength=len(self.gene_nonzero))
        else:
            row = np.repeat(np.arange(len(rows)), np.diff(block.indptr))
            self.cell_nonzero[rows] = np.bincount(row[there], minlength=len(rows))
            self.gene_nonzero += np.bincount(block.indices[there], minlength=len(self.gene_nonzero))

    def _add_extremes(self, block: sp.csr_array) -> None:
        columns = sp.csc_array(block)
        self.gene_max = np.maximum(self.gene_max, columns.max(axis=0).toarray().ravel())
        self.gene_min = np.minimum(self.gene_min, columns.min(axis=0).toarray().ravel())

    @property
    def broken(self) -> int:
        """Values that are NaN, infinite or negative."""
        return self.nan + self.infinite + self.negative
