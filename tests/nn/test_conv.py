"""What every layer must do, with DGL or without."""

import doctest
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gnnvcell._dgl import dgl
from gnnvcell.errors import ConfigError, GraphIntegrityError
from gnnvcell.nn import conv as convs
from gnnvcell.nn.conv import APPNPConv, GATv2Conv, GCNConv, GINConv, HGTConv, RelGraphConv, SAGEConv, SignedConv
from gnnvcell.testing import GRAPH_CASES

WIDTH, RELATIONS, TYPES = 4, 3, 2
FREE: dict[str, Any] = dict(allow_zero_in_degree=True)


@dataclass(frozen=True)
class Layer:
    """A layer and what its call takes after the features."""

    name: str
    make: Callable[[], nn.Module]
    inputs: str = ""
    square: bool = False

    def __call__(self, conv: nn.Module, graph: Any, feat: Any, edges: "EdgeData", **more: Any) -> Tensor:
        given = {
            "": (),
            "etypes": (edges.etypes,),
            "sign": (edges.sign,),
            "types": (edges.types if not isinstance(feat, tuple) else (edges.types, edges.dst_types), edges.etypes),
        }
        return conv(graph, feat, *given[self.inputs], **more)


@dataclass
class EdgeData:
    """Types and signs that go with a graph."""

    etypes: Tensor
    sign: Tensor
    types: Tensor
    dst_types: Tensor


LAYERS = [
    Layer("gcn", lambda: GCNConv(WIDTH, 3, **FREE)),
    Layer("sage mean", lambda: SAGEConv(WIDTH, 3, "mean")),
    Layer("sage gcn", lambda: SAGEConv(WIDTH, 6, "gcn")),
    Layer("sage pool", lambda: SAGEConv(WIDTH, 3, "pool")),
    Layer("gin", lambda: GINConv(nn.Linear(WIDTH, 3), learn_eps=True)),
    Layer("gin max", lambda: GINConv(nn.Linear(WIDTH, 3), "max")),
    Layer("gatv2", lambda: GATv2Conv(WIDTH, 3, 2, residual=True, **FREE)),
    Layer("rgcn", lambda: RelGraphConv(WIDTH, 4, RELATIONS), "etypes"),
    Layer("rgcn basis", lambda: RelGraphConv(WIDTH, 4, RELATIONS, "basis", 2), "etypes"),
    Layer("rgcn bdd", lambda: RelGraphConv(WIDTH, 4, RELATIONS, "bdd", 2), "etypes"),
    Layer("hgt", lambda: HGTConv(WIDTH, 2, 3, TYPES, RELATIONS), "types"),
    Layer("appnp", lambda: APPNPConv(2, 0.2), square=True),
    Layer("signed", lambda: SignedConv(WIDTH, 3), "sign"),
]
layers = pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.name)


def edge_data(edges: int, num_src: int, num_dst: int) -> EdgeData:
    generator = torch.Generator().manual_seed(7)
    return EdgeData(
        torch.randint(RELATIONS, (edges,), generator=generator),
        torch.randint(2, (edges,), generator=generator) * 2 - 1,
        torch.randint(TYPES, (num_src,), generator=generator),
        torch.randint(TYPES, (num_dst,), generator=generator),
    )


def square_graph(seed: int = 3) -> tuple[Any, Tensor, Tensor, EdgeData]:
    """Graph, features, weights, edge data: 12 nodes, one of them isolated, 50 edges."""
    generator = torch.Generator().manual_seed(seed)
    src, dst = (torch.randint(11, (50,), generator=generator) for _ in range(2))
    feat, weight = torch.randn(12, WIDTH, generator=generator), torch.rand(50, generator=generator) + 0.5
    return dgl.graph((src, dst), num_nodes=12), feat, weight, edge_data(50, 12, 12)


def seeded(layer: Layer) -> nn.Module:
    torch.manual_seed(0)
    return layer.make().eval()


@pytest.mark.parametrize("name", convs.__all__)
def test_the_example_in_the_docstring_runs(name: str) -> None:
    module = importlib.import_module(getattr(convs, name).__module__)
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0


@layers
def test_gradcheck(layer: Layer) -> None:
    src, dst = torch.tensor([0, 1, 2, 2, 0, 0]), torch.tensor([1, 2, 0, 0, 3, 0])
    graph, data = dgl.graph((src, dst), num_nodes=5), edge_data(6, 5, 5)
    conv = seeded(layer).double()
    generator = torch.Generator().manual_seed(1)
    feat = torch.randn(5, WIDTH, generator=generator, dtype=torch.float64, requires_grad=True)
    weight = (torch.rand(6, generator=generator, dtype=torch.float64) + 0.5).requires_grad_()

    def run(feat: Tensor, weight: Tensor, *_: Tensor) -> Tensor:
        return layer(conv, graph, feat, data, edge_weight=weight)

    assert torch.autograd.gradcheck(run, (feat, weight, *conv.parameters()))
    (grad,) = torch.autograd.grad(run(feat, weight).square().sum(), weight)
    assert bool((grad != 0).any())


@layers
def test_permuting_nodes_permutes_the_result(layer: Layer) -> None:
    graph, feat, weight, data = square_graph()
    order = torch.randperm(12, generator=torch.Generator().manual_seed(0))
    inverse = torch.argsort(order)
    src, dst = graph.edges()
    moved_graph = dgl.graph((inverse[src], inverse[dst]), num_nodes=12)
    moved_data = EdgeData(data.etypes, data.sign, data.types[order], data.dst_types)
    conv = seeded(layer)
    out = layer(conv, graph, feat, data, edge_weight=weight)
    moved = layer(conv, moved_graph, feat[order], moved_data, edge_weight=weight)
    torch.testing.assert_close(moved, out[order], rtol=1e-5, atol=1e-6)


@layers
def test_permuting_edges_changes_nothing(layer: Layer) -> None:
    graph, feat, weight, data = square_graph()
    order = torch.randperm(50, generator=torch.Generator().manual_seed(0))
    src, dst = graph.edges()
    moved_graph = dgl.graph((src[order], dst[order]), num_nodes=12)
    moved_data = EdgeData(data.etypes[order], data.sign[order], data.types, data.dst_types)
    conv = seeded(layer)
    out = layer(conv, graph, feat, data, edge_weight=weight)
    moved = layer(conv, moved_graph, feat, moved_data, edge_weight=weight[order])
    torch.testing.assert_close(moved, out, rtol=1e-5, atol=1e-6)


@layers
def test_an_edge_changed_changes_the_output(layer: Layer) -> None:
    graph, feat, _, data = square_graph()
    conv = seeded(layer)
    src, dst = graph.edges()
    out = layer(conv, graph, feat, data)
    changed = []
    for edge in range(8):
        moved = dst.clone()
        moved[edge] = (dst[edge] + 1) % 11
        other = layer(conv, dgl.graph((src, moved), num_nodes=12), feat, data)
        far = torch.ones(12, dtype=torch.bool)
        far[torch.stack([moved[edge], dst[edge]])] = False
        changed.append(not torch.allclose(other[~far], out[~far]))
        if layer.name not in ("gcn", "appnp"):  # degrees and further steps reach further
            torch.testing.assert_close(other[far], out[far])
    # One message of many need not be the largest.
    assert any(changed) if layer.name in ("sage pool", "gin max") else all(changed)


@layers
def test_a_weight_changed_changes_the_output(layer: Layer) -> None:
    graph, feat, weight, data = square_graph()
    conv = seeded(layer)
    out = layer(conv, graph, feat, data)
    assert not torch.allclose(layer(conv, graph, feat, data, edge_weight=weight), out)
    ones = layer(conv, graph, feat, data, edge_weight=torch.ones(50, 1))
    torch.testing.assert_close(ones, out, rtol=1e-5, atol=1e-6)


@layers
def test_gradients_reach_every_parameter(layer: Layer) -> None:
    graph, feat, weight, data = square_graph()
    conv = seeded(layer)
    layer(conv, graph, feat.requires_grad_(), data, edge_weight=weight).square().sum().backward()
    for name, parameter in [*conv.named_parameters(), ("feat", feat)]:
        assert parameter.grad is not None, name
        assert bool((parameter.grad != 0).any()), name


@layers
def test_a_graph_that_grows_is_seen(layer: Layer) -> None:
    graph, feat, _, data = square_graph()
    conv = seeded(layer)
    before = layer(conv, graph, feat, data)
    graph.add_edges(torch.tensor([0]), torch.tensor([11]))
    etypes, sign = (torch.cat([tensor, tensor[:1]]) for tensor in (data.etypes, data.sign))
    grown = EdgeData(etypes, sign, data.types, data.types)
    after = layer(conv, graph, feat, grown)
    assert not torch.allclose(after[11], before[11])


@layers
@pytest.mark.parametrize("case", GRAPH_CASES, ids=lambda case: case.name)
def test_a_pair_and_a_block_and_one_tensor_agree(layer: Layer, case: Any) -> None:
    if layer.square and case.num_src != case.num_dst:
        pytest.skip("takes several steps on the same nodes")
    conv, feat = seeded(layer), torch.randn(case.num_src, WIDTH)
    data = edge_data(len(case.src), case.num_src, case.num_dst)
    data.dst_types = data.types[: case.num_dst]
    pair = (feat, feat[: case.num_dst])
    ends = {("a", "to", "a" if case.num_src == case.num_dst else "b"): (case.src, case.dst)}
    graph = dgl.heterograph(ends, num_nodes_dict={"b": case.num_dst, "a": case.num_src})["to"]
    of_pair = layer(conv, graph, pair, data)
    assert len(of_pair) == case.num_dst
    assert bool(of_pair.isfinite().all())
    if case.num_src == case.num_dst:
        torch.testing.assert_close(layer(conv, graph, feat, data), of_pair)
    if not layer.square:
        block = dgl.create_block((case.src, case.dst), num_src_nodes=case.num_src, num_dst_nodes=case.num_dst)
        torch.testing.assert_close(layer(conv, block, feat, data), of_pair)
        torch.testing.assert_close(layer(conv, block, pair, data), of_pair)


@layers
def test_bfloat16_is_near_float32(layer: Layer) -> None:
    graph, feat, weight, data = square_graph()
    conv = seeded(layer)
    wanted = layer(conv, graph, feat, data, edge_weight=weight)
    found = layer(conv.to(torch.bfloat16), graph, feat.bfloat16(), data, edge_weight=weight)
    assert found.dtype == torch.bfloat16
    scale = float(wanted.abs().max())
    torch.testing.assert_close(found.float(), wanted, rtol=0, atol=0.04 * scale)


@layers
def test_under_autocast(layer: Layer) -> None:
    graph, feat, weight, data = square_graph()
    conv = seeded(layer)
    wanted = layer(conv, graph, feat, data, edge_weight=weight)
    with torch.autocast("cpu", torch.bfloat16):
        found = layer(conv, graph, feat, data, edge_weight=weight)
    torch.testing.assert_close(found.float(), wanted, rtol=0, atol=0.05 * float(wanted.abs().max()))
    if found.requires_grad:
        found.float().sum().backward()


@layers
def test_graphs_of_32_bits(layer: Layer) -> None:
    """Saved gene graphs are such."""
    graph, feat, weight, data = square_graph()
    conv = seeded(layer)
    wanted = layer(conv, graph, feat, data, edge_weight=weight)
    torch.testing.assert_close(layer(conv, graph.int(), feat, data, edge_weight=weight), wanted)


@layers
def test_the_same_bits_twice(layer: Layer) -> None:
    graph, feat, weight, data = square_graph()
    assert torch.equal(*(layer(seeded(layer), graph, feat, data, edge_weight=weight) for _ in range(2)))


def test_nodes_without_in_edges() -> None:
    graph, feat = dgl.graph(([0, 1], [1, 0]), num_nodes=3), torch.randn(3, WIDTH)
    for conv in (GCNConv(WIDTH, 2), GATv2Conv(WIDTH, 2, 1)):
        for _ in range(2):
            with pytest.raises(GraphIntegrityError, match=r"(?s)1 of 3 without.*allow_zero_in_degree=True"):
                conv(graph, feat)
        conv.set_allow_zero_in_degree(True)
        torch.testing.assert_close(conv(graph, feat)[2], torch.zeros_like(conv(graph, feat)[2]))
    gcn = GCNConv(WIDTH, 2, **FREE)
    with torch.no_grad():
        gcn.get_parameter("bias").fill_(1.0)
    assert gcn(graph, feat)[2].tolist() == [1.0, 1.0]
    sage = SAGEConv(WIDTH, 2, "pool")
    torch.testing.assert_close(sage(graph, feat)[2], sage.fc_self(feat[2]))
    torch.testing.assert_close(APPNPConv(3, 0.25)(graph, feat)[2], 0.25 * feat[2])
    torch.testing.assert_close(GINConv()(graph, feat)[2], feat[2])


@pytest.mark.parametrize("weighted", [False, True])
def test_a_maximum_over_no_edges_is_zero_and_so_is_its_gradient(weighted: bool) -> None:
    empty = torch.zeros(0, dtype=torch.int64)
    graph = dgl.heterograph({("a", "to", "b"): (empty, empty)}, num_nodes_dict={"a": 4, "b": 3})
    src, dst, conv = torch.randn(4, WIDTH, requires_grad=True), torch.randn(3, WIDTH), SAGEConv(WIDTH, 2, "pool")
    out = conv(graph, (src, dst), edge_weight=torch.ones(0) if weighted else None)
    torch.testing.assert_close(out, conv.fc_self(dst))
    (grad,) = torch.autograd.grad(out.sum(), src, allow_unused=True)
    assert grad is None or not bool(grad.any())


def test_signed_by_hand() -> None:
    conv = SignedConv(1, 1, bias=False)
    with torch.no_grad():
        for linear, value in ((conv.fc_self, 100.0), (conv.fc_pos, 1.0), (conv.fc_neg, 10.0)):
            linear.weight.fill_(value)
    graph, feat = dgl.graph(([0, 1, 2, 0], [3, 3, 3, 3])), torch.tensor([[1.0], [2.0], [4.0], [0.5]])
    sign = torch.tensor([1, 1, -1, 0], dtype=torch.int8)
    assert conv(graph, feat, sign)[3].item() == pytest.approx(50 + 1.5 - 40)
    weight = torch.tensor([2.0, 1.0, 0.5, 9.0])
    wanted = 50 + (2 + 2) / 2 - 10 * 2
    assert conv(graph, feat, sign, weight)[3].item() == pytest.approx(wanted)
    assert conv(graph, feat, edge_weight=weight * sign)[3].item() == pytest.approx(wanted)
    learned = (weight * sign).requires_grad_()
    out = conv(graph, feat, edge_weight=learned)
    assert out[3].item() == pytest.approx(wanted)
    out[3].backward()
    assert learned.grad is not None
    assert learned.grad.tolist() == pytest.approx([0.5, 1.0, 40.0, 0.0])


def test_a_sign_turned_in_place_is_seen() -> None:
    conv, graph, feat = SignedConv(WIDTH, 2), dgl.graph(([0], [1])), torch.randn(2, WIDTH)
    sign = torch.tensor([1])
    before = conv(graph, feat, sign)
    sign.neg_()
    torch.testing.assert_close(conv(graph, feat, sign), conv(graph, feat, torch.tensor([-1])))
    assert not torch.allclose(conv(graph, feat, sign), before)


def test_relation_counts_with_norm_and_weight_together() -> None:
    graph, feat, weight, data = square_graph()
    conv = RelGraphConv(WIDTH, 2, RELATIONS)
    norm = torch.rand(50, 1)
    together = conv(graph, feat, data.etypes, norm, edge_weight=weight)
    torch.testing.assert_close(together, conv(graph, feat, data.etypes, norm * weight[:, None]))
    torch.testing.assert_close(together, conv(graph, feat, data.etypes, edge_weight=norm[:, 0] * weight))


def test_dropout_of_edges_and_attention() -> None:
    graph, feat, _, data = square_graph()
    appnp = APPNPConv(1, 0.0, edge_drop=0.5)
    kept = torch.stack([appnp(graph, feat) for _ in range(600)])
    torch.testing.assert_close(kept.mean(0), appnp.eval()(graph, feat), rtol=0, atol=0.25)
    assert not torch.equal(kept[0], kept[1])
    gat = GATv2Conv(WIDTH, 2, 2, attn_drop=0.5, **FREE)
    _, attention = gat(graph, feat, get_attention=True)
    _, whole = gat.eval()(graph, feat, get_attention=True)
    dropped = attention == 0
    assert 0 < int(dropped.sum()) < dropped.numel()
    torch.testing.assert_close(attention[~dropped], 2 * whole[~dropped])
    hgt = HGTConv(WIDTH, 2, 2, TYPES, RELATIONS, dropout=0.5)
    assert not torch.equal(hgt(graph, feat, data.types, data.etypes), hgt(graph, feat, data.types, data.etypes))


def kept_features(conv: nn.Module, names: tuple[str, ...], graph: Any, feat: Tensor) -> list[Tensor]:
    """Which features of the first node reached the named parts of a layer."""
    seen = []
    for name in names:
        conv.get_submodule(name).register_forward_pre_hook(lambda _, given: seen.append(given[0][0] != 0))
    conv(graph, feat)
    return seen


def test_dropout_of_features_is_the_same_on_both_sides_of_a_block() -> None:
    block = dgl.create_block(([0], [0]), num_src_nodes=1, num_dst_nodes=1)
    feat = torch.rand(1, 64) + 1
    for conv, names in (
        (SAGEConv(64, 64, "mean", feat_drop=0.5), ("fc_self", "fc_neigh")),
        (GATv2Conv(64, 64, 1, feat_drop=0.5, residual=True), ("fc_src", "fc_dst")),
    ):
        seen = kept_features(conv, names, block, feat)
        assert len(seen) == 2
        assert torch.equal(*seen)
        assert 0 < int(seen[0].sum()) < 64


def test_bad_constructor_arguments() -> None:
    with pytest.raises(ConfigError, match="unknown norm 'bth'"):
        GCNConv(1, 1, norm="bth")
    with pytest.raises(ConfigError, match=r"(?s)lstm.*order of the edges.*mean, gcn, pool"):
        SAGEConv(1, 1, "lstm")
    with pytest.raises(ConfigError, match="unknown aggregator 'meen'"):
        SAGEConv(1, 1, "meen")
    with pytest.raises(ConfigError, match="equal widths"):
        SAGEConv((1, 2), 1, "gcn")
    with pytest.raises(ConfigError, match="unknown aggregator 'add'"):
        GINConv(aggregator_type="add")
    with pytest.raises(ConfigError, match="cannot be shared"):
        GATv2Conv((1, 2), 1, 1, share_weights=True)
    with pytest.raises(ConfigError, match="unknown regularizer 'base'"):
        RelGraphConv(1, 1, 1, "base")
    with pytest.raises(ConfigError, match="split into blocks"):
        RelGraphConv(4, 3, 2, "bdd", 2)
    with pytest.raises(ConfigError, match="basis needs num_bases"):
        RelGraphConv(4, 3, 2, "basis", 0)
    with pytest.raises(ConfigError, match="out of range"):
        APPNPConv(1, 1.5)


@layers
def test_bad_features_and_weights(layer: Layer) -> None:
    graph, feat, _, data = square_graph()
    conv = seeded(layer)
    with pytest.raises(GraphIntegrityError, match=r"(?s)source features do not fit the graph.*12 source nodes"):
        layer(conv, graph, feat[:5], data)
    bipartite = dgl.heterograph({("a", "to", "b"): ([0], [1])}, num_nodes_dict={"a": 12, "b": 12})
    if layer.name != "gcn":  # reads the source's features only
        with pytest.raises(GraphIntegrityError, match=r"two node types|the same nodes"):
            layer(conv, bipartite, feat, edge_data(1, 12, 12))
    if layer.name not in ("gin", "gin max", "appnp"):  # of any width
        with pytest.raises(ConfigError, match=f"width {WIDTH}"):
            layer(conv, graph, feat[:, :3], data)
    with pytest.raises(GraphIntegrityError, match="edge weights do not fit the graph"):
        layer(conv, graph, feat, data, edge_weight=torch.ones(50, 2))


def test_bad_types_signs_and_weights() -> None:
    graph, feat, weight, data = square_graph()
    with pytest.raises(GraphIntegrityError, match="relation outside the range"):
        RelGraphConv(WIDTH, 2, 2)(graph, feat, data.etypes)
    with pytest.raises(GraphIntegrityError, match="edge data does not fit"):
        RelGraphConv(WIDTH, 2, 3)(graph, feat, data.etypes[:3])
    hgt = HGTConv(WIDTH, 2, 2, TYPES, RELATIONS)
    with pytest.raises(GraphIntegrityError, match="type outside the range"):
        hgt(graph, feat, data.types + 1, data.etypes)
    with pytest.raises(GraphIntegrityError, match="node types do not fit"):
        hgt(graph, (feat, feat), data.types[:5], data.etypes)
    signed = SignedConv(WIDTH, 2)
    with pytest.raises(ConfigError, match="edges have no sign"):
        signed(graph, feat)
    with pytest.raises(GraphIntegrityError, match="signs are not signs"):
        signed(graph, feat, data.sign * 2)
    with pytest.raises(GraphIntegrityError, match="not positive"):
        APPNPConv(1, 0.1)(graph, feat, weight - 0.6)
    with pytest.raises(GraphIntegrityError, match="the same nodes"):
        APPNPConv(1, 0.1)(dgl.create_block(([0], [0])), feat[:1])
    with pytest.raises(ConfigError, match="has its own"):
        GCNConv(WIDTH, 2, **FREE)(graph, feat, weight=torch.ones(WIDTH, 2))
    several = dgl.heterograph({("a", "x", "a"): ([0], [0]), ("a", "y", "a"): ([0], [0])})
    with pytest.raises(ConfigError, match="several edge types"):
        GCNConv(WIDTH, 2)(several, feat[:1])


def test_a_state_dict_of_another_layer_is_refused() -> None:
    with pytest.raises(RuntimeError, match="size mismatch"):
        GCNConv(2, 3).load_state_dict(dgl.nn.GraphConv(2, 4).state_dict())
