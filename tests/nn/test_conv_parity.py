"""Every layer against DGL's of the same kind: parameters through the state dict, values, gradients."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gnnvcell._dgl import dgl
from gnnvcell.nn.conv import APPNPConv, GATv2Conv, GCNConv, GINConv, HGTConv, RelGraphConv, SAGEConv
from gnnvcell.testing import GRAPH_CASES, GraphCase

WIDTH, RELATIONS, TYPES = 6, 3, 2
SQUARE = [case for case in GRAPH_CASES if case.num_src == case.num_dst]


@dataclass(frozen=True)
class Pairing:
    """A layer of ours and DGL's, made with the same arguments.

    Args:
        name: of the test.
        ours: our layer.
        theirs: DGL's.
        arguments: of both constructors.
        inputs: further positional arguments of the call ("etypes", "types and etypes"), or "".
        weight: name of the argument that takes edge weights, or "".
    """

    name: str
    ours: Callable[..., nn.Module]
    theirs: Callable[..., nn.Module]
    arguments: dict[str, Any]
    inputs: str = ""
    weight: str = ""


def pairing(
    name: str,
    ours: Any,
    theirs: Any,
    arguments: dict[str, Any],
    inputs: str = "",
    weights: tuple[str, ...] = ("",),
) -> list[Pairing]:
    return [
        Pairing(f"{name}{', weighted' if weight else ''}", ours, theirs, arguments, inputs, weight)
        for weight in weights
    ]


def convolutions() -> list[Pairing]:
    both = ("", "edge_weight")
    found = []
    for norm in ("none", "both", "right", "left"):
        for out in (3, 8):
            name = f"gcn {norm} to {out}"
            arguments = dict(in_feats=WIDTH, out_feats=out, norm=norm, allow_zero_in_degree=True)
            found += pairing(name, GCNConv, dgl.nn.GraphConv, arguments, weights=both)
    for kind in ("mean", "gcn", "pool"):
        for out in (3, 8):
            arguments = dict(in_feats=WIDTH, out_feats=out, aggregator_type=kind)
            found += pairing(f"sage {kind} to {out}", SAGEConv, dgl.nn.SAGEConv, arguments, weights=both)
    for kind in ("sum", "mean", "max"):
        arguments = dict(aggregator_type=kind, init_eps=0.3, learn_eps=True)
        found += pairing(f"gin {kind}", with_linear(GINConv), with_linear(dgl.nn.GINConv), arguments, weights=both)
    return found


def with_linear(layer: Any) -> Callable[..., nn.Module]:
    return lambda **arguments: layer(nn.Linear(WIDTH, 4), **arguments)


def attentions() -> list[Pairing]:
    base = dict(in_feats=WIDTH, out_feats=3, num_heads=2, allow_zero_in_degree=True)
    found = []
    for name, more in {
        "gatv2": {},
        "gatv2, residual": dict(residual=True),
        "gatv2, residual of another width": dict(out_feats=4, residual=True, bias=False),
        "gatv2, shared, activation": dict(share_weights=True, activation=nn.ELU()),
    }.items():
        found += pairing(name, GATv2Conv, dgl.nn.GATv2Conv, {**base, **more})
    base = dict(in_size=WIDTH, head_size=3, num_heads=2, num_ntypes=TYPES, num_etypes=RELATIONS)
    found += pairing("hgt", HGTConv, dgl.nn.HGTConv, base, "types and etypes")
    wide = dict(base, num_heads=4, use_norm=True)
    found += pairing("hgt, another width, norm", HGTConv, dgl.nn.HGTConv, wide, "types and etypes")
    one = dict(base, num_heads=1, num_ntypes=1)
    found += pairing("hgt, one type", HGTConv, dgl.nn.HGTConv, one, "one type and etypes")
    return found


def relationals() -> list[Pairing]:
    base = dict(in_feat=WIDTH, out_feat=4, num_rels=RELATIONS)
    found = []
    for name, more in {
        "own": {},
        "basis": dict(regularizer="basis", num_bases=2),
        "bdd": dict(regularizer="bdd", num_bases=2),
        "basis, norm, no loop": dict(regularizer="basis", layer_norm=True, self_loop=False, activation=torch.tanh),
    }.items():
        arguments = {**base, **more}
        found += pairing(f"rgcn {name}", RelGraphConv, dgl.nn.RelGraphConv, arguments, "etypes", ("", "norm"))
    return found


PAIRINGS = [*convolutions(), *attentions(), *relationals()]
PROPAGATIONS = pairing("appnp", APPNPConv, dgl.nn.APPNPConv, dict(k=3, alpha=0.2), weights=("", "edge_weight"))


def graph_of(case: GraphCase, *, block: bool) -> Any:
    if block:
        return dgl.create_block((case.src, case.dst), num_src_nodes=case.num_src, num_dst_nodes=case.num_dst)
    if case.num_src == case.num_dst:
        return dgl.graph((case.src, case.dst), num_nodes=case.num_src)
    ends = {("a", "to", "b"): (case.src, case.dst)}
    return dgl.heterograph(ends, num_nodes_dict={"a": case.num_src, "b": case.num_dst})


@dataclass
class Call:
    """Leaves and further arguments of one call, the same in every precision."""

    graph: Any
    case: GraphCase
    pair: bool

    def __post_init__(self) -> None:
        generator = torch.Generator().manual_seed(5)
        self.feats = [torch.randn(n, WIDTH, generator=generator) for n in (self.case.num_src, self.case.num_dst)]
        self.weight = torch.rand(len(self.case.src), generator=generator) + 0.5
        self.etypes = torch.randint(RELATIONS, (len(self.case.src),), generator=generator)
        self.types = torch.randint(TYPES, (self.case.num_src,), generator=generator)

    def run(self, conv: nn.Module, pairing: Pairing, dtype: torch.dtype) -> tuple[Tensor, dict[str, Tensor]]:
        """Result and gradients by name."""
        feats = [feat.to(dtype).requires_grad_() for feat in self.feats]
        weight = self.weight.to(dtype).requires_grad_()
        # DGL wants the normaliser of its RelGraphConv as a column.
        given = weight[:, None] if pairing.weight == "norm" else weight
        more = {
            "": (),
            "etypes": (self.etypes,),
            "types and etypes": (self.types, self.etypes),
            "one type and etypes": (self.types * 0, self.etypes),
        }[pairing.inputs]
        feat = tuple(feats) if self.pair else feats[0]
        out = conv(self.graph, feat, *more, **({pairing.weight: given} if pairing.weight else {}))
        pull = torch.linspace(-1, 2, out.numel(), dtype=torch.float64).reshape(out.shape).to(dtype)
        leaves = {"source": feats[0], "destination": feats[1], "weight": weight, **dict(conv.named_parameters())}
        if not out.requires_grad:
            return out, {}
        grads = torch.autograd.grad((out * pull).sum(), list(leaves.values()), allow_unused=True)
        kept = zip(leaves.items(), grads, strict=True)
        return out, {name: torch.zeros_like(leaf) if grad is None else grad for (name, leaf), grad in kept}


def assert_near(found: Tensor, wanted: Tensor, relative: float, name: str) -> None:
    assert found.shape == wanted.shape, name
    size = max(1.0, float(wanted.abs().max())) if wanted.numel() else 1.0
    torch.testing.assert_close(
        found.double(), wanted.double(), rtol=0, atol=relative * size, msg=lambda m: f"{name}: {m}"
    )


def assert_parity(pairing: Pairing, call: Call) -> None:
    torch.manual_seed(0)
    theirs, ours = pairing.theirs(**pairing.arguments).eval(), pairing.ours(**pairing.arguments).eval()
    ours.load_state_dict(theirs.state_dict())
    theirs.load_state_dict(ours.state_dict())
    # DGL's APPNPConv makes its own weights in float32 and cannot do float64 without any.
    oracle = torch.float32 if isinstance(ours, APPNPConv) and not pairing.weight else torch.float64
    wanted, wanted_grads = call.run(theirs.to(oracle), pairing, oracle)
    for dtype, relative in ((torch.float32, 1e-5), (torch.float64, 1e-12 if oracle == torch.float64 else 1e-5)):
        found, grads = call.run(ours.to(dtype), pairing, dtype)
        assert found.dtype == dtype
        assert_near(found, wanted, relative, "result")
        for name, grad in wanted_grads.items():
            assert_near(grads[name], grad, relative, f"gradient of {name}")


@pytest.mark.parametrize("case", GRAPH_CASES, ids=lambda case: case.name)
@pytest.mark.parametrize("pairing", PAIRINGS, ids=lambda pairing: pairing.name)
def test_parity_with_dgl(pairing: Pairing, case: GraphCase) -> None:
    # DGL's typed layers take one tensor only: two sides are a block for them, else a pair of tensors.
    if len(case.src) == 0 and pairing.arguments.get("aggregator_type") in ("max", "pool"):
        pytest.skip("without edges DGL's maximum raises (weighted) or gives its gradient to source 0")
    bipartite, typed = case.num_src != case.num_dst, bool(pairing.inputs)
    pair = bipartite and not typed
    if pair and pairing.arguments.get("share_weights"):
        pair = False  # a pair of widths cannot share: a block with one tensor instead
    assert_parity(pairing, Call(graph_of(case, block=bipartite and not pair), case, pair))


@pytest.mark.parametrize("case", SQUARE, ids=lambda case: case.name)
@pytest.mark.parametrize("pairing", PROPAGATIONS, ids=lambda pairing: pairing.name)
def test_parity_of_propagation(pairing: Pairing, case: GraphCase) -> None:
    assert_parity(pairing, Call(graph_of(case, block=False), case, pair=False))


@pytest.mark.parametrize("pair", [False, True], ids=["one tensor", "pair"])
@pytest.mark.parametrize("pairing", PAIRINGS, ids=lambda pairing: pairing.name)
def test_parity_on_a_block(pairing: Pairing, pair: bool) -> None:
    if pair and pairing.inputs:
        pytest.skip("DGL's typed layers take no pair")
    case = GRAPH_CASES[-2]
    assert_parity(pairing, Call(graph_of(case, block=True), case, pair))


@pytest.mark.parametrize("layer", ["gcn", "gin sum", "appnp"])
@pytest.mark.parametrize("weighted", [False, True])
def test_parity_with_further_dimensions(layer: str, weighted: bool) -> None:
    case = GRAPH_CASES[-1]
    graph, feat, weight = graph_of(case, block=False), torch.randn(40, 2, 3, WIDTH), torch.rand(300) + 0.1
    ours, theirs = {
        "gcn": (GCNConv(WIDTH, 4, bias=False), dgl.nn.GraphConv(WIDTH, 4, bias=False)),
        "gin sum": (GINConv(), dgl.nn.GINConv()),
        "appnp": (APPNPConv(2, 0.1), dgl.nn.APPNPConv(2, 0.1)),
    }[layer]
    ours.load_state_dict(theirs.state_dict())
    for conv in (ours, theirs):
        if hasattr(conv, "set_allow_zero_in_degree"):
            conv.set_allow_zero_in_degree(True)
    given = {"edge_weight": weight} if weighted else {}
    torch.testing.assert_close(ours(graph, feat, **given), theirs(graph, feat, **given), rtol=1e-5, atol=1e-5)


def test_parity_of_an_outside_matrix() -> None:
    case = GRAPH_CASES[-1]
    graph, feat, matrix = graph_of(case, block=False), torch.randn(40, WIDTH), torch.randn(WIDTH, 4)
    arguments: dict[str, Any] = dict(weight=False, bias=False, allow_zero_in_degree=True)
    ours, theirs = (layer(WIDTH, 4, **arguments) for layer in (GCNConv, dgl.nn.GraphConv))
    torch.testing.assert_close(ours(graph, feat, weight=matrix), theirs(graph, feat, weight=matrix))


def test_attention_is_dgls() -> None:
    case = GRAPH_CASES[-1]
    graph, feat = graph_of(case, block=False), torch.randn(40, WIDTH)
    ours, theirs = (layer(WIDTH, 3, 2, allow_zero_in_degree=True) for layer in (GATv2Conv, dgl.nn.GATv2Conv))
    ours.load_state_dict(theirs.state_dict())
    torch.testing.assert_close(ours(graph, feat, get_attention=True), theirs(graph, feat, get_attention=True))
    # Edge weights scale the attention after the softmax.
    weight = torch.rand(300)
    out, attention = ours(graph, feat, get_attention=True, edge_weight=weight)
    _, plain = theirs(graph, feat, get_attention=True)
    torch.testing.assert_close(attention, plain * weight[:, None, None])
    value = theirs.fc_src(feat).reshape(-1, 2, 3)
    torch.testing.assert_close(out, dgl.ops.u_mul_e_sum(graph, value, attention))


def hetero_graph() -> Any:
    generator = torch.Generator().manual_seed(1)
    ends = {
        ("gene", "string", "gene"): [torch.randint(9, (30,), generator=generator) for _ in range(2)],
        ("gene", "in", "term"): [torch.randint(n, (20,), generator=generator) for n in (9, 5)],
        ("term", "rev_in", "gene"): [torch.randint(n, (20,), generator=generator) for n in (5, 9)],
        ("gene", "empty", "gene"): [torch.zeros(0, dtype=torch.int64)] * 2,
    }
    counts = {"gene": 9, "term": 5}
    return dgl.heterograph({name: tuple(pair) for name, pair in ends.items()}, num_nodes_dict=counts)


def hetero_convs(gcn: Any, sage: Any, gin: Any) -> nn.Module:
    layers = {
        "string": gcn(4, 3),
        "in": sage(4, 3, "mean"),
        "rev_in": gcn(4, 3, norm="right"),
        "empty": gin(nn.Linear(4, 3)),
    }
    return dgl.nn.HeteroGraphConv(layers, aggregate="mean")


@pytest.mark.parametrize("kind", ["all ours", "mixed"])
@pytest.mark.parametrize("block", [False, True])
def test_inside_hetero_graph_conv(kind: str, block: bool) -> None:
    torch.manual_seed(2)
    theirs = hetero_convs(dgl.nn.GraphConv, dgl.nn.SAGEConv, dgl.nn.GINConv)
    ours = hetero_convs(GCNConv, dgl.nn.SAGEConv if kind == "mixed" else SAGEConv, GINConv)
    ours.load_state_dict(theirs.state_dict())
    graph = hetero_graph()
    if block:
        graph = dgl.to_block(graph, {"gene": torch.arange(9), "term": torch.arange(5)})
    feats = {"gene": torch.randn(9, 4), "term": torch.randn(5, 4)}
    weights = {"string": {"edge_weight": torch.rand(30)}, "in": {"edge_weight": torch.rand(20)}}
    found, wanted = ours(graph, feats, mod_kwargs=weights), theirs(graph, feats, mod_kwargs=weights)
    assert found.keys() == wanted.keys() == {"gene", "term"}
    for name in found:
        torch.testing.assert_close(found[name], wanted[name], rtol=1e-5, atol=1e-6)
