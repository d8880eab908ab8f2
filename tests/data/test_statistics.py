from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from gnnvcell.cli.main import main
from gnnvcell.data import Cells, EffectTable, FieldsConfig
from gnnvcell.data.batch_effect import BatchVariance
from gnnvcell.data.passes import read_through
from gnnvcell.data.statistics import StatisticsConfig, describe_cells, gini
from gnnvcell.errors import DataError


def screen(*, few: int = 30, batch_shift: float = 0.0) -> ad.AnnData:
    """Counts of 40 genes in two batches; G1 raises G5, G2 does nothing and has ``few`` cells."""
    rng = np.random.default_rng(0)
    labels = np.repeat(["non-targeting", "G1", "G2"], [80, 60, few])
    batch = rng.choice(["x", "y"], len(labels))
    rates = np.full((len(labels), 40), 5.0)
    rates[labels == "G1", 5] = 25.0
    rates[batch == "y", 7] *= np.exp(batch_shift)
    rates[:, 39] = 0
    obs = pd.DataFrame({"target_gene": labels, "batch": batch}, index=pd.RangeIndex(len(labels)).astype(str))
    var = pd.DataFrame(index=pd.Index([f"G{i}" for i in range(40)]))
    return ad.AnnData(sp.csr_matrix(rng.poisson(rates).astype(np.float32)), obs=obs, var=var)


CONFIG = StatisticsConfig(threads=1)


def test_genes_are_described_as_they_are_in_the_file() -> None:
    adata = screen()
    found = describe_cells(Cells.of(adata), CONFIG, progress=False)
    dense = adata.X.toarray()  # type: ignore[union-attr]
    assert found.genes.columns.tolist() == ["gene", "mean", "max", "min", "nonzero_fraction"]
    np.testing.assert_allclose(found.genes["mean"], dense.mean(axis=0), rtol=1e-6)
    np.testing.assert_array_equal(found.genes["max"], dense.max(axis=0))
    np.testing.assert_array_equal(found.genes["min"], dense.min(axis=0))
    np.testing.assert_allclose(found.genes["nonzero_fraction"], (dense > 0).mean(axis=0))
    assert found.summary["fraction of genes never expressed"] == 1 / 40
    assert found.summary["mean of gene maxima"] == pytest.approx(dense.max(axis=0).mean())


def test_effects_and_differential_expression() -> None:
    found = describe_cells(Cells.of(screen()), CONFIG, progress=False)
    table = found.perturbations.set_index("perturbation")
    assert table.index.tolist() == ["G1", "G2"]  # most cells first
    assert table["cells"].tolist() == [60, 30]
    assert table.loc["G1", "de_up"] == 1
    assert table.loc["G2", ["de_up", "de_down"]].tolist() == [0, 0]
    row = found.deltas.values[found.deltas.perturbations == "G1"][0]
    assert np.argmax(row) == 5
    assert table.loc["G1", "effect_size"] == pytest.approx(np.linalg.norm(row))
    # The perturbed gene itself is left out.
    assert not found.deltas.measured[0, 1]
    assert found.batches["controls"].sum() == 80


def test_perturbations_of_few_cells_have_no_effect_but_are_listed() -> None:
    found = describe_cells(Cells.of(screen(few=2)), CONFIG, progress=False)
    table = found.perturbations.set_index("perturbation")
    assert table.loc["G2", "cells"] == 2
    assert table.loc["G2", ["effect_size", "de_up"]].isna().all()
    assert found.deltas.perturbations.tolist() == ["G1"]


def test_batch_variance_by_hand() -> None:
    values = np.array([[1.0, 2.0], [3.0, 2.0], [5.0, 2.0], [7.0, 2.0], [100.0, 9.0]], dtype=np.float32) / 10
    columns = {"target_gene": ["ctrl"] * 4 + ["A"], "batch": ["x", "x", "y", "y", "x"]}
    obs = pd.DataFrame(columns, index=pd.Index(list("abcde")))
    cells = Cells.of(ad.AnnData(values, obs=obs, var=pd.DataFrame(index=pd.Index(["G", "H"]))))
    variance = BatchVariance(cells)
    read_through(cells, variance, size=2, progress=False)
    # Means 2 and 6 about 4: 16 of 20 between the batches. H does not vary.
    assert variance.by_gene()["share"].tolist() == pytest.approx([0.8, np.nan], nan_ok=True)
    row = variance.by_context().iloc[0]
    assert row["share"] == pytest.approx(0.8)
    assert row["by_chance"] == pytest.approx(1 / 3)
    assert row["adjusted"] == pytest.approx(1 - 0.2 * 3 / 2)


def test_a_batch_effect_is_seen() -> None:
    without, shifted = (
        describe_cells(Cells.of(screen(batch_shift=shift)), CONFIG, progress=False) for shift in (0.0, 2.0)
    )
    shares = shifted.batch_effect_by_gene.set_index("gene")["share"]
    assert shares.idxmax() == "G7"
    assert shares["G7"] > 0.7
    assert abs(without.batch_effect["adjusted"][0]) < 0.02


def test_one_batch_has_no_batch_effect() -> None:
    adata = screen()
    found = describe_cells(Cells.of(adata, FieldsConfig(batch="")), CONFIG, progress=False)
    assert np.isnan(found.batch_effect["share"].to_numpy()).all()
    assert found.summary["variance of controls between batches"] is None


def test_gini_by_hand() -> None:
    assert gini(np.array([5.0, 5.0, 5.0])) == pytest.approx(0.0)
    assert gini(np.array([0.0, 0.0, 0.0, 8.0])) == pytest.approx(0.75)


def test_what_cannot_be_described_is_refused() -> None:
    with pytest.raises(DataError, match="no cell is a control"):
        describe_cells(Cells.of(screen()[80:].copy()), CONFIG, progress=False)
    adata = screen()
    adata.X = adata.X * 100.5  # type: ignore[operator]
    with pytest.raises(DataError, match="counts or log1p-normalised"):
        describe_cells(Cells.of(adata), CONFIG, progress=False)
    bare = screen()
    bare.obs["batch"] = np.where(bare.obs["target_gene"] == "non-targeting", "x", bare.obs["batch"])
    with pytest.raises(DataError, match="no control cells"):
        describe_cells(Cells.of(bare), CONFIG, progress=False)


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    screen().write_h5ad(tmp_path / "cells.h5ad")
    out = tmp_path / "stats"
    assert main(["data", "stats", str(tmp_path / "cells.h5ad"), "--out", str(out), "--threads", "1"]) == 0
    assert "fraction of genes never expressed" in capsys.readouterr().out
    names = ("gene-means", "cells-per-perturbation", "deltas", "differential", "batch-effect")
    assert {path.name for path in (out / "plots").iterdir()} == {f"{n}{s}" for n in names for s in (".png", ".svg")}
    page = (out / "index.html").read_text()
    assert page.count("<svg") == 10
    assert "http" not in page.split("</style>")[1].replace("http://www.w3.org", "")
    header = (out / "gene_statistics.csv").read_text().splitlines()[0]
    assert header == "gene,mean,max,min,nonzero_fraction"
    assert EffectTable.load(out / "deltas.h5ad").perturbations.tolist() == ["G1", "G2"]
    assert main(["data", "stats", str(tmp_path / "cells.h5ad"), "--out", str(out), "--matching", "plate"]) == 2
    assert "matching" in capsys.readouterr().err
