"""Co-expression of genes in unperturbed cells: shrunk correlation, the strongest few per gene, sign kept."""

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from gnnvcell.errors import DataError, EmptyGraphError
from gnnvcell.genes import Identities
from gnnvcell.graphs.edges import EdgeTable
from gnnvcell.graphs.shrinkage import shrinkage_intensity, standardised
from gnnvcell.graphs.similarity import Mode, select_pairs
from gnnvcell.graphs.sources._controls_of_cells import ControlCells, Normalisation, open_cells, read_controls
from gnnvcell.graphs.sources.base import SOURCES, Reading, Source, SourceContext
from gnnvcell.keys import GENE

_RELATION = "coexpressed"
_PAIRS_AT_ONCE = 1 << 14


@SOURCES.register("coexpression")
class Coexpression(Source):
    """Correlated genes: one relation ``coexpressed``, undirected, weight = |r*|, sign = sign of r*.

    Only control cells count, so that the graph knows nothing of any perturbation's effect. r* is the correlation of
    log-normalised expression, shrunk by the analytic intensity of Schäfer and Strimmer (2005).

    Args:
        path: h5ad; the only one in ``source_dir`` when None.
        adata: an AnnData instead of a file.
        control_column: obs column that says what was done to a cell; found by its labels when None.
        control_label: its label of control cells; found among the usual ones ("control", "ctrl", "non-targeting", "NT",
            "unperturbed", "DMSO", "vehicle") when None.
        gene_column: var column with gene names; the index when None.
        layer: layer with the expression; X when None.
        normalisation: "auto" scales counts to the median library size and takes log1p, and leaves other values as they
            are; "log1p" and "none" say which.
        top_k: keep a pair that is among the k strongest, by |r*|, of one of its genes.
        min_weight: smallest |r*| of an edge.
        min_cells: a gene counts if it is seen (> 0) in this many control cells; and so many cells there must be.
        max_cells: draw this many control cells where there are more (memory is cells x genes x 4 bytes).
        seed: of the draw.

    Example:
        >>> Coexpression(path="cells.h5ad", top_k=10).top_k
        10
    """

    type: ClassVar[str] = "coexpression"
    licence: ClassVar[str] = "that of the cells"
    citation: ClassVar[str] = (
        "Schäfer and Strimmer, Stat. Appl. Genet. Mol. Biol. 4, 32 (2005), doi:10.2202/1544-6115.1175"
    )

    path: str | Path | None = None
    adata: Any = Field(default=None, exclude=True, repr=False)
    control_column: str | None = None
    control_label: str | None = None
    gene_column: str | None = None
    layer: str | None = None
    normalisation: Normalisation = "auto"
    top_k: int = Field(default=20, ge=1)
    min_weight: float = Field(default=0.0, ge=0, lt=1)
    min_cells: int = Field(default=10, ge=3)
    max_cells: int = Field(default=5_000, ge=10)
    seed: int = 0

    def read(self, context: SourceContext) -> Reading:
        """Read the control cells and correlate their genes.

        Raises:
            FileFormatError: no h5ad, or several, or a damaged one.
            ConfigError: controls that cannot be told, unknown columns or layers.
            DataError: too few control cells or genes, or values that are no expression.
            EmptyGraphError: no pair has a correlation.
        """
        files, cells = self._read_cells(context)
        seen = (cells.values > 0).sum(axis=0)
        counted = (seen >= self.min_cells) & (cells.values.min(axis=0) < cells.values.max(axis=0))
        copies = _weaker_copies(cells.genes, seen)
        counted &= ~copies
        if len(cells.values) < self.min_cells or counted.sum() < 2:
            raise DataError(
                "too few control cells or genes for a correlation",
                expected=f"{self.min_cells} cells, and two genes seen in as many",
                found=f"{len(cells.values)} cells, {int(counted.sum())} such genes",
                remedy="lower min_cells, or check control_column and control_label",
            )
        context.report(f"correlating {int(counted.sum()):,} genes in {len(cells.values):,} control cells")
        genes = cells.genes[counted]
        table, intensity = coexpression_table(
            cells.values[:, counted], genes, top_k=self.top_k, minimum=self.min_weight
        )
        notes = [*cells.notes, f"shrinkage intensity {intensity:.4f}"]
        if copies.any():
            notes.append(f"{int(copies.sum()):,} columns repeat a gene; the one seen in most cells is used")
        if not (counted | copies).all():
            lost = int((~counted & ~copies).sum())
            notes.append(f"{lost:,} genes seen in fewer than {self.min_cells} control cells, or constant, left out")
        identities = None
        if cells.ensembl is not None:
            ids = [(name, row) for row, name in enumerate(cells.ensembl[counted].tolist())]
            identities = Identities(genes.tolist(), {"ensembl": ids})
        return Reading([table], files, cells.cells_read, identities, notes)

    def _read_cells(self, context: SourceContext) -> tuple[list[Path], ControlCells]:
        files: list[Path] = []
        adata = self.adata
        if adata is None:
            files = [context.find([r".*\.h5ad"], what="an AnnData file", explicit=self.path)]
            context.report(f"cells from {files[0].name}")
            adata = open_cells(files[0])
        try:
            cells = read_controls(
                adata,
                column=self.control_column,
                label=self.control_label,
                gene_column=self.gene_column,
                layer=self.layer,
                normalisation=self.normalisation,
                max_cells=self.max_cells,
                seed=self.seed,
            )
        finally:
            if files:
                adata.file.close()
        return files, cells


def _weaker_copies(genes: NDArray, seen: NDArray) -> NDArray[np.bool_]:
    """(genes,) whether a column repeats the name of one that is seen in more cells (or in as many, and comes first)."""
    order = np.lexsort((np.arange(len(genes)), -seen, genes))
    repeats = np.zeros(len(genes), dtype=bool)
    repeats[order[1:]] = genes[order[1:]] == genes[order[:-1]]
    return repeats


def coexpression_table(
    values: NDArray[np.floating], genes: NDArray, *, top_k: int, minimum: float = 0.0
) -> tuple[EdgeTable, float]:
    """The strongest shrunk correlations, without ever holding the matrix of all pairs.

    Args:
        values: (cells, genes) expression; every gene varies.
        genes: (genes,) unique names.
        top_k: pairs among the k strongest, by absolute value, of one of their genes.
        minimum: smallest absolute shrunk correlation of an edge.

    Returns:
        The undirected edge table with weight |r*| and sign, and the shrinkage intensity lambda.

    Raises:
        DataError: fewer than three cells, or genes that do not vary or repeat.
        EmptyGraphError: the correlations are all shrunk away, or none reaches the minimum.
    """
    unique, counts = np.unique(genes, return_counts=True)
    if len(unique) < len(genes):
        raise DataError("genes repeat", found=str(unique[counts > 1][0]), remedy="merge or rename them first")
    z = standardised(values)
    intensity = shrinkage_intensity(z)
    if intensity >= 1:
        raise EmptyGraphError("the correlations are noise: all are shrunk to zero", remedy="use more cells")
    scale = np.float32((1 - intensity) / (len(z) - 1))

    def block(start: int, stop: int) -> NDArray[np.float32]:
        return np.abs(z[:, start:stop].T @ z) * scale

    low, high, weight = select_pairs(block, z.shape[1], Mode("top", float(top_k)))
    keep = weight >= minimum
    if not keep.any():
        raise EmptyGraphError(
            f"no shrunk correlation reaches {minimum:g}",
            found=f"the largest is {weight.max():g}",
            remedy="lower min_weight",
        )
    low, high, weight = low[keep], high[keep], weight[keep]
    table = EdgeTable((GENE, _RELATION, GENE), low, high, weight, genes, genes, _signs(z, low, high))
    return table, intensity


def _signs(z: NDArray[np.float32], low: NDArray[np.int64], high: NDArray[np.int64]) -> NDArray[np.int8]:
    """Signs of the correlations of the chosen pairs."""
    signs = np.empty(len(low), dtype=np.int8)
    for start in range(0, len(low), _PAIRS_AT_ONCE):
        part = slice(start, start + _PAIRS_AT_ONCE)
        products = np.einsum("ij,ij->j", z[:, low[part]], z[:, high[part]], optimize=False)
        signs[part] = np.sign(products).astype(np.int8)
    return signs
