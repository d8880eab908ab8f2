"""The values that sets are made of: chosen genes, counts scaled and logged."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from gnnvcell.data.cells import Cells
from gnnvcell.data.values import ValueKind
from gnnvcell.errors import DataError, did_you_mean


def gene_columns(cells: Cells, genes: Sequence[str] | None) -> NDArray[np.int64]:
    """(genes,) columns of the genes in a file.

    Raises:
        DataError: it lacks some (with the name nearest to the first).
    """
    if genes is None:
        return np.arange(len(cells.genes))
    place = {str(gene): at for at, gene in enumerate(cells.genes)}
    missing = [gene for gene in genes if gene not in place]
    if missing:
        raise DataError(
            f"{cells.path or 'the cells'} lack {len(missing)} of {len(genes)} genes, {missing[0]!r} first",
            remedy=did_you_mean(missing[0], place),
        )
    return np.array([place[gene] for gene in genes], dtype=np.int64)


def expression_of(block: Any, kind: ValueKind, columns: NDArray, target_sum: float | None) -> sp.csr_array:
    """(cells, genes) float32 CSR: counts scaled over all genes of the file and logged, then the chosen columns.

    Raises:
        DataError: values that are negative, NaN or infinite, or to be scaled and neither counts nor log1p.
    """
    if not np.isfinite(block.data).all() or (block.data < 0).any():
        raise DataError("the cells hold values that are negative, NaN or infinite", remedy="run: gnnvcell data check")
    if target_sum is not None and kind not in (ValueKind.COUNTS, ValueKind.LOG1P):
        raise DataError(
            "the cells hold neither counts nor log1p values",
            found=f"{kind.value} values",
            remedy="name the layer with the counts, or set target_sum to None to take them as they are",
        )
    if target_sum is not None and kind is ValueKind.COUNTS:
        total = np.asarray(block.sum(axis=1), dtype=np.float64).ravel()
        scale = np.divide(target_sum, total, out=np.zeros_like(total), where=total > 0)
        data = np.log1p(block.data * np.repeat(scale, np.diff(block.indptr)))
        block = sp.csr_array((data.astype(np.float32), block.indices, block.indptr), shape=block.shape)
    if not np.array_equal(columns, np.arange(block.shape[1])):
        block = sp.csr_array(block[:, columns])
    return sp.csr_array(block, dtype=np.float32)
