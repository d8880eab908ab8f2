"""Batches: what they hold is what the cells express, and seeds decide all that is drawn."""

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp
import torch

from gnnvcell import keys
from gnnvcell.errors import ConfigError, DataError
from gnnvcell.genes import GeneVocab
from gnnvcell.models.state_embedding.batches import SentenceBatches
from gnnvcell.models.state_embedding.config import SentenceConfig
from gnnvcell.models.state_embedding.expressed_cells import ExpressedCells
from gnnvcell.models.state_embedding.vocabulary import match_columns


def logged(kit) -> np.ndarray:
    counts = kit.adata().X.toarray()
    return np.log1p(counts * (1e4 / counts.sum(axis=1, keepdims=True)))


def test_a_batch_holds_what_the_cells_express(kit) -> None:
    batch = kit.loader(kit.network(), training=False).batch(1)
    expected = torch.from_numpy(logged(kit)[16:32]).float()
    cell = torch.arange(16)[:, None]
    mask, genes = batch[keys.SENTENCE_MASK], batch[keys.SENTENCE_GENES]
    torch.testing.assert_close(batch[keys.SENTENCE_EXPRESSION][mask], expected[cell, genes][mask])
    assert bool((batch[keys.SENTENCE_EXPRESSION][~mask] == 0).all())
    torch.testing.assert_close(batch[keys.OWN_EXPRESSION], expected[cell, batch[keys.OWN_GENES]])
    torch.testing.assert_close(batch[keys.SHARED_EXPRESSION], expected[:, batch[keys.SHARED_GENES]])
    assert len(set(batch[keys.SHARED_GENES].tolist())) == 8
    totals = torch.from_numpy(np.log1p(kit.adata().X.toarray()[16:32].sum(axis=1)))
    torch.testing.assert_close(batch[keys.READ_DEPTH][:, 0], totals.float())
    # The first genes that are decoded are of the cell's sentence, each once.
    own = batch[keys.OWN_GENES][:, :6]
    assert all(len(set(row.tolist())) == 6 for row in own)
    assert bool((batch[keys.OWN_EXPRESSION][:, :6] > 0)[batch[keys.OWN_MASK][:, :6]].all())


def test_every_cell_once_an_epoch_in_another_order(kit) -> None:
    loader = kit.loader(kit.network(), batch_size=10)
    totals = [np.sort(np.concatenate([b[keys.READ_DEPTH][:, 0] for b in loader])) for _ in range(2)]
    expected = np.sort(np.log1p(kit.adata().X.toarray().sum(axis=1)))
    for found in totals:
        np.testing.assert_allclose(found, expected, rtol=1e-6)
    first, second = (next(iter(loader)) for _ in range(2))
    assert not torch.equal(first[keys.READ_DEPTH], second[keys.READ_DEPTH])
    loader.set_epoch(0)
    again, numbered = next(iter(loader)), loader.batch(0)
    assert all(torch.equal(again[name], numbered[name]) for name in again)
    same, other = (kit.loader(kit.network(), batch_size=10, seed=seed).batch(0)[keys.OWN_GENES] for seed in (0, 1))
    assert torch.equal(again[keys.OWN_GENES], same)
    assert not torch.equal(again[keys.OWN_GENES], other)


def test_two_processes_share_an_epoch(kit, monkeypatch) -> None:
    seen = []
    for rank in range(2):
        monkeypatch.setattr("gnnvcell.models.state_embedding.batches._processes", lambda rank=rank: (rank, 2))
        seen += [batch[keys.READ_DEPTH] for batch in kit.loader(kit.network(), batch_size=12)]
    expected = np.sort(np.log1p(kit.adata().X.toarray().sum(axis=1)))
    np.testing.assert_allclose(np.sort(torch.cat(seen)[:, 0]), expected, rtol=1e-6)
    assert kit.loader(kit.network(), batch_size=10).batches_of(3, 2) == 9


def test_dropped_genes_are_hidden_in_training_only(kit) -> None:
    model = kit.network(sentences={"dropped": 0.5})
    whole = kit.loader(model, training=False).batch(0)[keys.SENTENCE_MASK]
    dropped = kit.loader(model).batch(0)[keys.SENTENCE_MASK]
    assert 0.3 < dropped.sum() / whole.sum() < 0.7


def test_genes_are_matched_by_name_and_counted() -> None:
    vocab = GeneVocab(["TP53", "AARS1", "MYC"], {"previous": [("AARS", 1)]})
    match = match_columns(vocab, np.array(["X1", "AARS", "AARS1", "TP53"]))
    assert match.columns.tolist() == [2, 3]
    assert match.genes.tolist() == [1, 0]
    assert (match.unknown, match.repeated) == (["X1"], ["AARS"])
    assert "2 of the model's 3" in str(match)
    assert "unknown to the model: 1: X1" in str(match)
    with pytest.raises(DataError, match="none of the genes"):
        match_columns(vocab, np.array(["Trp53"]))


def test_log1p_values_are_taken_as_they_are(kit) -> None:
    adata = kit.adata()
    adata.X = sp.csr_matrix(logged(kit).astype(np.float32))
    cells = ExpressedCells.of(adata)
    np.testing.assert_allclose(cells.take(np.arange(48)).toarray(), logged(kit), rtol=1e-5)
    match = match_columns(GeneVocab.from_symbols(kit.genes), cells.genes)
    options = {"dataset": np.zeros(48, dtype=np.int64), "batch_size": 48, "training": False}
    with pytest.raises(DataError, match="total counts of the cells are not known"):
        SentenceBatches(cells, match, SentenceConfig(), **options).batch(0)
    detected = SentenceBatches(cells, match, SentenceConfig(read_depth="detected_genes"), **options).batch(0)
    expected = torch.from_numpy(np.log1p((logged(kit) > 0).sum(axis=1))).float()
    torch.testing.assert_close(detected[keys.READ_DEPTH][:, 0], expected)
    adata.obs[keys.LOG_TOTAL] = 7.0
    total = SentenceBatches(ExpressedCells.of(adata), match, SentenceConfig(), **options).batch(0)
    assert bool((total[keys.READ_DEPTH] == 7).all())


def test_bad_cells(kit) -> None:
    adata = kit.adata()
    with pytest.raises(DataError, match="no layer 'count'"):
        ExpressedCells.of(adata, layer="count")
    with pytest.raises(DataError, match="did you mean 'batch'"):
        ExpressedCells.of(adata).labels("Batch")
    adata.var_names = ["G1", *adata.var_names[1:]]
    with pytest.raises(DataError, match="gene names repeat"):
        ExpressedCells.of(adata)
    with pytest.raises(DataError, match="neither counts nor log1p"):
        ExpressedCells.of(ad.AnnData(np.array([[-1.5, 2.0]], dtype=np.float32)))
    broken = np.ones((2000, 2), dtype=np.float32)
    broken[1, 1] = np.nan  # not among the cells that are looked at first
    with pytest.raises(DataError, match="negative, NaN or infinite"):
        ExpressedCells.of(ad.AnnData(broken)).take(np.array([1]))
    with pytest.raises(ConfigError, match="there are no batches"):
        kit.loader(kit.network(), rows=[])
    with pytest.raises(ConfigError, match="no gene is decoded"):
        SentenceConfig(expressed=0, sampled=0, shared=0)
