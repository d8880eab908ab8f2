"""Cells of a screen, in memory or on disk: what was done to each, in which batch and cell type, and their values."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from gnnvcell.data.cell_file import open_cells
from gnnvcell.data.embeddings import CellEmbeddings
from gnnvcell.data.fields import Fields, FieldsConfig, find_fields
from gnnvcell.data.labelling import Labelling, factorise, label_cells, unambiguous_names
from gnnvcell.data.matrix import CellMatrix, MemoryMatrix, RowSubset, row_blocks
from gnnvcell.data.values import ValueKind, value_kind
from gnnvcell.errors import DataError, did_you_mean
from gnnvcell.perturbation import Perturbation

_SAMPLED_CELLS = 512
BLOCK = 4096  # cells read at a time


class Cells:
    """Cells with their fields resolved. Made by ``Cells.open`` (a file) or ``Cells.of`` (an AnnData).

    Args:
        obs: annotations of cells.
        var: annotations of genes.
        matrix: (cells, genes) values.
        config: which columns to use.
        path: the file; None for cells that were made in memory.
        unique_genes: refuse gene names that repeat; only reports on broken files need such cells.
        embeddings: of the cells, by their names in obsm.

    Raises:
        DataError: no cells or genes, fields that cannot be found (``find_fields``), gene names that repeat.
        PerturbationError: a label cannot be read.

    Attributes:
        perturbations: (perturbations,) str names, controls left out; "A+B" for several targets, the same in any order.
        code: (cells,) int32 position in ``perturbations``; -1 for control cells, -2 where it is not known.
        batches, batch_code: names, and (cells,) int32; one batch "" where there is no such column.
        contexts, context_code: cell types, and (cells,) int32; one context "" where there is no such column.

    Example:
        >>> cells = Cells.of(adata)  # doctest: +SKIP
        >>> cells.perturbations[cells.code[0]], cells.take([0, 1]).shape  # doctest: +SKIP
        ('TP53', (2, 18080))
    """

    CONTROL, UNASSIGNED = -1, -2

    def __init__(
        self,
        obs: pd.DataFrame,
        var: pd.DataFrame,
        matrix: CellMatrix,
        config: FieldsConfig | None = None,
        *,
        path: Path | None = None,
        unique_genes: bool = True,
        embeddings: CellEmbeddings | None = None,
    ) -> None:
        if 0 in matrix.shape:
            raise DataError(f"there are no cells or no genes in {path or 'the AnnData'}", found=f"shape {matrix.shape}")
        self.obs, self.var, self.matrix, self.path = obs, var, matrix, path
        self.embeddings = embeddings or CellEmbeddings({})
        self.config = config or FieldsConfig()
        self.fields: Fields = find_fields(obs, var, self.config)
        labelling: Labelling = label_cells(obs, self.fields)
        self.perturbations: NDArray = labelling.names
        self.targets: Sequence[Perturbation] = labelling.perturbations
        self.code: NDArray[np.int32] = labelling.code
        self.batches, self.batch_code = factorise(obs, self.fields.batch)
        self.contexts, self.context_code = factorise(obs, self.fields.cell_type)
        self.genes: NDArray = _gene_names(var, self.fields.gene_names)
        if unique_genes:
            _check_unique(self.genes)

    @classmethod
    def open(
        cls,
        path: str | Path,
        fields: FieldsConfig | None = None,
        *,
        in_memory: bool | None = None,
        unique_genes: bool = True,
    ) -> "Cells":
        """Open an .h5ad or .zarr file; errors as of ``open_cells`` and the class.

        Args:
            path: the file.
            fields: which columns to use.
            in_memory: whether the values are read whole; when left out, where they take less than 2 GiB.
            unique_genes: see the class.
        """
        file = open_cells(path, layer=fields.layer if fields else None, in_memory=in_memory)
        embeddings = CellEmbeddings(file.path)
        return cls(
            file.obs, file.var, file.matrix, fields, path=file.path, unique_genes=unique_genes, embeddings=embeddings
        )

    @classmethod
    def of(cls, adata: ad.AnnData, fields: FieldsConfig | None = None, *, unique_genes: bool = True) -> "Cells":
        """The cells of an AnnData; one that is backed is read from its file where it stays."""
        layer = fields.layer if fields else None
        if adata.isbacked and not adata.is_view:
            return cls.open(str(adata.filename), fields, in_memory=False, unique_genes=unique_genes)
        if layer is not None and layer not in adata.layers:
            raise DataError(f"the AnnData has no layer {layer!r}", remedy=did_you_mean(layer, list(adata.layers)))
        values = adata.X if layer is None else adata.layers[layer]
        if values is None:
            raise DataError("the AnnData has no values X", remedy="name a layer")
        obs, var = pd.DataFrame(adata.obs), pd.DataFrame(adata.var)
        embeddings = CellEmbeddings(adata.obsm)
        return cls(obs, var, MemoryMatrix(values), fields, unique_genes=unique_genes, embeddings=embeddings)

    @property
    def shape(self) -> tuple[int, int]:
        """(cells, genes)."""
        return self.matrix.shape

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        return (
            f"Cells({self.shape[0]:,} cells x {self.shape[1]:,} genes, {len(self.perturbations)} perturbations, "
            f"{int(self.is_control.sum()):,} controls, {len(self.contexts)} contexts, {len(self.batches)} batches, "
            f"{self.values.value})"
        )

    @property
    def is_control(self) -> NDArray[np.bool_]:
        """(cells,) whether a cell is an unperturbed control."""
        return self.code == self.CONTROL

    @cached_property
    def values(self) -> ValueKind:
        """What the values are, judged from 512 cells spread over the matrix."""
        rows = np.unique(np.linspace(0, len(self) - 1, min(len(self), _SAMPLED_CELLS)).astype(np.int64))
        return value_kind(self.matrix.take(rows).data)

    def require_controls(self) -> None:
        """Refuse cells among which there is no control.

        Raises:
            DataError: with the labels that look nearest.
        """
        if not self.is_control.any():
            column = self.fields.perturbation
            raise DataError(
                f"no cell is a control: none has a control's label in {column!r}",
                expected=self.fields.control or "a label such as non-targeting, control or ctrl",
                found=", ".join(map(str, self.perturbations[:5])),
                remedy="name the label: --control LABEL, or FieldsConfig(control=...)",
            )

    def context_of_controls(self) -> str:
        """The one cell type that the control cells are of.

        Raises:
            DataError: no controls, or controls of several cell types.
        """
        self.require_controls()
        found = np.unique(self.context_code[self.is_control])
        if len(found) > 1:
            raise DataError(
                "the control cells are of several cell types",
                expected="one",
                found=", ".join(map(str, self.contexts[found][:5])),
                remedy="take the cells of one: cells.take_cells(cells.context_code == ...)",
            )
        return str(self.contexts[found[0]])

    def perturbation_code(self, name: str) -> int:
        """Position of a perturbation in ``perturbations``; "B+A" is found as "A+B".

        Raises:
            DataError: no cell has it (with the nearest).
        """
        found = np.flatnonzero(self.perturbations == name)
        if len(found):
            return int(found[0])
        wanted = Perturbation.parse(name)
        for position, perturbation in enumerate(self.targets):
            if perturbation == wanted or set(perturbation.targets) == set(wanted.targets):
                return position
        raise DataError(f"no cell has the perturbation {name!r}", remedy=did_you_mean(name, self.perturbations))

    def context_position(self, name: str) -> int:
        """Position of a cell type in ``contexts``.

        Raises:
            DataError: no cell is of it (with the nearest).
        """
        found = np.flatnonzero(self.contexts == name)
        if not len(found):
            raise DataError(f"no cell is of the cell type {name!r}", remedy=did_you_mean(name, self.contexts))
        return int(found[0])

    def take(self, rows: NDArray | Sequence[int]) -> sp.csr_array:
        """Values of some cells, (rows, genes) float32 CSR, in any order and with repeats."""
        rows = np.asarray(rows)
        return self.matrix.take(np.flatnonzero(rows) if rows.dtype == bool else rows.astype(np.int64))

    def blocks(
        self, size: int = BLOCK, rows: NDArray | None = None
    ) -> Iterator[tuple[NDArray[np.int64], sp.csr_array]]:
        """Cells in order, a block at a time: their row numbers, and values (rows, genes).

        Args:
            size: cells in a block.
            rows: which cells, ascending; all when left out.
        """
        if rows is None:
            for part in row_blocks(len(self), size):
                yield np.arange(part.start, part.stop), self.matrix.read(part.start, part.stop)
            return
        rows = np.asarray(rows)
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows.astype(np.int64)
        for part in row_blocks(len(rows), size):
            yield rows[part], self.matrix.take(rows[part])

    def take_cells(self, rows: NDArray | Sequence[int]) -> "Cells":
        """Some cells; their values are read when they are asked for, and perturbations without a cell are left out.

        Names that had to tell modes or doses apart are short again where they need not any more.
        """
        rows = np.asarray(rows)
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows.astype(np.int64)
        chosen = Cells.__new__(Cells)
        chosen.__dict__.update({name: value for name, value in self.__dict__.items() if name != "values"})
        chosen.obs, chosen.matrix = self.obs.iloc[rows], RowSubset(self.matrix, rows)
        chosen.embeddings = self.embeddings.take(rows)
        chosen.code, _, chosen.targets = _compact(self.code[rows], self.perturbations, self.targets)
        names = unambiguous_names(chosen.targets)
        chosen.perturbations = np.array([names[target] for target in chosen.targets], dtype=str)
        chosen.batch_code, chosen.batches, _ = _compact(self.batch_code[rows], self.batches)
        chosen.context_code, chosen.contexts, _ = _compact(self.context_code[rows], self.contexts)
        return chosen

    def to_anndata(self, rows: NDArray | None = None) -> ad.AnnData:
        """The cells (or some of them) as an AnnData in memory, obs and var as they are in the file."""
        rows = np.arange(len(self)) if rows is None else np.asarray(rows)
        return ad.AnnData(sp.csr_matrix(self.take(rows)), obs=self.obs.iloc[rows].copy(), var=self.var.copy())


def as_cells(cells: Cells | ad.AnnData) -> Cells:
    """Cells of either kind as ``Cells``; errors as of ``Cells.of``."""
    return cells if isinstance(cells, Cells) else Cells.of(cells)


def _compact(
    code: NDArray[np.int32], names: NDArray, objects: Sequence[Perturbation] = ()
) -> tuple[NDArray[np.int32], NDArray, list[Perturbation]]:
    """Codes of the names that are left, and these names; negative codes stay."""
    used = np.unique(code[code >= 0])
    place = np.full(len(names) + 2, -1, dtype=np.int32)  # the last two places answer the codes -2 and -1
    place[-2:] = (-2, -1)
    place[used] = np.arange(len(used))
    return place[code], names[used], [objects[position] for position in used] if objects else []


def _gene_names(var: pd.DataFrame, column: str | None) -> NDArray:
    names = var.index if column is None else var[column]
    if pd.isna(names).any():
        raise DataError(f"{int(pd.isna(names).sum())} genes have no name", remedy="drop or name them")
    return np.asarray(names, dtype=str)


def _check_unique(genes: NDArray) -> None:
    unique, counts = np.unique(genes, return_counts=True)
    if len(unique) < len(genes):
        twice = unique[counts > 1]
        raise DataError(
            f"{len(twice):,} gene names repeat",
            expected="each gene once",
            found=", ".join(map(str, twice[:5])),
            remedy="merge or drop them; adata.var_names_make_unique() keeps both, and one of them will match a graph",
        )
