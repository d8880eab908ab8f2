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
        data = np.asarray(block.data, dtype=np.float64)
        finite = np.isfinite(data)
        nan = np.isnan(data)
        self.nan += int(nan.sum())
        self.infinite += int((~finite & ~nan).sum())
        self.negative += int((data[finite] < 0).sum())
        self.fractional += int((data[finite] != np.floor(data[finite])).sum())
        known = sp.csr_array((np.where(finite, data, 0.0), block.indices, block.indptr), shape=block.shape)
        self.cell_totals[rows] = np.asarray(known.sum(axis=1)).ravel()
        self.gene_totals += np.asarray(known.sum(axis=0)).ravel()
        there = sp.csr_array(((data != 0).astype(np.int64), block.indices, block.indptr), shape=block.shape)
        self.cell_nonzero[rows] = np.asarray(there.sum(axis=1)).ravel()
        self.gene_nonzero += np.asarray(there.sum(axis=0)).ravel()
        self._add_extremes(known)
        self.read += len(rows)

    def _add_extremes(self, block: sp.csr_array) -> None:
        columns = sp.csc_array(block)
        self.gene_max = np.maximum(self.gene_max, columns.max(axis=0).toarray().ravel())
        self.gene_min = np.minimum(self.gene_min, columns.min(axis=0).toarray().ravel())

    @property
    def broken(self) -> int:
        """Values that are NaN, infinite or negative."""
        return self.nan + self.infinite + self.negative
