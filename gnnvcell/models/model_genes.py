"""Which genes a model of cells predicts, and which of them it reads."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gnnvcell.data.cells import Cells
from gnnvcell.data.expressed_genes import most_expressed
from gnnvcell.data.moments import Moments
from gnnvcell.data.passes import read_through
from gnnvcell.data.variable_genes import variable_genes

GeneRank = Literal["variable", "expressed"]


@dataclass(frozen=True, eq=False)
class ModelGenes:
    """Names of genes.

    Args:
        predicted: (genes,) in the order of the file.
        read: (inputs,) positions among them; None where all are read.
    """

    predicted: NDArray
    read: NDArray[np.int64] | None

    @classmethod
    def chosen(
        cls,
        cells: Cells,
        *,
        predicted: int | None,
        read: int | None = None,
        by: GeneRank = "variable",
        progress: bool = False,
    ) -> "ModelGenes":
        """The first genes of a ranking over the cells; targets are always predicted.

        Args:
            cells: training cells.
            predicted, read: how many; all when left out.
            by: "variable": the most variable genes, as scanpy ranks them ("seurat"); "expressed": those of highest
                mean.
            progress: a bar on stderr.
        """
        genes = cells.genes
        if predicted is None and read is None:
            return cls(genes, None)
        moments = Moments(cells)
        read_through(cells, moments, what="moments of genes", progress=progress)
        means, variances = moments.of_linear()
        inside = np.arange(len(genes))
        if predicted is not None and predicted < len(genes):
            targets = {name for one in cells.targets for name in one.targets}
            inside = np.flatnonzero(_first(means, variances, predicted, by) | np.isin(genes, sorted(targets)))
        if read is None or read >= len(inside):
            return cls(genes[inside], None)
        return cls(genes[inside], np.flatnonzero(_first(means[inside], variances[inside], read, by)))


def _first(means: NDArray, variances: NDArray, count: int, by: GeneRank) -> NDArray[np.bool_]:
    if by == "expressed":
        return most_expressed(means, count)
    return variable_genes(means, variances, n_top=count)["highly_variable"].to_numpy()


def columns_of(genes: NDArray, wanted: NDArray) -> NDArray[np.int64]:
    """(wanted,) places of genes that are known to be there."""
    place = {str(gene): at for at, gene in enumerate(genes)}
    return np.array([place[str(gene)] for gene in wanted], dtype=np.int64)
