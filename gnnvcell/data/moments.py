"""Totals of cells and moments of genes, in one pass over cells that are looked at as they go by."""

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from gnnvcell.data.cells import Cells
from gnnvcell.data.expression import checked_expression
from gnnvcell.data.passes import Reader, linear
from gnnvcell.data.values import ValueKind


class Totals(Reader):
    """Sum of each cell, (cells,) float64 in ``totals``; values that are not what they are taken for are refused.

    Raises:
        DataError: on ``add``, a value that is negative, NaN, infinite or, of counts, not whole.
    """

    def __init__(self, cells: Cells) -> None:
        self._values = cells.values
        self.totals = np.zeros(len(cells))

    def add(self, rows: NDArray[np.int64], block: sp.csr_array) -> None:
        """See ``passes.Reader``."""
        checked_expression(block, self._values.value)
        self.totals[rows] = np.asarray(block.sum(axis=1, dtype=np.float64)).ravel()


class Moments(Reader):
    """Sums and sums of squares of genes, in counts per 10,000 and, on request, of log1p of scaled counts.

    Args:
        cells: counts or log1p values.
        scale: None, or what counts per 10,000 are multiplied by before log1p is taken, for moments of logarithms.

    Raises:
        DataError: on ``add``, as ``Totals``.
    """

    def __init__(self, cells: Cells, *, scale: float | None = None) -> None:
        self._values, self._scale = cells.values, scale
        self.cells = 0
        self._linear, self._log = np.zeros((2, len(cells.genes))), np.zeros((2, len(cells.genes)))

    def add(self, rows: NDArray[np.int64], block: sp.csr_array) -> None:
        """See ``passes.Reader``."""
        checked_expression(block, self._values.value)
        scaled = linear(block, self._values)
        self._sum(self._linear, scaled)
        if self._scale is not None:
            scaled.data = np.log1p(scaled.data * (self._scale if self._values is ValueKind.COUNTS else 1.0))
            self._sum(self._log, scaled)
        self.cells += len(rows)

    @staticmethod
    def _sum(sums: NDArray[np.float64], block: sp.csr_array) -> None:
        genes = sums.shape[1]
        sums[0] += np.bincount(block.indices, block.data, genes)
        sums[1] += np.bincount(block.indices, block.data**2, genes)

    def of_linear(self, scale: float = 1.0) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(genes,) means and variances (n - 1) of counts per 10,000 times ``scale``."""
        means, variances = self._moments(self._linear)
        return means * scale, variances * scale**2

    def of_log1p(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(genes,) means and variances (n - 1) of logarithms; zeros where they were not asked for."""
        return self._moments(self._log)

    def _moments(self, sums: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        means = sums[0] / self.cells
        variances = np.maximum(sums[1] / self.cells - means**2, 0.0) * (self.cells / max(self.cells - 1, 1))
        return means, variances
