import numpy as np
import pytest

from gnnvcell.errors import DataError
from gnnvcell.tasks.uncertainty import StatedUncertainty, score_uncertainty

NAMES = np.array(["P0", "P1", "P2"])


def drawn(rows: int = 60, genes: int = 80):
    """Predictions of 0, with errors of the spreads that are stated."""
    rng = np.random.default_rng(0)
    spread = rng.uniform(0.2, 2.0, size=(rows, 1)) * rng.uniform(0.5, 1.5, size=(1, genes))
    true = spread * rng.normal(size=spread.shape)
    return np.zeros_like(true), true, np.ones(true.shape, bool), spread, np.array([f"P{i}" for i in range(rows)])


def test_by_hand() -> None:
    predicted = np.zeros((3, 2))
    true, scored = np.array([[3.0, 4.0], [1.0, 9.0], [0.0, 2.0]]), np.array([[True, True], [True, False], [True, True]])
    upper = np.array([[3.5, 3.5], [3.5, 3.5], [np.inf, 2.5]])
    stated = StatedUncertainty(lower=-upper, upper=upper, level=0.5, support=np.array([0, 5, 9]))
    found = score_uncertainty(predicted, true, scored, stated, NAMES)
    np.testing.assert_allclose(found.per_perturbation["error"], [np.sqrt(12.5), 1.0, np.sqrt(2.0)])
    assert found.per_perturbation["coverage"].tolist() == [0.5, 1.0, 1.0]
    assert found.metrics["coverage"] == pytest.approx(5 / 6)
    assert found.metrics["width"] == pytest.approx((7 + 7 + 5) / 3)
    assert found.metrics["interval_score"] == pytest.approx((7 + 4 * 0.5 / 2 + 7 + 5) / 3)
    assert found.metrics["without_end"] == pytest.approx(1 / 5)
    # By support: first P2, then P1, then P0.
    np.testing.assert_allclose(found.curves["support"].error[:2], [np.sqrt(2.0), (1 + np.sqrt(2.0)) / 2])
    assert set(found.curves) == {"support"}
    assert found.level == 0.5


def test_true_spreads_have_no_calibration_error() -> None:
    predicted, true, scored, spread, names = drawn()
    found = score_uncertainty(predicted, true, scored, StatedUncertainty(spread), names)
    assert found.metrics["calibration_error"] < 0.05
    assert found.metrics["gain_perturbations"] > 0.9
    assert 0.3 < found.metrics["gain_pairs"] < 0.9
    assert (found.nominal["coverage"] - found.nominal["level"]).abs().max() < 0.02
    assert "coverage" not in found.metrics


def test_bad_input() -> None:
    predicted, true, scored, spread, names = drawn(3, 4)
    with pytest.raises(DataError, match="says nothing of its error"):
        score_uncertainty(predicted, true, scored, StatedUncertainty(), names)
    with pytest.raises(DataError, match="no pair of perturbation and gene is scored"):
        score_uncertainty(predicted, true, ~scored, StatedUncertainty(spread), names)
    with pytest.raises(DataError, match="without their level"):
        score_uncertainty(predicted, true, scored, StatedUncertainty(lower=-spread, upper=spread), names)
