import numpy as np
import pytest

from gnnvcell.errors import DataError
from gnnvcell.metrics import reliability


def test_by_hand() -> None:
    predicted = np.array([0.1, 0.1, 0.1, 0.5, 0.9, 1.2])
    found = reliability(predicted, np.array([0, 0, 1, 1, 1, 0]), bins=3)
    # In order: three of .1 (their middle at 1.5 of 6), .5 at 3.5, .9 at 4.5, 1.2 at 5.5.
    assert found.count.tolist() == [3, 1, 2]
    assert found.predicted == pytest.approx([0.1, 0.5, 1.05])
    assert found.observed == pytest.approx([1 / 3, 1.0, 0.5])
    assert found.error == pytest.approx((3 * (1 / 3 - 0.1) + 0.5 + 2 * 0.55) / 6)
    assert found.outside == pytest.approx(1 / 6)


def test_right_probabilities_have_no_error_and_shifted_ones_theirs() -> None:
    rng = np.random.default_rng(0)
    probability = rng.uniform(size=200_000)
    labels = rng.uniform(size=len(probability)) < probability
    assert reliability(probability, labels).error < 0.005
    assert reliability(np.full(1000, 0.3), np.arange(1000) < 500).error == pytest.approx(0.2)
    assert len(reliability(np.full(5, 0.3), np.ones(5)).count) == 1
    assert reliability(probability, labels, bins=7).count.tolist() == pytest.approx([200_000 / 7] * 7, abs=1)


def test_refused() -> None:
    with pytest.raises(DataError, match="do not belong together"):
        reliability(np.zeros(2), np.zeros(3))
    with pytest.raises(DataError, match="do not belong together"):
        reliability(np.zeros(0), np.zeros(0))
    with pytest.raises(DataError, match="1 predicted probabilities are NaN"):
        reliability(np.array([0.1, np.nan]), np.zeros(2))
