"""How much each perturbation moves the mean per-gene AUROC: what an interval over perturbations is made of."""

import numpy as np
from numpy.typing import NDArray

from gnnvcell.metrics.labels import check_scored_pairs, tied_ranks_within


def per_gene_auroc_influence(scores: NDArray, labels: NDArray, measured: NDArray) -> NDArray[np.float64]:
    """Influence of every perturbation on the mean over genes of the per-gene AUROC.

    For gene g with measured perturbations P+ (label 1) and P- (label 0), a positive one's placement is the share of P-
    below it, a negative one's the share of P+ above it (ties half); both average to ``AUROC_g``. The influence is

        ``I_p = 1/G sum_g (placement_gp - AUROC_g) / sqrt(n (n - 1))``

    over the G genes with both labels, n the size of p's class in g (no term where n = 1). The influences sum to zero
    within a class of a gene, and ``sum_p I_p^2`` is the variance of the mean AUROC over draws of perturbations; for one
    gene that is DeLong's variance [DeLong et al., Biometrics 1988]. Of two models on the same pairs, the difference of
    their influences belongs to the difference of their means.

    Args:
        scores: (perturbations, genes) float, larger means label 1 is likelier.
        labels: (perturbations, genes) 0 or 1.
        measured: (perturbations, genes) bool, the pairs to score.

    Returns:
        (perturbations,) influences; 0 for a perturbation that is not scored.

    Raises:
        DataError: shapes differ, or a measured score is NaN.

    Example:
        >>> ones = np.ones((4, 1), bool)
        >>> per_gene_auroc_influence(np.array([[3.0], [1.0], [2.0], [0.0]]), np.array([[1], [1], [0], [0]]), ones)
        array([ 0.1767767, -0.1767767, -0.1767767,  0.1767767])
    """
    check_scored_pairs(scores, labels, measured)
    rows, columns = np.nonzero(measured)
    positive = labels[rows, columns].astype(bool)
    values = scores[rows, columns]
    among_all, among_own = _ranks(columns, values), _ranks(2 * columns + positive, values)
    n_positive = np.bincount(columns, weights=positive, minlength=scores.shape[1])[columns]
    n_negative = np.bincount(columns, weights=~positive, minlength=scores.shape[1])[columns]
    own, other = np.where(positive, n_positive, n_negative), np.where(positive, n_negative, n_positive)
    counted = other > 0
    genes = len(np.unique(columns[counted]))
    below = (among_all - among_own)[counted] / other[counted]
    placement = np.where(positive[counted], below, 1.0 - below)
    own, group = own[counted], (2 * columns + positive)[counted]
    sums = np.bincount(group, weights=placement)
    deviation = placement - sums[group] / own
    share = np.divide(deviation, np.sqrt(own * (own - 1)), out=np.zeros_like(own), where=own > 1)
    return np.bincount(rows[counted], weights=share, minlength=len(scores)) / max(genes, 1)


def _ranks(groups: NDArray, values: NDArray) -> NDArray[np.float64]:
    """Average ranks within groups, in the order in which the values come."""
    order = np.lexsort((values, groups))
    ranks = np.empty(len(values))
    ranks[order] = tied_ranks_within(groups[order], values[order])
    return ranks
