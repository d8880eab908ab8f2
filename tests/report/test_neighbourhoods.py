import numpy as np
import pytest

from gnnvcell.bench.units import Units
from gnnvcell.genes import GeneVocab
from gnnvcell.graphs.edges import EdgeTable
from gnnvcell.graphs.gene_graph import GeneGraph
from gnnvcell.report.neighbourhoods import neighbourhoods

GENES = ["P0", "P1", "P2", "T0", "T1", "T2", "X"]
TERMS = ["GO:0032991", "GO:1", "GO:2"]  # protein-containing complexes, one of them, and a component that is none


def table(etype: tuple[str, str, str], pairs: list[tuple[str, str]], weights: list[float]) -> EdgeTable:
    sources, targets = (np.array(GENES if kind == "gene" else TERMS) for kind in (etype[0], etype[2]))
    src = np.array([sources.tolist().index(first) for first, _ in pairs])
    dst = np.array([targets.tolist().index(second) for _, second in pairs])
    return EdgeTable(etype, src, dst, np.array(weights, np.float32), sources, targets)


STRING = table(("gene", "string", "gene"), [("P0", "T0"), ("P0", "T1"), ("P1", "X"), ("X", "T2"), ("P0", "P1")],
               [0.9, 0.3, 0.6, 0.9, 0.9])  # fmt: skip
OTHER = table(("gene", "other", "gene"), [("P0", "T1")], [5.0])
MEMBERS = table(("gene", "annotated_cc", "go_term"), [("P1", "GO:1"), ("T2", "GO:1"), ("P0", "GO:2"), ("T0", "GO:2")],
                [1.0] * 4)  # fmt: skip
IS_A = table(("go_term", "is_a", "go_term"), [("GO:1", "GO:0032991")], [1.0])
UNITS = Units([], [], [], ["P0", "P1", "P2"], [0, 0, 0], [], "", ["T0", "T1", "T2", "elsewhere"])


def graph(*tables: EdgeTable) -> GeneGraph:
    return GeneGraph.from_tables(tables, GeneVocab.from_symbols(GENES), node_names={"go_term": np.array(TERMS)})


def test_neighbours_by_strength_with_their_relations() -> None:
    found = neighbourhoods(graph(STRING, OTHER), UNITS)
    assert [found[name].measured for name in UNITS.perturbations] == [2, 0, 0]
    # T1: .3 / .9 and 5 / 5, T0: .9 / .9.
    assert found["P0"].neighbours == [
        ("T1", {"string": pytest.approx(0.3), "other": pytest.approx(5.0)}),
        ("T0", {"string": pytest.approx(0.9)}),
    ]
    assert found["P0"].partner is None
    assert found["P2"].neighbours == found["P2"].paths == []


def test_paths_of_two_hops_to_what_is_no_neighbour() -> None:
    paths = neighbourhoods(graph(STRING, OTHER), UNITS)["P1"].paths
    assert [nodes for nodes, _ in paths] == [["P1", "P0", "T1"], ["P1", "X", "T2"], ["P1", "P0", "T0"]] or [
        nodes for nodes, _ in paths
    ] == [["P1", "P0", "T0"], ["P1", "P0", "T1"], ["P1", "X", "T2"]]
    strengths = {nodes[2]: strength for nodes, strength in paths}
    # P0 has 3 neighbours, X has 2: 1 x 1 / sqrt 3, and 2/3 x 1 / sqrt 2.
    assert strengths["T0"] == pytest.approx(1 / np.sqrt(3), abs=1e-4)
    assert strengths["T2"] == pytest.approx(2 / 3 / np.sqrt(2), abs=1e-4)


def test_partners_share_a_complex_and_not_any_component() -> None:
    found = neighbourhoods(graph(STRING, MEMBERS, IS_A), UNITS)
    assert [found[name].partner for name in UNITS.perturbations] == [False, True, False]
    assert ["P0", "GO:2", "T0"] not in [nodes for nodes, _ in found["P0"].paths]  # T0 is next to P0 already
    assert ["P1", "GO:1", "T2"] in [nodes for nodes, _ in found["P1"].paths]
