from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
import scipy.sparse as sp

from gnnvcell.data import Cells, FieldsConfig
from gnnvcell.data.cell_sums import median_total
from gnnvcell.data.pseudobulk import cell_effects, control_context
from gnnvcell.errors import ConfigError, DataError

GENES = ["A", "B", "X"]
# (perturbation, batch, cell type, log1p expression of A, B and X)
CELLS = [
    ("ctrl", "b1", "k", (1.0, 2.0, 1.5)),
    ("ctrl", "b1", "k", (1.0, 2.0, 2.5)),
    ("ctrl", "b2", "k", (4.0, 2.0, 4.5)),
    ("A", "b1", "k", (0.0, 2.0, 1.0)),
    ("A", "b2", "k", (0.0, 2.0, 3.5)),
    ("A", "b2", "k", (0.0, 2.0, 3.5)),
    ("A", "b2", "k", (0.0, 2.0, 4.5)),
    ("A+B", "b2", "k", (0.0, 0.0, 5.0)),
    ("unassigned", "b1", "k", (9.0, 9.0, 9.0)),
    ("ctrl", "b1", "t", (0.0, 0.5, 0.0)),
    ("A", "b1", "t", (0.0, 1.5, 0.25)),
]


def of_table(rows: list[tuple[str, str, str, tuple[float, ...]]], *, genes: list[str] = GENES) -> ad.AnnData:
    names, batches, types, values = zip(*rows, strict=True)
    obs = pd.DataFrame({"target_gene": names, "batch": batches, "cell_type": types}, dtype="category")
    obs.index = [f"cell{i}" for i in range(len(rows))]
    var = pd.DataFrame(index=pd.Index(genes))
    return ad.AnnData(sp.csr_matrix(np.array(values, dtype=np.float32)), obs=obs, var=var)


def counts(seed: int = 0, cells: int = 200) -> ad.AnnData:
    """Controls and three perturbations in two batches; a cell without counts among them."""
    rng = np.random.default_rng(seed)
    names, batches = rng.choice(["ctrl", "G1", "G2", "G1+G3"], cells), rng.choice(["x", "y"], cells)
    rows = [
        (name, batch, "k", tuple(rng.poisson(rng.gamma(2.0, 2.0, 30)).astype(float)))
        for name, batch in zip(names, batches, strict=True)
    ]
    rows[7] = (*rows[7][:3], (0.0,) * 30)
    return of_table(rows, genes=[f"G{i}" for i in range(30)])


def by_scanpy(adata: ad.AnnData, target_sum: float | None) -> ad.AnnData:
    adata = adata.copy()
    sc.pp.normalize_total(adata, target_sum=target_sum)
    sc.pp.log1p(adata)
    return adata


def by_hand(adata: ad.AnnData, name: str) -> np.ndarray:
    """Batch by batch: mean under the perturbation less the mean of the batch's controls, weighted by its cells."""
    x = adata.X.toarray().astype(np.float64)  # type: ignore[union-attr]
    label, batch = adata.obs["target_gene"], adata.obs["batch"]
    total = sum(
        (x[(label == name) & (batch == b)] - x[(label == "ctrl") & (batch == b)].mean(axis=0)).sum(axis=0)
        for b in batch.unique()
    )
    return total / (label == name).sum()


def test_batches_of_unequal_shares_by_hand() -> None:
    table = cell_effects(Cells.of(of_table(CELLS)), keep_targets=True)
    assert list(zip(table.perturbations, table.contexts, strict=True)) == [("A", "k"), ("A", "t"), ("A+B", "k")]
    assert table.kind == "delta"
    # A in k: a quarter of its cells is in b1 (controls: A 1, B 2, X 2), the rest in b2 (A 4, B 2, X 4.5).
    np.testing.assert_allclose(table.values[0], [0 - 3.25, 0, 12.5 / 4 - 3.875])
    np.testing.assert_allclose(table.values[1], [0, 1.0, 0.25])
    np.testing.assert_allclose(table.values[2], [-4, -2, 0.5])


def test_matching_by_context_by_hand() -> None:
    table = cell_effects(Cells.of(of_table(CELLS)), matching="context", keep_targets=True)
    np.testing.assert_allclose(table.values[0], [-2, 0, 3.125 - 8.5 / 3], rtol=1e-6)
    np.testing.assert_allclose(table.values[2], [-2, -2, 5 - 8.5 / 3], rtol=1e-6)
    np.testing.assert_allclose(table.values[1], [0, 1.0, 0.25])


@pytest.mark.parametrize("matching", ["batch", "context"])
def test_control_expression_of_each_context_by_hand(matching: Any) -> None:
    control = cell_effects(Cells.of(of_table(CELLS)), matching=matching).control
    assert sorted(control) == ["k", "t"]
    np.testing.assert_allclose(control["k"], [2, 2, 8.5 / 3], rtol=1e-6)
    np.testing.assert_allclose(control["t"], [0, 0.5, 0])


def test_targets_do_not_count_as_measured() -> None:
    table = cell_effects(Cells.of(of_table(CELLS)))
    np.testing.assert_array_equal(table.measured, [[0, 1, 1], [0, 1, 1], [0, 0, 1]])
    written = [(name.replace("A+B", "B+A|KO"), *rest) for name, *rest in CELLS]
    table = cell_effects(Cells.of(of_table(written)))  # type: ignore[arg-type]
    np.testing.assert_array_equal(table.measured[-1], [0, 0, 1])


def test_splits_are_those_of_names() -> None:
    table = cell_effects(Cells.of(of_table(CELLS)), split={"A+B": "test"})
    assert table.split.tolist() == ["train", "train", "test"]


def test_only_the_rows_given_are_used() -> None:
    rows = np.ones(len(CELLS), dtype=bool)
    rows[[0, 4]] = False
    table = cell_effects(Cells.of(of_table(CELLS)), rows=rows, keep_targets=True)
    # A third of the cells in b1, whose one control is left.
    np.testing.assert_allclose(table.values[0, 2], 9 / 3 - (2.5 + 2 * 4.5) / 3, rtol=1e-6)
    np.testing.assert_allclose(table.control["k"], [2.5, 2, 3.5])


def test_halves_of_the_controls_share_none() -> None:
    adata = counts()
    control = (adata.obs["target_gene"] == "ctrl").to_numpy()
    half = control & (np.cumsum(control) % 2 == 0)
    found = cell_effects(Cells.of(adata), rows=~control | half, keep_targets=True)
    alone = cell_effects(Cells.of(adata[~control | half].copy()), keep_targets=True)
    np.testing.assert_array_equal(found.values, alone.values)
    other = cell_effects(Cells.of(adata), rows=~control | (control & ~half), keep_targets=True)
    assert np.abs(found.values - other.values).max() > 0.01


def test_perturbations_of_few_cells_are_left_out() -> None:
    cells = Cells.of(of_table(CELLS))
    table = cell_effects(cells, min_cells=2)
    assert list(zip(table.perturbations, table.contexts, strict=True)) == [("A", "k")]
    assert sorted(table.control) == ["k"]
    with pytest.raises(DataError, match="no perturbation has enough cells"):
        cell_effects(cells, min_cells=5)


@pytest.mark.parametrize("target_sum", [None, 1e4, 50.0])
def test_counts_are_normalised_as_by_scanpy(target_sum: float | None) -> None:
    adata = counts()
    table = cell_effects(Cells.of(adata), target_sum=target_sum, keep_targets=True)
    logs = by_scanpy(adata, target_sum)
    for name, row in zip(table.perturbations, table.values, strict=True):
        np.testing.assert_allclose(row, by_hand(logs, name), rtol=1e-4, atol=1e-5)
    control = logs[adata.obs["target_gene"] == "ctrl"].X.toarray().mean(axis=0)  # type: ignore[union-attr]
    np.testing.assert_allclose(table.control["k"], control, rtol=1e-5)


def test_log1p_values_are_taken_as_they_are() -> None:
    adata = counts()
    of_counts = cell_effects(Cells.of(adata))
    for target_sum in (1e4, None):
        of_logs = cell_effects(Cells.of(by_scanpy(adata, 1e4)), target_sum=target_sum)
        np.testing.assert_allclose(of_logs.values, of_counts.values, rtol=1e-4, atol=1e-5)


def test_median_total_by_hand() -> None:
    rows = [("ctrl", "b", "k", (1.0, 1.0, 2.0)), ("A", "b", "k", (3.0, 4.0, 3.0)), ("A", "b", "k", (0.0, 0.0, 0.0))]
    assert median_total(Cells.of(of_table(rows))) == 7.0
    with pytest.raises(DataError, match="no cell has counts"):
        median_total(Cells.of(of_table(rows[2:] * 2)))


@pytest.mark.parametrize("ending", ["h5ad", "zarr"])
@pytest.mark.parametrize("in_memory", [True, False])
def test_files_give_what_memory_gives(ending: str, in_memory: bool, tmp_path: Path) -> None:
    adata, path = counts(), tmp_path / f"cells.{ending}"
    adata.write_h5ad(path) if ending == "h5ad" else adata.write_zarr(path)
    cells = Cells.open(path, in_memory=in_memory)
    for target_sum in (1e4, None):
        found, wanted = cell_effects(cells, target_sum=target_sum), cell_effects(Cells.of(adata), target_sum=target_sum)
        np.testing.assert_array_equal(found.values, wanted.values)
        np.testing.assert_array_equal(found.measured, wanted.measured)
        np.testing.assert_array_equal(found.control["k"], wanted.control["k"])


def test_cells_of_unknown_perturbation_are_left_out() -> None:
    known = [row for row in CELLS if row[0] != "unassigned"]
    with_them, without = (cell_effects(Cells.of(of_table(rows)), keep_targets=True) for rows in (CELLS, known))
    assert with_them.perturbations.tolist() == without.perturbations.tolist()
    np.testing.assert_array_equal(with_them.values, without.values)
    np.testing.assert_array_equal(with_them.control["k"], without.control["k"])


def changed(old: str, new: str, field: int) -> list:
    return [tuple(new if i == field and x == old else x for i, x in enumerate(row)) for row in CELLS]


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        (changed("ctrl", "wild", 0), {}, "no cell is a control"),
        ([r for r in CELLS if r[:2] != ("ctrl", "b2")], {}, r"1 batches or contexts .* no control.*\n.*\n.*'b2'.*'k'"),
        ([r for r in CELLS if r[0] != "ctrl" or r[2] != "t"], {"matching": "context"}, r"no control.*\n.*\n.*'t'"),
        ([r for r in CELLS if r[0] == "ctrl"], {}, "no perturbation has enough cells"),
        ([(*r[:3], tuple(v - 3.3 for v in r[3])) for r in CELLS], {}, "neither counts nor log1p"),
        ([(*r[:3], tuple(v * 9.7 for v in r[3])) for r in CELLS], {}, "neither counts nor log1p"),
        (CELLS, {"matching": "plate"}, r"unknown matching 'plate'(.|\n)*batch or context"),
        (CELLS, {"target_sum": 0.0}, "counts cannot be scaled to 0"),
    ],
)
def test_bad_input_is_refused(rows: list, options: dict[str, Any], message: str) -> None:
    with pytest.raises((DataError, ConfigError), match=message):
        cell_effects(Cells.of(of_table(rows)), **options)


def test_missing_controls_name_the_batch_only_where_there_are_batches() -> None:
    adata = of_table([r for r in CELLS if r[:2] != ("ctrl", "b2")])
    with pytest.raises(DataError, match="match by context"):
        cell_effects(Cells.of(adata))
    assert cell_effects(Cells.of(adata, FieldsConfig(batch=""))).shape == (3, 3)


def test_context_of_control_cells_by_hand() -> None:
    cells = Cells.of(of_table(CELLS)).take_cells(np.array([row[2] == "k" for row in CELLS]))
    context = control_context(cells, np.array(["X", "missing", "A"]))
    assert context.name == "k"
    assert context.control is not None
    np.testing.assert_allclose(context.control, [8.5 / 3, np.nan, 2], rtol=1e-6)
    again = control_context(cells, cells.genes).control
    assert again is not None
    np.testing.assert_allclose(again, cell_effects(cells).control["k"])


def test_context_of_counts_is_that_of_the_effects() -> None:
    cells = Cells.of(counts())
    for target_sum in (1e4, None):
        context = control_context(cells, cells.genes, target_sum=target_sum)
        np.testing.assert_array_equal(context.control, cell_effects(cells, target_sum=target_sum).control["k"])


def test_bad_control_cells_are_refused() -> None:
    cells = Cells.of(of_table(CELLS))
    with pytest.raises(DataError, match=r"several cell types(.|\n)*k, t"):
        control_context(cells, cells.genes)
    one = cells.take_cells(cells.context_code == 0)
    with pytest.raises(DataError, match="none of the genes"):
        control_context(one, np.array(["Y", "Z"]))
    with pytest.raises(DataError, match="no cell is a control"):
        control_context(one.take_cells(one.code >= 0), cells.genes)


@pytest.mark.shared
def test_papalexi(shared_data: Path) -> None:
    """25 knock-outs; the effect of one batch by hand; IFNGR2, JAK2 and STAT1 lower the same genes."""
    path = shared_data / "cells" / "papalexi2021_thp1_eccite.h5ad"
    cells = Cells.open(path, in_memory=False)
    table = cell_effects(cells, target_sum=None, keep_targets=True)
    assert table.shape == (25, 299)
    assert len(table.context_names) == 1
    adata = ad.read_h5ad(path)
    logs = by_scanpy(adata, None)
    label = adata.obs[cells.fields.perturbation].astype(str).replace({cells.fields.control: "ctrl"})
    logs.obs["target_gene"], logs.obs["batch"] = label, adata.obs[cells.fields.batch] if cells.fields.batch else "b"
    row = int(np.flatnonzero(table.perturbations == "STAT1")[0])
    np.testing.assert_allclose(table.values[row], by_hand(logs, "STAT1"), rtol=1e-3, atol=1e-4)
    alike = np.corrcoef(table.values[np.isin(table.perturbations, ["IFNGR2", "JAK2", "STAT1"])])
    assert alike.min() > 0.6
