"""Features on a CUDA device while DGL's graph stays on the host: layers and the encoder give what the CPU gives."""

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
from gnnvcell.ops import Adjacency, aggregate, edge_scores, edge_softmax
from gnnvcell.ops.diffusion import diffuse

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine"),
]
NODES, EDGES, WIDTH = 50, 300, 8


def pieces():
    generator = torch.Generator().manual_seed(0)
    ends = [torch.randint(NODES, (EDGES,), generator=generator) for _ in range(2)]
    graph = dgl.add_self_loop(dgl.graph(tuple(ends), num_nodes=NODES))
    count = graph.num_edges()
    return (
        graph,
        torch.randn(NODES, WIDTH, generator=generator),
        torch.rand(count, generator=generator),
        torch.randint(3, (count,), generator=generator),
        torch.randint(2, (NODES,), generator=generator),
    )


LAYERS = {
    "gcn": (GCNConv(WIDTH, 4), lambda c, g, x, w, r, n: c(g, x, edge_weight=w)),
    "sage": (SAGEConv(WIDTH, 4, "mean"), lambda c, g, x, w, r, n: c(g, x, edge_weight=w)),
    "sage pool": (SAGEConv(WIDTH, 4, "pool"), lambda c, g, x, w, r, n: c(g, x, edge_weight=w)),
    "gin": (GINConv(torch.nn.Linear(WIDTH, 4), "sum"), lambda c, g, x, w, r, n: c(g, x, edge_weight=w)),
    "gatv2": (GATv2Conv(WIDTH, 4, 2), lambda c, g, x, w, r, n: c(g, x, edge_weight=w)),
    "rgcn": (RelGraphConv(WIDTH, 4, 3, "basis", 2), lambda c, g, x, w, r, n: c(g, x, r)),
    "hgt": (HGTConv(WIDTH, 4, 2, 2, 3), lambda c, g, x, w, r, n: c(g, x, n, r)),
    "appnp": (APPNPConv(3, 0.2), lambda c, g, x, w, r, n: c(g, x, edge_weight=w)),
    "signed": (SignedConv(WIDTH, 4), lambda c, g, x, w, r, n: c(g, x, edge_weight=w - 0.5)),
    "context": (ContextConv(WIDTH, 4), lambda c, g, x, w, r, n: c(g, x[None], x[None, :, 0], w)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers(name) -> None:
    layer, call = LAYERS[name]
    layer.eval()
    graph, *inputs = pieces()
    results = []
    for device in ("cpu", "cuda"):
        layer.to(device)
        moved = [x.to(device) for x in inputs]
        moved[0].requires_grad_()
        out = call(layer, graph, *moved)
        (grad,) = torch.autograd.grad(out.square().sum(), [moved[0]])
        results.append((out.detach().cpu(), grad.cpu()))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(b, a, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("conv", ["gcn", "sage", "gin", "gatv2"])
def test_encoder(conv) -> None:
    graph, feat, weight, *_ = pieces()
    hetero = dgl.heterograph({("gene", "string", "gene"): graph.edges()}, {"gene": NODES})
    hetero.edges["string"].data["weight"] = weight
    model = GeneGraphEncoder(
        hetero, features={"gene": feat}, config=GeneGraphEncoderConfig(width=WIDTH, heads=2, conv=conv)
    ).eval()
    expected = model(hetero).detach()
    found = model.to("cuda")(hetero)
    torch.testing.assert_close(found.cpu(), expected, rtol=1e-4, atol=1e-4)
    genes = torch.tensor([0, 7])
    torch.testing.assert_close(
        model.sampled(hetero, genes, fanouts=[-1, -1]).cpu(), expected[genes], rtol=1e-4, atol=1e-4
    )


def test_encoder_in_bfloat16() -> None:
    graph, feat, weight, *_ = pieces()
    src, dst = graph.edges()
    relations = {("gene", name, "gene"): ends for name, ends in {"a": (src, dst), "b": (dst, src)}.items()}
    hetero = dgl.heterograph(relations, {"gene": NODES})
    for name in ("a", "b"):
        hetero.edges[name].data["weight"] = weight
    model = GeneGraphEncoder(hetero, features={"gene": feat}, config=GeneGraphEncoderConfig(width=WIDTH, dropout=0.0))
    expected = model(hetero).detach()
    model.to("cuda")
    with torch.autocast("cuda", torch.bfloat16):
        found = model(hetero)
    found.float().square().sum().backward()
    torch.testing.assert_close(found.detach().float().cpu(), expected, rtol=0.1, atol=0.1)
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in model.parameters() if p.numel())


def test_operations() -> None:
    graph, feat, weight, *_ = pieces()
    host = Adjacency.of(graph)
    there = Adjacency.of(graph, device=torch.device("cuda"))
    assert Adjacency.of(graph, device=torch.device("cuda")) is there
    x, w = feat.cuda(), weight.cuda()
    for reduce in ("sum", "mean", "max", "min"):
        torch.testing.assert_close(
            aggregate(there, x, w, reduce=reduce).cpu(), aggregate(host, feat, weight, reduce=reduce)
        )
    torch.testing.assert_close(edge_scores(there, x, x).cpu(), edge_scores(host, feat, feat))
    torch.testing.assert_close(edge_softmax(there, w).cpu(), edge_softmax(host, weight))
    torch.testing.assert_close(
        diffuse(there, x, w, steps=3, restart=0.3).cpu(),
        diffuse(host, feat, weight, steps=3, restart=0.3),
        rtol=1e-4,
        atol=1e-4,
    )
