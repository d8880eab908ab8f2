from collections.abc import Sequence

import numpy as np
import pytest

from gnnvcell.errors import ModelError
from gnnvcell.genes import GeneVocab
from gnnvcell.graphs.edges import EdgeTable
from gnnvcell.graphs.gene_graph import GeneGraph
from gnnvcell.models.measured_neighbours import measured_neighbours
from gnnvcell.models.relations import SPECIFIC_TERM_GENES

GENES = ["A", "B", "C", "D", "E"]


def graph_of(relation: str = "gene", annotated: Sequence[str] = ("A", "B")) -> GeneGraph:
    """A - B - C by one relation, A - C by another, which is directed; D alone. Or genes that share a term."""
    names, terms = np.array(GENES), np.array(["T"])
    one = np.ones(2, np.float32)
    if relation != "gene":
        genes = np.array([*annotated, *(name for name in GENES if name not in annotated)])
        places = np.arange(len(annotated)), np.zeros(len(annotated), dtype=np.int64)
        weight = np.ones(len(annotated), np.float32)
        table = EdgeTable(("gene", "in", "go_term"), *places, weight, genes, terms, directed=True)
        return GeneGraph.from_tables([table], GeneVocab.from_symbols(genes, renamings=False), {"go_term": terms})
    tables = [
        EdgeTable(("gene", "string", "gene"), np.array([0, 1]), np.array([1, 2]), one, names, names, directed=False),
        EdgeTable(("gene", "signal", "gene"), np.array([0]), np.array([2]), one[:1], names, names, directed=True),
    ]
    return GeneGraph.from_tables(tables, GeneVocab.from_symbols(GENES, renamings=False))


def test_measured_perturbations_one_step_away_are_counted_once() -> None:
    found = measured_neighbours(graph_of(), ["A", "B", "C", "D", "X"], ["A", "B", "C", "A", "E"])
    assert found.tolist() == [2, 2, 2, 0, 0]


def test_combinations_reach_what_their_targets_reach_and_not_themselves() -> None:
    assert measured_neighbours(graph_of(), ["A+B", "D+C"], ["B+A", "C", "D"]).tolist() == [1, 1]


def test_without_links_of_genes_those_are_neighbours_that_share_a_specific_term() -> None:
    assert measured_neighbours(graph_of("go_term"), ["A", "B", "C", "A+C"], ["A", "B", "C"]).tolist() == [1, 1, 0, 1]
    many = [f"G{i}" for i in range(SPECIFIC_TERM_GENES + 1)]
    assert not measured_neighbours(graph_of("go_term", many), many, many).any()


def test_a_graph_that_says_nothing_of_genes_is_refused() -> None:
    terms, place = np.array(["T", "U"]), np.array([0])
    table = EdgeTable(
        ("go_term", "is_a", "go_term"), place, place + 1, np.ones(1, np.float32), terms, terms, directed=True
    )
    graph = GeneGraph.from_tables([table], GeneVocab.from_symbols(GENES, renamings=False), {"go_term": terms})
    with pytest.raises(ModelError, match="needs a graph with a relation of genes"):
        measured_neighbours(graph, ["A"], ["B"])
