"""Scores of predicted differential expression, perturbation by perturbation, by the definitions of cell-eval 0.8.

All take two ``DECalls`` of one shape. They score all tested genes, the target among them, as cell-eval does; pass
``calls.only(targets_left_out(...))`` for both sides to leave targets out, which any model gets right.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from gnnvcell.errors import DataError
from gnnvcell.metrics.calls import DECalls
from gnnvcell.metrics.labels import tied_ranks_within

_LN10 = np.log(np.float32(10))
_SMALLEST_FDR = np.float32(1e-10)


def overlap_at(predicted: DECalls, real: DECalls, k: int | None = None) -> NDArray[np.float64]:
    """Share of the strongest real genes among the strongest predicted ones ("overlap_at_N", "DES").

    ``|top_k(real) and top_k(predicted)| / k``: both sides' significant genes by size of log2 fold change; k is the
    number of real significant genes, or ``k`` where that is smaller.

    Returns:
        (perturbations,); 0 where nothing is really significant.
    """
    _check(predicted, real)
    return _shared(predicted, real, real.significant.sum(axis=1), k)


def precision_at(predicted: DECalls, real: DECalls, k: int | None = None) -> NDArray[np.float64]:
    """As ``overlap_at``, with k from the number of predicted significant genes ("precision_at_N").

    Returns:
        (perturbations,); 0 where nothing is predicted to be significant.
    """
    _check(predicted, real)
    return _shared(predicted, real, predicted.significant.sum(axis=1), k)


def de_spearman_lfc_sig(predicted: DECalls, real: DECalls) -> NDArray[np.float64]:
    """Spearman correlation of log2 fold changes over the really significant genes.

    A gene that was not tested in the prediction counts as fold change 0.

    Returns:
        (perturbations,); NaN where fewer than two genes are significant or one side does not vary.
    """
    _check(predicted, real)
    row, column = np.nonzero(real.significant)
    predicted_change = np.where(predicted.tested, predicted.log2_fold_change, np.float32(0))
    ranks = [_ranks(row, change[row, column]) for change in (real.log2_fold_change, predicted_change)]
    count = np.bincount(row, minlength=len(real.fdr))
    x, y = (rank - (count[row] + 1) / 2 for rank in ranks)

    def total(values: NDArray) -> NDArray:
        return np.bincount(row, weights=values, minlength=len(count))

    norm = np.sqrt(total(x * x) * total(y * y))
    return np.divide(total(x * y), norm, out=np.full(len(count), np.nan), where=norm > 0)


def de_spearman_sig(predicted: DECalls, real: DECalls) -> float:
    """Spearman correlation over perturbations of the real and the predicted number of significant genes.

    Only over perturbations with a really significant gene; 1 where there is none, as in cell-eval; NaN where one side
    does not vary.
    """
    _check(predicted, real)
    number, guess = real.significant.sum(axis=1), predicted.significant.sum(axis=1)
    if not number.any():
        return 1.0
    x, y = (stats.rankdata(v[number > 0]) for v in (number, guess))
    x, y = x - x.mean(), y - y.mean()
    norm = np.sqrt((x * x).sum() * (y * y).sum())
    return float((x * y).sum() / norm) if norm > 0 else float("nan")


def de_direction_match(predicted: DECalls, real: DECalls) -> NDArray[np.float64]:
    """Share of the really significant genes, tested on both sides, whose predicted change has the right sign.

    Returns:
        (perturbations,); NaN where there is no such gene.
    """
    _check(predicted, real)
    inside = real.significant & predicted.tested
    right = inside & (np.sign(real.log2_fold_change) == np.sign(predicted.log2_fold_change))
    return _share(right, inside)


def de_sig_genes_recall(predicted: DECalls, real: DECalls) -> NDArray[np.float64]:
    """Share of the really significant genes that are significant in the prediction.

    Returns:
        (perturbations,); NaN where nothing is really significant.
    """
    _check(predicted, real)
    return _share(real.significant & predicted.significant, real.significant)


def de_nsig_counts(predicted: DECalls, real: DECalls) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(perturbations,) numbers of significant genes: predicted, real."""
    _check(predicted, real)
    return predicted.significant.sum(axis=1), real.significant.sum(axis=1)


def pr_auc(predicted: DECalls, real: DECalls) -> NDArray[np.float64]:
    """Average precision with which the predicted fdr finds the really significant genes; see ``recovery``."""
    return recovery(predicted, real)[0]


def roc_auc(predicted: DECalls, real: DECalls) -> NDArray[np.float64]:
    """Area under the ROC curve of finding the really significant genes by the predicted fdr; see ``recovery``."""
    return recovery(predicted, real)[1]


def recovery(predicted: DECalls, real: DECalls) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """``pr_auc`` and ``roc_auc`` in one pass.

    A gene's score is ``-log10(fdr)`` of the prediction, in float32 and at most 10; 0 where it was not tested. Average
    precision is the mean over real genes of the precision at their rank, tied scores sharing the last one.

    Returns:
        Two (perturbations,); NaN where all or none of the tested genes are really significant.
    """
    _check(predicted, real)
    precision, area = np.full((2, len(real.fdr)), np.nan)
    score = _evidence(predicted.fdr)
    for row, (label, tested) in enumerate(zip(real.significant, real.tested, strict=True)):
        label = label[tested]
        positives, number = int(label.sum()), len(label)
        if not 0 < positives < number:
            continue
        values = score[row, tested]
        order = np.argsort(-values, kind="stable")
        ends = np.flatnonzero(np.append(np.diff(values[order]) != 0, True))
        hits = np.cumsum(label[order])[ends]
        new, misses = np.diff(hits, prepend=0), ends + 1 - hits
        precision[row] = (new * (hits / (ends + 1))).sum() / positives
        # Trapezes of the ROC curve: each step to the right adds the mean of the hits before and after it.
        area[row] = (np.diff(misses, prepend=0) * (hits - new / 2)).sum() / (positives * (number - positives))
    return precision, area


def _evidence(fdr: NDArray[np.floating]) -> NDArray[np.float32]:
    """-log10 as polars has it in float32, which decides about ties."""
    clipped = np.clip(np.nan_to_num(fdr, nan=1.0), _SMALLEST_FDR, 1)
    return -(np.log(clipped.astype(np.float64)).astype(np.float32) / _LN10)


def _shared(predicted: DECalls, real: DECalls, number: NDArray, k: int | None) -> NDArray[np.float64]:
    most = number if k is None else np.minimum(number, k)
    both = (predicted.rank < most[:, None]) & (real.rank < most[:, None])
    return np.divide(both.sum(axis=1), most, out=np.zeros(len(most)), where=most > 0)


def _share(some: NDArray, whole: NDArray) -> NDArray[np.float64]:
    count = whole.sum(axis=1)
    return np.divide(some.sum(axis=1), count, out=np.full(len(count), np.nan), where=count > 0)


def _ranks(row: NDArray, values: NDArray) -> NDArray[np.float64]:
    order = np.lexsort((values, row))
    ranks = np.empty(len(row))
    ranks[order] = tied_ranks_within(row[order], values[order])
    return ranks


def _check(predicted: DECalls, real: DECalls) -> None:
    if predicted.fdr.shape != real.fdr.shape:
        raise DataError(
            "predicted and real differential expression have different shapes",
            expected="the same perturbations and genes in the same order",
            found=f"predicted {predicted.fdr.shape}, real {real.fdr.shape}",
        )
