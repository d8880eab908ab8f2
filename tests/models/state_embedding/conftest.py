"""A small graph, features, cells and models of them."""

from types import SimpleNamespace

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch

from gnnvcell.features import FeatureTable
from gnnvcell.genes import GeneVocab
from gnnvcell.graphs import GeneGraph
from gnnvcell.graphs.edges import EdgeTable
from gnnvcell.models.state_embedding.batches import SentenceBatches
from gnnvcell.models.state_embedding.config import StateEmbeddingConfig
from gnnvcell.models.state_embedding.expressed_cells import ExpressedCells
from gnnvcell.models.state_embedding.network import StateEmbedding
from gnnvcell.models.state_embedding.vocabulary import match_columns

GENES = [f"G{i}" for i in range(40)]
CELLS = 48


def gene_graph() -> GeneGraph:
    """Genes 36 to 39 are not in it, and it has two that the cells do not have."""
    rng = np.random.default_rng(0)
    names, terms = np.array([*GENES[:36], "X1", "X2"]), np.array([f"T{i}" for i in range(6)])
    src, dst = np.nonzero(np.triu(rng.random((38, 38)) < 0.12, 1))
    gene, term = np.nonzero(rng.random((38, 6)) < 0.3)
    tables = [
        EdgeTable(("gene", "string", "gene"), src, dst, np.ones(len(src), np.float32), names, names, directed=False),
        EdgeTable(
            ("gene", "annotated_bp", "go_term"), gene, term, np.ones(len(gene), np.float32), names, terms, directed=True
        ),
    ]
    return GeneGraph.from_tables(tables, GeneVocab.from_symbols(names, renamings=False), {"go_term": terms})


def esm_table() -> FeatureTable:
    """Genes 0, 1 and 2 are not in it."""
    return FeatureTable(np.array(GENES[3:]), np.random.default_rng(1).normal(size=(37, 6)), "drawn")


def adata(seed: int = 0, genes: list[str] | None = None) -> ad.AnnData:
    """Two cell types with programmes of their own, two batches, some knock-downs."""
    rng = np.random.default_rng(seed)
    names = genes or GENES
    kind = rng.integers(2, size=CELLS)
    rate = np.exp(rng.normal(size=(2, len(names)))[kind] * 1.2)
    labels = np.array(["non-targeting", "G1", "G5", "G1+G5"])[rng.integers(4, size=CELLS)]
    labels[:12] = "non-targeting"
    obs = pd.DataFrame(
        {
            "cell_type": np.array(["a", "b"])[kind],
            "batch": np.array(["one", "two"])[rng.integers(2, size=CELLS)],
            "target_gene": labels,
        },
        index=pd.Index([f"c{i}" for i in range(CELLS)]),
    )
    counts = sp.csr_matrix(rng.poisson(rate).astype(np.float32))
    return ad.AnnData(counts, obs=obs, var=pd.DataFrame(index=pd.Index(names)))


def small(**settings) -> StateEmbeddingConfig:
    sentences = {"length": 24, "expressed": 6, "sampled": 6, "shared": 8, **settings.pop("sentences", {})}
    graph = {"width": 8, "heads": 2, **settings.pop("graph", {})}
    sizes = {"width": 16, "layers": 2, "heads": 2, "hidden": 32, "output": 12, "bin_hidden": 16, "decoder_hidden": 16}
    return StateEmbeddingConfig.parse({**sizes, "sentences": sentences, "graph": graph, **settings})


def network(**settings) -> StateEmbedding:
    config = small(**settings)
    return StateEmbedding(
        GENES,
        config,
        graph=gene_graph() if config.use_graph_embeddings else None,
        esm=esm_table() if config.use_esm else None,
        datasets=("one", "two"),
    )


def loader(model: StateEmbedding, **options) -> SentenceBatches:
    cells = ExpressedCells.of(adata())
    datasets = np.array([model.datasets.index(name) for name in cells.labels("batch")])
    match = match_columns(model.vocab, cells.genes)
    return SentenceBatches(cells, match, model.config.sentences, dataset=datasets, **{"batch_size": 16, **options})


@pytest.fixture
def kit() -> SimpleNamespace:
    """What the functions above make, for tests."""
    makers = (gene_graph, esm_table, adata, small, network, loader)
    return SimpleNamespace(genes=GENES, **{maker.__name__: maker for maker in makers})


@pytest.fixture
def batch() -> dict[str, torch.Tensor]:
    return loader(network()).batch(0)
