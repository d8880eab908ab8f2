"""Where most training perturbations have no relative in the graph, learning must not break."""

import numpy as np

from gnnvcell.data import EffectTable
from gnnvcell.genes import GeneVocab
from gnnvcell.graphs.edges import EdgeTable
from gnnvcell.graphs.gene_graph import GeneGraph
from gnnvcell.models import Propagation


def test_propagation_learns_from_few_related_perturbations() -> None:
    genes = [f"P{i}" for i in range(18)]
    names = np.array(genes)
    src, dst, weight = np.array([0, 2]), np.array([1, 3]), np.ones(2, np.float32)
    edges = EdgeTable(("gene", "string", "gene"), src, dst, weight, names, names, directed=False)
    graph = GeneGraph.from_tables([edges], GeneVocab.from_symbols(genes, renamings=False))
    values = np.random.default_rng(0).normal(size=(18, 40)).astype(np.float32)
    train = EffectTable(values, np.ones(values.shape, bool), genes, [f"R{i}" for i in range(40)], kind="delta")
    for seed in range(3):
        assert np.isfinite(Propagation().fit(train, graph, seed=seed).predict(["P0", "P9", "NOWHERE"]).values).all()
