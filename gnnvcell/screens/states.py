"""States of cells: mean expression of groups, and what differs between two of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from tqdm import tqdm

from gnnvcell.data.matrix import row_blocks
from gnnvcell.errors import DataError, did_you_mean
from gnnvcell.models.state_embedding.expressed_cells import CellSource, ExpressedCells

_CELLS_AT_ONCE = 4096


@dataclass(frozen=True, eq=False)
class CellState:
    """Expression of a group of cells, stratum by stratum.

    Args:
        name: of the group.
        genes: (genes,) names.
        mean: (strata, genes) float64 mean of log1p of counts per 10,000.
        variance: (strata, genes) float64 between cells (n - 1).
        cells: (strata,) number of cells.
        strata: (strata,) names of batches or donors; one "" where cells are not divided.
    """

    name: str
    genes: NDArray
    mean: NDArray[np.float64]
    variance: NDArray[np.float64]
    cells: NDArray[np.int64]
    strata: NDArray

    def take_genes(self, columns: NDArray[np.int64]) -> "CellState":
        """The state of some genes, in that order."""
        parts = self.genes[columns], self.mean[:, columns], self.variance[:, columns]
        return CellState(self.name, *parts, self.cells, self.strata)


def state_of(source: CellSource, *, progress: bool = False) -> CellState:
    """The state of all cells of a file, an AnnData or ``Cells``.

    Raises:
        DataError: values that are neither counts nor log1p.
    """
    cells = ExpressedCells.of(source)
    return _states(cells, np.zeros(len(cells), dtype=np.int64), ["all cells"], np.array([""]), progress)[0]


def group_states(
    source: CellSource,
    column: str,
    groups: tuple[str, str],
    *,
    within: str | None = None,
    layer: str | None = None,
    progress: bool = False,
) -> tuple[CellState, CellState]:
    """The states of two groups of cells.

    Args:
        source: where the cells are.
        column: obs column of the groups.
        groups: two labels in it.
        within: obs column that the cells are divided by.
        layer: layer with the values.
        progress: a bar on stderr.

    Raises:
        DataError: no such column, no cell of a group, the same group twice, or values that are neither counts nor
            log1p.
    """
    cells = ExpressedCells.of(source, layer=layer)
    labels = cells.labels(column)
    if groups[0] == groups[1]:
        raise DataError(f"source and goal are the same group {groups[0]!r}", expected="two groups of cells")
    for name in groups:
        if not (labels == name).any():
            raise DataError(f"no cell has {name!r} in {column!r}", remedy=did_you_mean(name, set(labels.tolist())))
    inside = np.isin(labels, groups)
    names, code = np.array([""]), np.zeros(len(cells), dtype=np.int64)
    if within is not None:
        names, code = np.unique(cells.labels(within), return_inverse=True)
    group = np.where(inside, (labels == groups[1]) * len(names) + code, -1)
    source_state, goal_state = _states(cells, group, groups, names, progress)
    return source_state, goal_state


def _states(
    cells: ExpressedCells, group: NDArray[np.int64], names: Sequence[str], strata: NDArray, progress: bool
) -> list[CellState]:
    """One pass over the cells of any group (group number times strata plus stratum; -1 is none)."""
    count, rows = len(names) * len(strata), np.flatnonzero(group >= 0)
    sums = np.zeros((2, count, len(cells.genes)))
    with tqdm(total=len(rows), desc="reading cells", unit="cell", disable=None if progress else True) as bar:
        for part in row_blocks(len(rows), _CELLS_AT_ONCE):
            block = cells.take(rows[part])
            here = group[rows[part]]
            pick = sp.csr_array((np.ones(len(here)), (here, np.arange(len(here)))), shape=(count, len(here)))
            sums[0] += sp.csr_array(pick @ block).toarray()
            sums[1] += sp.csr_array(pick @ sp.csr_array(block.multiply(block))).toarray()
            bar.update(len(here))
    number = np.bincount(group[rows], minlength=count)
    mean = sums[0] / np.maximum(number, 1)[:, None]
    variance = np.maximum(sums[1] / np.maximum(number, 1)[:, None] - mean**2, 0.0)
    variance *= (number / np.maximum(number - 1, 1))[:, None]
    parts = [slice(at * len(strata), (at + 1) * len(strata)) for at in range(len(names))]
    return [
        CellState(str(name), cells.genes, mean[part], variance[part], number[part], strata)
        for name, part in zip(names, parts, strict=True)
    ]


def shared_states(source: CellState, goal: CellState) -> tuple[CellState, CellState]:
    """Two states over the genes that both have, in the order of the source.

    Raises:
        DataError: there is no such gene.
    """
    place = {str(gene): at for at, gene in enumerate(goal.genes)}
    columns = np.array([at for at, gene in enumerate(source.genes) if str(gene) in place], dtype=np.int64)
    if not len(columns):
        raise DataError(
            "source and goal share no gene",
            found=f"{', '.join(map(str, source.genes[:3]))} and {', '.join(map(str, goal.genes[:3]))}",
            remedy="bring both to gene symbols",
        )
    theirs = np.array([place[str(gene)] for gene in source.genes[columns]])
    return source.take_genes(columns), goal.take_genes(theirs)


def difference(source: CellState, goal: CellState) -> tuple[NDArray, NDArray[np.float64], NDArray[np.float64]]:
    """Genes, (genes,) goal less source, and the standard error of it; strata count as the goal's cells are in them.

    Raises:
        DataError: a stratum has cells of the goal and none of the source.
    """
    bare = goal.strata[(goal.cells > 0) & (source.cells == 0)]
    if len(bare):
        raise DataError(
            f"{len(bare)} strata have cells of {goal.name!r} and none of {source.name!r}",
            found=str(bare[0]),
            remedy="compare the groups everywhere, or leave these cells out",
        )
    share = goal.cells / goal.cells.sum()
    change = share @ (goal.mean - source.mean)
    square = sum(state.variance / np.maximum(state.cells, 1)[:, None] for state in (source, goal))
    return goal.genes, change, np.sqrt(share**2 @ np.asarray(square))
