"""A gene graph of random links and any size, to time models on."""

import numpy as np

from gnnvcell.genes import GeneVocab
from gnnvcell.graphs.edges import EdgeTable
from gnnvcell.graphs.gene_graph import GeneGraph


def random_graph(genes: int, degree: int) -> GeneGraph:
    """Genes "G0" to "G<genes - 1>" with about ``degree`` links each, as one relation."""
    rng = np.random.default_rng(0)
    names = np.array([f"G{i}" for i in range(genes)])
    pairs = np.unique(np.sort(rng.integers(0, genes, (degree * genes // 2, 2)), axis=1), axis=0)
    src, dst = pairs[pairs[:, 0] < pairs[:, 1]].T
    weight = np.ones(len(src), np.float32)
    table = EdgeTable(("gene", "string", "gene"), src, dst, weight, names, names, directed=False)
    return GeneGraph.from_tables([table], GeneVocab.from_symbols(names, renamings=False), {})
