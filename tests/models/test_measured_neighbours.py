import numpy as np
import pytest

from gnnvcell.errors import ModelError
from gnnvcell.genes import GeneVocab
from gnnvcell.graphs.edges import EdgeTable
from gnnvcell.graphs.gene_graph import GeneGraph
from gnnvcell.models.measured_neighbours import measured_neighbours

GENES = ["A", "B", "C", "D", "E"]


def graph_of(relation: str = "gene") -> GeneGraph:
    """A - B - C by one relation, A - C by another, which is directed; D alone."""
    names, terms = np.array(GENES), np.array(["T"])
    one = np.ones(2, np.float32)
    if relation != "gene":
        places = np.array([0, 1]), np.array([0, 0])
        table = EdgeTable(("gene", "in", "go_term"), *places, one, names, terms, directed=True)
        return GeneGraph.from_tables([table], GeneVocab.from_symbols(GENES, renamings=False), {"go_term": terms})
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


def test_a_graph_without_links_of_genes_is_refused() -> None:
    with pytest.raises(ModelError, match="links no genes to genes"):
        measured_neighbours(graph_of("go_term"), ["A"], ["B"])
