"""PseudoBulk: mean expression of cells by perturbation, and that of their controls."""

from dataclasses import dataclass
from typing import Any, no_type_check

import numba
import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from gnnvcell.errors import DataError, did_you_mean


@dataclass(frozen=True, eq=False)
class PseudoBulk:
    """Mean log1p expression under each perturbation.

    Args:
        means: (perturbations, genes) mean over the cells of a perturbation.
        control: (genes,) mean over control cells; or (perturbations, genes), where each perturbation has its own, such
            as the controls of its batches.
        perturbations: (perturbations,) unique names, "A+B" for several targets.
        genes: (genes,) names.

    Raises:
        DataError: shapes disagree or names of perturbations repeat.
    """

    means: NDArray[np.float64]
    control: NDArray[np.float64]
    perturbations: NDArray
    genes: NDArray

    def __post_init__(self) -> None:
        shape = (len(self.perturbations), len(self.genes))
        if self.means.shape != shape or self.control.shape not in (shape, shape[1:]):
            raise DataError(
                "the parts of a pseudobulk have different shapes",
                expected=f"means {shape}, control {shape[1:]} or {shape}",
                found=f"means {self.means.shape}, control {self.control.shape}",
            )
        unique, counts = np.unique(self.perturbations, return_counts=True)
        if len(unique) < shape[0]:
            raise DataError("names of perturbations repeat in a pseudobulk", found=str(unique[counts > 1][0]))

    @property
    def deltas(self) -> NDArray[np.float64]:
        """(perturbations, genes) means less those of the controls, natural log units."""
        return self.means - self.control

    @classmethod
    def of_cells(
        cls, matrix: sp.sparray | sp.spmatrix | NDArray, labels: NDArray, control: str, genes: NDArray
    ) -> "PseudoBulk":
        """Means by label against all control cells together, as cell-eval 0.8 makes them but summed in float64.

        Args:
            matrix: (cells, genes) log1p expression, dense or CSR.
            labels: (cells,) perturbation of each cell.
            control: the label of control cells.
            genes: (genes,) names.

        Raises:
            DataError: there are no control cells, or the matrix is neither dense nor CSR.
        """
        names, group = np.unique(np.asarray(labels, dtype=str), return_inverse=True)
        if control not in names:
            raise DataError(f"no cell is labelled {control!r}", remedy=did_you_mean(control, names.tolist()))
        means = group_sums(matrix, group, len(names)) / np.bincount(group)[:, None]
        perturbed = names != control
        return cls(means[perturbed], means[~perturbed][0], names[perturbed], np.asarray(genes, dtype=str))


def group_sums(matrix: Any, group: NDArray, groups: int) -> NDArray[np.float64]:
    """(groups, genes) float64 sums of the rows of each group; group -1 is left out.

    Args:
        matrix: (cells, genes), dense or CSR.
        group: (cells,) codes.
        groups: number of groups.

    Raises:
        DataError: the matrix is neither dense nor CSR.
    """
    out = np.zeros((groups, matrix.shape[1]))
    codes = np.ascontiguousarray(group, dtype=np.int64)
    if isinstance(matrix, np.ndarray):
        _add_dense(matrix, codes, out)
    elif sp.issparse(matrix) and matrix.format == "csr":
        _add_sparse(matrix.indptr, matrix.indices, matrix.data, codes, out)
    else:
        raise DataError(
            "cells cannot be summed by perturbation",
            expected="a dense array or a CSR matrix in memory",
            found=type(matrix).__name__,
            remedy="matrix.tocsr()",
        )
    return out


@numba.njit(nogil=True, cache=True)
@no_type_check
def _add_sparse(indptr, indices, data, group, out):
    for row in range(len(group)):
        if group[row] >= 0:
            total = out[group[row]]
            for k in range(indptr[row], indptr[row + 1]):
                total[indices[k]] += data[k]


@numba.njit(nogil=True, cache=True)
@no_type_check
def _add_dense(matrix, group, out):
    for row in range(len(group)):
        if group[row] >= 0:
            total = out[group[row]]
            for gene in range(matrix.shape[1]):
                total[gene] += matrix[row, gene]
