"""Sums of log-normalised expression over groups of cells, in one pass over blocks, and every value looked at."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from tqdm import tqdm

from gnnvcell.data.cells import Cells
from gnnvcell.data.expression import COUNTS_PER_CELL
from gnnvcell.data.values import LARGEST_LOG1P, ValueKind
from gnnvcell.errors import DataError


@dataclass(frozen=True, eq=False)
class Grouping:
    """Cells in groups.

    Args:
        group: (cells,) int64; -1 for cells of no group.
        groups: number of groups.
    """

    group: NDArray[np.int64]
    groups: int

    @property
    def sizes(self) -> NDArray[np.int64]:
        """(groups,) number of cells."""
        return np.bincount(self.group[self.group >= 0], minlength=self.groups)


def summed(
    cells: Cells,
    groupings: Sequence[Grouping],
    *,
    columns: NDArray | None = None,
    target_sum: float = COUNTS_PER_CELL,
    what: str = "cells",
    progress: bool = True,
) -> list[NDArray[np.float64]]:
    """Sums of log1p expression by group, for several groupings in one pass; the cells may be on disk.

    Counts are scaled to ``target_sum`` a cell over the genes used, then log1p-transformed; log1p values are taken as
    they are.

    Args:
        cells: counts or log1p-normalised values.
        groupings: of these cells.
        columns: (genes,) columns to use, in this order; all when left out.
        target_sum: what the counts of a cell are scaled to.
        what: what the cells are, for messages and the progress bar.
        progress: a bar on stderr, where that is a terminal.

    Returns:
        For each grouping (groups, genes) float64.

    Raises:
        DataError: the values are neither counts nor log1p-normalised, are both, or are negative, NaN or infinite.
    """
    if cells.values not in (ValueKind.COUNTS, ValueKind.LOG1P):
        raise DataError(
            f"the {what} cells hold neither counts nor log1p-normalised values",
            expected="raw counts, or log1p of counts per 10,000",
            found=f"{cells.values.value} values",
            remedy="name the layer with the counts (--layer), or preprocess: gnnvcell data preprocess",
        )
    genes = len(cells.genes) if columns is None else len(columns)
    sums = [np.zeros((grouping.groups, genes)) for grouping in groupings]
    used = np.flatnonzero(np.any([grouping.group >= 0 for grouping in groupings], axis=0))
    with tqdm(total=len(used), desc=f"reading {what} cells", unit="cell", disable=None if progress else True) as bar:
        for rows, block in cells.blocks(rows=used):
            block = _checked(sp.csr_array(block), cells.values, what)
            block = block if columns is None else sp.csr_array(block[:, columns])
            block = log_normalised(block, cells.values, target_sum)
            for total, grouping in zip(sums, groupings, strict=True):
                _add(total, grouping.group[rows], block)
            bar.update(len(rows))
    return sums


def median_total(cells: Cells) -> float:
    """Median of the total counts of cells that have any: scanpy's ``normalize_total(target_sum=None)``."""
    totals = np.concatenate([np.asarray(block.sum(axis=1)).ravel() for _, block in cells.blocks()])
    if not (totals > 0).any():
        raise DataError("no cell has counts", found=repr(cells))
    return float(np.median(totals[totals > 0]))


def log_normalised(
    block: sp.csr_array, values: ValueKind, target_sum: float = COUNTS_PER_CELL
) -> sp.csr_array:
    """Counts as log1p of counts per ``target_sum`` over the genes of the block; log1p values as they are."""
    block = sp.csr_array(block, dtype=np.float64)
    if values is ValueKind.COUNTS:
        total = np.asarray(block.sum(axis=1)).ravel()
        scale = np.divide(target_sum, total, out=np.zeros_like(total), where=total > 0)
        block.data = np.log1p(block.data * np.repeat(scale, np.diff(block.indptr)))
    return block


def _add(total: NDArray[np.float64], group: NDArray, block: sp.csr_array) -> None:
    inside = np.flatnonzero(group >= 0)
    if not len(inside):
        return
    touched, place = np.unique(group[inside], return_inverse=True)
    picker = sp.csr_array((np.ones(len(inside)), (place, inside)), shape=(len(touched), len(group)))
    total[touched] += sp.csr_array(picker @ block).toarray()


def _checked(block: sp.csr_array, values: ValueKind, what: str) -> sp.csr_array:
    """The block, when its values are what a sample of the cells promised.

    Raises:
        DataError: they are not.
    """
    data = block.data
    bad = ~np.isfinite(data) | (data < 0)
    if bad.any():
        raise DataError(
            f"{int(bad.sum()):,} values of the {what} cells cannot be expression",
            expected="finite numbers >= 0",
            found=str(data[bad][0]),
            remedy="scores need counts or log1p values, not z-scores or residuals; repair or drop what is NaN",
        )
    mixed = data != np.floor(data) if values is ValueKind.COUNTS else data > LARGEST_LOG1P
    if mixed.any():
        raise DataError(
            f"the {what} cells hold counts and log1p values at once",
            expected=f"{values.value} values in every cell, as in the first ones",
            found=f"{data[mixed][0]:g} among them",
            remedy="bring all cells to one kind",
        )
    return block
