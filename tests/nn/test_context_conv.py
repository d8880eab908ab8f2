import pytest
import torch

from gnnvcell._dgl import dgl
from gnnvcell.errors import ConfigError, GraphIntegrityError
from gnnvcell.nn.conv import ContextConv


def pieces(cells: int = 3):
    generator = torch.Generator().manual_seed(0)
    graph = dgl.graph(([0, 1, 2, 2], [1, 2, 0, 1]), num_nodes=5)
    torch.manual_seed(0)
    return (
        graph,
        ContextConv(4, 6),
        torch.randn(cells, 5, 4, generator=generator),
        torch.rand(cells, 5, generator=generator),
        torch.rand(4, generator=generator),
    )


def test_agrees_with_one_cell_at_a_time_edge_by_edge() -> None:
    graph, conv, feat, expression, weight = pieces()
    out = conv(graph, feat, expression, weight)
    src, dst = graph.edges()
    for cell, (x, e) in enumerate(zip(feat, expression, strict=True)):
        gate = torch.sigmoid(conv.src_gate(e[:, None])[src] + conv.dst_gate(e[:, None])[dst])[:, 0]
        heard = torch.zeros(5, 4).index_add(0, dst, (gate * weight)[:, None] * x[src])
        expected = conv.project(heard / graph.in_degrees().clamp(min=1)[:, None])
        torch.testing.assert_close(out[cell], expected)


def test_the_cell_matters_and_every_part_learns() -> None:
    graph, conv, feat, expression, weight = pieces()
    assert not torch.allclose(conv(graph, feat, expression), conv(graph, feat, 1 - expression))
    expression.requires_grad_()
    weight.requires_grad_()
    conv(graph, feat, expression, weight).square().sum().backward()
    for tensor in (expression, weight, *conv.parameters()):
        assert tensor.grad is not None
        assert tensor.grad.abs().sum() > 0 or tensor is conv.dst_gate[2].bias


def test_blocks_and_bipartite_graphs() -> None:
    _, conv, feat, expression, _ = pieces()
    two = dgl.heterograph({("a", "r", "b"): ([0, 4], [1, 0])}, {"a": 5, "b": 2})
    assert conv(two, feat, (expression, expression[:, :2])).shape == (3, 2, 6)
    block = dgl.to_block(dgl.graph(([0, 1], [2, 2]), num_nodes=3), torch.tensor([2]))
    assert conv(block, feat[:, :3], expression[:, :3]).shape == (3, 1, 6)
    with pytest.raises(GraphIntegrityError, match="between two node types"):
        conv(two, feat, expression)


def test_bad_input_is_refused() -> None:
    graph, conv, feat, expression, _ = pieces()
    with pytest.raises(ConfigError, match="do not fit the layer"):
        conv(graph, feat[..., :2], expression)
    with pytest.raises(GraphIntegrityError, match="expression does not fit"):
        conv(graph, feat, expression[:, :3])
