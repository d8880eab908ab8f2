import numpy as np
import pytest
from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score

from gnnvcell.errors import DataError
from gnnvcell.metrics import mae, most_changed, mse, pearson_delta, r2, shift_magnitude


def test_scores_are_those_of_sklearn() -> None:
    rng = np.random.default_rng(0)
    true, predicted = rng.random((2, 5, 30))
    scored = most_changed(true - 0.5, 10)
    for row in range(5):
        x, y, some = predicted[row], true[row], scored[row]
        assert mae(predicted, true)[row] == pytest.approx(mean_absolute_error(y, x))
        assert mse(predicted, true)[row] == pytest.approx(mean_squared_error(y, x))
        assert r2(predicted, true)[row] == pytest.approx(r2_score(y, x))
        assert r2(predicted, true, scored)[row] == pytest.approx(r2_score(y[some], x[some]))
        assert pearson_delta(predicted, true, scored)[row] == pytest.approx(np.corrcoef(x[some], y[some])[0, 1])


def test_the_most_changed_genes_by_hand() -> None:
    delta = np.array([[0.1, -3.0, 2.0, -2.0, 0.0]])
    assert most_changed(delta, 2).tolist() == [[False, True, True, False, False]]  # of two equal ones the first
    scored = np.array([[True, False, True, True, False]])
    assert most_changed(delta, 2, scored).tolist() == [[False, False, True, True, False]]
    assert most_changed(delta, 9, scored).tolist() == scored.tolist()


def test_magnitude_by_hand() -> None:
    delta = np.array([[3.0, 4.0, 12.0]])
    assert shift_magnitude(delta).tolist() == [13]
    assert shift_magnitude(delta, np.array([[True, True, False]])).tolist() == [5]


def test_a_truth_that_does_not_vary_has_no_r2() -> None:
    assert np.isnan(r2(np.array([[1.0, 2.0]]), np.array([[3.0, 3.0]]))).all()
    with pytest.raises(DataError, match="not finite"):
        r2(np.array([[1.0, np.nan]]), np.array([[3.0, 3.0]]))
