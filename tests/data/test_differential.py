import math

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy import stats

from gnnvcell.data.differential import DifferentialExpression, differential_expression, log_normalise
from gnnvcell.data.differential_cache import DifferentialConfig, cached_differential_expression
from gnnvcell.data.expression import counts_scale
from gnnvcell.data.rank_sum import rank_sums
from gnnvcell.errors import DataError, FileFormatError


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
    np.testing.assert_allclose(delta.control[""], result.control_mean[0], rtol=1e-6)


def test_effects_of_several_cell_types_and_of_doubles() -> None:
    cells = screen(mean=6.0)
    cells.obs["cell_type"] = np.where(np.arange(95) % 2 == 0, "K562", "RPE1")
    cells.obs["target_gene"] = cells.obs["target_gene"].replace("g0", "g0+g7")
    table = differential_expression(cells, context_key="cell_type").effects("delta")
    assert table.contexts.tolist() == ["K562", "K562", "RPE1", "RPE1"]
    assert sorted(table.control) == ["K562", "RPE1"]
    assert [np.flatnonzero(~row).tolist() for row in table.measured] == [[0, 7], [1]] * 2


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


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("dense", [True, False])
def test_log_normalised_values_are_tested_as_they_are(dtype: type, dense: bool) -> None:
    cells = screen()
    x = np.log1p(cells.X.toarray() / 3).astype(dtype)  # type: ignore[union-attr]
    cells.X = x if dense else sp.csr_matrix(x)
    result = differential_expression(cells, assume="log1p")
    target = cells.obs["target_gene"].to_numpy()
    for row, name in enumerate(result.perturbations):
        a, b = x[target == name], x[target == "non-targeting"]
        reference = stats.mannwhitneyu(a.astype(float), b.astype(float), method="asymptotic", axis=0)
        tested = np.arange(12) != 3
        np.testing.assert_allclose(result.p_value[row, tested], reference.pvalue[tested], rtol=1e-10)
        np.testing.assert_allclose(result.statistic[row], reference.statistic)
        np.testing.assert_allclose(result.mean[row], a.mean(axis=0, dtype=np.float64))
        np.testing.assert_allclose(result.control_mean[row], b.mean(axis=0, dtype=np.float64))


def test_threads_do_not_change_the_result() -> None:
    rng = np.random.default_rng(4)
    counts = sp.csr_matrix(rng.poisson(rng.exponential(0.7, 300), (400, 300)))
    obs = pd.DataFrame({"target_gene": rng.choice(["non-targeting", *"abcdefg"], 400)})
    cells = ad.AnnData(counts, obs=obs.set_index(obs.index.astype(str)))
    one, many = (differential_expression(cells, batch_key=None, threads=threads) for threads in (1, 3))
    for name in ("p_value", "q_value", "delta", "statistic", "mean"):
        np.testing.assert_array_equal(getattr(one, name), getattr(many, name))


def test_stored_zeros_and_unsorted_entries_change_nothing() -> None:
    cells = screen()
    x: sp.csr_matrix = cells.X.copy()  # type: ignore[union-attr]
    x.data[::7] = 0
    plain = x.copy()
    plain.eliminate_zeros()
    for row in range(x.shape[0]):  # type: ignore[index]
        part = slice(x.indptr[row], x.indptr[row + 1])
        x.indices[part], x.data[part] = x.indices[part][::-1].copy(), x.data[part][::-1].copy()
    x.has_sorted_indices = False
    odd, even = cells.copy(), cells.copy()
    odd.X, even.X = x, plain
    np.testing.assert_array_equal(differential_expression(odd).p_value, differential_expression(even).p_value)


def test_each_cell_type_is_tested_against_its_own_controls() -> None:
    cells = screen()
    cells.obs["cell_type"] = np.where(np.arange(95) % 2 == 0, "K562", "RPE1")
    both = differential_expression(cells, context_key="cell_type")
    assert both.contexts.tolist() == ["K562", "K562", "RPE1", "RPE1"]
    for name in ("K562", "RPE1"):
        alone = differential_expression(cells[(cells.obs["cell_type"] == name).to_numpy()].copy())
        part = both.of_context(name)
        for field in ("perturbations", "cells", "controls", "p_value", "q_value", "delta", "control_mean"):
            np.testing.assert_array_equal(getattr(part, field), getattr(alone, field), err_msg=field)
    with pytest.raises(DataError, match="no row is of cell type 'HepG2'"):
        both.of_context("HepG2")
    with pytest.raises(DataError, match="one cell type"):
        both.table()


def test_fold_changes_by_hand() -> None:
    # Gene x: perturbed cells 20 % of the counts, controls 10 %; gene y is only in perturbed cells, z in none.
    counts = np.array([[10, 0, 0, 90]] * 4 + [[20, 5, 0, 75]] * 3)
    obs = pd.DataFrame({"target_gene": ["non-targeting"] * 4 + ["p"] * 3}, index=pd.RangeIndex(7).astype(str))
    cells = ad.AnnData(sp.csr_matrix(counts), obs=obs, var=pd.DataFrame(index=pd.Index(list("xyzw"))))
    result = differential_expression(cells, batch_key=None)
    np.testing.assert_allclose(result.log2_fold_change()[0], [1, np.inf, 0, np.log2(75 / 90)])
    np.testing.assert_allclose(result.log2_fold_change(10.0)[0, 1], np.log2(510 / 10))
    np.testing.assert_allclose(result.matched_log2_fold_change[0, 0], np.log2(2001 / 1001))
    table = result.table()
    assert table["feature"].tolist() == list("xyzw")
    assert table["target"].unique().tolist() == ["p"]
    np.testing.assert_allclose(table["target_mean"], [2000, 500, 0, 7500])
    np.testing.assert_allclose(table["percent_change"], [1, np.inf, 0, -1 / 6])
    assert table["target_membership"].unique().tolist() == [3]
    assert table["ref_membership"].unique().tolist() == [4]


# What pdex 0.3.0 gave for ``screen(mean=0.8)``, counts / 3 log1p-transformed in float64 (is_log1p=True, epsilon=0).
PDEX_P = [
    7.85609467118e-06, 0.781685064268, 0.670181770681, 1, 0.88349073535, 6.07183152013e-12, 0.150982098264,
    0.705138122072, 0.781608631295, 0.693890278917, 0.425292569814, 0.0467456866716, 0.692927177883, 0.107731511364,
    0.226216086758, 1, 0.403320079878, 0.649433679595, 0.1126165726, 0.8554193637, 0.749890629959, 0.259589190829,
    0.604290293558, 0.020624600379,
]
PDEX_LFC = [
    -np.inf, 0.0357458905575, -0.183601379456, 0, -0.0556654022336, 2.61689176842, -0.497469261292, 0.283038984495,
    0.185873041777, -0.124302425114, 0.363420853814, -0.966075393203, -0.108011075317, -0.749925568106,
    -0.571431644358, 0, -0.510160510402, -0.101349687766, -0.744272809187, -0.0739511484986, -0.220517515662,
    -0.580443749811, 0.157644785793, -1.38316479102,
]


def test_the_values_of_pdex() -> None:
    cells = screen(mean=0.8)
    cells.X = sp.csr_matrix(np.log1p(cells.X.toarray() / 3))  # type: ignore[union-attr]
    table = differential_expression(cells, assume="log1p").table()
    np.testing.assert_allclose(table["p_value"], PDEX_P, rtol=1e-10)
    np.testing.assert_allclose(table["log2_fold_change"], PDEX_LFC, atol=1e-10)


def test_agrees_with_pdex() -> None:
    pdex = pytest.importorskip("pdex", reason="pip install pdex==0.3.0 to compare with it")
    cells = screen(mean=0.8)
    cells.X = sp.csr_matrix(np.log1p(cells.X.toarray() / 3).astype(np.float32))  # type: ignore[union-attr]
    theirs = pdex.pdex(cells, "target_gene", is_log1p=True, epsilon=0.0, as_pandas=True)
    ours = differential_expression(cells, assume="log1p").table()
    assert ours["target"].tolist() == theirs["target"].tolist()
    assert ours["feature"].tolist() == theirs["feature"].tolist()
    for name in theirs.columns[2:]:
        tolerance = 1e-10 if name in ("p_value", "fdr", "statistic") else 1e-5  # pdex averages float32 in float32
        np.testing.assert_allclose(ours[name], theirs[name], atol=tolerance, err_msg=name)


def test_what_is_saved_is_loaded(tmp_path) -> None:
    result = differential_expression(screen())
    path = result.save(tmp_path / "de.npz", digest="abc")
    loaded = DifferentialExpression.load(path, digest="abc")
    for name in vars(result):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(result, name))
    with pytest.raises(DataError, match="other cells"):
        DifferentialExpression.load(path, digest="abd")
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(FileFormatError, match="no differential expression"):
        DifferentialExpression.load(path)
    with pytest.raises(FileFormatError, match="no file"):
        DifferentialExpression.load(tmp_path / "other.npz")


def test_the_same_cells_are_not_tested_twice(tmp_path, monkeypatch) -> None:
    cells = screen()
    first = cached_differential_expression(cells, tmp_path)
    (path,) = tmp_path.iterdir()
    with monkeypatch.context() as patched:
        patched.setattr("gnnvcell.data.differential_cache.differential_expression", None)  # it would be called
        again = cached_differential_expression(cells, tmp_path)
    np.testing.assert_array_equal(first.p_value, again.p_value)
    path.write_bytes(b"half a file")
    np.testing.assert_array_equal(cached_differential_expression(cells, tmp_path).p_value, first.p_value)
    cells.X[0, 0] += 1  # type: ignore[index]
    cached_differential_expression(cells, tmp_path)
    cached_differential_expression(cells, tmp_path, DifferentialConfig(batch_key=None))
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("matrix", [np.array([[1.0, 2], [0, -1], [3, 0]]), np.array([[1.0, np.nan], [0, 1], [3, 0]])])
def test_what_has_no_rank_is_refused(matrix: np.ndarray) -> None:
    for form in (matrix, sp.csr_array(matrix)):
        with pytest.raises(DataError, match="1 values cannot be ranked"):
            rank_sums(form, np.array([0, 0, 1]), 1)


@pytest.mark.shared
def test_papalexi(shared_data) -> None:
    """The interferon receptors and their kinases change dozens of genes; controls split at random change none."""
    cells = ad.read_h5ad(shared_data / "cells" / "papalexi2021_thp1_eccite.h5ad")
    cells = cells[cells.obs["assigned"].to_numpy(dtype=bool)].copy()
    names = cells.obs["target"].astype(str).to_numpy()
    names[np.flatnonzero(names == "non-targeting")[::3]] = "sham"
    cells.obs["target"] = names
    result = differential_expression(cells, perturbation_key="target", batch_key="bio_rep")
    called = dict(zip(result.perturbations.tolist(), (result.q_value < 0.05).sum(axis=1).tolist(), strict=True))
    assert min(called[name] for name in ("IFNGR1", "IFNGR2", "JAK2", "STAT1")) > 35
    assert called["sham"] == 0
    row = result.perturbations.tolist().index("STAT1")
    counts = sp.csr_array(cells.X, dtype=np.float64)
    scaled = sp.csr_array(counts.multiply(counts_scale(counts)[:, None]))
    # That of the C library, as in the kernel: numpy's rounds otherwise on some processors, and other values are tied.
    scaled.data = np.array([math.log1p(value) for value in scaled.data])
    a, b = scaled[names == "STAT1"].toarray(), scaled[names == "non-targeting"].toarray()
    reference = stats.mannwhitneyu(a, b, method="asymptotic", axis=0).pvalue
    np.testing.assert_allclose(result.p_value[row], np.nan_to_num(reference, nan=1.0), rtol=1e-9)


def test_values_that_are_no_log1p_are_refused() -> None:
    cells = screen()
    for spoiled in (-1.0, np.nan, np.inf):
        cells.X = cells.X.astype(np.float64)  # type: ignore[union-attr]
        cells.X[2, 5] = spoiled  # type: ignore[index]
        with pytest.raises(DataError, match="1 entries are not log1p values"):
            differential_expression(cells, assume="log1p")
    with pytest.raises(DataError, match="did you mean 'counts'"):
        differential_expression(cells, assume="count")


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
