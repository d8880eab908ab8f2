import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy import stats

from gnnvcell.data.differential import differential_expression, log_normalise
from gnnvcell.errors import DataError


def screen(seed: int = 0, mean: float = 1.5) -> ad.AnnData:
    """Few counts a gene, so that ties are everywhere; gene g0 is knocked down, g3 is always zero."""
    rng = np.random.default_rng(seed)
    target = np.repeat(["non-targeting", "g0", "g1"], [60, 20, 15])
    counts = rng.poisson(mean, (95, 12))
    counts[target == "g0", 0] = 0
    counts[target == "g0", 5] += 4
    counts[:, 3] = 0
    obs = pd.DataFrame(
        {"target_gene": target, "batch": rng.choice(["a", "b"], 95)}, index=pd.RangeIndex(95).astype(str)
    )
    return ad.AnnData(sp.csr_matrix(counts), obs=obs, var=pd.DataFrame(index=pd.Index([f"g{i}" for i in range(12)])))


@pytest.mark.parametrize("mean", [0.3, 1.5, 30.0])
def test_p_values_are_those_of_scipy(mean: float) -> None:
    cells = screen(mean=mean)
    result = differential_expression(cells)
    x = log_normalise(cells.X).toarray()
    target = cells.obs["target_gene"].to_numpy()
    for row, name in enumerate(result.perturbations):
        reference = stats.mannwhitneyu(x[target == name], x[target == "non-targeting"], method="asymptotic", axis=0)
        tested = np.arange(12) != 3  # scipy has no answer for a constant gene
        np.testing.assert_allclose(result.p_value[row, tested], reference.pvalue[tested], rtol=1e-10)
        assert result.p_value[row, 3] == 1.0
        np.testing.assert_allclose(result.q_value[row], stats.false_discovery_control(result.p_value[row]))


def test_effects_leave_out_the_target_and_know_direction() -> None:
    result = differential_expression(screen(mean=6.0))
    de, direction, delta = (result.effects(kind) for kind in ("de", "direction", "delta"))
    row = de.perturbations.tolist().index("g0")
    assert not de.measured[row, 0]
    assert de.measured[row, 1:].all()
    assert de.values[row, 5] == 1
    assert direction.values[row, 5] == 1
    assert delta.values[row, 5] > 0.2
    np.testing.assert_array_equal(direction.measured, (de.values == 1) & de.measured)


def test_delta_is_against_the_controls_of_the_same_batch() -> None:
    # Batch b has twice the share of gene 0. Perturbed cells are all of batch b and do nothing.
    counts = np.array([[10, 90]] * 4 + [[20, 80]] * 4 + [[20, 80]] * 3)
    obs = pd.DataFrame(
        {"target_gene": ["non-targeting"] * 8 + ["p"] * 3, "batch": ["a"] * 4 + ["b"] * 7},
        index=pd.RangeIndex(11).astype(str),
    )
    cells = ad.AnnData(sp.csr_matrix(counts), obs=obs, var=pd.DataFrame(index=pd.Index(["x", "y"])))
    np.testing.assert_allclose(differential_expression(cells).delta, 0, atol=1e-12)
    pooled = differential_expression(cells, batch_key=None).delta
    expected = np.log1p(2000) - (np.log1p(1000) + np.log1p(2000)) / 2
    np.testing.assert_allclose(pooled[0, 0], expected)


def test_dense_and_sparse_agree() -> None:
    cells = screen()
    dense = cells.copy()
    dense.X = cells.X.toarray()  # type: ignore[union-attr]
    np.testing.assert_array_equal(differential_expression(cells).p_value, differential_expression(dense).p_value)


def test_a_cell_without_counts_stays_zero() -> None:
    np.testing.assert_allclose(log_normalise(np.array([[0, 0], [1, 3]])).toarray(), np.log1p([[0, 0], [2500, 7500]]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: setattr(c, "X", c.X * 0.5), "are not counts"),
        (lambda c: setattr(c, "X", -c.X), "are not counts"),
        (lambda c: setattr(c, "X", c.X * np.nan), "are not counts"),
        (lambda c: c.obs.__setitem__("target_gene", "non-targeting"), "all cells are controls"),
        (lambda c: c.obs.__setitem__("target_gene", "g0"), "no cell has target_gene"),
        (lambda c: c.obs.__setitem__("batch", ["only"] + ["b"] * 94), None),
        (lambda c: c.obs.drop(columns="batch", inplace=True), "no obs column 'batch'"),
        (lambda c: c.obs.__setitem__("target_gene", [None] * 3 + ["g0"] * 92), "have no value"),
    ],
)
def test_bad_cells_are_refused(change, message: str | None) -> None:
    cells = screen()
    change(cells)
    if message is None:
        differential_expression(cells)  # one control in a batch of its own is fine
        return
    with pytest.raises(DataError, match=message):
        differential_expression(cells)


def test_a_batch_without_controls_is_refused() -> None:
    cells = screen()
    cells.obs["batch"] = np.where(cells.obs["target_gene"] == "g1", "late", "early")
    with pytest.raises(DataError, match="no control cells"):
        differential_expression(cells)


def test_too_few_cells_are_refused() -> None:
    with pytest.raises(DataError, match="g1: 15"):
        differential_expression(screen(), min_cells=16)


def test_unknown_kind_is_refused() -> None:
    with pytest.raises(DataError, match="did you mean 'direction'"):
        differential_expression(screen()).effects("directions")
