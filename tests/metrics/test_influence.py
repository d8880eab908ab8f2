import numpy as np
import pytest

from gnnvcell.errors import DataError
from gnnvcell.metrics import per_gene_auroc, per_gene_auroc_influence


def screen(perturbations: int, genes: int, seed: int, share: float = 0.5):
    """Labels that follow a hidden property of the perturbation, and scores that see some of it."""
    rng = np.random.default_rng(seed)
    hidden = rng.normal(size=(perturbations, 3))
    loadings = rng.normal(size=(3, genes))
    labels = (hidden @ loadings + rng.normal(size=(perturbations, genes)) > 0).astype(int)
    scores = hidden @ loadings * 0.5 + rng.normal(size=(perturbations, genes))
    return scores, labels, rng.random((perturbations, genes)) < share


def test_one_gene_by_hand() -> None:
    # Positives score 3 and 1, negatives 2 and 0: placements 1, 1/2 and 1/2, 1; AUROC 3/4; n (n - 1) = 2.
    scores, labels = np.array([[3.0], [1.0], [2.0], [0.0]]), np.array([[1], [1], [0], [0]])
    found = per_gene_auroc_influence(scores, labels, np.ones((4, 1), bool))
    assert found == pytest.approx(np.array([0.25, -0.25, -0.25, 0.25]) / np.sqrt(2))


def test_one_gene_is_delongs_variance() -> None:
    scores, labels, _ = screen(40, 1, 3)
    scores = scores.round(1)  # some ties
    x, y = scores[labels == 1], scores[labels == 0]
    wins = (x[:, None] > y) + 0.5 * (x[:, None] == y)
    delong = wins.mean(1).var(ddof=1) / len(x) + wins.mean(0).var(ddof=1) / len(y)
    assert (per_gene_auroc_influence(scores, labels, np.ones((40, 1), bool)) ** 2).sum() == pytest.approx(delong)


def test_the_variance_is_that_of_perturbations_drawn_anew() -> None:
    scores, labels, measured = screen(120, 30, 0)
    rng = np.random.default_rng(1)
    drawn = []
    for _ in range(400):
        rows = rng.integers(0, 120, 120)
        drawn.append(np.nanmean(per_gene_auroc(scores[rows], labels[rows], measured[rows])))
    influence = per_gene_auroc_influence(scores, labels, measured)
    assert influence.sum() == pytest.approx(0, abs=1e-12)
    assert np.sqrt((influence**2).sum()) == pytest.approx(np.std(drawn), rel=0.15)


def test_pairs_that_are_not_scored_have_none() -> None:
    scores, labels, measured = screen(20, 4, 2)
    measured[:, 0], labels[:, 0] = True, 1  # a gene with one label only
    measured[7] = False
    found = per_gene_auroc_influence(scores, labels, measured)
    assert found[7] == 0
    without = per_gene_auroc_influence(scores[:, 1:], labels[:, 1:], measured[:, 1:])
    assert found == pytest.approx(without)
    assert not per_gene_auroc_influence(scores, np.ones_like(labels), measured).any()


def test_a_score_that_is_missing_is_refused() -> None:
    scores, labels, measured = screen(6, 2, 0, share=1.0)
    scores[0, 0] = np.nan
    with pytest.raises(DataError, match="1 of 12 scored pairs are NaN"):
        per_gene_auroc_influence(scores, labels, measured)
