"""The adjacency itself: where it comes from, what it remembers, and what it refuses."""

import gc

import pytest
import torch

from gnnvcell._dgl import dgl
from gnnvcell.errors import ConfigError, GraphIntegrityError
from gnnvcell.ops import (
    Adjacency,
    RelationStack,
    aggregate,
    basis_aggregate,
    block_aggregate,
    edge_scores,
    gatv2_aggregate,
    relation_aggregate,
)
from gnnvcell.ops.adjacency import index_dtype_for
from gnnvcell.ops.order import metis_order, permuted
from gnnvcell.testing import GRAPH_CASES

cases = pytest.mark.parametrize("case", GRAPH_CASES, ids=lambda case: case.name)


def dgl_graph(case):
    return dgl.heterograph({("a", "to", "b"): (case.src, case.dst)}, {"a": case.num_src, "b": case.num_dst})


@cases
def test_from_dgl_and_of_are_the_edges_of_the_graph(case) -> None:
    plain = Adjacency(case.src, case.dst, case.num_src, case.num_dst)
    for made in (Adjacency.from_dgl(dgl_graph(case)), Adjacency.of(dgl_graph(case), "to")):
        for name in ("indptr", "edge_ids", "in_degrees", "out_degrees"):
            torch.testing.assert_close(getattr(made, name), getattr(plain, name))
        assert (made.num_src, made.num_dst, made.num_edges) == (case.num_src, case.num_dst, len(case.src))
        feat = torch.arange(case.num_src, dtype=torch.float32)[:, None]
        torch.testing.assert_close(aggregate(made, feat), aggregate(plain, feat))


def test_slices_of_a_heterograph_share_one_adjacency() -> None:
    graph = dgl.heterograph({("a", "r", "a"): ([0, 1], [1, 0]), ("a", "s", "a"): ([0, 1], [1, 0])})
    assert Adjacency.of(graph["r"]) is Adjacency.of(graph, "r")
    assert Adjacency.of(graph["r"]) is not Adjacency.of(graph["s"])


def test_of_is_not_fooled_by_memory_that_was_given_away() -> None:
    for size in range(2, 10):
        graph = dgl.graph((torch.arange(size - 1), torch.arange(1, size)), num_nodes=size)
        assert Adjacency.of(graph).num_edges == size - 1
        assert Adjacency.of(graph).indices.tolist() == list(range(size - 1))
        del graph
        gc.collect()


def test_a_changed_graph_is_noticed() -> None:
    graph = dgl.graph(([0, 1], [1, 2]))
    old, feat = Adjacency.from_dgl(graph), torch.ones(3, 1)
    aggregate(old, feat)
    graph.add_edges([0], [2])
    assert aggregate(Adjacency.of(graph), feat)[:, 0].tolist() == [0, 1, 2]
    for call in (
        lambda: aggregate(old, feat),
        lambda: edge_scores(old, feat, feat),
        lambda: gatv2_aggregate(old, feat[:, None], feat[:, None], feat[:1]),
        lambda: aggregate(old.transpose, feat),
    ):
        with pytest.raises(GraphIntegrityError, match="changed after its Adjacency was made"):
            call()


def test_constant_weights_are_put_in_order_once_and_again_when_they_change() -> None:
    adjacency = Adjacency(torch.tensor([0, 1]), torch.tensor([1, 0]), 2, 2)
    weight = torch.tensor([1.0, 2.0])
    adjacency.in_row_order(weight)
    kept = adjacency.in_row_order(weight)
    for _ in range(20):
        adjacency.in_row_order(torch.rand(2))
        assert adjacency.in_row_order(weight) is kept, "one-off weights push out no constant ones"
    feat = torch.ones(2, 1, requires_grad=True)
    aggregate(adjacency, feat, weight).sum().backward()
    weight.mul_(10)
    assert adjacency.in_row_order(weight).tolist() == [20, 10]
    assert aggregate(adjacency, feat, weight)[:, 0].tolist() == [20, 10]
    (grad,) = torch.autograd.grad(aggregate(adjacency, feat, weight).sum(), [feat])
    assert grad[:, 0].tolist() == [10, 20]


def test_bad_edge_data_is_refused() -> None:
    adjacency = Adjacency(torch.tensor([0, 1]), torch.tensor([1, 0]), 2, 2)
    feat = torch.ones(2, 1)
    for weight in (torch.tensor([1.0, torch.nan]), torch.tensor([1.0, torch.nan], requires_grad=True)):
        with pytest.raises(GraphIntegrityError, match="not numbers"):
            aggregate(adjacency, feat, weight)
    with pytest.raises(GraphIntegrityError, match="on meta"):
        aggregate(adjacency, feat.to("meta"))
    with pytest.raises(GraphIntegrityError, match="ends of the edges"):
        Adjacency(torch.tensor([0, 1]), torch.tensor([1]), 2, 2)
    with pytest.raises(ConfigError, match="several edge types"):
        Adjacency.of(dgl.heterograph({("a", "r", "a"): ([0], [0]), ("a", "s", "a"): ([0], [0])}))


def test_sizes_beyond_32_bits() -> None:
    assert index_dtype_for(10) == torch.int32
    assert index_dtype_for(2**31) == torch.int64
    assert index_dtype_for(10, torch.int64) == torch.int64
    with pytest.raises(GraphIntegrityError, match="does not fit into int32"):
        index_dtype_for(2**31, torch.int32)
    with pytest.raises(GraphIntegrityError, match="unknown index type"):
        index_dtype_for(1, torch.float32)


@cases
def test_wide_and_narrow_indices_give_the_same(case) -> None:
    feat = torch.randn(case.num_src, 3, generator=torch.Generator().manual_seed(0))
    narrow, wide = (
        Adjacency(case.src, case.dst, case.num_src, case.num_dst, index_dtype=dtype)
        for dtype in (torch.int32, torch.int64)
    )
    assert narrow.indices.dtype == torch.int32
    torch.testing.assert_close(aggregate(narrow, feat), aggregate(wide, feat))
    torch.testing.assert_close(aggregate(narrow.transpose.transpose, feat), aggregate(wide, feat))


@cases
@pytest.mark.parametrize("side", ["destination", "source"])
def test_a_stack_of_relations_is_each_of_them_apart(case, side) -> None:
    relation = torch.arange(len(case.src)) % 3
    stack = RelationStack(case.src, case.dst, relation, 3, num_src=case.num_src, num_dst=case.num_dst, side=side)
    feat = torch.randn(case.num_src, 2, generator=torch.Generator().manual_seed(0))
    weight = torch.rand(len(case.src), generator=torch.Generator().manual_seed(1))
    apart = torch.stack(
        [
            aggregate(
                Adjacency(case.src[relation == r], case.dst[relation == r], case.num_src, case.num_dst),
                feat,
                weight[relation == r],
            )
            for r in range(3)
        ]
    )
    if side == "destination":
        torch.testing.assert_close(relation_aggregate(stack, feat, weight), apart)
    else:
        by_relation = torch.cat([feat * (r + 1) for r in range(3)])
        expected = sum((r + 1) * apart[r] for r in range(3))
        torch.testing.assert_close(aggregate(stack.adjacency, by_relation, weight), expected)


def test_bad_relations_are_refused() -> None:
    ends = torch.tensor([0, 1]), torch.tensor([1, 0])
    with pytest.raises(GraphIntegrityError, match="relation outside the range"):
        RelationStack(*ends, torch.tensor([0, 2]), 2, num_src=2, num_dst=2)
    with pytest.raises(GraphIntegrityError, match="not one relation per edge"):
        RelationStack(*ends, torch.tensor([0]), 2, num_src=2, num_dst=2)
    with pytest.raises(ConfigError, match="unknown side"):
        RelationStack(*ends, torch.tensor([0, 1]), 2, num_src=2, num_dst=2, side="left")
    stack = RelationStack(*ends, torch.tensor([0, 1]), 2, num_src=2, num_dst=2, side="source")
    with pytest.raises(ConfigError, match="source side"):
        relation_aggregate(stack, torch.ones(2, 1))


@pytest.mark.parametrize(
    "case", [c for c in GRAPH_CASES if c.num_src == c.num_dst and len(c.src) > 1], ids=lambda c: c.name
)
def test_metis_order_is_a_renumbering(case) -> None:
    adjacency = Adjacency(case.src, case.dst, case.num_src, case.num_dst)
    order = metis_order(adjacency, parts=2)
    assert sorted(order.tolist()) == list(range(case.num_src))
    feat = torch.randn(case.num_src, 2, generator=torch.Generator().manual_seed(0))
    weight = torch.rand(len(case.src), generator=torch.Generator().manual_seed(1))
    moved = permuted(adjacency, order)
    torch.testing.assert_close(aggregate(moved, feat[order], weight), aggregate(adjacency, feat, weight)[order])


def test_bad_orders_are_refused() -> None:
    adjacency = Adjacency(torch.tensor([0, 1]), torch.tensor([1, 0]), 2, 2)
    with pytest.raises(GraphIntegrityError, match="not a permutation"):
        permuted(adjacency, torch.tensor([0, 0]))
    with pytest.raises(ConfigError, match="0 parts"):
        metis_order(adjacency, parts=0)
    with pytest.raises(GraphIntegrityError, match="one type"):
        metis_order(Adjacency(torch.tensor([0]), torch.tensor([0]), 1, 2), parts=1)


@pytest.mark.parametrize("case", [c for c in GRAPH_CASES if len(c.src) < 70], ids=lambda c: c.name)
def test_basis_and_block_products_are_those_of_their_matrices(case) -> None:
    relation = torch.arange(len(case.src)) % 3
    stack = RelationStack(case.src, case.dst, relation, 3, num_src=case.num_src, num_dst=case.num_dst)
    generator = torch.Generator().manual_seed(0)

    def made(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64, requires_grad=True)

    feat, weight, coefficients, bases = made(case.num_src, 4), made(len(case.src)), made(3, 2), made(2, 4, 6)
    blocks = made(3, 2, 2, 3)

    def reference(matrices: torch.Tensor) -> torch.Tensor:
        message = (feat[case.src, None] @ matrices[relation])[:, 0] * weight[:, None]
        return message.new_zeros(case.num_dst, 6).index_add(0, case.dst, message)

    pairs = (
        (basis_aggregate(stack, feat, coefficients, bases, weight), torch.einsum("rb,bio->rio", coefficients, bases)),
        (block_aggregate(stack, feat, blocks, weight), torch.stack([torch.block_diag(*b) for b in blocks])),
    )
    for (mine, matrices), inputs in zip(pairs, ((coefficients, bases), (blocks,)), strict=True):
        expected = reference(matrices)
        torch.testing.assert_close(mine, expected)
        wanted = (feat, weight, *inputs)
        for a, b in zip(*(torch.autograd.grad(o.square().sum(), wanted) for o in (mine, expected)), strict=True):
            torch.testing.assert_close(a, b)
