"""Differential expression of perturbed against control cells: rank-sum test, effect sizes, and the labels from them."""

from dataclasses import dataclass

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy import stats

from gnnvcell import keys
from gnnvcell.data.effects import EffectTable
from gnnvcell.errors import DataError, did_you_mean

_GENES_AT_A_TIME = 256
_COUNTS_PER_CELL = 1e4


@dataclass(frozen=True, eq=False)
class DifferentialExpression:
    """Tests and effect sizes of every perturbation on every gene.

    Args:
        perturbations: (perturbations,) names.
        genes: (genes,) names.
        cells: (perturbations,) int64 cells of each perturbation.
        p_value: (perturbations, genes) float64, two-sided Mann-Whitney of perturbed against all control cells.
        q_value: (perturbations, genes) float64, Benjamini-Hochberg within a perturbation.
        delta: (perturbations, genes) float64, mean log1p expression minus that of the controls of the same batches, in
            natural log units of counts per 10,000.
    """

    perturbations: NDArray
    genes: NDArray
    cells: NDArray[np.int64]
    p_value: NDArray[np.float64]
    q_value: NDArray[np.float64]
    delta: NDArray[np.float64]

    def effects(self, kind: str, *, fdr: float = 0.05, split: NDArray | None = None, context: str = "") -> EffectTable:
        """The effect table of one kind; the perturbed gene itself is never a measured readout.

        Args:
            kind: "de": 1 where ``q_value < fdr``. "direction": 1 where such a gene went up; only those are measured.
                "delta": the effect size.
            fdr: level of the call.
            split: (perturbations,) "train", "val" or "test".
            context: cell line or cell type.

        Raises:
            DataError: unknown kind.
        """
        significant = self.q_value < fdr
        values = {"de": significant, "direction": self.delta > 0, "delta": self.delta}
        if kind not in values:
            raise DataError(f"unknown kind of effect {kind!r}", remedy=did_you_mean(kind, values))
        measured = self.perturbations[:, None] != self.genes[None, :]
        if kind == "direction":
            measured = measured & significant
        return EffectTable(
            values[kind], measured, self.perturbations, self.genes, kind=kind, split=split, context=context
        )


def differential_expression(
    cells: ad.AnnData,
    *,
    perturbation_key: str = keys.TARGET_GENE,
    control: str = keys.NON_TARGETING,
    batch_key: str | None = keys.BATCH,
    min_cells: int = 3,
) -> DifferentialExpression:
    """Test every perturbation of a screen against its control cells.

    Counts are scaled to 10,000 a cell and log1p-transformed. The test is the Mann-Whitney U test with tie and
    continuity correction (as ``scipy.stats.mannwhitneyu(method="asymptotic")``), done for all perturbations of a gene
    at once: the controls are sorted once, and each perturbed cell is placed among them.

    Args:
        cells: (cells, genes) integer counts, dense or sparse.
        perturbation_key: obs column with the perturbation of each cell.
        control: its value for control cells.
        batch_key: obs column with batches, or None; effect sizes are taken against the controls of the same batch.
        min_cells: fewest cells of a perturbation.

    Raises:
        DataError: a column is missing, there are no control cells or none in a batch, a perturbation has fewer than
            ``min_cells`` cells, or the matrix does not hold finite counts >= 0.
    """
    labels = _column(cells, perturbation_key)
    is_control = labels == control
    if not is_control.any():
        raise DataError(
            f"no cell has {perturbation_key} = {control!r}", remedy=did_you_mean(control, np.unique(labels).tolist())
        )
    names, arm = np.unique(labels[~is_control], return_inverse=True)
    if not len(names):
        raise DataError("all cells are controls", expected="cells of at least one perturbation")
    numbers = np.bincount(arm)
    if numbers.min() < min_cells:
        raise DataError(
            f"{int((numbers < min_cells).sum())} perturbations have fewer than {min_cells} cells",
            found=f"{names[numbers.argmin()]}: {numbers.min()}",
            remedy="drop them, or lower min_cells",
        )
    expression = log_normalise(cells.X)
    batch = np.zeros(len(labels), dtype=np.int64)
    if batch_key is not None:
        batch = np.unique(_column(cells, batch_key), return_inverse=True)[1]
    p_value = np.empty((len(names), cells.n_vars))
    for start in range(0, cells.n_vars, _GENES_AT_A_TIME):
        block = expression[:, start : start + _GENES_AT_A_TIME].toarray()
        p_value[:, start : start + block.shape[1]] = _rank_sum(block[is_control], block[~is_control], arm)
    return DifferentialExpression(
        perturbations=names,
        genes=np.asarray(cells.var_names, dtype=str),
        cells=numbers,
        p_value=p_value,
        q_value=stats.false_discovery_control(p_value, axis=1),
        delta=_batch_matched_delta(expression, is_control, arm, batch),
    )


def log_normalise(counts: object) -> sp.csc_array:
    """log1p of counts per 10,000, (cells, genes) float64; a cell without counts stays zero.

    Raises:
        DataError: no matrix, or values that are negative, NaN, infinite or not whole.
    """
    if counts is None or not (sp.issparse(counts) or isinstance(counts, np.ndarray)):
        raise DataError("the cells have no count matrix in memory", found=type(counts).__name__)
    matrix = sp.csr_array(counts, dtype=np.float64)
    bad = ~np.isfinite(matrix.data) | (matrix.data < 0) | (matrix.data != np.floor(matrix.data))
    if bad.any():
        raise DataError(
            f"{int(bad.sum()):,} entries are not counts",
            expected="whole numbers >= 0",
            found=str(matrix.data[bad][0]),
            remedy="pass raw counts, not normalised or log-transformed values",
        )
    total = np.asarray(matrix.sum(axis=1)).ravel()
    scale = np.divide(_COUNTS_PER_CELL, total, out=np.zeros_like(total), where=total > 0)
    matrix = sp.csr_array(matrix.multiply(scale[:, None]))
    matrix.data = np.log1p(matrix.data)
    return sp.csc_array(matrix)


def _column(cells: ad.AnnData, key: str) -> NDArray:
    if key not in cells.obs:
        raise DataError(f"the cells have no obs column {key!r}", remedy=did_you_mean(key, cells.obs.columns))
    missing = np.asarray(pd.isna(cells.obs[key]))
    if missing.any():
        raise DataError(f"{int(missing.sum())} cells have no value for {key!r}", remedy="drop or label them")
    return cells.obs[key].astype(str).to_numpy(dtype=str)


def _rank_sum(control: NDArray, perturbed: NDArray, arm: NDArray) -> NDArray[np.float64]:
    """Two-sided p values, (perturbations, genes), of (control cells, genes) against (perturbed cells, genes) by arm."""
    n_control, n_perturbed = len(control), np.bincount(arm)
    total = n_control + n_perturbed
    control = np.sort(control, axis=0)
    u = np.empty((len(n_perturbed), control.shape[1]))
    ties = np.empty_like(u)
    for gene in range(control.shape[1]):
        u[:, gene], ties[:, gene] = _rank_one_gene(control[:, gene], perturbed[:, gene], arm, len(n_perturbed))
    pairs = (n_control * n_perturbed)[:, None]
    variance = pairs / 12 * ((total + 1)[:, None] - ties / (total * (total - 1))[:, None])
    distance = np.maximum(np.abs(u - pairs / 2) - 0.5, 0)
    # A gene with one value in all cells has no variance, and nothing to tell apart.
    z = np.divide(distance, np.sqrt(np.maximum(variance, 0)), out=np.zeros_like(u), where=variance > 0)
    return np.minimum(2 * stats.norm.sf(z), 1.0)


def _rank_one_gene(
    control: NDArray, perturbed: NDArray, arm: NDArray, arms: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """U statistic and tie term ``sum(t^3 - t)`` of each arm, given sorted controls."""
    below = np.searchsorted(control, perturbed, side="left")
    level = np.searchsorted(control, perturbed, side="right") - below
    u = np.bincount(arm, weights=below + 0.5 * level, minlength=arms).astype(np.float64)
    order = np.lexsort((perturbed, arm))
    values, arms_in_order = perturbed[order], arm[order]
    first = np.r_[True, (values[1:] != values[:-1]) | (arms_in_order[1:] != arms_in_order[:-1])]
    starts = np.flatnonzero(first)
    ours = np.diff(np.r_[starts, len(values)]).astype(np.float64)
    theirs = level[order][starts].astype(np.float64)
    extra = _cubed(ours + theirs) - _cubed(theirs)
    among_controls = _cubed(np.unique(control, return_counts=True)[1].astype(np.float64)).sum()
    return u, among_controls + np.bincount(arms_in_order[starts], weights=extra, minlength=arms)


def _cubed(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    return counts**3 - counts


def _batch_matched_delta(
    expression: sp.csc_array, is_control: NDArray, arm: NDArray, batch: NDArray
) -> NDArray[np.float64]:
    """Mean of each perturbation minus the mean of control cells, weighted to the perturbation's batches."""
    batches = int(batch.max()) + 1
    in_batch = np.bincount(batch[is_control], minlength=batches)
    used = np.bincount(batch[~is_control], minlength=batches) > 0
    if (used & (in_batch == 0)).any():
        raise DataError(
            f"{int((used & (in_batch == 0)).sum())} batches have perturbed cells and no control cells",
            expected="controls in every batch",
            remedy="drop those batches, or pass batch_key=None",
        )
    rows = expression.tocsr()
    control_mean = _group_mean(rows[np.flatnonzero(is_control)], batch[is_control], batches)
    perturbed = rows[np.flatnonzero(~is_control)]
    share = np.zeros((int(arm.max()) + 1, batches))
    np.add.at(share, (arm, batch[~is_control]), 1.0)
    share /= share.sum(axis=1, keepdims=True)
    return _group_mean(perturbed, arm, len(share)) - share @ control_mean


def _group_mean(rows: sp.csr_array, group: NDArray, groups: int) -> NDArray[np.float64]:
    """(groups, genes) mean; zero for a group without rows."""
    size = np.maximum(np.bincount(group, minlength=groups), 1)
    picker = sp.csr_array((np.ones(len(group)), (group, np.arange(len(group)))), shape=(groups, len(group)))
    return sp.csr_array(picker @ rows).toarray() / size[:, None]
