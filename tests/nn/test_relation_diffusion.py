"""Diffusion over relations: by hand, gradients of every relation, and what reaches whom."""

import math
from typing import Any

import pytest
import torch

from gnnvcell import keys
from gnnvcell._dgl import dgl
from gnnvcell.errors import ConfigError
from gnnvcell.nn.relation_diffusion import RelationDiffusion, relations_of_hops

RELATIONS = {
    ("gene", "string", "gene"): ([0, 1, 1, 2], [1, 0, 2, 1]),
    ("gene", "coexpressed", "gene"): ([0, 3, 0, 4], [3, 0, 4, 0]),
    ("gene", "annotated", "term"): ([2, 4], [0, 0]),
    ("term", "rev_annotated", "gene"): ([0, 0], [2, 4]),
    ("term", "is_a", "term"): ([0, 2], [1, 1]),
    ("term", "rev_is_a", "term"): ([1, 1], [0, 2]),
}


def graph():
    made = dgl.heterograph(RELATIONS, num_nodes_dict={"gene": 6, "term": 3})
    for etype in made.canonical_etypes:
        made.edges[etype].data[keys.WEIGHT] = torch.ones(made.num_edges(etype))
    return made


def diffusion(hops: int = 4, channels: int = 2) -> RelationDiffusion:
    torch.manual_seed(0)
    return RelationDiffusion(graph(), hops=hops, channels=channels)


def test_one_relation_by_hand():
    line = dgl.heterograph({("gene", "string", "gene"): ([0, 1, 1, 2], [1, 0, 2, 1])})
    line.edata[keys.WEIGHT] = torch.tensor([4.0, 4.0, 1.0, 1.0])
    model = RelationDiffusion(line, hops=2, channels=1)
    assert not list(model.shares.parameters())  # one relation has nothing to be weighed against
    out = model(line, torch.tensor([[1.0], [0.0], [0.0]]))[0, :, :, 0]
    first, second = 4 / math.sqrt(4 * 5), 4 / math.sqrt(4 * 5) * 1 / math.sqrt(5 * 1)
    back = first * first
    scale = model.log_scale.exp()[:, 0].tolist()
    expected = [[0.0, scale[0] * first, 0.0], [scale[1] * back, 0.0, scale[1] * second]]
    torch.testing.assert_close(out.T.detach(), torch.tensor(expected).asinh())


def test_channels_mix_relations_differently():
    model, made = diffusion(), graph()
    out = model(made, torch.eye(6)[:, :1])[0]
    shares: Any = model.shares[0]
    share = torch.stack([shares["gene__string__gene"], shares["gene__coexpressed__gene"]]).softmax(dim=0)
    at_string = 1 / math.sqrt(1 * 2)  # from a gene of one edge to one of two
    at_other = 1 / math.sqrt(2 * 1)
    reached = torch.stack([share[0] * at_string, share[1] * at_other]) * model.log_scale[0].exp()
    torch.testing.assert_close(out[[1, 3], 0], reached.asinh())


def test_terms_are_ways():
    out = diffusion()(graph(), torch.eye(6)[:, [2, 5]])
    assert out[0, 4, 0].abs().max() == 0  # gene 2 reaches gene 4 by their term
    assert out[0, 4, 1].min() > 0
    assert out[1].abs().max() == 0  # gene 5 is alone


def test_every_relation_gets_gradients():
    model, made = diffusion(), graph()
    weights = {etype: torch.ones(made.num_edges(etype), requires_grad=True) for etype in made.canonical_etypes}
    model(made, torch.eye(6)[:, :3], edge_weight=weights).square().sum().backward()
    for etype, weight in weights.items():
        assert weight.grad is not None, etype
        assert weight.grad.abs().sum() > 0, etype
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_an_edge_changed_is_seen():
    model, made = diffusion(), graph()
    start = torch.eye(6)[:, :1]
    before = model(made, start)
    made.edges["string"].data[keys.WEIGHT][0] = 3.0
    assert (model(made, start) - before).abs().max() > 1e-3


def test_starts_are_differentiable_and_nearly_add_up():
    model, made = diffusion(), graph()
    start = torch.eye(6)[:, [0, 4]].requires_grad_()
    model(made, start).square().sum().backward()
    assert start.grad is not None
    assert start.grad.abs().sum() > 0
    apart = model(made, torch.eye(6)[:, [0, 4]])[:, :, 0]
    torch.testing.assert_close(model(made, torch.eye(6)[:, [0, 4]].sum(dim=1, keepdim=True))[0, :, 0], apart.sum(dim=0))


def test_relations_that_lead_nowhere_are_left_out():
    relations = [*RELATIONS, ("gene", "binds", "compound")]
    hops = relations_of_hops(relations, 2, "gene")
    assert [[name for _, name, _ in hop] for hop in hops] == [
        ["string", "coexpressed", "annotated"],
        ["string", "coexpressed", "rev_annotated"],
    ]


def test_scales_begin_at_one():
    out = diffusion(channels=1)(graph(), torch.eye(6)).sinh()
    for hop in range(4):
        reached = out[:, :, hop]
        assert float(reached[reached > 0].mean().detach()) == pytest.approx(1, rel=1e-4)


def test_bad_settings():
    with pytest.raises(ConfigError, match=r"1 or more[\s\S]*0, 2"):
        diffusion(hops=0)
    only = dgl.heterograph({("gene", "binds", "compound"): ([0], [0])})
    with pytest.raises(ConfigError, match=r"no relation leads[\s\S]*binds"):
        RelationDiffusion(only, hops=2)
