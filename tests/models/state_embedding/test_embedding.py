"""Embedding cells, keeping models, and searching."""

import json

import anndata as ad
import numpy as np
import pytest
import torch

from gnnvcell import keys
from gnnvcell.errors import ConfigError, DataError, FileFormatError, ModelError
from gnnvcell.features import FeatureTable
from gnnvcell.models.state_embedding.embedding import embed_cells, embed_file
from gnnvcell.models.state_embedding.nearest import handed_on, nearest_cells
from gnnvcell.models.state_embedding.network import StateEmbedding
from gnnvcell.models.state_embedding.storage import load, save


def test_embeddings_do_not_depend_on_the_batch(kit) -> None:
    model = kit.network()
    whole = embed_cells(model, kit.adata(), batch_size=48, progress=False)
    assert whole.shape == (48, 22)
    for size in (1, 7):
        np.testing.assert_allclose(embed_cells(model, kit.adata(), batch_size=size, progress=False), whole, atol=2e-5)


def test_other_columns_in_another_order(kit) -> None:
    """A ranking model would see other ties; here no sentence is cut off."""
    model, cells = kit.network(sentences={"length": 40}), kit.adata()
    expected = embed_cells(model, cells, progress=False)
    turned = cells[:, ::-1].copy()
    np.testing.assert_allclose(embed_cells(model, turned, progress=False), expected, atol=2e-5)


def test_to_a_file(kit, tmp_path) -> None:
    model, cells = kit.network(), kit.adata()
    cells.write_h5ad(tmp_path / "cells.h5ad")
    path = embed_file(model, tmp_path / "cells.h5ad", tmp_path / "out.h5ad", progress=False)
    made = ad.read_h5ad(path)
    np.testing.assert_array_equal(made.obsm[keys.X_STATE], embed_cells(model, cells, progress=False))
    np.testing.assert_array_equal(made.X.toarray(), cells.X.toarray())  # pyright: ignore
    assert made.obs["cell_type"].tolist() == cells.obs["cell_type"].tolist()
    assert made.uns[keys.X_STATE]["config_digest"] == model.config.digest()
    with pytest.raises(ConfigError, match="read and written at once"):
        embed_file(model, tmp_path / "cells.h5ad", tmp_path / "cells.h5ad", progress=False)


@pytest.mark.parametrize("sources", [(True, True), (False, True), (True, False), (False, False)])
def test_saved_and_loaded_bit_for_bit(kit, tmp_path, sources) -> None:
    model = kit.network(use_esm=sources[0], use_graph_embeddings=sources[1])
    loaded = load(save(model, tmp_path / "run" / "model"))
    assert loaded.missing == model.missing
    assert loaded.datasets == ("one", "two")
    expected = embed_cells(model, kit.adata(), progress=False)
    np.testing.assert_array_equal(embed_cells(loaded, kit.adata(), progress=False), expected)
    again = load(tmp_path / "run")  # by the folder of the run
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), loaded.parameters(), strict=True))
    head = json.loads((tmp_path / "run" / "model" / "config.json").read_text())
    assert (head["graph_digest"] is not None) == sources[1]
    assert head["versions"]["torch"]


def test_a_table_of_graph_embeddings_is_kept(kit, tmp_path) -> None:
    table = FeatureTable(np.array(kit.genes[:30]), np.random.default_rng(0).normal(size=(30, 5)), "beforehand")
    model = StateEmbedding(kit.genes, kit.small(use_esm=False), graph=table)
    loaded = load(save(model, tmp_path / "model"))
    np.testing.assert_array_equal(
        embed_cells(loaded, kit.adata(), progress=False), embed_cells(model, kit.adata(), progress=False)
    )


def test_damaged_models(kit, tmp_path) -> None:
    with pytest.raises(FileFormatError, match="no model is at"):
        load(tmp_path)
    folder = save(kit.network(), tmp_path / "model")
    weights = folder / "weights.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + b"\x01")
    with pytest.raises(ModelError, match="changed or damaged"):
        load(folder)
    weights.write_bytes(whole)
    edges = folder / "graph" / "edges.safetensors"
    right = edges.read_bytes()
    edges.write_bytes(right[:-4] + b"\x00\x00\x80\x3e")
    with pytest.raises(ModelError, match=r"edges\.safetensors was changed or damaged"):
        load(folder)
    edges.write_bytes(right)
    weights.unlink()
    with pytest.raises(FileFormatError, match="has no weights"):
        load(folder)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "note.txt").write_text("mine")
    with pytest.raises(FileFormatError, match="something other than a model"):
        save(kit.network(), tmp_path / "other")


def test_nearest_by_hand(monkeypatch) -> None:
    reference = np.array([[1.0, 0], [0, 2], [3, 3], [-1, 0], [2, 0]])
    found = nearest_cells(reference, np.array([[5.0, 0], [0, -1]]), 3, progress=False)
    assert found.rows.tolist() == [[0, 4, 2], [0, 3, 4]]  # ties in the order of the reference
    np.testing.assert_allclose(found.similarity, [[1, 1, 0.5**0.5], [0, 0, 0]], atol=1e-7)
    rng = np.random.default_rng(0)
    reference, query = rng.normal(size=(200, 8)), rng.normal(size=(60, 8))
    whole = nearest_cells(reference, query, 7, progress=False)
    cosine = (query / np.linalg.norm(query, axis=1, keepdims=True)) @ (
        reference / np.linalg.norm(reference, axis=1, keepdims=True)
    ).T
    np.testing.assert_array_equal(whole.rows, np.argsort(-cosine, axis=1)[:, :7])
    monkeypatch.setattr("gnnvcell.models.state_embedding.nearest._ENTRIES", 1000)
    np.testing.assert_array_equal(nearest_cells(reference, query, 7, progress=False).rows, whole.rows)
    assert nearest_cells(reference, query, 500, progress=False).rows.shape == (60, 200)


def test_labels_are_handed_on_by_weighted_votes() -> None:
    reference = np.array([[1.0, 0], [1, 0.1], [0, 1]])
    found = nearest_cells(reference, np.array([[1.0, 0.05], [0, 1.0], [-1, -1]]), 2, progress=False)
    names, share = handed_on(found, np.array(["a", "a", "b"]))
    assert names.tolist() == ["a", "b", "a"]
    assert share[0] == 1
    np.testing.assert_allclose(share[1], 1 / (1 + 0.1 / 1.01**0.5), rtol=1e-5)
    assert share[2] == 0
    with pytest.raises(DataError, match="cannot be compared"):
        nearest_cells(reference, np.ones((2, 3)), progress=False)
    with pytest.raises(DataError, match="1 embeddings are not finite"):
        nearest_cells(reference, np.array([[np.nan, 1]]), progress=False)
