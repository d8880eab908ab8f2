import numpy as np
import pandas as pd
import pytest
from scipy.stats import pearsonr
from sklearn.metrics import r2_score

from gnnvcell.errors import DataError
from gnnvcell.metrics import CellPairs, published_scores, published_summary


def test_scores_by_hand() -> None:
    control = np.array([[0.0, 0.0], [0.0, 0.0], [1.0, 1.0]])
    perturbed = np.array([[1.0, 2.0], [3.0, 2.0], [1.0, 3.0]])
    predicted = np.array([[1.0, 1.0], [2.0, -1.0], [1.0, 3.0]])
    scores = published_scores(CellPairs(predicted, perturbed, control, np.array(["B", "B", "A"])))
    assert scores.index.tolist() == ["B", "A"]
    assert scores["pairs"].tolist() == [2, 1]
    assert scores["pair_mse"].tolist() == [(0.5 + 5.0) / 2, 0.0]
    assert scores["pair_shift"].tolist() == [(1.0 + 1.5) / 2, 1.0]
    # B: the first pair's prediction does not vary and counts 0, in the second both fall: 1
    np.testing.assert_allclose(scores["pair_pearson_top20"], [0.5, 1.0])
    # means of B: measured (2, 2) does not vary, so there is no R2; A is predicted exactly
    assert np.isnan(scores.loc["B", "r2_all"])
    assert scores.loc["A", "r2_all"] == 1


def test_scores_are_those_of_scipy_and_sklearn() -> None:
    rng = np.random.default_rng(0)
    predicted, perturbed, control = rng.normal(1.0, 0.7, (3, 12, 80))
    names = np.repeat(["P", "Q", "R"], 4)
    scores = published_scores(CellPairs(predicted, perturbed, control, names))
    for name in "PQR":
        rows = np.flatnonzero(names == name)
        correlations = []
        for row in rows:
            top = np.argsort(-np.abs(perturbed[row] - control[row]))[:20]
            correlations.append(pearsonr((predicted - control)[row, top], (perturbed - control)[row, top])[0])
        y, x, c = np.maximum(predicted[rows], 0).mean(axis=0), perturbed[rows].mean(axis=0), control[rows].mean(axis=0)
        top = np.argsort(-np.abs(x - c))[:50]
        assert scores.loc[name, "pair_pearson_top20"] == pytest.approx(np.mean(correlations))
        assert scores.loc[name, "r2_all"] == pytest.approx(r2_score(x, y))
        assert scores.loc[name, "r2_top50"] == pytest.approx(r2_score(x[top], y[top]))
        assert scores.loc[name, "pair_mse"] == pytest.approx(np.square(predicted[rows] - perturbed[rows]).mean())


def test_pairs_weigh_the_same_and_perturbations_do() -> None:
    scores = pd.DataFrame(
        {
            "pair_mse": [1.0, 3.0], "pair_pearson_top20": [0.0, 1.0], "pair_shift": [2.0, 2.0], "r2_all": [0.5, 1.0],
            "r2_top50": [-1.0, 0.0], "pairs": [3, 1],
        }
    )  # fmt: skip
    found = published_summary(scores)
    assert found["pair_mse"] == 1.5
    assert found["pair_pearson_top20"] == 0.25
    assert (found["r2_all_mean"], found["r2_top50_median"]) == (0.75, -0.5)


def test_the_mean_control_cell_scores_high_without_knowing_the_perturbation() -> None:
    rng = np.random.default_rng(1)
    mean = rng.uniform(0.5, 2.0, 200)
    control, perturbed = mean + rng.normal(0, 0.6, (2, 50, 200))  # the perturbation does nothing
    pairs = CellPairs(np.tile(mean, (50, 1)), perturbed, control, np.repeat(["P", "Q"], 25))
    flattered = published_summary(published_scores(pairs))
    copied = published_summary(published_scores(CellPairs(control, perturbed, control, pairs.perturbation)))
    assert flattered["pair_pearson_top20"] > 0.8
    assert flattered["r2_all_mean"] > 0.9
    assert flattered["pair_mse"] < 0.6 * copied["pair_mse"]
    assert copied["pair_pearson_top20"] == 0


def test_cells_that_are_no_pairs_are_refused() -> None:
    three, two = np.zeros((3, 4)), np.zeros((2, 4))
    with pytest.raises(DataError, match="are not pairs"):
        CellPairs(three, two, three, np.array(["A"] * 3))
    with pytest.raises(DataError, match="2 names"):
        CellPairs(three, three, three, np.array(["A"] * 2))
    with pytest.raises(DataError, match="not finite"):
        published_scores(CellPairs(three * np.nan, three, three, np.array(["A"] * 3)))
