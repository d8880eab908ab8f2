"""Ceilings, rescaling, the challenge's score, strata."""

import numpy as np
import pandas as pd
import pytest

from gnnvcell.errors import ConfigError, DataError
from gnnvcell.metrics import by_strata, ceilings, disjoint_halves, quantile_edges, rescaled, vcc2025_score
from gnnvcell.metrics.strata import SUPPORT_EDGES


def test_halves_are_disjoint_and_equal() -> None:
    labels = np.random.default_rng(0).permutation(np.repeat(["control", "a", "b", "lonely"], [20, 7, 2, 1]))
    first, second = disjoint_halves(labels, seed=3)
    assert not set(first) & set(second)
    for half in (first, second):
        names, counts = np.unique(labels[half], return_counts=True)
        assert dict(zip(names.tolist(), counts.tolist(), strict=True)) == {"a": 3, "b": 1, "control": 10}
    np.testing.assert_array_equal(disjoint_halves(labels, seed=3)[0], first)
    assert not np.array_equal(disjoint_halves(labels, seed=4)[0], first)
    with pytest.raises(DataError, match="cannot be halved"):
        disjoint_halves(np.array(["a", "b"]))


def test_ceilings_by_hand() -> None:
    halves = pd.DataFrame(
        {"pearson_delta": [0.4, 0.6, np.nan], "pr_auc": [-0.1, 0.0, 0.0], "mse": [1.0, 3.0, 2.0], "shift": [1.0] * 3}
    )
    found = ceilings(halves)
    assert found["pearson_delta"] == pytest.approx(2 * 0.5 / 1.5)
    assert np.isnan(found["pr_auc"])
    assert found["mse"] == 1.0
    assert "shift" not in found


def test_the_ceiling_of_an_error_is_what_twice_the_cells_give() -> None:
    """The distance of two means of n cells, from that of two means of n / 2."""
    rng = np.random.default_rng(1)
    cells = rng.normal(size=(4000, 4, 50))
    half, whole = (cells[:, :k].mean(axis=1) for k in (2, 4))
    other_half, other = cells[:, 2:].mean(axis=1), rng.normal(size=(4000, 4, 50)).mean(axis=1)
    halves = pd.DataFrame(
        {"mse": ((half - other_half) ** 2).mean(axis=1), "mae": np.abs(half - other_half).mean(axis=1)}
    )
    found = ceilings(halves)
    assert found["mse"] == pytest.approx(((whole - other) ** 2).mean(), rel=0.02)
    assert found["mae"] == pytest.approx(np.abs(whole - other).mean(), rel=0.02)


def test_rescaling_by_hand() -> None:
    floor, ceiling = {"r": 0.2, "mse": 5.0, "flat": 2.0}, {"r": 0.8, "mse": 1.0, "flat": 2.0}
    found = rescaled({"r": 0.5, "mse": 3.0, "flat": 1.0, "x": 1.0}, floor, ceiling)
    assert found["r"] == pytest.approx(0.5)
    assert found["mse"] == pytest.approx(0.5)
    assert np.isnan(found["flat"])
    assert "x" not in found


def test_the_challenge_score_by_hand() -> None:
    user = {"mae": 0.02, "discrimination_score_l1": 0.6, "overlap_at_N": 0.1}
    base = {"mae": 0.04, "discrimination_score_l1": 0.5, "overlap_at_N": 0.2}
    found = vcc2025_score(user, base)
    assert found == pytest.approx(
        {"mae": 0.5, "discrimination_score_l1": 0.2, "overlap_at_N": 0, "avg_score": 0.7 / 3}
    )
    with pytest.raises(DataError, match="no baseline of 'mae'"):
        vcc2025_score(user, {})
    with pytest.raises(ConfigError, match="does not score 'shift_magnitude'"):
        vcc2025_score(user, base, ["shift_magnitude"])


def test_strata_by_hand() -> None:
    scores = pd.DataFrame({"r": [0.1, 0.2, 0.3, np.nan, 0.5]})
    found = by_strata(scores, np.array([0.0, 5.0, 80.0, 500.0, np.nan]), SUPPORT_EDGES)
    assert found["from"].tolist() == [0, 5, 80]
    assert found["to"].tolist() == [0, 5, 500]
    assert found["perturbations"].tolist() == [1, 1, 2]
    assert found["r"].tolist() == pytest.approx([0.1, 0.2, 0.3])
    with pytest.raises(ConfigError, match="must rise"):
        by_strata(scores, np.zeros(5), [1.0, 1.0])


def test_quantiles_share_out_and_keep_equals_together() -> None:
    values = np.arange(40.0)
    found = by_strata(pd.DataFrame({"r": values}), values, quantile_edges(values))
    assert found["perturbations"].tolist() == [10, 10, 10, 10]
    assert len(by_strata(pd.DataFrame({"r": values}), np.ones(40), quantile_edges(np.ones(40)))) == 1
    assert len(quantile_edges(np.array([np.nan]))) == 0
    with pytest.raises(ConfigError, match="at least one"):
        quantile_edges(values, 0)
