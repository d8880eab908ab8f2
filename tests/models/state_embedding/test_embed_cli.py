"""``embed fit | transform | query`` on small files."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from gnnvcell import keys
from gnnvcell.cli.main import main
from gnnvcell.features import write_features
from gnnvcell.models.state_embedding import embed_cells, load

SETTINGS = [
    "model.width=16", "model.layers=1", "model.heads=2", "model.hidden=32", "model.output=12", "model.bin_hidden=16",
    "model.decoder_hidden=16", "model.graph.width=8", "model.sentences.length=24", "model.sentences.expressed=6",
    "model.sentences.sampled=6", "model.sentences.shared=8", "fit.max_steps=6", "fit.val_every=3",
    "fit.optimizer.lr=1e-2", "batch_size=16", "validation=0.2",
]  # fmt: skip


@pytest.fixture
def folder(kit, tmp_path):
    kit.adata().write_h5ad(tmp_path / "cells.h5ad")
    kit.gene_graph().save(tmp_path / "graph")
    write_features(kit.esm_table(), tmp_path / "esm.npz")
    return tmp_path


def test_from_cells_to_labels(kit, folder, capsys) -> None:
    run, cells = str(folder / "run"), str(folder / "cells.h5ad")
    sources = ["--graph", str(folder / "graph"), "--esm", str(folder / "esm.npz"), "--dataset", "batch"]
    assert main(["embed", "fit", cells, "--out", run, *sources, "--set", *SETTINGS]) == 0
    assert "graph: 36 of 40 genes, the others are learned" in capsys.readouterr().out
    model = load(run)
    assert model.datasets == ("one", "two")
    assert int(model.batches_seen) == 6
    metrics = pd.read_csv(folder / "run" / "metrics.csv")
    assert {"train/loss", "val/loss", "val/dataset"} <= set(metrics.columns)
    assert main(["embed", "fit", cells, "--out", run, *sources, "--quiet", "--set", *SETTINGS]) == 2
    assert "holds a run already" in capsys.readouterr().err
    assert main(["embed", "fit", cells, "--out", run, *sources, "--resume", "--quiet", "--set", *SETTINGS]) == 0

    embedded = str(folder / "embedded.h5ad")
    assert main(["embed", "transform", run, cells, "--out", embedded]) == 0
    assert "40 of the model's 40 are in the cells" in capsys.readouterr().out
    made = ad.read_h5ad(embedded)
    np.testing.assert_array_equal(made.obsm[keys.X_STATE], embed_cells(model, kit.adata(), progress=False))

    table = folder / "found.csv"
    assert main(["embed", "query", embedded, embedded, "--labels", "cell_type", "-k", "3", "--out", str(table)]) == 0
    found = pd.read_csv(table)
    assert found["nearest_1"].tolist() == found["cell"].tolist()
    assert found.columns[:3].tolist() == ["cell", "cell_type", "share"]
    assert main(["embed", "query", run, cells, cells, "--quiet", "--out", str(table)]) == 0
    assert pd.read_csv(table)["nearest_1"].tolist() == found["cell"].tolist()


def test_what_is_missing_is_said(folder, capsys) -> None:
    cells = str(folder / "cells.h5ad")
    assert main(["embed", "query", cells, cells, "--out", str(folder / "out.csv")]) == 2
    assert 'has no obsm["X_state"]' in capsys.readouterr().err
    assert main(["embed", "transform", str(folder), cells, "--out", str(folder / "out.h5ad")]) == 2
    assert "embed fit" in capsys.readouterr().err
    assert main(["embed", "fit", cells, "--out", str(folder / "r"), "--set", "model.use_esm=true"]) == 2
    assert "use_esm is True, and no esm was given" in capsys.readouterr().err
    assert main(["embed", "fit", cells, "--out", str(folder / "r"), "--dataset", "Batch"]) == 2
    assert "did you mean 'batch'" in capsys.readouterr().err
