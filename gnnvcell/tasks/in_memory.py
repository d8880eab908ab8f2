"""Cells on disk or in memory as an AnnData with one column of labels, for what must have all values at once."""

from collections.abc import Sequence

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from gnnvcell import keys
from gnnvcell.data.cell_sums import log_normalised
from gnnvcell.data.cells import Cells


def anndata_of(
    cells: Cells,
    rows: NDArray,
    labels: NDArray,
    columns: NDArray | None = None,
    genes: Sequence[str] | NDArray | None = None,
    *,
    log: bool = False,
) -> ad.AnnData:
    """Some cells with the perturbation in ``obs["target_gene"]``.

    Args:
        cells: where they are taken from.
        rows: which.
        labels: (cells,) perturbation or control label of each cell of ``cells``.
        columns: (genes,) columns to take, in this order; all when left out.
        genes: (genes,) their names in the result; as they are when left out.
        log: counts become log1p of counts per 10,000 over the genes taken; else values stay as they are.

    Returns:
        X float32 CSR.
    """
    values = sp.csr_array(cells.take(rows))
    if columns is not None:
        values = sp.csr_array(values[:, columns])
    if log:
        values = log_normalised(values, cells.values)
    names = np.asarray(cells.genes if genes is None else genes, dtype=str)
    obs = pd.DataFrame({keys.TARGET_GENE: labels[rows].astype(object)}, index=pd.Index([f"cell{i}" for i in rows]))
    matrix = sp.csr_matrix(values, dtype=np.float32)
    return ad.AnnData(matrix, obs=obs, var=pd.DataFrame(index=pd.Index(names.astype(object))))
