import numpy as np
import pytest

from gnnvcell.errors import DataError
from gnnvcell.metrics import error_curve


def test_by_hand() -> None:
    curve = error_curve(np.array([4.0, 1.0, 3.0]), np.array([0.9, 0.5, 0.1]))
    assert curve.kept.tolist() == [1 / 3, 2 / 3, 1.0]
    np.testing.assert_allclose(curve.error, [3.0, 2.0, 8 / 3])
    np.testing.assert_allclose(curve.best, [1.0, 2.0, 8 / 3])
    assert curve.area == pytest.approx((3 + 2 + 8 / 3) / 3)
    assert curve.gain == pytest.approx((8 / 3 - 23 / 9) / (8 / 3 - 17 / 9))


def test_equal_uncertainties_are_in_no_order() -> None:
    errors = np.array([1.0, 3.0, 5.0, 7.0])
    tied = error_curve(errors, np.zeros(4))
    np.testing.assert_allclose(tied.error, 4.0)
    assert tied.gain == pytest.approx(0.0)
    half = error_curve(errors, np.array([1, 1, 0, 0])).error
    np.testing.assert_allclose(half, [6, 6, (6 + 6 + 2) / 3, 4])
    assert (half == error_curve(errors[::-1], np.array([0, 0, 1, 1])).error).all()


def test_ends_of_the_scale() -> None:
    errors = np.random.default_rng(0).random(200)
    assert error_curve(errors, errors).gain == pytest.approx(1.0)
    assert error_curve(errors, np.exp(5 * errors)).area == error_curve(errors, errors).area  # the order alone counts
    assert error_curve(errors, -errors).gain < -0.9
    assert np.isnan(error_curve(np.ones(3), np.arange(3)).gain)


def test_what_was_not_measured_is_left_out() -> None:
    curve = error_curve(np.array([[4.0, np.nan], [1.0, 3.0]]), np.array([[0.9, np.nan], [0.5, 0.1]]))
    np.testing.assert_allclose(curve.error, [3.0, 2.0, 8 / 3])


def test_bad_input() -> None:
    with pytest.raises(DataError, match="different shapes"):
        error_curve(np.ones(3), np.ones(2))
    for errors, unsure in (([np.nan], [1.0]), ([-1.0], [1.0]), ([1.0], [np.nan]), ([np.inf], [1.0])):
        with pytest.raises(DataError, match="cannot be laid against their uncertainties"):
            error_curve(np.array(errors), np.array(unsure))
