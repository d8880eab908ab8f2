"""RealEffects: mean expression under each perturbation and in control cells, in all cells and in halves of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gnnvcell.data.cell_sums import Grouping, summed
from gnnvcell.data.cells import Cells
from gnnvcell.errors import DataError
from gnnvcell.tasks.matching import first_spelling


@dataclass(frozen=True, eq=False)
class BatchedControls:
    """Mean expression of control cells by cell type and batch.

    Args:
        means: (contexts, batches, genes) mean log1p expression; zero where there are no cells.
        cells: (contexts, batches) number of control cells.
    """

    means: NDArray[np.float64]
    cells: NDArray[np.int64]

    def weighted(self, share: NDArray, context: NDArray) -> NDArray[np.float64]:
        """Control expression for rows with a share of their cells in each batch; batches without controls count not.

        Args:
            share: (rows, batches).
            context: (rows,) code of the cell type.

        Returns:
            (rows, genes); NaN for a row none of whose batches has controls.
        """
        share = share * (self.cells[context] > 0)
        total = share.sum(axis=1, keepdims=True)
        share = np.divide(share, total, out=np.full(share.shape, np.nan), where=total > 0)
        out = np.empty((len(share), self.means.shape[2]))
        for code in np.unique(context):
            out[context == code] = share[context == code] @ self.means[code]
        return out


@dataclass(frozen=True, eq=False)
class Half:
    """Effects in one half of the cells, controls halved too.

    Args:
        means: (rows, genes) float32 mean log1p expression; NaN in a row without cells.
        deltas: (rows, genes) float32, less the controls of the same batches and of the same half.
        controls: expression of the control cells of this half.
    """

    means: NDArray[np.float32]
    deltas: NDArray[np.float32]
    controls: BatchedControls


@dataclass(frozen=True, eq=False)
class RealEffects:
    """What was measured; a row is a perturbation in a cell type.

    Args:
        perturbations: (rows,) names.
        contexts: (rows,) names of cell types.
        context: (rows,) their codes.
        cells: (rows,) number of cells.
        means: (rows, genes) mean log1p expression.
        deltas: (rows, genes), less that of the control cells of the same batches.
        share: (rows, batches) share of a row's cells in each batch.
        controls: expression of control cells.
        batch_names: (batches,) names.
        row_of: (cells of the screen,) row of each cell, -1 in control cells.
        halves: pairs of disjoint halves, one pair for each split.
    """

    perturbations: NDArray
    contexts: NDArray
    context: NDArray[np.int64]
    cells: NDArray[np.int64]
    means: NDArray[np.float64]
    deltas: NDArray[np.float64]
    share: NDArray[np.float64]
    controls: BatchedControls
    batch_names: NDArray
    row_of: NDArray[np.int64]
    halves: Sequence[tuple[Half, Half]] = ()

    def rows_with(self, cells: NDArray) -> NDArray[np.bool_]:
        """(rows,) whether any of some cells, (cells of the screen,) bool, is in the row."""
        found = np.zeros(len(self.cells) + 1, dtype=bool)
        found[self.row_of[cells]] = True
        return found[:-1]  # the last place is that of control cells, row -1

    def deltas_against(self, controls: BatchedControls) -> NDArray[np.float64]:
        """(rows, genes) means less some of the control cells of the same batches."""
        return self.means - controls.weighted(self.share, self.context)


def measure_effects(
    cells: Cells,
    *,
    columns: NDArray | None = None,
    splits: int = 0,
    seed: int = 0,
    what: str = "real",
    progress: bool = True,
) -> RealEffects:
    """Mean expression of every perturbation and of the controls, in one pass over the cells.

    Args:
        cells: a screen with control cells in every batch that has perturbed ones.
        columns: (genes,) columns to use, in this order; all when left out.
        splits: number of splits into disjoint halves.
        seed: of the splits.
        what: what the cells are, for messages.
        progress: a bar on stderr.

    Raises:
        DataError: there are no control cells, or none in a batch of a cell type, or the values are not usable.
    """
    layout = _Layout.of(cells, what)
    whole = (layout.rows, layout.controls)
    first = [tuple(_half(grouping, seed, split) for grouping in whole) for split in range(splits)]
    groupings = [*whole, *(grouping for pair in first for grouping in pair)]
    sums = summed(cells, groupings, columns=columns, what=what, progress=progress)
    means, controls, deltas = layout.effects(whole, sums[:2])
    halves = []
    for place, pair in enumerate(first):
        part = sums[2 + 2 * place : 4 + 2 * place]
        rest = [total - half for total, half in zip(sums[:2], part, strict=True)]
        others = tuple(_without(grouping, half) for grouping, half in zip(whole, pair, strict=True))
        halves.append((layout.half(pair, part), layout.half(others, rest)))
    return RealEffects(
        perturbations=np.asarray(cells.perturbations, dtype=str)[layout.perturbation],
        contexts=np.asarray(cells.contexts, dtype=str)[layout.context],
        context=layout.context,
        cells=layout.rows.sizes,
        means=means,
        deltas=deltas,
        share=shares(layout.rows, cells.batch_code, len(cells.batches)),
        controls=controls,
        batch_names=np.asarray(cells.batches, dtype=str),
        row_of=layout.rows.group,
        halves=halves,
    )


def shares(rows: Grouping, batch: NDArray, batches: int) -> NDArray[np.float64]:
    """(groups, batches) share of the cells of each group in each batch."""
    inside = rows.group >= 0
    counts = np.zeros((rows.groups, batches))
    np.add.at(counts, (rows.group[inside], batch[inside]), 1.0)
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)


_Groupings = tuple[Grouping, ...]


@dataclass(frozen=True, eq=False)
class _Layout:
    """Which cells are summed up into what."""

    rows: Grouping  # perturbed cells by perturbation and cell type
    controls: Grouping  # control cells by cell type and batch
    perturbation: NDArray[np.int64]  # (rows,) codes
    context: NDArray[np.int64]  # (rows,) codes
    batch: NDArray  # (cells,) codes
    shape: tuple[int, int]  # cell types, batches

    @classmethod
    def of(cls, cells: Cells, what: str) -> "_Layout":
        cells.require_controls()
        perturbed, batches = cells.code >= 0, len(cells.batches)
        named = first_spelling(cells.perturbations)[cells.code[perturbed]]
        code, inverse = np.unique(np.stack([named, cells.context_code[perturbed]]), axis=1, return_inverse=True)
        group = np.full(len(cells.code), -1, dtype=np.int64)
        group[perturbed] = inverse.ravel()
        place = cells.context_code.astype(np.int64) * batches + cells.batch_code
        rows = Grouping(group, code.shape[1])
        controls = Grouping(np.where(cells.is_control, place, -1), len(cells.contexts) * batches)
        bare = np.setdiff1d(place[perturbed], np.flatnonzero(controls.sizes))
        if len(bare):
            raise _without_controls(cells, bare, what)
        shape = (len(cells.contexts), batches)
        return cls(rows, controls, code[0].astype(np.int64), code[1].astype(np.int64), cells.batch_code, shape)

    def effects(
        self, groupings: _Groupings, sums: Sequence[NDArray]
    ) -> tuple[NDArray[np.float64], BatchedControls, NDArray[np.float64]]:
        """Means, controls and deltas of some of the cells."""
        rows, control = groupings
        means = _mean(sums[0], rows.sizes)
        controls = BatchedControls(
            np.nan_to_num(_mean(sums[1], control.sizes)).reshape(*self.shape, -1), control.sizes.reshape(self.shape)
        )
        return means, controls, means - controls.weighted(shares(rows, self.batch, self.shape[1]), self.context)

    def half(self, groupings: _Groupings, sums: Sequence[NDArray]) -> Half:
        means, controls, deltas = self.effects(groupings, sums)
        return Half(means.astype(np.float32), deltas.astype(np.float32), controls)


def _without_controls(cells: Cells, places: NDArray, what: str) -> DataError:
    context, batch = divmod(int(places[0]), len(cells.batches))
    kind = f" of {str(cells.contexts[context])!r}" if len(cells.contexts) > 1 else ""
    return DataError(
        f"{len(places)} batches of the {what} cells have perturbed cells and no control cells",
        expected="control cells in every batch",
        found=f"none in batch {str(cells.batches[batch])!r}{kind}",
        remedy="drop those batches, or score without batches: --batch """,
    )


def _half(grouping: Grouping, seed: int, split: int) -> Grouping:
    """A random half of each group; of an odd number the smaller part."""
    order = np.random.default_rng([seed, split]).permutation(len(grouping.group))
    order = order[np.argsort(grouping.group[order], kind="stable")]
    order = order[grouping.group[order] >= 0]
    sizes = grouping.sizes
    place = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    kept = order[place < np.repeat(sizes // 2, sizes)]
    group = np.full(len(grouping.group), -1, dtype=np.int64)
    group[kept] = grouping.group[kept]
    return Grouping(group, grouping.groups)


def _without(whole: Grouping, part: Grouping) -> Grouping:
    return Grouping(np.where(part.group >= 0, -1, whole.group), whole.groups)


def _mean(sums: NDArray, sizes: NDArray) -> NDArray[np.float64]:
    return np.divide(sums, sizes[:, None], out=np.full(sums.shape, np.nan), where=sizes[:, None] > 0)
