"""Scores of binary labels over (perturbation, gene) pairs."""

import numpy as np
from numpy.typing import NDArray

from gnnvcell.errors import DataError


def per_gene_auroc(scores: NDArray, labels: NDArray, measured: NDArray) -> NDArray[np.float64]:
    """Area under the ROC curve within each gene (PerturbQA's headline, ICLR 2025).

    For gene g with measured perturbations P+ (label 1) and P- (label 0),
    ``AUROC_g = (sum of ranks of P+ - |P+|(|P+|+1)/2) / (|P+||P-|)``, ties counted half. A score that depends on the
    gene alone gets .5.

    Args:
        scores: (perturbations, genes) float, larger means label 1 is likelier.
        labels: (perturbations, genes) 0 or 1.
        measured: (perturbations, genes) bool, the pairs to score.

    Returns:
        (genes,) AUROC; NaN where a gene has not both labels among its measured pairs.

    Raises:
        DataError: shapes differ, or a measured score is NaN.
    """
    check_scored_pairs(scores, labels, measured)
    return _auroc_by_column(scores, labels, measured)


def per_perturbation_auroc(scores: NDArray, labels: NDArray, measured: NDArray) -> NDArray[np.float64]:
    """Area under the ROC curve within each perturbation; arguments as in ``per_gene_auroc``.

    Returns:
        (perturbations,) AUROC; NaN where undefined. A gene's own mean scores high here: it is no evidence that a
        model tells perturbations apart.
    """
    check_scored_pairs(scores, labels, measured)
    return _auroc_by_column(scores.T, labels.T, measured.T)


def micro_auroc(scores: NDArray, labels: NDArray, measured: NDArray) -> float:
    """AUROC over all measured pairs at once; it flatters (the gene's own mean reaches .95 on PerturbQA).

    Returns:
        The AUROC, NaN when only one label was measured.
    """
    check_scored_pairs(scores, labels, measured)
    column = np.flatnonzero(measured.ravel())
    return float(
        _auroc_by_column(scores.ravel()[column, None], labels.ravel()[column, None], np.ones((len(column), 1), bool))[0]
    )


def average_precision(scores: NDArray, labels: NDArray, measured: NDArray) -> float:
    """Average precision over all measured pairs: mean over positives of the precision at their rank.

    Tied scores share the precision at the end of their tie, as in scikit-learn.

    Returns:
        The average precision, NaN without positives.
    """
    check_scored_pairs(scores, labels, measured)
    score, label = scores[measured], labels[measured].astype(bool)
    if not label.any():
        return float("nan")
    order = np.argsort(-score, kind="stable")
    score, label = score[order], label[order]
    ends = np.flatnonzero(np.append(np.diff(score) != 0, True))
    hits = np.cumsum(label)[ends]
    precision = hits / (ends + 1)
    return float((np.diff(hits, prepend=0) * precision).sum() / hits[-1])


def _auroc_by_column(scores: NDArray, labels: NDArray, measured: NDArray) -> NDArray[np.float64]:
    """One vectorised pass: rank all pairs by (column, score), then sum ranks per column."""
    rows, columns = np.nonzero(measured)
    order = np.lexsort((scores[rows, columns], columns))
    rows, columns = rows[order], columns[order]
    values, positive = scores[rows, columns], labels[rows, columns].astype(bool)
    ranks = tied_ranks_within(columns, values)
    n_columns = scores.shape[1]
    n_positive = np.bincount(columns, weights=positive, minlength=n_columns)
    n_all = np.bincount(columns, minlength=n_columns)
    rank_sum = np.bincount(columns, weights=ranks * positive, minlength=n_columns)
    n_pairs = n_positive * (n_all - n_positive)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(n_pairs > 0, (rank_sum - n_positive * (n_positive + 1) / 2) / n_pairs, np.nan)


def tied_ranks_within(groups: NDArray, values: NDArray) -> NDArray[np.float64]:
    """Average ranks (from 1) of values within each group; both sorted by (group, value)."""
    if not len(values):
        return np.zeros(0)
    position = np.arange(len(values))
    new_group = np.append(True, groups[1:] != groups[:-1])
    group_start = np.maximum.accumulate(np.where(new_group, position, 0))
    new_tie = new_group | np.append(True, values[1:] != values[:-1])
    tie = np.cumsum(new_tie) - 1
    tie_start = np.flatnonzero(new_tie)
    tie_size = np.diff(np.append(tie_start, len(values)))
    return (tie_start + (tie_size - 1) / 2)[tie] - group_start + 1


def check_scored_pairs(scores: NDArray, labels: NDArray, measured: NDArray) -> None:
    """Refuse arrays that do not belong together.

    Raises:
        DataError: shapes differ, or a measured score is NaN.
    """
    if not scores.shape == labels.shape == measured.shape:
        raise DataError(
            "scores, labels and mask have different shapes", found=f"{scores.shape}, {labels.shape}, {measured.shape}"
        )
    bad = int(np.isnan(scores[measured]).sum())
    if bad:
        raise DataError(f"{bad} of {int(measured.sum())} scored pairs are NaN", remedy="predict every pair")
