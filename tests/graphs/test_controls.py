from collections import Counter
from dataclasses import replace

import networkx as nx
import numpy as np
import pytest

from gnnvcell import keys
from gnnvcell.errors import ConfigError, GraphIntegrityError
from gnnvcell.genes import GeneVocab
from gnnvcell.graphs.controls import (
    CONTROLS,
    HUB,
    complete,
    dense,
    empty,
    make_control,
    permuted,
    rewired,
    size_matched,
)
from gnnvcell.graphs.edges import EdgeTable
from gnnvcell.graphs.gene_graph import GeneGraph
from gnnvcell.graphs.manifest import Manifest, SourceRecord

GENES, TERMS = 120, 40
RELATIONS = ("string", "regulates", "annotated_bp", "is_a")


def make_table(etype: tuple[str, str, str], edges: int, *, directed: bool, signed: bool, seed: int) -> EdgeTable:
    rng = np.random.default_rng(seed)
    sizes = {keys.GENE: GENES, keys.GO_TERM: TERMS}
    rows, columns = sizes[etype[0]], sizes[etype[2]]
    # Uneven degrees, and the last ten genes without any edge.
    rows -= 10 * (etype[0] == keys.GENE)
    columns -= 10 * (etype[2] == keys.GENE)
    share = np.outer(1 / (np.arange(rows) + 3.0), 1 / (np.arange(columns) + 3.0))
    if etype[0] == etype[2]:
        share = np.triu(share, 1) if not directed else share * (1 - np.eye(rows, columns))
    flat = rng.choice(share.size, edges, replace=False, p=share.ravel() / share.sum())
    names = {
        keys.GENE: np.array([f"G{i}" for i in range(GENES)]),
        keys.GO_TERM: np.array([f"T{i}" for i in range(TERMS)]),
    }
    return EdgeTable(
        etype,
        (flat // columns).astype(np.int64),
        (flat % columns).astype(np.int64),
        rng.random(edges).astype(np.float32) + 0.1,
        names[etype[0]],
        names[etype[2]],
        rng.integers(-1, 2, edges).astype(np.int8) if signed else None,
        directed=directed,
    )


@pytest.fixture(scope="module")
def graph() -> GeneGraph:
    gene, term = keys.GENE, keys.GO_TERM
    tables = [
        make_table((gene, "string", gene), 600, directed=False, signed=False, seed=1),
        make_table((gene, "regulates", gene), 300, directed=True, signed=True, seed=2),
        make_table((gene, "annotated_bp", term), 400, directed=True, signed=False, seed=3),
        make_table((term, "is_a", term), 80, directed=True, signed=False, seed=4),
    ]
    sources = {key: SourceRecord(key=key, type="table", relations=(key,)) for key in RELATIONS}
    manifest = Manifest.create(sources, name="four relations")
    names = {term: tables[3].src_names}
    vocab = GeneVocab([f"G{i}" for i in range(GENES)])
    return GeneGraph.from_tables(tables, vocab, names, manifest, {term: np.array([f"term {i}" for i in range(TERMS)])})


def degrees(table: EdgeTable) -> tuple[list[int], list[int]]:
    out = np.bincount(table.src, minlength=len(table.src_names))
    into = np.bincount(table.dst, minlength=len(table.dst_names))
    if table.directed:
        return out.tolist(), into.tolist()
    return (out + into).tolist(), (out + into).tolist()


def pairs(graph: GeneGraph, relation: str) -> set[tuple[int, int]]:
    table = graph.table(relation)
    return set(zip(table.src.tolist(), table.dst.tolist(), strict=True))


@pytest.mark.parametrize("relation", RELATIONS)
@pytest.mark.parametrize("seed", [0, 1])
def test_rewired_keeps_degrees_weights_and_simplicity(graph: GeneGraph, relation: str, seed: int) -> None:
    before, after = graph.table(relation), rewired(graph, seed=seed).table(relation)
    assert degrees(before) == degrees(after)
    np.testing.assert_array_equal(np.sort(before.weight), np.sort(after.weight))
    assert len(pairs(graph, relation)) == len(set(zip(after.src.tolist(), after.dst.tolist(), strict=True)))
    if relation != "annotated_bp":
        assert (after.src != after.dst).all()
    common = pairs(graph, relation) & set(zip(after.src.tolist(), after.dst.tolist(), strict=True))
    assert len(common) < 0.6 * len(before)


def test_rewired_carries_signs_with_weights(graph: GeneGraph) -> None:
    def values(table: EdgeTable) -> Counter:
        assert table.sign is not None
        return Counter(zip(table.src.tolist(), table.weight.tolist(), table.sign.tolist(), strict=True))

    before, after = graph.table("regulates"), rewired(graph, seed=0).table("regulates")
    # With a direction a source keeps its own weights and signs, not only the whole relation its distribution.
    assert values(before) == values(after)


def test_rewired_changes_no_node_and_both_directions_agree(graph: GeneGraph) -> None:
    control = rewired(graph, seed=0)
    assert control.vocab == graph.vocab
    assert control.etypes == graph.etypes
    np.testing.assert_array_equal(control.node_labels[keys.GO_TERM], graph.node_labels[keys.GO_TERM])
    matrix = control.adjacency("string")
    assert (matrix != matrix.T).nnz == 0
    forward = control.graph.edges(etype="annotated_bp")
    backward = control.graph.edges(etype="rev_annotated_bp")
    assert (forward[0] == backward[1]).all()
    assert (forward[1] == backward[0]).all()


def test_rewired_relation_does_not_depend_on_the_others(graph: GeneGraph) -> None:
    alone = rewired(graph.select(["string"]), seed=3)
    assert pairs(alone, "string") == pairs(rewired(graph, seed=3), "string")


def test_rewired_by_fewer_swaps_stays_nearer(graph: GeneGraph) -> None:
    few = rewired(graph, seed=0, swaps_per_edge=0.4).table("string")
    near = set(zip(few.src.tolist(), few.dst.tolist(), strict=True)) & pairs(graph, "string")
    assert len(near) > len(pairs(graph, "string") & pairs(rewired(graph, seed=0), "string"))


def test_history_says_how_well_it_mixed(graph: GeneGraph) -> None:
    event = rewired(graph, seed=7).manifest.history[-1]
    assert event.startswith("control rewired, seed 7: ")
    assert "of 6,000 swaps done on 600 edges" in event.split("string ")[1]
    assert event.count("expected of a random graph") == len(RELATIONS)


def test_rewired_refuses_self_loops(graph: GeneGraph) -> None:
    table = graph.table("regulates")
    looped = graph.with_edges(
        {"regulates": replace(table, dst=np.where(np.arange(len(table)) == 0, table.src, table.dst))}
    )
    with pytest.raises(GraphIntegrityError, match="self loop"):
        rewired(looped, seed=0)


def test_permuted_is_isomorphic(graph: GeneGraph) -> None:
    control = permuted(graph, seed=0)
    assert pairs(control, "is_a") == pairs(graph, "is_a")
    for relation in ("string", "regulates"):
        kind = nx.Graph if relation == "string" else nx.DiGraph
        one, other = kind(pairs(graph, relation)), kind(pairs(control, relation))
        assert nx.is_isomorphic(one, other)
        assert pairs(control, relation) != pairs(graph, relation)


def test_permuted_moves_every_relation_alike(graph: GeneGraph) -> None:
    """One permutation p with A'[p, p] = A and B'[p] = B: it is read off the distinct weights of one relation."""
    control = permuted(graph, seed=0)
    before, after = graph.table("annotated_bp"), control.table("annotated_bp")
    gene_of = dict(zip(after.weight.tolist(), after.src.tolist(), strict=True))
    assert len(gene_of) == len(after)
    moved = {old: gene_of[weight] for old, weight in zip(before.src.tolist(), before.weight.tolist(), strict=True)}
    known = [(a, b) for a, b in pairs(graph, "regulates") if a in moved and b in moved]
    assert len(known) > 100
    assert {(moved[a], moved[b]) for a, b in known} <= pairs(control, "regulates")
    assert sorted(after.dst.tolist()) == sorted(before.dst.tolist())


def test_permuted_destroys_names(graph: GeneGraph) -> None:
    common = pairs(graph, "string") & pairs(permuted(graph, seed=0), "string")
    assert len(common) < 0.3 * len(pairs(graph, "string"))


def test_empty_has_types_and_nodes_and_no_edges(graph: GeneGraph) -> None:
    control = empty(graph, seed=0)
    assert control.etypes == graph.etypes
    assert {r: control.num_edges(r) for r in control.relations} == dict.fromkeys(RELATIONS, 0)
    assert [control.graph.num_nodes(t) for t in control.graph.ntypes] == [
        graph.graph.num_nodes(t) for t in graph.graph.ntypes
    ]
    assert control.is_symmetric("string")
    assert control.adjacency("string").shape == (GENES, GENES)


def test_dense_is_the_complete_graph_in_two_hops(graph: GeneGraph) -> None:
    control = dense(graph, seed=0)
    assert control.relations == ["all_genes"]
    assert control.names(keys.PATHWAY).tolist() == [HUB]
    incidence = control.adjacency("all_genes").toarray()
    two_hops = incidence / incidence.sum(1, keepdims=True) @ (incidence / incidence.sum(0)).T
    np.testing.assert_allclose(two_hops, np.full((GENES, GENES), 1 / GENES), rtol=1e-6)
    assert control.source_relations == {"dense": ["all_genes"]}


def test_complete_links_all_pairs(graph: GeneGraph) -> None:
    control = complete(graph, seed=0)
    np.testing.assert_array_equal(control.adjacency("complete").toarray(), 1 - np.eye(GENES))
    assert control.manifest.sources["complete"].edges_kept == GENES * (GENES - 1) // 2
    assert control.manifest.sources["complete"].relation_records[0].balance == 0


def test_complete_refuses_many_genes() -> None:
    genes = [f"G{i}" for i in range(2001)]
    table = EdgeTable(
        (keys.GENE, "string", keys.GENE),
        np.array([0]),
        np.array([1]),
        np.ones(1, np.float32),
        np.array(genes),
        np.array(genes),
    )
    large = GeneGraph.from_tables([table], GeneVocab(genes))
    with pytest.raises(ConfigError, match="use the control 'dense'"):
        complete(large, seed=0)
    assert dense(large, seed=0).num_edges("all_genes") == 2001


def test_size_matched_leaves_equal_numbers(graph: GeneGraph) -> None:
    control = size_matched(graph, seed=0)
    sizes = {relation: control.num_edges(relation) for relation in control.relations}
    assert sizes == {"string": 300, "regulates": 300, "annotated_bp": 300, "is_a": 80}
    fewer = size_matched(graph, seed=0, num_edges=50)
    assert fewer.num_edges("string") == fewer.num_edges("annotated_bp") == 50
    before = graph.table("string")
    weights = dict(zip(zip(before.src.tolist(), before.dst.tolist(), strict=True), before.weight.tolist(), strict=True))
    after = fewer.table("string")
    for src, dst, weight in zip(after.src.tolist(), after.dst.tolist(), after.weight.tolist(), strict=True):
        assert weights[src, dst] == weight


def test_size_matched_is_a_fair_choice(graph: GeneGraph) -> None:
    taken = Counter(
        pair for seed in range(200) for pair in pairs(size_matched(graph, seed=seed, num_edges=60), "string")
    )
    # 600 edges, each taken with chance .1 in 200 draws: 20 on average, standard deviation 4.2.
    assert len(taken) == 600
    assert max(abs(count - 20) for count in taken.values()) < 25


@pytest.mark.parametrize("num_edges", [0, -1, 301])
def test_size_matched_refuses_impossible_sizes(graph: GeneGraph, num_edges: int) -> None:
    with pytest.raises(ConfigError, match="'regulates'"):
        size_matched(graph, seed=0, num_edges=num_edges)


def test_size_matched_needs_a_relation_of_genes(graph: GeneGraph) -> None:
    with pytest.raises(ConfigError, match="no relation of genes"):
        size_matched(graph.select(["is_a"]), seed=0)


@pytest.mark.parametrize("kind", list(CONTROLS))
def test_every_control_has_the_same_genes_and_is_deterministic(graph: GeneGraph, kind: str) -> None:
    digest = graph.digest
    one, same = (CONTROLS.get(kind)(graph, seed=5) for _ in range(2))
    assert one.digest == same.digest != digest
    assert one.vocab == graph.vocab
    assert graph.digest == digest, "the graph itself may not change"
    assert one.manifest.history[-1].startswith(f"control {kind}, seed 5")
    assert one.manifest.species == graph.manifest.species


@pytest.mark.parametrize("kind", ["rewired", "permuted", "size_matched"])
def test_random_controls_differ_between_seeds(graph: GeneGraph, kind: str) -> None:
    control = CONTROLS.get(kind)
    assert len({control(graph, seed=seed).digest for seed in range(4)}) == 4


@pytest.mark.parametrize("kind", list(CONTROLS))
@pytest.mark.parametrize("seed", [-1, True])
def test_bad_seeds_are_refused(graph: GeneGraph, kind: str, seed: int) -> None:
    with pytest.raises(ConfigError, match="bad seed"):
        CONTROLS.get(kind)(graph, seed=seed)


@pytest.mark.parametrize("kind", list(CONTROLS))
def test_controls_survive_saving(graph: GeneGraph, kind: str, tmp_path) -> None:
    control = CONTROLS.get(kind)(graph, seed=1)
    control.save(tmp_path / "control")
    loaded = GeneGraph.load(tmp_path / "control")
    assert loaded.digest == control.digest
    assert loaded.manifest.history == control.manifest.history


def small(pair_list: list[tuple[int, int]], genes: int, *, directed: bool = False) -> GeneGraph:
    names = np.array([f"G{i}" for i in range(genes)])
    src, dst = (np.array([pair[side] for pair in pair_list], dtype=np.int64) for side in (0, 1))
    etype = (keys.GENE, "string", keys.GENE)
    weight = np.ones(len(pair_list), np.float32)
    return GeneGraph.from_tables(
        [EdgeTable(etype, src, dst, weight, names, names, directed=directed)], GeneVocab(names.tolist())
    )


@pytest.mark.parametrize(
    "tiny",
    [
        small([(i, j) for i in range(5) for j in range(i)], 5),
        small([(0, i) for i in range(1, 7)], 7),
        small([(0, 1)], 2),
        small([], 3),
        small([(0, 1), (1, 2), (2, 0)], 3, directed=True),
    ],
    ids=["complete", "star", "one edge", "no edge", "directed triangle"],
)
def test_graphs_without_a_possible_swap_stay(tiny: GeneGraph) -> None:
    assert pairs(rewired(tiny, seed=0), "string") == pairs(tiny, "string")


def test_make_control_takes_settings_of_the_kind_only(graph: GeneGraph) -> None:
    assert make_control(graph, "size_matched", seed=0, num_edges=40).num_edges("string") == 40
    weak = make_control(graph, "rewired", seed=0, swaps_per_edge=0.4)
    assert weak.digest == rewired(graph, seed=0, swaps_per_edge=0.4).digest
    assert make_control(graph, "permuted", seed=2).digest == permuted(graph, seed=2).digest
    with pytest.raises(ConfigError, match="no setting 'num_edges'"):
        make_control(graph, "rewired", seed=0, num_edges=10)
    with pytest.raises(ConfigError, match="no setting 'swaps_per_edge'"):
        make_control(graph, "empty", seed=0, swaps_per_edge=1.0)
    with pytest.raises(ConfigError, match="did you mean 'rewired'"):
        make_control(graph, "rewire", seed=0)
