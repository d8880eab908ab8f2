import pytest
import torch

from gnnvcell._dgl import dgl
from gnnvcell.errors import ConfigError, GraphIntegrityError
from gnnvcell.ops import Adjacency, aggregate, edge_scores
from gnnvcell.testing import GRAPH_CASES

cases = pytest.mark.parametrize("case", GRAPH_CASES, ids=lambda case: case.name)


def dense_matrix(case, weight):
    matrix = torch.zeros(case.num_dst, case.num_src, dtype=weight.dtype)
    return matrix.index_put((case.dst, case.src), weight, accumulate=True)


def tensors(case, d=5, dtype=torch.float64):
    generator = torch.Generator().manual_seed(3)
    feat = torch.randn(case.num_src, d, generator=generator, dtype=dtype, requires_grad=True)
    weight = torch.rand(len(case.src), generator=generator, dtype=dtype, requires_grad=True)
    return Adjacency(case.src, case.dst, case.num_src, case.num_dst), feat, weight


@cases
@pytest.mark.parametrize("reduce", ["sum", "mean"])
def test_values_and_gradients_agree_with_a_dense_product(case, reduce) -> None:
    adjacency, feat, weight = tensors(case)
    out = aggregate(adjacency, feat, weight, reduce=reduce)
    expected = dense_matrix(case, weight) @ feat
    if reduce == "mean":
        expected = expected / torch.bincount(case.dst, minlength=case.num_dst).clamp(min=1)[:, None]
    torch.testing.assert_close(out, expected)
    pull = torch.randn_like(out)
    ours = torch.autograd.grad((out * pull).sum(), (feat, weight))
    theirs = torch.autograd.grad((expected * pull).sum(), (feat, weight))
    for mine, reference in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, reference)


@cases
def test_agrees_with_dgl(case) -> None:
    adjacency, feat, weight = tensors(case, dtype=torch.float32)
    graph = dgl.heterograph(
        {("a", "to", "b"): (case.src, case.dst)}, num_nodes_dict={"a": case.num_src, "b": case.num_dst}
    )
    torch.testing.assert_close(
        aggregate(Adjacency.from_dgl(graph, "to"), feat, weight), dgl.ops.u_mul_e_sum(graph, feat, weight[:, None])
    )
    torch.testing.assert_close(aggregate(adjacency, feat), dgl.ops.copy_u_sum(graph, feat))


@cases
def test_edge_scores_are_dot_products_in_edge_order(case) -> None:
    adjacency, feat, _ = tensors(case)
    other = torch.randn(case.num_dst, 5, dtype=torch.float64)
    torch.testing.assert_close(edge_scores(adjacency, feat, other), (feat[case.src] * other[case.dst]).sum(-1))


def test_gradcheck() -> None:
    adjacency, feat, weight = tensors(GRAPH_CASES[-2], d=2)
    assert torch.autograd.gradcheck(lambda f, w: aggregate(adjacency, f, w), (feat, weight))


def test_hand_computed_value() -> None:
    adjacency = Adjacency(torch.tensor([0, 1, 1]), torch.tensor([0, 0, 1]), num_src=2, num_dst=3)
    out = aggregate(adjacency, torch.tensor([[1.0], [2.0]]), torch.tensor([3.0, 5.0, 7.0]))
    assert out.tolist() == [[13.0], [14.0], [0.0]]


def test_permuting_nodes_permutes_the_result() -> None:
    case = GRAPH_CASES[-1]
    adjacency, feat, weight = tensors(case)
    order = torch.randperm(case.num_src, generator=torch.Generator().manual_seed(0))
    inverse = torch.argsort(order)
    permuted = Adjacency(inverse[case.src], inverse[case.dst], case.num_src, case.num_dst)
    torch.testing.assert_close(aggregate(permuted, feat[order], weight), aggregate(adjacency, feat, weight)[order])


def test_transpose_of_the_transpose_is_the_adjacency() -> None:
    case = GRAPH_CASES[-2]
    adjacency, _, weight = tensors(case)
    assert adjacency.transpose.transpose is adjacency
    flipped = aggregate(adjacency.transpose, torch.eye(case.num_dst, dtype=torch.float64), weight)
    torch.testing.assert_close(flipped, dense_matrix(case, weight).T)


def test_bad_input_is_refused() -> None:
    adjacency = Adjacency(torch.tensor([0]), torch.tensor([1]), num_src=2, num_dst=2)
    with pytest.raises(GraphIntegrityError, match="outside the graph"):
        Adjacency(torch.tensor([2]), torch.tensor([0]), num_src=2, num_dst=2)
    with pytest.raises(GraphIntegrityError, match="features do not fit"):
        aggregate(adjacency, torch.zeros(3, 1))
    with pytest.raises(GraphIntegrityError, match="edge data does not fit"):
        aggregate(adjacency, torch.zeros(2, 1), torch.zeros(2))
    with pytest.raises(ConfigError, match="unknown reduce"):
        aggregate(adjacency, torch.zeros(2, 1), reduce="median")
    graph = dgl.graph((torch.tensor([0]), torch.tensor([1])))
    with pytest.raises(ConfigError, match="no edge type 'strng'"):
        Adjacency.from_dgl(graph, "strng")
