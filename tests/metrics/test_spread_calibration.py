import numpy as np
import pytest

from gnnvcell.errors import ConfigError, DataError
from gnnvcell.metrics import by_spread, calibration_error, normal_coverage


def test_by_hand() -> None:
    errors, spread = np.array([3.0, -4.0, 1.0, np.nan]), np.array([5.0, 5.0, 1.0, 9.0])
    table = by_spread(errors, spread, bins=2)
    np.testing.assert_allclose(table["spread"], [1.0, 5.0])
    np.testing.assert_allclose(table["error"], [1.0, np.sqrt(12.5)])
    assert table["count"].tolist() == [1, 2]
    assert calibration_error(errors, spread, bins=2) == pytest.approx((5 - np.sqrt(12.5)) / 5 / 2)


def test_of_normal_errors() -> None:
    rng = np.random.default_rng(0)
    spread = rng.uniform(0.5, 3, size=(200, 100))
    errors = spread * rng.normal(size=spread.shape)
    levels = np.array([0.5, 0.9, 0.95])
    np.testing.assert_allclose(normal_coverage(errors, spread, levels), levels, atol=0.01)
    assert calibration_error(errors, spread) < 0.03
    assert calibration_error(errors, spread / 2) == pytest.approx(1.0, abs=0.05)  # errors are twice as large
    assert normal_coverage(errors, spread / 2, levels)[1] < 0.62


def test_one_spread_for_all_is_one_bin() -> None:
    assert len(by_spread(np.arange(5.0), np.ones(5))) == 1
    assert calibration_error(np.ones(3), np.zeros(3)) == np.inf
    assert calibration_error(np.zeros(3), np.zeros(3)) == 0


def test_bad_input() -> None:
    with pytest.raises(DataError, match="different shapes"):
        by_spread(np.ones(3), np.ones(2))
    with pytest.raises(DataError, match="cannot be laid against errors"):
        by_spread(np.ones(3), -np.ones(3))
    with pytest.raises(DataError, match="0 measured pairs"):
        by_spread(np.full(3, np.nan), np.ones(3))
    with pytest.raises(ConfigError, match="at least one bin"):
        by_spread(np.ones(3), np.ones(3), bins=0)
    with pytest.raises(ConfigError, match="no share"):
        normal_coverage(np.ones(3), np.ones(3), np.array([95.0]))
