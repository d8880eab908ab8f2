import time

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from gnnvcell.errors import DataError
from gnnvcell.metrics import average_precision, micro_auroc, per_gene_auroc, per_perturbation_auroc


@pytest.fixture
def pairs():
    rng = np.random.default_rng(0)
    scores = np.round(rng.normal(size=(40, 60)), 1)  # rounding makes ties
    labels = (rng.random((40, 60)) < 0.3).astype(float)
    measured = rng.random((40, 60)) < 0.4
    return scores, labels, measured


def test_hand_computed_value() -> None:
    # Gene 0: positives .9 and .2 against negative .5 -> one of two pairs right. Gene 1: tie -> .5.
    scores = np.array([[0.9, 1.0], [0.2, 1.0], [0.5, 0.0]])
    labels = np.array([[1, 1], [1, 0], [0, 0]])
    measured = np.array([[True, True], [True, True], [True, False]])
    np.testing.assert_allclose(per_gene_auroc(scores, labels, measured), [0.5, 0.5])


def test_per_gene_agrees_with_sklearn(pairs) -> None:
    scores, labels, measured = pairs
    ours = per_gene_auroc(scores, labels, measured)
    for gene in range(scores.shape[1]):
        rows = measured[:, gene]
        if len(set(labels[rows, gene])) < 2:
            assert np.isnan(ours[gene])
        else:
            assert ours[gene] == pytest.approx(roc_auc_score(labels[rows, gene], scores[rows, gene]), abs=1e-12)


def test_micro_and_precision_agree_with_sklearn(pairs) -> None:
    scores, labels, measured = pairs
    assert micro_auroc(scores, labels, measured) == pytest.approx(roc_auc_score(labels[measured], scores[measured]))
    expected = average_precision_score(labels[measured], scores[measured])
    assert average_precision(scores, labels, measured) == pytest.approx(expected)


def test_per_perturbation_is_the_transpose(pairs) -> None:
    scores, labels, measured = pairs
    np.testing.assert_array_equal(
        per_perturbation_auroc(scores, labels, measured), per_gene_auroc(scores.T, labels.T, measured.T)
    )


def test_a_score_of_the_gene_alone_is_at_chance(pairs) -> None:
    scores, labels, measured = pairs
    blind = np.broadcast_to(scores[:1], scores.shape)
    values = per_gene_auroc(blind, labels, measured)
    assert np.nanmin(values) == np.nanmax(values) == 0.5


def test_one_class_gives_nan_and_bad_input_is_refused(pairs) -> None:
    scores, labels, measured = pairs
    assert np.isnan(per_gene_auroc(scores, np.ones_like(labels), measured)).all()
    assert np.isnan(average_precision(scores, np.zeros_like(labels), measured))
    with pytest.raises(DataError, match="different shapes"):
        per_gene_auroc(scores[:3], labels, measured)
    spoiled = scores.copy()
    spoiled[tuple(np.argwhere(measured)[0])] = np.nan
    with pytest.raises(DataError, match=r"1 of .* are NaN"):
        per_gene_auroc(spoiled, labels, measured)


def test_full_size_takes_well_under_a_second() -> None:
    rng = np.random.default_rng(1)
    shape = (400, 5000)
    scores, labels, measured = rng.normal(size=shape), rng.random(shape) < 0.2, rng.random(shape) < 0.05
    start = time.perf_counter()
    per_gene_auroc(scores, labels, measured)
    assert time.perf_counter() - start < 1.0
