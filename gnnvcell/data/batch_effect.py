"""How much of the variance of control cells lies between batches."""

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from gnnvcell.data.cell_sums import log_normalised
from gnnvcell.data.cells import Cells
from gnnvcell.data.passes import Reader


class BatchVariance(Reader):
    """Sums over control cells by context and batch, filled by ``passes.read_through``.

    Args:
        cells: counts or log1p values.
    """

    def __init__(self, cells: Cells) -> None:
        self._cells = cells
        contexts, batches, genes = len(cells.contexts), len(cells.batches), len(cells.genes)
        self._place = cells.context_code.astype(np.int64) * batches + cells.batch_code
        self._sums, self._squares = np.zeros((contexts * batches, genes)), np.zeros((contexts, genes))

    def add(self, rows: NDArray[np.int64], block: sp.csr_array) -> None:
        """See ``passes.Reader``."""
        controls = np.flatnonzero(self._cells.is_control[rows])
        if not len(controls):
            return
        values = log_normalised(sp.csr_array(block[controls]), self._cells.values)
        self._sums += _grouped(values, self._place[rows[controls]], len(self._sums))
        squares = sp.csr_array((values.data**2, values.indices, values.indptr), shape=values.shape)
        self._squares += _grouped(squares, self._cells.context_code[rows[controls]], len(self._squares))

    def by_gene(self) -> pd.DataFrame:
        """(genes,) ``gene``, ``share``: variance of log1p expression between batches, as a share of that of all
        control cells (eta squared), within contexts; NaN for genes without variance or fewer than two batches.
        """
        between, total = self._sums_of_squares()
        return pd.DataFrame({"gene": self._cells.genes, "share": _ratio(between.sum(axis=0), total.sum(axis=0))})

    def by_context(self) -> pd.DataFrame:
        """(contexts,) ``context``, ``batches``, ``controls``, ``share`` over all genes, ``by_chance``: the share that
        batches without any effect are expected to have, (batches - 1) / (controls - 1), and ``adjusted``: the share
        less that of chance, as adjusted R squared has it.
        """
        between, total = self._sums_of_squares()
        sizes = self._sizes().reshape(len(self._cells.contexts), -1)
        batches, cells = (sizes > 0).sum(axis=1), sizes.sum(axis=1)
        share = _ratio(between.sum(axis=1), total.sum(axis=1))
        share = np.where(batches > 1, share, np.nan)
        return pd.DataFrame(
            {
                "context": self._cells.contexts,
                "batches": batches,
                "controls": cells,
                "share": share,
                "by_chance": np.where(batches > 1, _ratio(batches - 1.0, cells - 1.0), np.nan),
                "adjusted": 1 - (1 - share) * _ratio(cells - 1.0, (cells - batches).astype(float)),
            }
        )

    def _sizes(self) -> NDArray[np.int64]:
        return np.bincount(self._place[self._cells.is_control], minlength=len(self._sums))

    def _sums_of_squares(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(contexts, genes) between batches, and all; contexts of one batch have none."""
        contexts = len(self._cells.contexts)
        sizes = self._sizes().reshape(contexts, -1, 1)
        sums = self._sums.reshape(contexts, -1, self._sums.shape[1])
        everything = sums.sum(axis=1) ** 2 / np.maximum(sizes.sum(axis=1), 1)
        between = (sums**2 / np.maximum(sizes, 1)).sum(axis=1) - everything
        several = (sizes[:, :, 0] > 0).sum(axis=1) > 1
        return np.maximum(between, 0) * several[:, None], np.maximum(self._squares - everything, 0) * several[:, None]


def _grouped(values: sp.csr_array, group: NDArray, groups: int) -> NDArray[np.float64]:
    """(groups, genes) sums of rows."""
    picker = sp.csr_array((np.ones(len(group)), (group, np.arange(len(group)))), shape=(groups, len(group)))
    return sp.csr_array(picker @ values).toarray()


def _ratio(part: NDArray, whole: NDArray) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)
