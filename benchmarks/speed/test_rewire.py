"""Degree-matched rewiring of a million edges: the issue asks for less than 30 s.

    python -m pytest benchmarks/speed/test_rewire.py --benchmark-only -q

The graph has 20,000 genes with STRING-like uneven degrees. Each relation is rewired with ten swaps tried per edge, the
default; ``extra_info`` has the share of edges kept beside the share that a random graph with these degrees would keep.
"""

import numpy as np
import pytest
from numpy.typing import NDArray

from gnnvcell import keys
from gnnvcell.genes import GeneVocab
from gnnvcell.graphs.controls import rewired
from gnnvcell.graphs.double_edge_swap import double_edge_swap
from gnnvcell.graphs.edges import EdgeTable
from gnnvcell.graphs.gene_graph import GeneGraph

GENES, TERMS, EDGES, LIMIT = 20_000, 15_000, 1_000_000, 30.0


def uneven_edges(rows: int, columns: int, *, kind: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """A million distinct edges; the chance of a node falls with the power 0.7 of its rank."""
    rng = np.random.default_rng(0)
    shares = [(np.arange(count) + 10.0) ** -0.7 for count in (rows, columns)]
    ends = [rng.choice(len(share), 3 * EDGES, p=share / share.sum()) for share in shares]
    if kind == "undirected":
        ends = [np.minimum(*ends), np.maximum(*ends)]
    if kind != "bipartite":
        different = ends[0] != ends[1]
        ends = [end[different] for end in ends]
    keys_ = rng.permutation(np.unique(ends[0] * columns + ends[1]))[:EDGES]
    assert len(keys_) == EDGES
    return keys_ // columns, keys_ % columns


@pytest.mark.parametrize("kind", ["undirected", "directed", "bipartite"])
def test_rewire_a_million_edges(benchmark, kind: str) -> None:
    columns = TERMS if kind == "bipartite" else GENES
    src, dst = uneven_edges(GENES, columns, kind=kind)
    settings = {
        "num_src": GENES,
        "num_dst": columns,
        "directed": kind != "undirected",
        "same_nodes": kind != "bipartite",
    }
    double_edge_swap(src[:100], dst[:100], rng=np.random.default_rng(0), **settings)  # compiles
    benchmark.group = "rewire 1M edges"

    result = benchmark.pedantic(
        lambda: double_edge_swap(src, dst, rng=np.random.default_rng(1), **settings), rounds=5, iterations=1
    )
    benchmark.extra_info |= {
        "swaps tried": result.attempts,
        "swaps done": result.accepted,
        "share of edges kept": round(result.share_kept, 4),
        "expected of a random graph": round(result.share_expected, 4),
    }
    assert result.attempts >= 10 * EDGES
    assert result.share_kept < 1.1 * result.share_expected + 0.002
    assert benchmark.stats.stats.median < LIMIT


def test_rewire_a_graph_of_a_million_edges(benchmark) -> None:
    """The whole control: from a ``GeneGraph`` to a ``GeneGraph``."""
    src, dst = uneven_edges(GENES, GENES, kind="undirected")
    genes = np.array([f"G{i}" for i in range(GENES)])
    table = EdgeTable((keys.GENE, "string", keys.GENE), src, dst, np.ones(EDGES, np.float32), genes, genes)
    graph = GeneGraph.from_tables([table], GeneVocab(genes.tolist()))
    rewired(graph.subset(np.arange(200)), seed=0)  # compiles
    benchmark.group = "rewire 1M edges"
    benchmark.pedantic(lambda: rewired(graph, seed=0), rounds=5, iterations=1)
    assert benchmark.stats.stats.median < LIMIT
