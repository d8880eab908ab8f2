"""A model that was first used in inference mode, as trainers do before the first epoch, can be trained afterwards."""

import pytest
import torch

from gnnvcell._dgl import dgl
from gnnvcell.nn.conv import (
    APPNPConv,
    ContextConv,
    GATv2Conv,
    GCNConv,
    GINConv,
    HGTConv,
    RelGraphConv,
    SAGEConv,
    SignedConv,
)
from gnnvcell.nn.gene_encoder import GeneGraphEncoder, GeneGraphEncoderConfig

NODES, WIDTH = 12, 4
LAYERS = {
    "gcn": (lambda: GCNConv(WIDTH, 3), lambda c, g, x, w, r: c(g, x, edge_weight=w)),
    "sage": (lambda: SAGEConv(WIDTH, 3, "mean"), lambda c, g, x, w, r: c(g, x, edge_weight=w)),
    "sage pool": (lambda: SAGEConv(WIDTH, 3, "pool"), lambda c, g, x, w, r: c(g, x, edge_weight=w)),
    "gin": (lambda: GINConv(torch.nn.Linear(WIDTH, 3), "sum"), lambda c, g, x, w, r: c(g, x, edge_weight=w)),
    "gatv2": (lambda: GATv2Conv(WIDTH, 3, 2), lambda c, g, x, w, r: c(g, x, edge_weight=w)),
    "rgcn": (lambda: RelGraphConv(WIDTH, 3, 3, "basis", 2), lambda c, g, x, w, r: c(g, x, r)),
    "hgt": (lambda: HGTConv(WIDTH, 3, 2, 1, 3), lambda c, g, x, w, r: c(g, x, torch.zeros(NODES).long(), r)),
    "appnp": (lambda: APPNPConv(3, 0.2), lambda c, g, x, w, r: c(g, x, edge_weight=w)),
    "signed": (lambda: SignedConv(WIDTH, 3), lambda c, g, x, w, r: c(g, x, r - 1)),
    "context": (lambda: ContextConv(WIDTH, 3), lambda c, g, x, w, r: c(g, x[None], x[None, :, 0], w)),
}


def pieces(seed: int):
    generator = torch.Generator().manual_seed(seed)
    ends = [torch.randint(NODES, (40,), generator=generator) for _ in range(2)]
    graph = dgl.add_self_loop(dgl.graph(tuple(ends), num_nodes=NODES))
    count = graph.num_edges()
    return graph, torch.rand(count, generator=generator), torch.randint(3, (count,), generator=generator)


def step(layer, call, graph, weight, relation) -> list[torch.Tensor]:
    feat = torch.linspace(-1, 1, NODES * WIDTH).reshape(NODES, WIDTH).requires_grad_()
    out = call(layer, graph, feat, weight, relation)
    leaves = [feat, *(p for p in layer.parameters())]
    return [out.detach(), *torch.autograd.grad(out.square().sum(), leaves, allow_unused=True, materialize_grads=True)]


@pytest.mark.parametrize("name", LAYERS)
def test_layers(name) -> None:
    make, call = LAYERS[name]
    torch.manual_seed(0)
    layer = make().eval()
    fresh, used = pieces(0), pieces(0)
    with torch.inference_mode():
        for _ in range(3):
            call(layer, used[0], torch.rand(NODES, WIDTH), *used[1:])
            made_here = used[1] * 2  # a weight made in inference mode has no version to be known by
            call(layer, used[0], torch.rand(NODES, WIDTH), made_here, used[2].clone())
    for a, b in zip(step(layer, call, *used), step(layer, call, *fresh), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("conv", ["gcn", "sage", "gin", "gatv2"])
def test_encoder(conv) -> None:
    graph, weight, _ = pieces(1)
    hetero = dgl.heterograph({("gene", "string", "gene"): graph.edges()}, {"gene": NODES})
    hetero.edges["string"].data["weight"] = weight
    model = GeneGraphEncoder(hetero, config=GeneGraphEncoderConfig(width=8, heads=2, conv=conv)).eval()
    with torch.inference_mode():
        first = model(hetero)
        assert model(hetero) is first
        model(hetero, edge_weight={("gene", "string", "gene"): weight * 2})
    with torch.no_grad():
        frozen = model(hetero)
    head = torch.nn.Linear(8, 1)
    head(frozen).sum().backward()
    model(hetero).square().sum().backward()
    assert all(p.grad is not None for p in model.towers.parameters())
    torch.testing.assert_close(first, frozen)
