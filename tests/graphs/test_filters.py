"""Filters: hand-computed results, ties, directions, refusals."""

import jaxtyping
import numpy as np
import pytest

from gnnvcell.errors import ConfigError
from gnnvcell.graphs.edges import EdgeTable
from gnnvcell.graphs.filters import (
    FILTERS,
    DropHubs,
    Normalise,
    Percentile,
    Symmetrise,
    Threshold,
    TopK,
    apply_filters,
    make_filter,
    merge_pairs,
)

GENES = np.array(list("ABCDE"))
TERMS = np.array(["t0", "t1", "t2"])


def pairs(edges, *, directed=False, bipartite=False):
    """A table from (u, v, weight[, sign]) tuples of node letters or term numbers."""
    names = GENES.tolist()
    src = np.array([names.index(e[0]) for e in edges], dtype=np.int64)
    dst = np.array([e[1] if bipartite else names.index(e[1]) for e in edges], dtype=np.int64)
    sign = np.array([e[3] for e in edges], dtype=np.int8) if edges and len(edges[0]) > 3 else None
    weight = np.array([e[2] for e in edges], dtype=np.float32)
    etype = ("gene", "r", "go_term") if bipartite else ("gene", "r", "gene")
    return EdgeTable(etype, src, dst, weight, GENES, TERMS if bipartite else GENES, sign, directed=directed)


def listed(table):
    return [
        (str(table.src_names[u]), str(table.dst_names[v]), round(float(w), 4))
        for u, v, w in zip(table.src, table.dst, table.weight, strict=True)
    ]


STAR = pairs([("A", "B", 0.9), ("A", "C", 0.8), ("A", "D", 0.7), ("D", "E", 0.6)])


def test_top_k_of_either_end_keeps_what_one_end_wants() -> None:
    # A wants B; B, C and D want A; E wants D.
    assert listed(TopK(1)(STAR)) == listed(STAR)
    # D's best is A, so D-E stays only for E's sake: without it only the edges of A's neighbours are left.
    assert listed(TopK(1, per="both")(STAR)) == [("A", "B", 0.9)]
    assert listed(TopK(2, per="both")(STAR)) == [("A", "B", 0.9), ("A", "C", 0.8), ("D", "E", 0.6)]


def test_top_k_ties_go_to_the_first_neighbour_whatever_the_order_of_edges() -> None:
    edges = [("A", "B", 1.0), ("A", "C", 1.0), ("A", "D", 1.0), ("B", "C", 2.0), ("B", "D", 2.0), ("C", "D", 2.0)]
    expected = {("A", "B", 1.0), ("B", "C", 2.0), ("B", "D", 2.0)}
    for order in (edges, edges[::-1]):
        assert set(listed(TopK(1)(pairs(order)))) == expected


def test_top_k_by_side_of_a_bipartite_relation() -> None:
    table = pairs([("A", 0, 3.0), ("A", 1, 2.0), ("B", 0, 1.0), ("B", 2, 0.5)], bipartite=True)
    assert listed(TopK(1, per="src")(table)) == [("A", "t0", 3.0), ("B", "t0", 1.0)]
    assert listed(TopK(1, per="dst")(table)) == [("A", "t0", 3.0), ("A", "t1", 2.0), ("B", "t2", 0.5)]
    assert len(TopK(1)(table)) == 4
    assert listed(TopK(1, per="both")(table)) == [("A", "t0", 3.0)]


def test_top_k_by_side_is_refused_where_there_are_no_sides() -> None:
    with pytest.raises(ConfigError, match="undirected relation 'r'"):
        TopK(1, per="src")(STAR)
    directed = pairs([("A", "B", 1.0), ("A", "C", 2.0), ("B", "A", 1.0)], directed=True)
    assert listed(TopK(1, per="src")(directed)) == [("A", "C", 2.0), ("B", "A", 1.0)]


@pytest.fixture
def unchecked():
    """Without the tests' own type check, which would refuse some bad values before the library sees them."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("k", [0, -1, 2.5, True, "20"])
def test_top_k_needs_a_positive_whole_number(k) -> None:
    with pytest.raises(ConfigError, match="whole number"):
        make_filter({"type": "top_k", "k": k})


def test_top_k_agrees_with_a_slow_reference() -> None:
    rng = np.random.default_rng(3)
    n, m, k = 40, 400, 3
    codes = np.unique(rng.integers(0, n * n, m))
    low, high = codes // n, codes % n
    low, high = low[low < high], high[low < high]
    names = np.array([f"g{i:02d}" for i in range(n)])
    weight = rng.integers(1, 6, len(low)).astype(np.float32)
    table = EdgeTable(("gene", "r", "gene"), low, high, weight, names, names)
    wanted = set()
    for node in range(n):
        near = [
            (-w, int(v if u == node else u), int(u), int(v))
            for u, v, w in zip(low, high, weight, strict=True)
            if node in (u, v)
        ]
        wanted |= {(u, v) for _, _, u, v in sorted(near)[:k]}
    kept = TopK(k)(table)
    assert set(zip(kept.src.tolist(), kept.dst.tolist(), strict=True)) == wanted


def test_threshold_keeps_a_weight_equal_to_it_in_float32() -> None:
    assert listed(Threshold(0.7)(STAR)) == [("A", "B", 0.9), ("A", "C", 0.8), ("A", "D", 0.7)]
    with pytest.raises(ConfigError, match="finite"):
        Threshold(float("nan"))


def test_percentile() -> None:
    assert listed(Percentile(50)(STAR)) == [("A", "B", 0.9), ("A", "C", 0.8)]
    assert len(Percentile(0)(STAR)) == 4
    with pytest.raises(ConfigError, match="0, 100"):
        Percentile(100)


def test_symmetrise_merges_directions_by_hand() -> None:
    table = pairs(
        [("A", "B", 1.0, 1), ("B", "A", 0.5, 1), ("C", "A", 0.4, -1), ("D", "E", 1.0, 1), ("E", "D", 1.0, -1)],
        directed=True,
    )
    largest = Symmetrise("max")(table)
    assert not largest.directed
    assert listed(largest) == [("A", "B", 1.0), ("A", "C", 0.4), ("D", "E", 1.0)]
    assert largest.sign is not None
    assert largest.sign.tolist() == [1, -1, 0]
    assert listed(Symmetrise("mean")(table)) == [("A", "B", 0.75), ("A", "C", 0.2), ("D", "E", 1.0)]
    assert Symmetrise()(STAR) is STAR
    with pytest.raises(ConfigError, match="cannot be symmetrised"):
        Symmetrise()(pairs([("A", 0, 1.0)], bipartite=True))


def test_merge_pairs_unknown_signs_do_not_contradict() -> None:
    table = pairs([("A", "B", 0.2, 0), ("B", "A", 0.9, -1), ("C", "D", 1.0, 0), ("A", "B", 0.3, -1)])
    merged = merge_pairs(table)
    assert listed(merged) == [("A", "B", 0.9), ("C", "D", 1.0)]
    assert merged.sign is not None
    assert merged.sign.tolist() == [-1, 0]


def test_normalise_by_hand() -> None:
    triangle = pairs([("A", "B", 1.0), ("A", "C", 3.0)])
    assert listed(Normalise("max")(triangle)) == [("A", "B", 0.3333), ("A", "C", 1.0)]
    # s(A) = 4, s(B) = 1, s(C) = 3
    assert listed(Normalise("sym")(triangle)) == [("A", "B", 0.5), ("A", "C", round(3 / 12**0.5, 4))]
    bipartite = pairs([("A", 0, 1.0), ("A", 1, 3.0), ("B", 1, 1.0)], bipartite=True)
    assert listed(Normalise("row")(bipartite)) == [("A", "t0", 0.25), ("A", "t1", 0.75), ("B", "t1", 1.0)]
    assert listed(Normalise("sym")(bipartite)) == [("A", "t0", 0.5), ("A", "t1", 0.75), ("B", "t1", 0.5)]
    with pytest.raises(ConfigError, match="direction"):
        Normalise("row")(triangle)


def test_drop_hubs() -> None:
    assert listed(DropHubs(2)(STAR)) == [("D", "E", 0.6)]
    bipartite = pairs([("A", 0, 1.0), ("A", 1, 1.0), ("B", 0, 1.0), ("C", 0, 1.0)], bipartite=True)
    assert listed(DropHubs(2, side="dst")(bipartite)) == [("A", "t1", 1.0)]
    assert len(DropHubs(1, side="src")(bipartite)) == 2
    with pytest.raises(ConfigError, match="one type"):
        DropHubs(2, side="src")(STAR)


def test_empty_tables_pass_through_every_filter() -> None:
    empty = STAR.take(np.zeros(0, dtype=np.int64))
    for edge_filter in (
        TopK(1),
        Threshold(0.1),
        Percentile(50),
        Symmetrise(),
        Normalise("max"),
        Normalise(),
        DropHubs(1),
    ):
        assert len(edge_filter(empty)) == 0


def test_the_table_given_is_not_changed() -> None:
    before = listed(STAR)
    apply_filters(STAR, [TopK(1, per="both"), Normalise("max"), Threshold(0.5)])
    assert listed(STAR) == before


def test_filters_from_a_recipe_and_back() -> None:
    specs = [
        {"type": "top_k", "k": 20, "per": "both"},
        {"type": "threshold", "minimum": 0.3},
        {"type": "percentile", "q": 99},
        {"type": "symmetrise", "how": "mean"},
        {"type": "normalise", "how": "max"},
        {"type": "drop_hubs", "max_degree": 5, "side": "dst"},
    ]
    assert [make_filter(spec).record() for spec in specs] == specs
    assert {spec["type"] for spec in specs} == set(FILTERS)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ({"type": "topk", "k": 3}, "'top_k'"),
        ({"type": "top_k", "n": 3}, "no argument 'n'"),
        ({"type": "top_k"}, "needs the argument 'k'"),
        ({"type": "top_k", "k": 3, "per": "source"}, "'per'"),
        ({"k": 3}, "needs a type"),
        ({"type": "normalise", "how": "column"}, "'how'"),
    ],
)
def test_bad_filters_are_refused_by_name(spec, text) -> None:
    with pytest.raises(ConfigError, match=text):
        make_filter(spec)
