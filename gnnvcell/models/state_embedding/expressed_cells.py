"""ExpressedCells: cells of any origin as log1p expression, read by rows; no perturbations needed."""

from dataclasses import dataclass
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from gnnvcell import keys
from gnnvcell.data.cell_file import open_cells
from gnnvcell.data.cell_sets.expression import expression_of
from gnnvcell.data.cells import Cells
from gnnvcell.data.expression import COUNTS_PER_CELL
from gnnvcell.data.matrix import CellMatrix, MemoryMatrix
from gnnvcell.data.values import ValueKind, value_kind
from gnnvcell.errors import DataError, did_you_mean

_SAMPLED_CELLS = 512

CellSource = Cells | ad.AnnData | str | Path


@dataclass(frozen=True, eq=False)
class ExpressedCells:
    """Cells and how much they express.

    Args:
        obs: annotations of cells.
        var: annotations of genes.
        genes: (genes,) names.
        matrix: (cells, genes) values as they are stored.
        counts: whether these are counts; else they are log1p of normalised counts.

    Example:
        >>> cells = ExpressedCells.of(ad.AnnData(np.array([[0.0, 3.0]])))
        >>> cells.take(np.array([0])).toarray().round(2)
        array([[0.  , 9.21]], dtype=float32)
    """

    obs: pd.DataFrame
    var: pd.DataFrame
    genes: NDArray
    matrix: CellMatrix
    counts: bool

    @classmethod
    def of(cls, source: CellSource, *, layer: str | None = None) -> "ExpressedCells":
        """The cells of a file, an AnnData or ``Cells``.

        Args:
            source: where they are; a file whose values take 2 GiB or more stays on disk.
            layer: layer with the values; X when left out. ``Cells`` have chosen theirs already.

        Raises:
            DataError: no such layer, no cells or genes, gene names that repeat, or values that are neither counts nor
                log1p.
            FileFormatError: as ``open_cells``.
        """
        if isinstance(source, Cells):
            return cls._made(source.obs, source.var, source.genes, source.matrix)
        if isinstance(source, ad.AnnData):
            if source.isbacked and not source.is_view:
                return cls.of(str(source.filename), layer=layer)
            if layer is not None and layer not in source.layers:
                raise DataError(f"the AnnData has no layer {layer!r}", remedy=did_you_mean(layer, list(source.layers)))
            values = source.X if layer is None else source.layers[layer]
            if values is None:
                raise DataError("the AnnData has no values X", remedy="name a layer")
            obs, var = pd.DataFrame(source.obs), pd.DataFrame(source.var)
            return cls._made(obs, var, var.index.to_numpy(), MemoryMatrix(values))
        file = open_cells(source, layer=layer)
        return cls._made(file.obs, file.var, file.var.index.to_numpy(), file.matrix)

    @classmethod
    def _made(cls, obs: pd.DataFrame, var: pd.DataFrame, genes: NDArray, matrix: CellMatrix) -> "ExpressedCells":
        if 0 in matrix.shape:
            raise DataError("there are no cells or no genes", found=f"shape {matrix.shape}")
        names = np.asarray(genes, dtype=str)
        unique, times = np.unique(names, return_counts=True)
        if len(unique) < len(names):
            raise DataError(
                f"{int((times > 1).sum()):,} gene names repeat",
                found=", ".join(unique[times > 1][:5].tolist()),
                remedy="merge or drop them",
            )
        rows = np.unique(np.linspace(0, matrix.shape[0] - 1, min(matrix.shape[0], _SAMPLED_CELLS)).astype(np.int64))
        kind = value_kind(matrix.take(rows).data)
        if kind not in (ValueKind.COUNTS, ValueKind.LOG1P):
            raise DataError(
                "the values of the cells are neither counts nor log1p",
                expected="whole numbers, or natural logarithms of normalised counts",
                found=kind.value,
                remedy="name the layer with counts",
            )
        return cls(obs, var, names, matrix, kind is ValueKind.COUNTS)

    def __len__(self) -> int:
        return self.matrix.shape[0]

    def take(self, rows: NDArray[np.int64]) -> sp.csr_array:
        """(rows, genes) float32 CSR of log1p of counts per 10,000, or of log1p values as they are; no stored zeros.

        Raises:
            DataError: values that are negative, NaN or infinite.
        """
        kind = ValueKind.COUNTS if self.counts else ValueKind.LOG1P
        block = expression_of(self.matrix.take(rows), kind, np.arange(len(self.genes)), COUNTS_PER_CELL)
        block = block.copy() if not self.counts else block  # the matrix may hand out its own values
        block.eliminate_zeros()
        return block

    def log_totals(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """(rows,) log1p of the total counts of cells.

        Raises:
            DataError: values are log1p, and ``obs`` does not hold the totals.
        """
        if keys.LOG_TOTAL in self.obs:
            return self.obs[keys.LOG_TOTAL].to_numpy(np.float32)[rows]
        if self.counts:
            return np.log1p(np.asarray(self.matrix.take(rows).sum(axis=1), dtype=np.float64)).ravel().astype(np.float32)
        raise DataError(
            "the total counts of the cells are not known",
            expected=f"counts, or obs[{keys.LOG_TOTAL!r}] beside log1p values",
            remedy='train with sentences.read_depth="detected_genes", or name the layer with counts',
        )

    def labels(self, column: str) -> NDArray:
        """(cells,) str labels of an obs column.

        Raises:
            DataError: there is no such column, or a cell has no label.
        """
        if column not in self.obs:
            raise DataError(f"there is no obs column {column!r}", remedy=did_you_mean(column, self.obs.columns))
        values = pd.Series(self.obs[column])
        missing = int(np.asarray(values.isna()).sum())
        if missing:
            raise DataError(f"{missing:,} cells have no {column!r}", remedy="label or drop them")
        return values.astype(str).to_numpy()
