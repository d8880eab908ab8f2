"""The graph-consistency loss: what is drawn, its formulas, that it uses the graph, and its schedule."""

import math

import pytest
import torch
from torch import Tensor

from gnnvcell._dgl import dgl
from gnnvcell.errors import ConfigError, EmptyGraphError, GraphIntegrityError
from gnnvcell.nn.losses import GraphConsistency, GraphConsistencyConfig
from gnnvcell.nn.losses.edge_pairs import EdgePairs

NODES = 30


def random(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def ring(nodes: int = NODES) -> tuple[Tensor, Tensor, None]:
    at = torch.arange(nodes)
    return torch.cat([at, (at + 1) % nodes]), torch.cat([(at + 1) % nodes, at]), None


def hubs(seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Edges that mostly end at few nodes, of unequal weights."""
    end = (NODES * torch.rand(120, generator=random(seed)) ** 3).long()
    return torch.randint(NODES, (120,), generator=random(seed + 1)), end, torch.rand(120, generator=random(2)) + 0.1


def representations(seed: int = 0, nodes: int = NODES) -> Tensor:
    return torch.randn(nodes, 6, generator=random(seed))


def test_edges_come_by_weight() -> None:
    pairs = EdgePairs("r", torch.tensor([0, 1, 2]), torch.tensor([3, 4, 5]), torch.tensor([1.0, 2.0, 5.0]))
    node, neighbour, *_ = pairs.draw(40_000, 1, random())
    assert (neighbour == node + 3).all()
    torch.testing.assert_close(node.bincount() / 40_000, torch.tensor([1, 2, 5]) / 8, rtol=0, atol=0.01)


def test_neighbours_come_by_degree_and_negatives_are_no_edges() -> None:
    src, dst, weight = hubs()
    node, neighbour, others, valid = EdgePairs("r", src, dst, weight).draw(20_000, 4, random())
    edges = set(zip(src.tolist(), dst.tolist(), strict=True))
    flat = zip(node.repeat_interleave(4).tolist(), others.flatten().tolist(), valid.flatten().tolist(), strict=True)
    assert all(((u, v) in edges or u == v) != ok for u, v, ok in flat)
    assert valid.float().mean() > 0.99
    by_degree = torch.zeros(NODES).index_add_(0, dst, weight) / weight.sum()
    torch.testing.assert_close(neighbour.bincount(minlength=NODES) / 20_000, by_degree, rtol=0, atol=0.01)


def test_negatives_have_the_degrees_of_neighbours() -> None:
    """Sources are no targets, and many: hardly a draw is refused."""
    dst = 2000 + (10 * torch.rand(300, generator=random()) ** 2).long()
    pairs = EdgePairs("r", torch.arange(300), dst)
    _, _, others, valid = pairs.draw(4000, 8, random())
    degree = dst.bincount(minlength=2010)[2000:] / 300
    share = others[valid].bincount(minlength=2010)[2000:] / valid.sum()
    expected = degree * (1 - degree)  # of a node's targets its own is refused
    torch.testing.assert_close(share, expected / expected.sum(), rtol=0, atol=0.03)


@pytest.mark.parametrize("kind", ["infonce", "margin", "bce"])
def test_formulas(kind) -> None:
    config = GraphConsistencyConfig(kind=kind, positives=50, negatives=3, temperature=0.3, margin=0.8)
    loss, h = GraphConsistency({"r": hubs()}, config), representations()
    found = loss(h, generator=random())
    node, neighbour, others, valid = loss.pairs["r"].draw(50, 3, random())
    values = []
    for u, v, row, ok in zip(node, neighbour, others, valid, strict=True):
        s = torch.cosine_similarity(h[u], h[v], dim=0).item()
        n = [torch.cosine_similarity(h[u], h[w], dim=0).item() for w in row[ok]]
        if kind == "infonce":
            values.append(-math.log(math.exp(s / 0.3) / (math.exp(s / 0.3) + sum(math.exp(x / 0.3) for x in n))))
        elif kind == "margin":
            values.append(sum(max(0.0, 0.8 - s + x) for x in n) / len(n))
        else:
            far = sum(math.log1p(math.exp(x / 0.3)) for x in n) / len(n)
            values.append(math.log1p(math.exp(-s / 0.3)) + far)
    assert found.loss.item() == pytest.approx(sum(values) / len(values), rel=1e-5)


@pytest.mark.parametrize("kind", ["infonce", "margin", "bce"])
def test_neighbours_come_near(kind) -> None:
    """Training on a ring brings its neighbours together, and not those of a ring with other labels."""
    other = torch.randperm(NODES, generator=random(5))
    loss = GraphConsistency({"ring": ring()}, GraphConsistencyConfig(kind=kind, positives=64, negatives=4))
    h, draws = representations().requires_grad_(), random()
    optimiser = torch.optim.Adam([h], lr=0.05)
    for _ in range(100):
        optimiser.zero_grad()
        loss(h, generator=draws).loss.backward()
        optimiser.step()
    src, dst, _ = ring()
    near = torch.cosine_similarity(h[src], h[dst]).mean()
    assert near > 0.5
    assert torch.cosine_similarity(h[other[src]], h[other[dst]]).mean() < near - 0.4


def test_every_relation_counts_by_its_weight() -> None:
    graph = {"a": ring(), "b": hubs(), "c": hubs(7)}
    config = GraphConsistencyConfig(relation_weights={"a": 3.0, "c": 0.0}, weight=2.0)
    found = GraphConsistency(graph, config)(representations(), generator=random())
    assert found.by_relation.keys() == {"a", "b"}
    by_hand = 2 * (3 * found.by_relation["a"] + found.by_relation["b"]) / 4
    torch.testing.assert_close(found.loss, by_hand)


def test_an_edge_changed_changes_the_loss_and_every_node_drawn_has_a_gradient() -> None:
    src, dst, _ = ring()
    h = representations().requires_grad_()
    first = GraphConsistency({"ring": (src, dst, None)})(h, generator=random())
    (grad,) = torch.autograd.grad(first.loss, h)
    assert grad.isfinite().all()
    assert grad.abs().sum(dim=1).gt(0).all()
    moved = dst.clone()
    moved[0] = 17
    assert GraphConsistency({"ring": (src, moved, None)})(h, generator=random()).loss != first.loss


def test_the_same_seed_draws_the_same_pairs() -> None:
    loss, h, draws = GraphConsistency({"r": hubs()}), representations(), random(3)
    first, second = loss(h, generator=draws).loss, loss(h, generator=draws).loss
    assert first != second
    assert loss(h, generator=random(3)).loss == first


def test_zero_representations_have_finite_gradients() -> None:
    h = torch.zeros(NODES, 3, requires_grad=True)
    (grad,) = torch.autograd.grad(GraphConsistency({"r": hubs()})(h, generator=random()).loss, h)
    assert grad.isfinite().all()


def test_heterographs() -> None:
    """Relations of genes with genes, by their weights, without reverse relations and memberships."""
    src, dst, weight = hubs()
    graph = dgl.heterograph(
        {
            ("gene", "string", "gene"): (src, dst),
            ("gene", "rev_string", "gene"): (dst, src),
            ("gene", "ring", "gene"): ring()[:2],
            ("gene", "annotated", "go_term"): ([0, 1], [0, 0]),
        },
        num_nodes_dict={"gene": NODES, "go_term": 1},
    )
    graph.edges["string"].data["weight"] = weight
    found = GraphConsistency(graph)(representations(), generator=random())
    expected = GraphConsistency({"string": (src, dst, weight), "ring": ring()})
    assert found.by_relation.keys() == {"string", "ring"}
    expected.pairs = {name: expected.pairs[name] for name in found.by_relation}  # draws go in this order
    torch.testing.assert_close(found.loss, expected(representations(), generator=random()).loss)


def test_schedules() -> None:
    def at(step: int, **settings: object) -> float:
        return GraphConsistencyConfig.parse({"weight": 2.0, **settings}).weight_at(step)

    assert [at(step) for step in (0, 7)] == [2.0, 2.0]
    assert [at(step, schedule="linear_warmup", steps=10) for step in (0, 5, 10, 20)] == [0.0, 1.0, 2.0, 2.0]
    decay = [at(step, schedule="cosine_decay", steps=10, floor=0.1) for step in (0, 5, 10, 20)]
    assert decay == pytest.approx([2.0, 1.1, 0.2, 0.2])
    loss = GraphConsistency({"r": hubs()}, GraphConsistencyConfig(schedule="linear_warmup", steps=4))
    quarter, whole = (loss(representations(), generator=random(), step=step).loss for step in (1, 4))
    torch.testing.assert_close(quarter * 4, whole)


def test_bad_graphs_and_settings() -> None:
    with pytest.raises(ConfigError, match=r"no relation 'strng' between nodes of one type\n.*'string'"):
        GraphConsistency({"string": ring()}, GraphConsistencyConfig(relation_weights={"strng": 1.0}))
    with pytest.raises(ConfigError, match="'cosine_decay' has no length"):
        GraphConsistencyConfig(schedule="cosine_decay")
    with pytest.raises(ConfigError, match=r"weights of relations are below 0\n.*\n.*'a': -1"):
        GraphConsistencyConfig(relation_weights={"a": -1.0})
    with pytest.raises(EmptyGraphError, match="no relation for the consistency loss"):
        GraphConsistency({"a": ring()}, GraphConsistencyConfig(relation_weights={"a": 0.0}))
    with pytest.raises(EmptyGraphError, match="the relation 'a' has no edges"):
        GraphConsistency({"a": (torch.tensor([], dtype=torch.int64), torch.tensor([], dtype=torch.int64), None)})
    src, dst, _ = ring()
    for weight in (torch.zeros(len(src)), torch.full((len(src),), torch.nan)):
        with pytest.raises(GraphIntegrityError, match="weights that are not above 0"):
            GraphConsistency({"a": (src, dst, weight)})
    with pytest.raises(GraphIntegrityError, match=r"different number\n.*60 sources, 60 targets, 3 weights"):
        GraphConsistency({"a": (src, dst, torch.ones(3))})
    with pytest.raises(GraphIntegrityError, match="negative node numbers"):
        GraphConsistency({"a": (src - 1, dst, None)})
    with pytest.raises(GraphIntegrityError, match=r"nodes without representation\n.*30 or more\n.*29"):
        GraphConsistency({"a": ring()})(representations(nodes=29), generator=random())
    with pytest.raises(GraphIntegrityError, match="every pair of the relation 'a' that was drawn is an edge"):
        GraphConsistency({"a": ring(3)})(representations(), generator=random())
