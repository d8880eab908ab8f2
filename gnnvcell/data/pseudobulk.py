"""From cells to effects: mean log1p expression under a perturbation less that of its matched control cells."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from gnnvcell.data.cell_sums import COUNTS_PER_CELL, Grouping, median_total, summed
from gnnvcell.data.cells import Cells
from gnnvcell.data.effects import Context, EffectTable
from gnnvcell.data.values import ValueKind
from gnnvcell.errors import ConfigError, DataError

Matching = Literal["batch", "context"]


@dataclass(frozen=True, eq=False)
class _Arms:
    """Perturbations within contexts, and control cells within contexts and batches.

    Args:
        perturbation, context: (arms,) codes.
        arm: (cells,) arm of each perturbed cell, else -1.
        pool: (cells,) pool of each control cell, else -1.
        share: (arms, pools) share of an arm's cells that is matched by each pool; rows sum to 1.
    """

    perturbation: NDArray[np.int64]
    context: NDArray[np.int64]
    arm: NDArray[np.int64]
    pool: NDArray[np.int64]
    share: NDArray[np.float64]


def cell_effects(
    cells: Cells,
    *,
    matching: str = "batch",
    target_sum: float | None = COUNTS_PER_CELL,
    rows: NDArray | None = None,
    min_cells: int = 1,
    keep_targets: bool = False,
    split: Mapping[str, str] | None = None,
    progress: bool = False,
) -> EffectTable:
    """Effects of all perturbations of a screen, of kind "delta", in one pass over the cells.

    ``delta = mean over the perturbation's cells - sum over batches of (share of its cells) * (mean of the batch's
    controls)``, on log1p expression (counts are scaled to ``target_sum`` a cell first). Both are within a context.

    Args:
        cells: counts or log1p values, in memory or on disk.
        matching: "batch": controls of the same context and batch; "context": all controls of the context.
        target_sum: what the counts of a cell are scaled to; None is the median of the cells' totals (as scanpy has it),
            which suits files of some hundred genes: 10,000 would make large numbers of single counts. Not used for
            log1p values.
        rows: (cells,) bool, cells to use; all when left out. Give halves of the controls here.
        min_cells: perturbations with fewer cells in a context are left out.
        keep_targets: whether a perturbation's effect on its own targets counts as measured; models and scores leave it
            out, because it is known beforehand.
        split: perturbation to "train", "val" or "test"; "train" where it is not in there.
        progress: a bar on stderr.

    Returns:
        One row per (perturbation, context), with the mean expression of the controls of each context.

    Raises:
        ConfigError: unknown matching.
        DataError: no controls, none in a batch or context that has perturbed cells, no perturbed cell, or values that
            are neither counts nor log1p.
    """
    if matching not in get_args(Matching):
        raise ConfigError(f"unknown matching {matching!r}", expected="batch or context")
    cells.require_controls()
    used = np.ones(len(cells), dtype=bool) if rows is None else np.asarray(rows, dtype=bool)
    arms = _arms(cells, used, matching, min_cells)
    pools = Grouping(arms.pool, arms.share.shape[1])
    in_arms = Grouping(arms.arm, len(arms.perturbation))
    target = resolved_target_sum(cells, target_sum)
    sums, pool_sums = summed(cells, [in_arms, pools], target_sum=target, progress=progress)
    pool_means = pool_sums / np.maximum(pools.sizes, 1)[:, None]
    delta = sums / in_arms.sizes[:, None] - arms.share @ pool_means
    names = cells.perturbations[arms.perturbation]
    measured = np.ones(delta.shape, dtype=bool)
    if not keep_targets:
        column = {str(gene): at for at, gene in enumerate(cells.genes)}
        for row, code in enumerate(arms.perturbation.tolist()):
            measured[row, [column[t] for t in cells.targets[code].targets if t in column]] = False
    contexts = cells.contexts[arms.context]
    parts = split or {}
    return EffectTable(
        delta,
        measured,
        names,
        cells.genes,
        kind="delta",
        split=[parts.get(str(name), "train") for name in names],
        context=contexts,
        control=_control_means(cells, arms, pool_sums, pools.sizes, matching),
        cells=in_arms.sizes,
    )


def control_context(
    cells: Cells, genes: NDArray, *, target_sum: float | None = COUNTS_PER_CELL, progress: bool = False
) -> Context:
    """The context that some control cells show.

    Args:
        cells: control cells of one cell type; other cells among them are left out.
        genes: (genes,) names that the expression is wanted of.
        target_sum: as of ``cell_effects``, and the same as for the training effects.
        progress: a bar on stderr.

    Returns:
        Its name and (genes,) mean log1p expression, NaN for genes that the cells lack.

    Raises:
        DataError: no controls, several cell types, none of the genes, or values that are neither counts nor log1p.
    """
    name = cells.context_of_controls()
    pool = Grouping(np.where(cells.is_control, 0, -1), 1)
    target = resolved_target_sum(cells, target_sum)
    (total,) = summed(cells, [pool], target_sum=target, what="control", progress=progress)
    place = {str(gene): at for at, gene in enumerate(cells.genes)}
    column = np.array([place.get(str(gene), -1) for gene in genes])
    if (column < 0).all():
        raise DataError("the control cells have none of the genes", found=", ".join(map(str, cells.genes[:3])))
    mean = np.where(column >= 0, total[0][column] / pool.sizes[0], np.nan)
    return Context(name, mean.astype(np.float32))


def resolved_target_sum(cells: Cells, target_sum: float | None) -> float:
    """What counts are scaled to: as given, or the median of the cells' totals (of log1p values the usual 10,000).

    Raises:
        ConfigError: it is not above 0.
    """
    if target_sum is None:
        return median_total(cells) if cells.values is ValueKind.COUNTS else COUNTS_PER_CELL
    if not target_sum > 0:
        raise ConfigError(f"counts cannot be scaled to {target_sum}", expected="a number > 0, or None for the median")
    return target_sum


def _arms(cells: Cells, used: NDArray[np.bool_], matching: str, min_cells: int) -> _Arms:
    context, batch = cells.context_code.astype(np.int64), cells.batch_code.astype(np.int64)
    batches = len(cells.batches) if matching == "batch" else 1
    place = context * batches + (batch if matching == "batch" else 0)
    pool = np.where(used & cells.is_control, place, -1)
    pair = cells.code.astype(np.int64) * len(cells.contexts) + context
    perturbed = used & (cells.code >= 0)
    pairs, counts = np.unique(pair[perturbed], return_counts=True)
    pairs = pairs[counts >= min_cells]
    if not len(pairs):
        raise DataError("no perturbation has enough cells", expected=f"at least {min_cells}", found=repr(cells))
    at = np.searchsorted(pairs, pair).clip(max=len(pairs) - 1)
    arm = np.where(perturbed & (pairs[at] == pair), at, -1)
    share = np.zeros((len(pairs), len(cells.contexts) * batches))
    inside = arm >= 0
    np.add.at(share, (arm[inside], place[inside]), 1.0)
    _require_pools(cells, share, np.bincount(pool[pool >= 0], minlength=share.shape[1]), batches)
    share /= share.sum(axis=1, keepdims=True)
    return _Arms(pairs // len(cells.contexts), pairs % len(cells.contexts), arm, pool, share)


def _require_pools(cells: Cells, share: NDArray, controls: NDArray, batches: int) -> None:
    bare = np.flatnonzero((share.sum(axis=0) > 0) & (controls == 0))
    if not len(bare):
        return
    context, batch = cells.contexts[bare[0] // batches], cells.batches[bare[0] % batches] if batches > 1 else ""
    where = " of ".join(f"{what} {name!r}" for what, name in (("batch", batch), ("context", context)) if name)
    raise DataError(
        f"{len(bare)} batches or contexts have perturbed cells and no control cells",
        expected="controls beside all perturbed cells",
        found=where or "no controls among the cells used",
        remedy='drop those cells, or match by context (matching="context") where only batches lack controls',
    )


def _control_means(
    cells: Cells, arms: _Arms, pool_sums: NDArray, sizes: NDArray, matching: str
) -> dict[str, NDArray]:
    """Context to the mean of all its control cells."""
    batches = len(cells.batches) if matching == "batch" else 1
    total = pool_sums.reshape(len(cells.contexts), batches, -1).sum(axis=1)
    count = sizes.reshape(len(cells.contexts), batches).sum(axis=1)
    used = np.unique(arms.context)
    return {str(cells.contexts[c]): total[c] / count[c] for c in used.tolist()}
