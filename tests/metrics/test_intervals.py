import numpy as np
import pytest

from gnnvcell.errors import ConfigError, DataError
from gnnvcell.metrics import interval_coverage, interval_score, interval_width

LOWER = np.array([[0.0, 0.0, -1.0], [-np.inf, 2.0, 0.0]])
UPPER = np.array([[1.0, 2.0, 1.0], [np.inf, 2.0, 1.0]])
TRUE = np.array([[1.0, 2.5, -3.0], [9.0, 2.0, 0.5]])


def test_by_hand() -> None:
    assert interval_coverage(LOWER, UPPER, TRUE).tolist() == [1 / 3, 1.0]
    assert interval_width(LOWER, UPPER).tolist() == [5 / 3, np.inf]
    # widths 1, 2, 2; missed by 0, .5, 2; 2 / (1 - .9) = 20
    np.testing.assert_allclose(interval_score(LOWER, UPPER, TRUE, level=0.9), [(5 + 20 * 2.5) / 3, np.inf])


def test_what_is_not_scored_does_not_count() -> None:
    scored = np.array([[True, True, False], [False, False, False]])
    true = np.where(scored, TRUE, np.nan)
    np.testing.assert_array_equal(interval_coverage(LOWER, UPPER, true, scored), [0.5, np.nan])
    np.testing.assert_array_equal(interval_width(LOWER, UPPER, scored), [1.5, np.nan])


def test_the_score_is_best_at_the_true_quantiles() -> None:
    true = np.random.default_rng(0).normal(size=(1, 40_000))
    scores = {z: interval_score(*np.broadcast_arrays(-z, z, true), level=0.9)[0] for z in (1.2, 1.645, 2.2)}
    assert min(scores, key=lambda z: scores[z]) == 1.645


def test_bad_input() -> None:
    with pytest.raises(DataError, match="different shapes"):
        interval_coverage(LOWER, UPPER[:, :2], TRUE)
    with pytest.raises(DataError, match="1 scored bounds or true values are NaN"):
        interval_coverage(LOWER, UPPER, np.where(TRUE == 9, np.nan, TRUE))
    with pytest.raises(DataError, match="1 lower bounds are above"):
        interval_width(np.array([[1.0]]), np.array([[0.0]]))
    with pytest.raises(ConfigError, match="no interval has the level 90"):
        interval_score(LOWER, UPPER, TRUE, level=90.0)
