import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import average_precision_score, roc_auc_score

from gnnvcell.errors import DataError
from gnnvcell.metrics import (
    DECalls,
    de_direction_match,
    de_nsig_counts,
    de_sig_genes_recall,
    de_spearman_lfc_sig,
    de_spearman_sig,
    overlap_at,
    pr_auc,
    precision_at,
    roc_auc,
)

YES, NO = 0.01, 0.5


def by_hand() -> tuple[DECalls, DECalls]:
    """(predicted, real). Strongest first, really: b d a; predicted: b a e d. The second row is empty in truth."""
    real = DECalls(
        np.array([[1.0, -4.0, 9.0, 2.0, 0.5, 0.0], [1.0] * 6]), np.array([[YES, YES, NO, YES, NO, NO], [NO] * 6])
    )
    predicted = DECalls(
        np.array([[3.0, 5.0, 9.0, 0.1, -2.0, 0.0], [1.0] * 6]),
        np.array([[YES, YES, NO, YES, YES, NO], [YES] + [NO] * 5]),
    )
    return predicted, real


def random_calls(seed: int, shape: tuple[int, int] = (12, 60)) -> tuple[DECalls, DECalls]:
    rng = np.random.default_rng(seed)

    def one() -> DECalls:
        fdr = np.round(rng.random(shape) ** 3, 3)  # rounding makes ties
        return DECalls(np.round(rng.normal(size=shape), 1), fdr, alpha=0.1)

    return one(), one()


def test_overlap_and_precision_by_hand() -> None:
    predicted, real = by_hand()
    assert overlap_at(predicted, real).tolist() == [2 / 3, 0]  # {b d a} and {b a e}
    assert overlap_at(predicted, real, 2).tolist() == [1 / 2, 0]  # {b d} and {b a}
    assert overlap_at(predicted, real, 50).tolist() == [2 / 3, 0]
    assert precision_at(predicted, real).tolist() == [3 / 4, 0]  # {b d a} and {b a e d}
    assert precision_at(predicted, real, 1).tolist() == [1, 0]


def test_counts_recall_and_direction_by_hand() -> None:
    predicted, real = by_hand()
    assert [counts.tolist() for counts in de_nsig_counts(predicted, real)] == [[4, 1], [3, 0]]
    np.testing.assert_array_equal(de_sig_genes_recall(predicted, real), [1, np.nan])
    np.testing.assert_array_equal(de_direction_match(predicted, real), [2 / 3, np.nan])  # b has the wrong sign


def test_a_gene_that_the_prediction_does_not_test() -> None:
    predicted, real = by_hand()
    scored = np.ones((2, 6), dtype=bool)
    scored[0, 1] = False
    predicted = predicted.only(scored)
    np.testing.assert_array_equal(de_direction_match(predicted, real), [1, np.nan])  # b counts on neither side
    np.testing.assert_array_equal(de_sig_genes_recall(predicted, real), [2 / 3, np.nan])
    assert de_spearman_lfc_sig(predicted, real)[0] == pytest.approx(spearmanr([1, -4, 2], [3, 0, 0.1])[0])


def test_correlations_are_those_of_scipy() -> None:
    predicted, real = random_calls(0)
    for row, found in enumerate(de_spearman_lfc_sig(predicted, real)):
        at = real.significant[row]
        wanted = spearmanr(real.log2_fold_change[row, at], predicted.log2_fold_change[row, at])[0]
        assert found == pytest.approx(wanted, abs=1e-12)
    wanted = spearmanr(real.significant.sum(axis=1), predicted.significant.sum(axis=1))[0]
    assert de_spearman_sig(predicted, real) == pytest.approx(wanted)


def test_correlations_where_they_are_not_defined() -> None:
    nothing = DECalls(np.ones((3, 4)), np.ones((3, 4)))
    assert de_spearman_sig(nothing, nothing) == 1.0  # as in cell-eval
    one = DECalls(np.ones((3, 4)), np.array([[YES, 1, 1, 1]] * 3))
    assert np.isnan(de_spearman_sig(one, one))
    assert np.isnan(de_spearman_lfc_sig(one, one)).all()
    infinite = DECalls(np.array([[np.inf, -np.inf, 0.0, 1.0]]), np.zeros((1, 4)))
    assert de_spearman_lfc_sig(infinite, infinite).tolist() == [1.0]


def test_areas_are_those_of_sklearn() -> None:
    predicted, real = random_calls(1)
    for row in range(len(real.fdr)):
        label, score = real.significant[row], -predicted.fdr[row]
        assert pr_auc(predicted, real)[row] == pytest.approx(average_precision_score(label, score), abs=1e-9)
        assert roc_auc(predicted, real)[row] == pytest.approx(roc_auc_score(label, score), abs=1e-9)


def test_areas_where_they_are_not_defined_and_beyond_what_is_told_apart() -> None:
    predicted, real = by_hand()
    assert np.isnan(roc_auc(predicted, real)[1])
    assert np.isnan(pr_auc(predicted, real)[1])
    tiny = DECalls(np.ones((1, 3)), np.array([[1e-30, 1e-12, 1.0]]))
    truth = DECalls(np.ones((1, 3)), np.array([[1.0, YES, 1.0]]))
    assert roc_auc(tiny, truth).tolist() == [0.75]  # the first two are tied at 1e-10


def test_other_shapes_are_refused() -> None:
    _, real = by_hand()
    with pytest.raises(DataError, match="different shapes"):
        overlap_at(random_calls(0)[0], real)
