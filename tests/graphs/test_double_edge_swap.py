import itertools
from collections import Counter

import numpy as np
import pytest
from numpy.typing import NDArray

from gnnvcell.errors import ConfigError, GraphIntegrityError
from gnnvcell.graphs.double_edge_swap import Swapped, double_edge_swap, expected_share

KINDS = {"undirected": (False, True), "directed": (True, True), "bipartite": (True, False)}


def random_edges(kind: str, nodes: int, edges: int, seed: int = 0) -> tuple[NDArray, NDArray]:
    """A simple graph with uneven degrees."""
    directed, same = KINDS[kind]
    rng = np.random.default_rng(seed)
    share = 1 / (np.arange(nodes) + 5.0)
    share /= share.sum()
    src, dst = (rng.choice(nodes, 8 * edges, p=share) for _ in range(2))
    if not directed:
        src, dst = np.minimum(src, dst), np.maximum(src, dst)
    if same:
        src, dst = src[src != dst], dst[src != dst]
    keys = rng.permutation(np.unique(src * nodes + dst))[:edges]
    return keys // nodes, keys % nodes


def swap(kind: str, src: NDArray, dst: NDArray, nodes: int, seed: int = 0, swaps: float = 10.0) -> Swapped:
    directed, same = KINDS[kind]
    rng = np.random.default_rng(seed)
    return double_edge_swap(
        src, dst, num_src=nodes, num_dst=nodes, directed=directed, same_nodes=same, rng=rng, swaps_per_edge=swaps
    )


def edge_set(kind: str, src: NDArray, dst: NDArray) -> Counter:
    pairs = zip(src.tolist(), dst.tolist(), strict=True)
    return Counter(pairs if KINDS[kind][0] else (tuple(sorted(pair)) for pair in pairs))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(3))
def test_degrees_are_kept_and_the_graph_stays_simple(kind: str, seed: int) -> None:
    src, dst = random_edges(kind, 200, 2000, seed)
    result = swap(kind, src, dst, 200, seed)
    sides = ((src, result.src), (dst, result.dst))
    if not KINDS[kind][0]:
        sides = ((np.concatenate([src, dst]), np.concatenate([result.src, result.dst])),)
    for before, after in sides:
        np.testing.assert_array_equal(np.bincount(before, minlength=200), np.bincount(after, minlength=200))
    assert max(edge_set(kind, result.src, result.dst).values()) == 1
    if KINDS[kind][1]:
        assert (result.src != result.dst).all()


@pytest.mark.parametrize("kind", KINDS)
def test_mixing_reaches_the_configuration_model(kind: str) -> None:
    src, dst = random_edges(kind, 1000, 5000)
    result = swap(kind, src, dst, 1000)
    kept = edge_set(kind, src, dst) & edge_set(kind, result.src, result.dst)
    assert result.share_kept == pytest.approx(len(kept) / len(src))
    assert result.attempts == 10 * len(src)
    assert result.accepted > 0.5 * result.attempts
    # One standard deviation of a share near .06 of 5,000 edges is .003.
    assert result.share_kept == pytest.approx(result.share_expected, abs=0.012)
    further = swap(kind, src, dst, 1000, swaps=50.0)
    assert further.share_kept == pytest.approx(result.share_kept, abs=0.015)


def test_mixing_with_hubs_that_are_linked_to_nearly_all() -> None:
    """Where the simple graph is crowded, far more than d_i d_j / 2m of the edges must stay; the measure knows it."""
    chance = np.outer(1 / (np.arange(120) + 1.0), 1 / (np.arange(300) + 1.0))
    src, dst = np.nonzero(np.random.default_rng(0).random(chance.shape) < np.minimum(30 * chance, 1))
    result = double_edge_swap(
        src, dst, num_src=120, num_dst=300, directed=True, same_nodes=False, rng=np.random.default_rng(0)
    )
    naive = np.bincount(src)[src] * np.bincount(dst, minlength=300)[dst] / len(src)
    assert result.share_expected > 1.2 * -np.expm1(-naive).mean()
    assert result.share_kept == pytest.approx(result.share_expected, abs=0.02)


def test_expected_share_by_hand() -> None:
    """A k-regular graph has every pair with chance k / n (the model allows loops); a complete bipartite one, with 1."""
    ring = np.arange(50), (np.arange(50) + 1) % 50
    assert expected_share(*ring, num_src=50, num_dst=50, directed=False) == pytest.approx(2 / 50, rel=1e-3)
    assert expected_share(*ring, num_src=50, num_dst=50, directed=True) == pytest.approx(1 / 50, rel=1e-3)
    full = np.repeat(np.arange(4), 5), np.tile(np.arange(5), 4)
    assert expected_share(*full, num_src=4, num_dst=5, directed=True) == pytest.approx(1, abs=0.01)
    nothing = np.zeros(0, dtype=np.int64)
    assert expected_share(nothing, nothing, num_src=4, num_dst=5, directed=True) == 1.0


def test_few_swaps_leave_most_edges() -> None:
    src, dst = random_edges("undirected", 1000, 5000)
    assert swap("undirected", src, dst, 1000, swaps=0.01).share_kept > 0.5


def test_every_graph_with_these_degrees_is_equally_likely() -> None:
    """Four nodes of degree 2 can be linked as three different cycles; each must come up a third of the time."""
    src, dst = np.array([0, 1, 2, 0]), np.array([1, 2, 3, 3])
    rng = np.random.default_rng(0)
    seen: Counter = Counter()
    for _ in range(1500):
        result = double_edge_swap(src, dst, num_src=4, num_dst=4, directed=False, same_nodes=True, rng=rng)
        seen[frozenset(edge_set("undirected", result.src, result.dst))] += 1
    assert len(seen) == 3
    # 500 each; the standard deviation is 18.
    assert max(abs(count - 500) for count in seen.values()) < 90


def test_rows_stay_rows() -> None:
    """Row i is what became of edge i: with a direction the source keeps its row, so its weights."""
    src, dst = random_edges("directed", 100, 500)
    result = swap("directed", src, dst, 100)
    np.testing.assert_array_equal(result.src, src)
    assert (result.dst != dst).mean() > 0.5


@pytest.mark.parametrize("kind", KINDS)
def test_the_seed_decides(kind: str) -> None:
    src, dst = random_edges(kind, 100, 500)
    one, same, other = (swap(kind, src, dst, 100, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.src, same.src)
    np.testing.assert_array_equal(one.dst, same.dst)
    assert edge_set(kind, one.src, one.dst) != edge_set(kind, other.src, other.dst)


def test_input_is_not_changed() -> None:
    src, dst = random_edges("undirected", 100, 500)
    before = src.copy(), dst.copy()
    swap("undirected", src, dst, 100)
    np.testing.assert_array_equal(src, before[0])
    np.testing.assert_array_equal(dst, before[1])


@pytest.mark.parametrize(
    ("kind", "pairs"),
    [
        ("undirected", list(itertools.combinations(range(6), 2))),
        ("undirected", [(0, i) for i in range(1, 6)]),
        ("undirected", [(0, 1)]),
        ("undirected", []),
        ("undirected", [(0, 1), (1, 2), (0, 2)]),
        ("directed", list(itertools.permutations(range(5), 2))),
        ("directed", [(0, 1), (1, 2), (2, 0)]),
        ("bipartite", list(itertools.product(range(4), range(5)))),
        ("bipartite", [(i, 0) for i in range(6)]),
        ("bipartite", [(0, 0)]),
    ],
)
def test_graphs_without_a_possible_swap_end_unchanged(kind: str, pairs: list[tuple[int, int]]) -> None:
    src, dst = (np.array([pair[side] for pair in pairs], dtype=np.int64) for side in (0, 1))
    result = swap(kind, src, dst, 6)
    assert edge_set(kind, result.src, result.dst) == edge_set(kind, src, dst)
    assert (result.accepted, result.share_kept) == (0, 1.0)


def test_a_table_full_of_collisions_stays_right() -> None:
    """Removing keys from the hash set closes gaps; a nearly complete graph makes long runs and many refusals."""
    pairs = np.array(list(itertools.combinations(range(60), 2)))
    pairs = pairs[np.random.default_rng(0).permutation(len(pairs))[:1500]]
    result = swap("undirected", pairs[:, 0], pairs[:, 1], 60, swaps=200.0)
    assert len(edge_set("undirected", result.src, result.dst)) == 1500
    assert result.accepted > 1000


@pytest.mark.parametrize(
    ("kind", "src", "dst", "message"),
    [
        ("undirected", [0, 1], [1, 0], "there twice"),
        ("directed", [0, 0], [1, 1], "there twice"),
        ("undirected", [0, 2], [1, 2], "self loop"),
        ("directed", [0, 2], [1, 2], "self loop"),
        ("undirected", [0, 9], [1, 2], "outside"),
        ("directed", [0, -1], [1, 2], "outside"),
    ],
)
def test_graphs_that_are_not_simple_are_refused(kind: str, src: list[int], dst: list[int], message: str) -> None:
    with pytest.raises(GraphIntegrityError, match=message):
        swap(kind, np.array(src), np.array(dst), 4)


def test_bipartite_nodes_of_one_number_are_no_self_loop() -> None:
    swap("bipartite", np.array([0, 1, 2]), np.array([0, 1, 2]), 3)


@pytest.mark.parametrize("swaps", [0.0, -1.0, float("nan"), float("inf")])
def test_bad_settings_are_refused(swaps: float) -> None:
    with pytest.raises(ConfigError, match="swaps_per_edge"):
        swap("undirected", np.array([0]), np.array([1]), 2, swaps=swaps)


def test_an_undirected_relation_of_two_node_types_is_refused() -> None:
    one = np.array([0])
    with pytest.raises(ConfigError, match="same nodes"):
        double_edge_swap(one, one, num_src=2, num_dst=2, directed=False, same_nodes=False, rng=np.random.default_rng(0))
