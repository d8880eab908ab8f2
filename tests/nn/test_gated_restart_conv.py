import pytest
import torch

from gnnvcell.errors import ConfigError
from gnnvcell.nn.conv.gated_restart_conv import GatedRestartConv
from gnnvcell.ops import Adjacency


def edge(src, dst, nodes=3):
    return Adjacency(torch.tensor([src]), torch.tensor([dst]), nodes, nodes)


def test_two_relations_by_hand():
    # Node 2 hears node 0 in one relation and node 1 in the other; equal gates at the start.
    conv = GatedRestartConv(1, num_relations=2, restart=0.2)
    x = torch.tensor([[1.0], [3.0], [10.0]])
    out = conv([[edge(0, 2)], [edge(1, 2)]], [[torch.ones(1)], [torch.ones(1)]], x, x)
    torch.testing.assert_close(out[:, 0], torch.tensor([0.2, 0.6, 0.2 * 10 + 0.8 * 2]))


def test_gate_prefers_a_relation_and_ignores_one_without_edges():
    conv = GatedRestartConv(1, num_relations=2, restart=0.0)
    torch.nn.init.constant_(conv.gate_bias, 0.0)
    with torch.no_grad():
        conv.gate_bias[1] = 50.0
    x = torch.tensor([[1.0], [3.0], [10.0]])
    both = conv([[edge(0, 2)], [edge(1, 2)]], [[torch.ones(1)]] * 2, x, x)
    assert both[2, 0].item() == pytest.approx(3.0)
    other = conv([[edge(0, 2)], [edge(1, 0)]], [[torch.ones(1)]] * 2, x, x)
    assert other[2, 0].item() == pytest.approx(1.0)


def test_equivariant_to_the_order_of_nodes():
    torch.manual_seed(0)
    src, dst = torch.randint(6, (20,)), torch.randint(6, (20,))
    order = torch.randperm(6)
    inverse = torch.argsort(order)
    conv, x, weight = GatedRestartConv(4, num_relations=1, restart=0.3), torch.randn(6, 4), torch.rand(20)
    out = conv([[Adjacency(src, dst, 6, 6)]], [[weight]], x, x)
    moved = conv([[Adjacency(inverse[src], inverse[dst], 6, 6)]], [[weight]], x[order], x[order])
    torch.testing.assert_close(moved, out[order])


def test_bad_use_is_an_error():
    with pytest.raises(ConfigError, match="restart"):
        GatedRestartConv(1, num_relations=1, restart=1.5)
    with pytest.raises(ConfigError, match="relations"):
        GatedRestartConv(1, num_relations=2, restart=0.5)([[edge(0, 1)]], [[torch.ones(1)]], *torch.ones(2, 3, 1))
