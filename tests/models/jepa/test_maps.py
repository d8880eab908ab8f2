"""Maps of genes and of pathways."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch

from gnnvcell.data.cell_sets import GeneSetMembership, gene_set_membership
from gnnvcell.errors import ModelError
from gnnvcell.models.jepa.maps import InteractionMap, attention_map, export_maps, grown_pathways, interaction_map
from gnnvcell.models.jepa.pathways import pathways_of

from .conftest import GENES


@pytest.fixture(scope="module")
def of_genes(new, cells):
    return new("graph").fit(cells)


@pytest.fixture(scope="module")
def of_pathways(new, cells):
    return new("v0.2").fit(cells)


def test_attention_of_genes_and_of_pathways(of_genes, of_pathways):
    found = attention_map(of_genes, tokens=["G3", "G0"])
    assert found.rows.tolist() == ["G3", "G0"]
    assert found.columns.tolist() == GENES
    np.testing.assert_allclose(found.values.sum(axis=1), 1.0, atol=1e-4)
    np.testing.assert_allclose(attention_map(of_genes).values[[3, 0]], found.values, atol=1e-6)
    pathways = attention_map(of_pathways)
    assert pathways.rows.tolist() == pathways.columns.tolist() == ["first", "second", "third"]  # "tiny" has two genes
    with pytest.raises(ModelError, match=r"no token 'G99'(.|\n)*did you mean"):
        attention_map(of_genes, tokens=["G99"])


def test_interactions_are_predictions(of_genes):
    found = interaction_map(of_genes, ["G1", "G2"])
    np.testing.assert_array_equal(found.values, of_genes.predict(["G1", "G2"]).values)
    by_mode = interaction_map(of_genes, ["G1"], mode="CRISPRa")
    np.testing.assert_array_equal(by_mode.values, of_genes.predict(["G1|CRISPRa"]).values)
    assert "CRISPRa" in by_mode.what


def test_pathways_are_means_over_pairs_of_their_genes():
    genes = np.array(["A", "B", "C"])
    values = np.arange(9, dtype=np.float32).reshape(3, 3)
    matrix = sp.csr_array(np.array([[1, 0, 0], [1, 1, 0], [0, 0, 0]], dtype=bool))
    sets = GeneSetMembership(genes, np.array(["ab", "b", "none"]), matrix, 2 / 3, 0)
    found = InteractionMap(values, genes, genes, "x").by_pathway(sets)
    assert found.rows.tolist() == ["ab", "b"]  # a pathway without a gene is left out
    np.testing.assert_allclose(found.values, [[(0 + 1 + 3 + 4) / 4, (1 + 4) / 2], [(3 + 4) / 2, 4]])
    some = InteractionMap(values[[2, 1]], genes[[2, 1]], genes, "x").by_pathway(sets)
    np.testing.assert_allclose(some.values[0], [3.5, 4.0])
    with pytest.raises(ModelError, match="no gene of the map is in a pathway"):
        InteractionMap(values[2:], genes[2:], genes, "x").by_pathway(sets)


def test_files_hold_the_maps(of_genes, of_pathways, gene_sets, tmp_path):
    sets = gene_set_membership(gene_sets, GENES, min_genes=3)
    maps = export_maps(of_genes, tmp_path / "a", pathways=sets, genes=["G1", "G7"])
    assert set(maps) == {"attention", "attention_pathways", "interactions", "interactions_pathways"}
    for name, one in maps.items():
        table = pd.read_csv(tmp_path / "a" / f"{name}.csv", index_col=0)
        assert table.index.tolist() == one.rows.tolist()
        np.testing.assert_allclose(table.to_numpy(), one.values, rtol=1e-3, atol=1e-6)
        with np.load(tmp_path / "a" / f"{name}.npz", allow_pickle=False) as read:
            np.testing.assert_array_equal(read["values"], one.values)
            assert read["columns"].tolist() == one.columns.tolist()
    assert "attention" not in export_maps(of_pathways, tmp_path / "b", genes=["G1"])
    assert (tmp_path / "b" / "grown_pathways.csv").is_file()


def test_genes_that_joined_a_pathway(of_genes, of_pathways):
    with torch.no_grad():
        of_pathways.network.encoder.pathways.weight[1, 0] = 9.0
    table = grown_pathways(of_pathways)
    assert table.loc[0, ["pathway", "gene"]].tolist() == ["second", "G0"]
    assert (table["weight"] > 0.5).all()
    with pytest.raises(ModelError, match="no pathway layer"):
        grown_pathways(of_genes)


def test_pathways_of_files_and_graphs(gene_sets, graph):
    found = pathways_of(np.array(GENES), gene_sets=gene_sets)
    assert found.sets.tolist() == ["first", "second", "third"]
    assert found.left_out == 1
    with pytest.raises(ModelError, match=r"no gene sets(.|\n)*string"):
        pathways_of(np.array(GENES), graph=graph)
