"""The encoder: what goes in, that the graph is used, and that its shortcuts change nothing."""

import itertools
import subprocess
import sys

import pytest
import torch

from gnnvcell._dgl import dgl
from gnnvcell.errors import ConfigError, GraphIntegrityError
from gnnvcell.nn.gene_encoder import GeneGraphEncoder, GeneGraphEncoderConfig
from gnnvcell.nn.hetero_layer import CONVS, GatedHeteroLayer
from gnnvcell.nn.node_features import NodeFeatures
from gnnvcell.nn.source_fusion import FUSIONS, SourceFusion

GENES, TERMS, WIDTH = 30, 7, 8
SOURCES = {"string": ["string"], "go": ["annotated", "rev_annotated"]}
RELATIONS = [("gene", "string", "gene"), ("gene", "annotated", "go_term"), ("go_term", "rev_annotated", "gene")]


def graph_of(seed: int = 0):
    """Genes 28 and 29 have no edge at all."""
    generator = torch.Generator().manual_seed(seed)

    def ends(count: int, src: int, dst: int) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.randint(src, (count,), generator=generator), torch.randint(dst, (count,), generator=generator)

    gene, term = ends(40, GENES - 2, TERMS)
    graph = dgl.heterograph(
        {RELATIONS[0]: ends(80, GENES - 2, GENES - 2), RELATIONS[1]: (gene, term), RELATIONS[2]: (term, gene)},
        num_nodes_dict={"gene": GENES, "go_term": TERMS},
    )
    for etype in graph.canonical_etypes:
        graph.edges[etype].data["weight"] = torch.rand(graph.num_edges(etype), generator=generator) + 0.1
    return graph


def features(seed: int = 0) -> dict[str, torch.Tensor]:
    return {"gene": torch.randn(GENES, 5, generator=torch.Generator().manual_seed(seed))}


PRESENT = {"gene": torch.arange(GENES) % 3 > 0}


def encoder(graph, **settings) -> GeneGraphEncoder:
    torch.manual_seed(0)
    settings = {"width": WIDTH, "heads": 2, **settings}
    made = GeneGraphEncoder(
        graph, features=features(), present=PRESENT, sources=SOURCES, config=GeneGraphEncoderConfig(**settings)
    )
    with torch.no_grad():  # away from gates and biases that are zero
        for parameter in made.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return made.eval()


SETTINGS = [
    {"conv": conv, "fusion": fusion, "jumping": jumping}
    for conv, fusion, jumping in itertools.product(CONVS, ("joint", *FUSIONS), ("last", "mean", "max", "concat"))
]
settings = pytest.mark.parametrize("chosen", SETTINGS, ids=lambda s: "-".join(s.values()))


@settings
def test_sampled_and_full_agree_when_fanout_covers_the_graph(chosen) -> None:
    graph = graph_of()
    model, genes = encoder(graph, **chosen), torch.tensor([3, 5, 29])
    torch.testing.assert_close(model.sampled(graph, genes, fanouts=[-1, -1]), model(graph)[genes], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("conv", CONVS)
def test_graphs_of_32_bits(conv) -> None:
    """Saved gene graphs are such."""
    graph, genes = graph_of(), torch.tensor([3, 5, 29])
    model = encoder(graph, conv=conv)
    short = graph.int()
    torch.testing.assert_close(model(short), model(graph))
    torch.testing.assert_close(model.sampled(short, genes, fanouts=[-1, -1]), model(graph)[genes], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("conv", CONVS)
@pytest.mark.parametrize("fusion", ["joint", *FUSIONS])
def test_gradients_reach_every_relation_and_every_parameter(conv, fusion) -> None:
    graph = graph_of()
    model = encoder(graph, conv=conv, fusion=fusion, jumping="concat")
    weights = {e: graph.edges[e].data["weight"].clone().requires_grad_() for e in graph.canonical_etypes}
    (model(graph, edge_weight=weights)[:, 0] * torch.arange(GENES)).sum().backward()
    for etype, weight in weights.items():
        assert weight.grad is not None
        assert weight.grad.abs().sum() > 0, etype
    unused = [name for name, p in model.named_parameters() if p.grad is None]
    # The last layer's messages to terms go nowhere: only genes are returned.
    last = f"{model.config.layers - 1}."
    assert all("annotated" in name or "go_term" in name for name in unused), unused
    assert all(last in name or "norms.go_term" in name for name in unused), unused


@pytest.mark.parametrize("etype", RELATIONS, ids=lambda e: e[1])
def test_changing_an_edge_changes_the_output(etype) -> None:
    graph = graph_of()
    model = encoder(graph)
    before = model(graph)
    weights = {e: graph.edges[e].data["weight"].clone() for e in graph.canonical_etypes}
    weights[etype][0] *= 3
    assert not torch.allclose(model(graph, edge_weight=weights), before)
    rewired = graph_of()
    rewired.remove_edges([0], etype=etype)
    assert not torch.allclose(model(rewired), before)


def test_nodes_without_edges_keep_what_they_bring() -> None:
    graph = graph_of()
    model = encoder(graph)
    torch.testing.assert_close(model(graph)[28:], model.inputs["gene"]()[28:])


def test_permuting_genes_permutes_the_embeddings() -> None:
    graph = graph_of()
    model = encoder(graph)
    order = torch.randperm(GENES, generator=torch.Generator().manual_seed(1))
    place = torch.argsort(order)
    edges = {}
    for etype in graph.canonical_etypes:
        ends = zip(graph.edges(etype=etype), (etype[0], etype[2]), strict=True)
        edges[etype] = tuple(place[nodes] if kind == "gene" else nodes for nodes, kind in ends)
    moved = dgl.heterograph(edges, num_nodes_dict={"gene": GENES, "go_term": TERMS})
    for etype in graph.canonical_etypes:
        moved.edges[etype].data["weight"] = graph.edges[etype].data["weight"]
    other = GeneGraphEncoder(
        moved,
        features={"gene": features()["gene"][order]},
        present={"gene": PRESENT["gene"][order]},
        config=model.config,
    )
    state = model.state_dict()
    missing = (~PRESENT["gene"]).nonzero()[:, 0].tolist()
    row = {gene: i for i, gene in enumerate(missing)}
    state["inputs.gene.learned"] = state["inputs.gene.learned"][[row[g] for g in order.tolist() if g in row]]
    other.load_state_dict(state)
    torch.testing.assert_close(other.eval()(moved), model(graph)[order], rtol=1e-4, atol=1e-5)


def test_checkpointing_changes_memory_and_nothing_else() -> None:
    graph = graph_of()
    plain, saving = encoder(graph), encoder(graph, checkpoint_layers=True)
    grads = []
    for model in (plain, saving):
        model.train()
        torch.manual_seed(1)
        model(graph).square().sum().backward()
        grads.append([p.grad for p in model.parameters() if p.grad is not None])
    for a, b in zip(*grads, strict=True):
        torch.testing.assert_close(a, b)


def test_edge_dropout_is_for_training() -> None:
    graph = graph_of()
    model = encoder(graph, edge_dropout=0.5, dropout=0.0)
    still = model(graph)
    torch.testing.assert_close(model(graph), still)
    model.train()
    torch.manual_seed(0)
    first, second = model(graph), model(graph)
    assert not torch.allclose(first, second)
    torch.testing.assert_close(encoder(graph, dropout=0.0).train()(graph), still)


def test_the_encoding_is_remembered_until_something_changes() -> None:
    graph = graph_of()
    model = encoder(graph)
    with torch.no_grad():
        first = model(graph)
        assert model(graph) is first
        next(model.parameters()).add_(1.0)
        second = model(graph)
        assert not torch.equal(first, second)
        graph.edges["string"].data["weight"] *= 2
        third = model(graph)
        assert not torch.equal(second, third)
        graph.add_edges([0], [1], etype="string", data={"weight": torch.ones(1)})
        assert not torch.equal(model(graph), third)
    assert model(graph).requires_grad


COMPILED = """
import torch
from gnnvcell._dgl import dgl
from gnnvcell.nn.gene_encoder import GeneGraphEncoder, GeneGraphEncoderConfig

graph = dgl.rand_graph(20, 60)
graph = dgl.heterograph({("gene", "string", "gene"): graph.edges()}, num_nodes_dict={"gene": 20})
for conv in ("gcn", "sage", "gin", "gatv2"):
    model = GeneGraphEncoder(graph, config=GeneGraphEncoderConfig(width=8, heads=2, conv=conv)).eval()
    grads = []
    for call in (model, torch.compile(model, backend="aot_eager")):
        model.zero_grad()
        out = call(graph)
        out.square().sum().backward()
        grads.append([out.detach(), *(p.grad.clone() for p in model.parameters() if p.grad is not None)])
    for a, b in zip(*grads, strict=True):
        torch.testing.assert_close(a, b)
print("the same")
"""


def test_weights_of_a_call_are_never_mistaken_for_earlier_ones() -> None:
    """They are gone after the call, and the next ones may lie where they lay: same address, same version."""
    graph = graph_of()
    model = encoder(graph)
    weights = {e: graph.edges[e].data["weight"].clone() for e in graph.canonical_etypes}
    with torch.no_grad():
        before = model(graph, edge_weight=weights)
        for weight in weights.values():
            weight.data.mul_(3)  # written past the version counter
        after = model(graph, edge_weight={e: w.detach() for e, w in weights.items()})
        assert not torch.allclose(before, after)


def test_compiled_is_the_same() -> None:
    """In its own process: the run-time type checks of the tests cannot be traced."""
    run = subprocess.run([sys.executable, "-W", "ignore", "-c", COMPILED], capture_output=True, text=True)
    assert run.stdout.endswith("the same\n"), run.stderr


def test_training_lowers_a_loss_that_needs_the_graph() -> None:
    """Whether a gene's neighbours have a feature cannot be seen in the gene itself."""
    graph = graph_of()
    given = features()
    neighbour_mean = dgl.ops.copy_u_mean(graph["string"], given["gene"][:, :1])[:, 0]
    torch.manual_seed(0)
    model = GeneGraphEncoder(graph, features=given, config=GeneGraphEncoderConfig(width=16, layers=1, dropout=0.0))
    head = torch.nn.Linear(16, 1)
    optimiser = torch.optim.Adam([*model.parameters(), *head.parameters()], 0.02)
    losses = []
    for _ in range(60):
        loss = (head(model(graph))[:, 0] - neighbour_mean).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0]


def test_a_loader_of_blocks_feeds_it() -> None:
    graph = graph_of()
    model = encoder(graph)
    loader = dgl.dataloading.DataLoader(
        graph, {"gene": torch.arange(GENES)}, dgl.dataloading.NeighborSampler([-1, -1]), batch_size=11
    )
    weights = {e: graph.edges[e].data["weight"] for e in graph.canonical_etypes}
    parts = [model.encode_blocks(blocks, weights) for _, _, blocks in loader]
    torch.testing.assert_close(torch.cat(parts), model(graph), rtol=1e-4, atol=1e-5)


def test_dgl_layers_drop_into_a_layer() -> None:
    graph = graph_of()
    layer = GatedHeteroLayer(RELATIONS, WIDTH, conv="gcn", dropout=0.0)
    twin = GatedHeteroLayer(RELATIONS, WIDTH, conv="gcn", dropout=0.0)
    for name in twin.convs:
        twin.convs[name] = dgl.nn.GraphConv(WIDTH, WIDTH, norm="right", allow_zero_in_degree=True)
    twin.load_state_dict(layer.state_dict())
    h = {"gene": torch.randn(GENES, WIDTH), "go_term": torch.randn(TERMS, WIDTH)}
    weights = {e: graph.edges[e].data["weight"] for e in graph.canonical_etypes}
    for name, value in layer(graph, h, weights).items():
        torch.testing.assert_close(twin(graph, h, weights)[name], value)


@pytest.mark.parametrize("how", FUSIONS)
def test_fusions_read_every_source(how) -> None:
    torch.manual_seed(0)
    fusion = SourceFusion(3, WIDTH, how=how, heads=2)
    embeddings = torch.randn(3, 5, WIDTH, requires_grad=True)
    out = fusion(embeddings)
    assert out.shape == (5, WIDTH)
    (grad,) = torch.autograd.grad((out * torch.randn_like(out)).sum(), [embeddings])
    assert (grad.abs().sum(dim=(1, 2)) > 0).all()
    if how in ("gated_sum", "mean"):
        torch.testing.assert_close(out, embeddings.mean(dim=0), msg="gates start at equal shares")


def test_missing_features_are_learned_and_present_ones_are_not_read_where_missing() -> None:
    given = torch.ones(4, 3)
    given[1] = torch.nan
    table = NodeFeatures(4, 5, features=given, present=torch.tensor([True, False, True, True]))
    out = table()
    assert torch.isfinite(out).all()
    torch.testing.assert_close(out[1], table.learned[0])
    torch.testing.assert_close(table(torch.tensor([1, 3])), out[[1, 3]])
    assert NodeFeatures(4, 5)().shape == (4, 5)
    with pytest.raises(GraphIntegrityError, match="not finite where"):
        NodeFeatures(4, 5, features=given)
    with pytest.raises(GraphIntegrityError, match="do not fit the graph"):
        NodeFeatures(3, 5, features=torch.ones(4, 3))


def test_bad_input_is_refused() -> None:
    graph = graph_of()
    with pytest.raises(ConfigError, match="no node type 'gnee'"):
        GeneGraphEncoder(graph, features={"gnee": torch.ones(1, 1)})
    with pytest.raises(ConfigError, match="which source gave which relation"):
        GeneGraphEncoder(graph, config=GeneGraphEncoderConfig(fusion="mean"))
    with pytest.raises(ConfigError, match="does not have: 'strng'"):
        GeneGraphEncoder(graph, sources={"a": ["strng"]}, config=GeneGraphEncoderConfig(fusion="mean"))
    with pytest.raises(ConfigError, match="heads do not divide"):
        GeneGraphEncoder(graph, config=GeneGraphEncoderConfig(width=10, heads=4, conv="gatv2"))
    model = encoder(graph)
    with pytest.raises(GraphIntegrityError, match="not one that the encoder was made for"):
        model(dgl.heterograph({RELATIONS[0]: ([0], [1])}))
    with pytest.raises(ConfigError, match="one fan-out per layer"):
        model.sampled(graph, torch.tensor([0]), fanouts=[3])
    with pytest.raises(ConfigError, match="unknown fusion 'sum'"):
        SourceFusion(2, 4, how="sum")
    with pytest.raises(ConfigError, match="without relations"):
        GatedHeteroLayer([], 4)
