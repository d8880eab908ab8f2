"""Differential expression of ``Cells``, which may be on disk: gene ranges that fit into memory, one after the other."""

import itertools
from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy import stats
from tqdm import tqdm

from gnnvcell import keys
from gnnvcell.data.cells import Cells
from gnnvcell.data.differential import DifferentialExpression, differential_of_matrix
from gnnvcell.data.expression import COUNTS_PER_CELL, checked_expression
from gnnvcell.data.values import ValueKind
from gnnvcell.errors import DataError

_BYTES_PER_ENTRY = 24  # float64 value and int32 column, held twice while blocks are put together
_ROW_FIELDS = ("perturbations", "cells", "controls", "contexts")


def differential_of_cells(
    cells: Cells, *, min_cells: int = 3, memory: int = 2 << 30, threads: int | None = None, progress: bool = True
) -> DifferentialExpression:
    """Test every perturbation in every cell type against the control cells of that type.

    See ``differential_expression``: the fields of the cells say what is what. Cells of unknown perturbation are left
    out. The values are read once to look at them, and once for each range of genes that fits into ``memory``.

    Args:
        cells: counts or log1p-normalised values, in memory or on disk.
        min_cells: fewest cells of a perturbation in a cell type.
        memory: bytes that the values of a range of genes may take.
        threads: of the tests; all that this process may use when left out.
        progress: a bar on stderr.

    Raises:
        DataError: no controls, none in a batch, too few cells, or values that are neither counts nor log1p.
    """
    cells.require_controls()
    if cells.values not in (ValueKind.COUNTS, ValueKind.LOG1P):
        raise DataError(
            "the cells hold neither counts nor log1p-normalised values",
            found=f"{cells.values.value} values",
            remedy="name the layer with the counts, or preprocess them",
        )
    rows = np.flatnonzero(cells.code >= Cells.CONTROL)
    labels = np.append(cells.perturbations, keys.NON_TARGETING)[cells.code[rows]]  # code -1 is the last name
    stored, scale = _survey(cells, rows, progress)
    parts = [
        differential_of_matrix(
            _columns(cells, rows, scale, first, last, progress),
            labels,
            keys.NON_TARGETING,
            cells.genes[first:last],
            batches=cells.batch_code[rows],
            contexts=cells.contexts[cells.context_code[rows]],
            min_cells=min_cells,
            assume="log1p",
            threads=threads,
        )
        for first, last in _ranges(stored, memory)
    ]
    return parts[0] if len(parts) == 1 else _side_by_side(parts)


def _survey(cells: Cells, rows: NDArray, progress: bool) -> tuple[NDArray[np.int64], NDArray[np.float64] | None]:
    """(genes,) stored entries, and what brings the counts of each row to 10,000; None for log1p values."""
    stored, totals = np.zeros(len(cells.genes), dtype=np.int64), np.zeros(len(rows))
    start = 0
    for taken, block in tqdm(cells.blocks(rows=rows), desc="looking at cells", disable=None if progress else True):
        checked_expression(block, cells.values.value)
        stored += np.bincount(block.indices, minlength=len(stored))
        totals[start : start + len(taken)] = block.sum(axis=1, dtype=np.float64)
        start += len(taken)
    if cells.values is ValueKind.LOG1P:
        return stored, None
    return stored, np.divide(COUNTS_PER_CELL, totals, out=np.zeros_like(totals), where=totals > 0)


def _ranges(stored: NDArray[np.int64], memory: int) -> list[tuple[int, int]]:
    """Ranges of genes with at most so many bytes of entries, each of one gene at least."""
    bounds, used = [0], 0
    for gene, entries in enumerate(stored.tolist()):
        used += entries * _BYTES_PER_ENTRY
        if used > memory and gene > bounds[-1]:
            bounds.append(gene)
            used = entries * _BYTES_PER_ENTRY
    return list(itertools.pairwise([*bounds, len(stored)]))


def _columns(
    cells: Cells, rows: NDArray, scale: NDArray[np.float64] | None, first: int, last: int, progress: bool
) -> sp.csr_array:
    """(rows, last - first) log1p values; counts are normalised in float64."""
    blocks, start = [], 0
    whole = (first, last) == (0, len(cells.genes))
    for taken, block in tqdm(cells.blocks(rows=rows), desc="reading cells", disable=None if progress else True):
        part = block if whole else sp.csr_array(block[:, first:last])
        if scale is not None:
            part = sp.csr_array(part, dtype=np.float64)
            factor = np.repeat(scale[start : start + len(taken)], np.diff(part.indptr))
            part.data = np.log1p(part.data * factor)
        blocks.append(part)
        start += len(taken)
    return sp.csr_array(sp.vstack(blocks, format="csr"))


def _side_by_side(parts: Sequence[DifferentialExpression]) -> DifferentialExpression:
    """The same rows over all genes; false discovery rates are those of all genes together."""
    joined = {
        name: np.concatenate([getattr(part, name) for part in parts], axis=-1)
        for name in ("genes", "p_value", "delta", "statistic", "mean", "control_mean")
    }
    same = {name: getattr(parts[0], name) for name in _ROW_FIELDS}
    return DifferentialExpression(q_value=stats.false_discovery_control(joined["p_value"], axis=1), **joined, **same)
