"""Co-expression: parity with the dense computation, finding of controls, bad input, and real cells."""

from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from gnnvcell.errors import ConfigError, DataError, EmptyGraphError, FileFormatError
from gnnvcell.graphs.shrinkage import shrinkage_intensity, standardised
from gnnvcell.graphs.sources.base import SourceContext
from gnnvcell.graphs.sources.coexpression import Coexpression, coexpression_table

CONTEXT = SourceContext()


def cells(n=200, p=12, *, seed=0, label="non-targeting", column="target") -> Any:
    """Counts with two modules that oppose each other; the perturbed half is noise of another kind."""
    rng = np.random.default_rng(seed)
    factor = rng.normal(size=(n, 1))
    load = np.where(np.arange(p) < p // 3, 1.0, np.where(np.arange(p) < 2 * p // 3, -1.0, 0.0))
    counts = rng.poisson(np.exp(2 + 0.5 * factor * load))
    counts[n // 2 :] = rng.poisson(8, size=(n - n // 2, p))
    obs = pd.DataFrame({column: [label] * (n // 2) + ["STAT1"] * (n - n // 2)}, index=pd.RangeIndex(n).astype(str))
    var = pd.DataFrame(index=pd.Index([f"GENE{i}" for i in range(p)]))
    return ad.AnnData(sp.csr_matrix(counts.astype(np.float32)), obs=obs, var=var)


def edges_of(reading):
    table = reading.tables[0]
    return {
        (str(table.src_names[u]), str(table.dst_names[v])): (float(w), int(s))
        for u, v, w, s in zip(table.src, table.dst, table.weight, table.sign, strict=True)
    }


def test_weights_and_signs_equal_the_dense_shrunk_correlation() -> None:
    adata = cells()
    found = edges_of(Coexpression(adata=adata, top_k=11).read(CONTEXT))
    counts = adata.X[:100].toarray()
    depth = counts.sum(1, keepdims=True)
    values = np.log1p(counts * np.median(depth) / depth)
    dense = (1 - shrinkage_intensity(standardised(values))) * np.corrcoef(values.T)
    assert len(found) == 12 * 11 // 2
    for (u, v), (weight, sign) in found.items():
        r = dense[int(u[4:]), int(v[4:])]
        assert weight == pytest.approx(abs(r), abs=1e-5)
        assert sign == np.sign(r)
    assert found["GENE0", "GENE1"][1] == 1
    assert found["GENE0", "GENE5"][1] == -1


def test_every_setting_changes_the_result() -> None:
    adata = cells()
    adata.obs["other"] = ["STAT1"] * 60 + ["ctrl"] * 140
    adata.layers["shifted"] = adata.X[:, ::-1].copy()
    adata.var["name"] = [f"X{i}" for i in range(12)]
    adata.X = adata.X.toarray()
    adata.X[:, 0] = 0
    adata.X[:4, 0] = 5
    default = {"adata": adata, "control_column": "target", "top_k": 3, "min_cells": 5}
    base = edges_of(Coexpression(**default).read(CONTEXT))
    for change in (
        {"control_column": "other"},
        {"control_label": "STAT1"},
        {"gene_column": "name"},
        {"layer": "shifted"},
        {"normalisation": "none"},
        {"top_k": 2},
        {"min_weight": 0.2},
        {"min_cells": 3},
        {"max_cells": 50},
        {"max_cells": 50, "seed": 1},
    ):
        changed = edges_of(Coexpression(**{**default, **change}).read(CONTEXT))
        assert changed != base, change
    first, second = (edges_of(Coexpression(**default, max_cells=50, seed=s).read(CONTEXT)) for s in (0, 1))
    assert first != second
    assert first == edges_of(Coexpression(**default, max_cells=50, seed=0).read(CONTEXT))


def test_only_control_cells_count() -> None:
    adata = cells()
    before = edges_of(Coexpression(adata=adata).read(CONTEXT))
    adata.X[100:] = 0
    assert edges_of(Coexpression(adata=adata).read(CONTEXT)) == before
    adata.X[:10] = 3
    assert edges_of(Coexpression(adata=adata).read(CONTEXT)) != before


def test_file_and_memory_agree(tmp_path) -> None:
    adata = cells()
    adata.write_h5ad(tmp_path / "cells.h5ad")
    reading = Coexpression().read(SourceContext(source_dir=tmp_path))
    assert edges_of(reading) == edges_of(Coexpression(adata=adata).read(CONTEXT))
    assert [path.name for path in reading.files] == ["cells.h5ad"]
    assert reading.lines_read == 200
    assert "adata" not in Coexpression(adata=adata).settings()


@pytest.mark.parametrize("label", ["control", "ctrl", "non-targeting", "NT", "unperturbed", "DMSO"])
def test_controls_are_found_by_their_usual_names(label: str) -> None:
    reading = Coexpression(adata=cells(label=label, column="anything")).read(CONTEXT)
    assert f"100 control cells: anything is '{label}'" in reading.notes


def test_two_columns_of_the_same_controls_are_no_contradiction() -> None:
    adata = cells(label="control")
    adata.obs["copy"] = adata.obs["target"].astype("category")
    assert "target is 'control'" in Coexpression(adata=adata).read(CONTEXT).notes[0]


def test_unclear_controls_are_an_error_that_lists_the_values() -> None:
    with pytest.raises(ConfigError, match=r"target: normal, STAT1"):
        Coexpression(adata=cells(label="normal")).read(CONTEXT)
    adata = cells(label="control")
    adata.obs["treatment"] = ["DMSO"] * 50 + ["drug"] * 150
    with pytest.raises(ConfigError, match="target=control, treatment=DMSO"):
        Coexpression(adata=adata).read(CONTEXT)
    assert Coexpression(adata=adata, control_column="treatment").read(CONTEXT).notes[0].startswith("50 control")
    with pytest.raises(ConfigError, match="did you mean 'target'"):
        Coexpression(adata=cells(), control_column="targets").read(CONTEXT)
    with pytest.raises(ConfigError, match="cannot tell"):
        Coexpression(adata=cells(), control_label="controls").read(CONTEXT)


def test_genes_that_repeat_or_hardly_occur_are_left_out_and_counted() -> None:
    adata = cells()
    adata.X = adata.X.toarray()
    adata.X[:, 3] = 0
    adata.X[:2, 3] = 1
    adata.var_names = ["GENE0", "GENE0", *[f"GENE{i}" for i in range(2, 12)]]
    reading = Coexpression(adata=adata).read(CONTEXT)
    assert {name for pair in edges_of(reading) for name in pair} <= {f"GENE{i}" for i in range(12)} - {"GENE3"}
    assert any("1 columns repeat a gene" in note for note in reading.notes)
    assert any("1 genes seen in fewer than 10" in note for note in reading.notes)


def test_ensembl_ids_beside_symbols_become_identities() -> None:
    adata = cells()
    adata.var["gene_ids"] = [f"ENSG{i:011d}" for i in range(12)]
    identities = Coexpression(adata=adata).read(CONTEXT).identities
    assert identities is not None
    assert identities.aliases["ensembl"][3] == ("ENSG00000000003", 3)
    assert identities.symbols[3] == "GENE3"


def test_bad_values_and_files_are_refused(tmp_path) -> None:
    broken = cells()
    broken.X = broken.X.toarray()
    broken.X[0, 0] = np.nan
    with pytest.raises(DataError, match="NaN"):
        Coexpression(adata=broken).read(CONTEXT)
    with pytest.raises(ConfigError, match="no layer 'count'"):
        Coexpression(adata=cells(), layer="count").read(CONTEXT)
    with pytest.raises(ConfigError, match="no column 'symbol'"):
        Coexpression(adata=cells(), gene_column="symbol").read(CONTEXT)
    with pytest.raises(DataError, match="too few control cells"):
        Coexpression(adata=cells(n=12)).read(CONTEXT)
    with pytest.raises(EmptyGraphError, match="no shrunk correlation reaches"):
        Coexpression(adata=cells(), min_weight=0.99).read(CONTEXT)
    (tmp_path / "a.h5ad").write_text("not hdf5")
    with pytest.raises(FileFormatError, match="cannot be read as h5ad"):
        Coexpression(path=tmp_path / "a.h5ad").read(CONTEXT)
    with pytest.raises(FileFormatError, match="no file"):
        Coexpression(path=tmp_path / "b.h5ad").read(CONTEXT)
    with pytest.raises(FileFormatError, match="AnnData file is not in"):
        Coexpression().read(CONTEXT)


def test_negative_values_are_not_taken_for_counts() -> None:
    adata = cells()
    adata.X = adata.X.toarray() - 8.0
    assert any("used as stored" in note for note in Coexpression(adata=adata).read(CONTEXT).notes)
    with pytest.raises(DataError, match="needs counts"):
        Coexpression(adata=adata, normalisation="log1p").read(CONTEXT)


def test_genes_must_be_unique_in_the_function() -> None:
    with pytest.raises(DataError, match="genes repeat"):
        coexpression_table(np.random.default_rng(0).normal(size=(9, 2)), np.array(["A", "A"]), top_k=1)


@pytest.mark.shared
def test_real_thp1_cells_give_known_interferon_pairs(shared_data) -> None:
    path = shared_data / "cells" / "papalexi2021_thp1_eccite.h5ad"
    reading = Coexpression(path=path, top_k=10).read(CONTEXT)
    found = edges_of(reading)
    assert "1,923 control cells: target is 'non-targeting'" in reading.notes
    assert any("counts scaled" in note for note in reading.notes)
    genes = {name for pair in found for name in pair}
    assert len(genes) > 200
    # Genes of one response move together in unperturbed cells; many more positive than negative among the strongest.
    weights = np.array([weight for weight, _ in found.values()])
    strong = [sign for weight, sign in found.values() if weight > np.quantile(weights, 0.95)]
    assert np.mean(np.array(strong) > 0) > 0.8
    assert 0 < float(reading.notes[2].split()[-1]) < 1


@pytest.mark.shared
def test_real_log_normalised_cells_are_left_as_they_are(shared_data) -> None:
    path = shared_data / "cells" / "perturbench_devel.h5ad"
    reading = Coexpression(path=path, control_column="condition", control_label="control").read(CONTEXT)
    assert any("values used as stored (they are no counts)" in note for note in reading.notes)
    assert len(reading.tables[0]) > 1000
