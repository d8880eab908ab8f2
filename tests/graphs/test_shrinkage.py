"""The shrinkage intensity against the formula written out pair by pair."""

import numpy as np
import pytest

from gnnvcell.errors import DataError
from gnnvcell.graphs import shrinkage
from gnnvcell.graphs.shrinkage import shrinkage_intensity, standardised


def slow_intensity(values: np.ndarray) -> float:
    """Schäfer and Strimmer 2005, table 1 target D, with plain loops."""
    n, p = values.shape
    z = (values - values.mean(0)) / values.std(0, ddof=1)
    variance = squares = 0.0
    for i in range(p):
        for j in range(p):
            if i == j:
                continue
            w = z[:, i] * z[:, j]
            variance += n / (n - 1) ** 3 * ((w - w.mean()) ** 2).sum()
            squares += (n / (n - 1) * w.mean()) ** 2
    return min(1.0, max(0.0, variance / squares))


@pytest.mark.parametrize(("n", "p"), [(12, 30), (50, 8), (30, 30)])
@pytest.mark.parametrize("block", [1 << 22, 40])
def test_intensity_equals_the_definition(n: int, p: int, block: int, monkeypatch) -> None:
    monkeypatch.setattr(shrinkage, "_BLOCK_VALUES", block)
    rng = np.random.default_rng(n + p)
    values = rng.normal(size=(n, p)) + 1.5 * rng.normal(size=(n, 1)) * rng.normal(size=p)
    assert 0 < slow_intensity(values) < 1
    assert shrinkage_intensity(standardised(values)) == pytest.approx(slow_intensity(values), rel=1e-4)


def test_a_case_by_hand() -> None:
    # Two variables, z1 = z2 up to scale: r = 1. z = (-1, 0, 1), w = (1, 0, 1), mean 2/3, sum of squares about it 2/3.
    # Var(r) = 3 / 8 * 2/3 = 1/4, so lambda = 1/4.
    values = np.array([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]])
    assert standardised(values).tolist() == [[-1, -1], [0, 0], [1, 1]]
    assert shrinkage_intensity(standardised(values)) == pytest.approx(0.25, rel=1e-6)


def test_noise_is_shrunk_away_and_structure_is_not() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(20, 300))
    assert shrinkage_intensity(standardised(noise)) > 0.9
    factor = rng.normal(size=(2000, 1)) + 0.1 * rng.normal(size=(2000, 20))
    assert shrinkage_intensity(standardised(factor)) < 0.01


def test_too_few_samples_and_constant_variables_are_refused() -> None:
    with pytest.raises(DataError, match="2 samples"):
        standardised(np.eye(2))
    with pytest.raises(DataError, match="1 variables do not vary"):
        standardised(np.array([[1.0, 1.0], [2.0, 1.0], [3.0, 1.0]]))
