"""Loading a saved graph of 20,000 genes and 3 million edges, digest verified: the issue asks for less than 0.5 s.

    python -m pytest benchmarks/speed/test_graph_load.py --benchmark-only -q

Edges are counted as they are stored (a symmetric pair once), so the DGL graph has almost twice as many. The vocabulary
has four other names per gene, as with HGNC's table. Imports are not part of the time.
"""

import numpy as np
import pytest

from gnnvcell.genes import GeneVocab
from gnnvcell.graphs.edges import EdgeTable
from gnnvcell.graphs.gene_graph import GeneGraph

GENES, TERMS, PAIRS, ANNOTATIONS, LIMIT = 20_000, 20_000, 2_000_000, 1_000_000, 0.5


def distinct(count: int, rows: int, columns: int, *, ordered: bool, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """``count`` distinct pairs; with ``ordered`` only those with the first below the second."""
    rng = np.random.default_rng(seed)
    codes = np.unique(rng.integers(0, rows * columns, 3 * count))
    first, second = codes // columns, codes % columns
    if ordered:
        first, second = first[first < second], second[first < second]
    chosen = np.sort(rng.choice(len(first), count, replace=False))
    return first[chosen], second[chosen]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    rng = np.random.default_rng(0)
    symbols = np.array([f"GENE{i}" for i in range(GENES)])
    terms = np.array([f"GO:{i:07d}" for i in range(TERMS)])
    aliases = {
        "previous": [(f"OLD{i}", i) for i in range(GENES)],
        "ensembl": [(f"ENSG{i:011d}", i) for i in range(GENES)],
        "ensp": [(f"ENSP{i:011d}", i) for i in range(GENES)],
        "entrez": [(str(1_000 + i), i) for i in range(GENES)],
    }
    low, high = distinct(PAIRS, GENES, GENES, ordered=True, seed=1)
    gene, term = distinct(ANNOTATIONS, GENES, TERMS, ordered=False, seed=2)
    weight = rng.random(PAIRS, dtype=np.float32)
    ones = np.ones(ANNOTATIONS, dtype=np.float32)
    graph = GeneGraph.from_tables(
        [
            EdgeTable(("gene", "string", "gene"), low, high, weight, symbols, symbols),
            EdgeTable(("gene", "annotated_bp", "go_term"), gene, term, ones, symbols, terms),
        ],
        GeneVocab(symbols, aliases),
        {"go_term": terms},
        node_labels={"go_term": np.array([f"regulation of process {i}" for i in range(TERMS)], dtype=object)},
    )
    return graph.save(tmp_path_factory.mktemp("graph") / "saved"), graph.digest


def test_load_three_million_edges(benchmark, saved) -> None:
    path, digest = saved
    benchmark.group = "load a saved graph"
    graph = benchmark.pedantic(lambda: GeneGraph.load(path), rounds=7, warmup_rounds=1, iterations=1)
    assert graph.num_edges("string") + graph.num_edges("annotated_bp") == PAIRS + ANNOTATIONS
    assert graph.digest == digest
    benchmark.extra_info |= {
        "stored edges": PAIRS + ANNOTATIONS,
        "DGL edges": graph.graph.num_edges(),
        "bytes": sum(file.stat().st_size for file in path.iterdir()),
    }
    assert benchmark.stats.stats.median < LIMIT
