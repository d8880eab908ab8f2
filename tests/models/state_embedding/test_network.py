"""The network: nothing dead, nothing leaks, and the graph is used."""

import pytest
import torch
import torch.nn.functional as F

from gnnvcell import keys
from gnnvcell.errors import ConfigError, ModelError
from gnnvcell.features import FeatureTable
from gnnvcell.models.state_embedding.network import StateEmbedding

LOSSES = ("energy", "mse", "cross_entropy", "wasserstein", "mmd")
SOURCES = [(True, True), (True, False), (False, True), (False, False)]


def embedded(model: StateEmbedding, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    tokens = model.tokens(batch[keys.SENTENCE_GENES])
    return model.encode(tokens, batch[keys.SENTENCE_EXPRESSION], batch[keys.SENTENCE_MASK]).embedding


@pytest.mark.parametrize(("esm", "graph"), SOURCES)
@pytest.mark.parametrize("loss", LOSSES)
def test_every_parameter_gets_a_gradient(kit, batch, loss, esm, graph) -> None:
    model = kit.network(loss=loss, use_esm=esm, use_graph_embeddings=graph)
    model.loss(batch)["loss"].backward()
    dead = [name for name, p in model.named_parameters() if p.grad is None or not bool(p.grad.abs().sum() > 0)]
    assert dead == []


def test_tokens_are_a_linear_layer_of_the_concatenation(kit) -> None:
    model = kit.network()
    features, present, _ = kit.esm_table().for_genes(model.vocab)
    graph = model.graph
    assert graph is not None
    tokens = model.gene_tokens
    joined = torch.cat([torch.from_numpy(features), graph()], dim=1)
    linear = joined @ torch.cat([tokens.esm_weight, tokens.graph_weight], dim=1).t() + tokens.bias
    expected = F.silu(tokens.norm(linear)) * 16**0.5
    torch.testing.assert_close(model.table()[present], expected[present])
    assert not torch.isclose(model.table()[~present], expected[~present]).all(dim=1).any()
    some = torch.tensor([[5, 3], [5, 1]])
    torch.testing.assert_close(model.tokens(some), model.table()[some])


@pytest.mark.parametrize("positions", ["none", "sinusoidal", "rotary"])
def test_padding_has_no_effect(kit, batch, positions) -> None:
    model = kit.network(positions=positions).eval()
    expected = embedded(model, batch)
    padded = dict(batch)
    for name, value in ((keys.SENTENCE_GENES, 7), (keys.SENTENCE_EXPRESSION, torch.nan), (keys.SENTENCE_MASK, False)):
        padded[name] = F.pad(torch.where(batch[keys.SENTENCE_MASK], batch[name], value), (0, 5), value=value)
    torch.testing.assert_close(embedded(model, padded), expected)
    tokens = model.tokens(padded[keys.SENTENCE_GENES]).masked_fill(~padded[keys.SENTENCE_MASK][..., None], torch.nan)
    found = model.encode(tokens, padded[keys.SENTENCE_EXPRESSION], padded[keys.SENTENCE_MASK])
    torch.testing.assert_close(found.embedding, expected)
    alone = {name: part[3:4] for name, part in batch.items() if name.startswith("sentence")}
    length = int(alone[keys.SENTENCE_MASK].sum())
    alone = {name: part[:, :length] for name, part in alone.items()}
    torch.testing.assert_close(embedded(model, alone), expected[3:4])


def test_nan_in_padding_leaves_gradients_finite(kit, batch) -> None:
    model = kit.network()
    for name in (keys.SENTENCE_EXPRESSION, keys.OWN_EXPRESSION):
        mask = batch[name.replace("expression", "mask")]
        batch[name] = batch[name].masked_fill(~mask, torch.nan)
    losses = model.loss(batch)
    losses["loss"].backward()
    assert all(bool(torch.isfinite(value)) for value in losses.values())
    assert all(bool(torch.isfinite(p.grad).all()) for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize("positions", ["none", "sinusoidal", "rotary"])
def test_order_matters_only_with_positions(kit, batch, positions) -> None:
    model = kit.network(positions=positions).eval()
    turned = dict(batch)
    for name in (keys.SENTENCE_GENES, keys.SENTENCE_EXPRESSION, keys.SENTENCE_MASK):
        turned[name] = batch[name].flip(1)
    close = torch.allclose(embedded(model, turned), embedded(model, batch), atol=1e-5)
    assert close == (positions == "none")


def test_an_edge_changes_the_output_and_every_relation_gets_gradients(kit, batch) -> None:
    model, graph = kit.network().eval(), kit.gene_graph()
    before = embedded(model, batch)
    changed = kit.network().eval()
    changed.load_state_dict(model.state_dict())
    weight = changed.graph.source.graph.edges["string"].data["weight"]  # pyright: ignore
    weight[0] = 5.0
    assert not torch.allclose(embedded(changed, batch), before)
    weights = {
        etype: graph.graph.edges[etype].data["weight"].clone().requires_grad_()
        for etype in graph.graph.canonical_etypes
    }
    rows = torch.arange(len(kit.genes))
    tokens = model.gene_tokens(rows, model.graph(rows, edge_weight=weights))  # pyright: ignore
    encoded = model.encode(tokens[batch[keys.SENTENCE_GENES]], None, batch[keys.SENTENCE_MASK])
    encoded.embedding.square().sum().backward()
    assert all(w.grad is not None and bool(w.grad.abs().sum() > 0) for w in weights.values())


def test_the_graph_is_encoded_once_a_step(kit, batch, monkeypatch) -> None:
    model, calls = kit.network(), []
    forward = model.graph.encoder.forward  # pyright: ignore
    monkeypatch.setattr(model.graph.encoder, "forward", lambda *a, **k: calls.append(1) or forward(*a, **k))  # pyright: ignore
    model.loss(batch)
    assert len(calls) == 1


def test_genes_that_sources_lack_are_counted_and_learned(kit) -> None:
    model = kit.network()
    assert model.missing == {"esm": 3, "graph": 4}
    table = model.table().detach()
    assert len(torch.unique(table, dim=0)) == len(kit.genes)
    with pytest.raises(ModelError, match="none of the model's genes"):
        StateEmbedding(["A1", "A2"], kit.small(use_esm=False), graph=kit.gene_graph())


def test_precomputed_graph_embeddings(kit, batch) -> None:
    table = FeatureTable(kit.gene_graph().vocab.symbols, torch.randn(38, 5).numpy(), "computed beforehand")
    model = StateEmbedding(kit.genes, kit.small(use_esm=False), graph=table)
    assert model.missing == {"graph": 4}
    torch.testing.assert_close(model.graph()[:36], torch.from_numpy(table.values[:36].copy()))  # pyright: ignore
    assert "dataset" not in model.loss(batch)  # one dataset, no classifier


def test_embedding_has_length_one_and_the_dataset(kit, batch) -> None:
    model = kit.network()
    found = embedded(model, batch)
    assert found.shape == (16, 12 + 10)
    torch.testing.assert_close(found[:, :12].norm(dim=1), torch.ones(16))


def test_energy_loss_by_hand(kit, batch) -> None:
    model = kit.network()
    losses = model.loss(batch)
    which = torch.cat([batch[keys.OWN_GENES], batch[keys.SHARED_GENES].expand(16, -1)], dim=1)
    tokens = model.tokens(batch[keys.SENTENCE_GENES])
    encoded = model.encode(tokens, batch[keys.SENTENCE_EXPRESSION], batch[keys.SENTENCE_MASK])
    predicted = model.decode(encoded, batch[keys.READ_DEPTH], model.table(), which)
    observed = torch.cat([batch[keys.OWN_EXPRESSION], batch[keys.SHARED_EXPRESSION]], dim=1)
    off = (predicted - observed) * F.pad(batch[keys.OWN_MASK], (0, 8), value=True)
    torch.testing.assert_close(losses["within_cell"], 2 * off.norm(dim=1).mean())
    torch.testing.assert_close(losses["within_gene"], 2 * off[:, -8:].norm(dim=0).mean())
    total = losses["within_cell"] + losses["within_gene"] + losses["dataset"]
    torch.testing.assert_close(losses["loss"], total)


def test_training_lowers_the_loss(kit) -> None:
    model = kit.network()
    batches, optimizer = kit.loader(model), torch.optim.AdamW(model.parameters(), lr=3e-3)
    values = []
    for number in range(60):
        loss = model.loss(batches.batch(number))["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        values.append(loss.item())
    assert sum(values[-6:]) < 0.7 * sum(values[:6])


def test_same_seed_same_weights_and_the_generator_is_left_alone(kit) -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    one = kit.network()
    torch.testing.assert_close(torch.rand(1), expected)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), kit.network().parameters(), strict=True))


def test_bad_input(kit, batch) -> None:
    with pytest.raises(ConfigError, match="no graph was given"):
        StateEmbedding(kit.genes, kit.small(use_esm=False))
    with pytest.raises(ConfigError, match="use_esm is False, and esm was given"):
        StateEmbedding(kit.genes, kit.small(use_esm=False), graph=kit.gene_graph(), esm=kit.esm_table())
    del batch[keys.READ_DEPTH]
    with pytest.raises(ModelError, match="no 'read_depth'"):
        kit.network().loss(batch)


def closeness(model: StateEmbedding) -> float:
    """Mean cosine of the tokens at the ends of STRING's edges, less that of all pairs."""
    table = F.normalize(model.table().detach()[:36], dim=1)
    src, dst, _, _ = model.graph.source.edges("string")  # pyright: ignore
    inside = (src < 36) & (dst < 36)
    cosine = table @ table.t()
    return float(cosine[src[inside], dst[inside]].mean() - cosine.mean())


def test_graph_consistency_draws_neighbours_together(kit) -> None:
    model = kit.network(graph_consistency={"weight": 10.0, "positives": 64, "negatives": 4})
    alone, batches = kit.network(), kit.loader(model)
    before = closeness(model)
    for one in (model, alone):
        optimizer = torch.optim.AdamW(one.parameters(), lr=1e-2)
        for number in range(15):
            optimizer.zero_grad()
            one.loss(batches.batch(number))["loss"].backward()
            optimizer.step()
    assert closeness(model) > before + 0.1
    assert closeness(model) > closeness(alone) + 0.1


def test_graph_consistency_follows_its_schedule_in_training_only(kit, batch) -> None:
    settings = {"weight": 2.0, "schedule": "linear_warmup", "steps": 4}
    model = kit.network(graph_consistency=settings)
    for step in range(6):
        losses = model.loss(batch)
        expected = 2.0 * min(step / 4, 1) * losses["graph_string"]
        torch.testing.assert_close(losses["graph"], expected)
        parts = losses["within_cell"] + losses["within_gene"] + losses["dataset"]
        torch.testing.assert_close(losses["loss"], parts + losses["graph"])
    held_out = model.eval().loss(batch)
    parts = held_out["within_cell"] + held_out["within_gene"] + held_out["dataset"]
    torch.testing.assert_close(held_out["loss"], parts)
    assert int(model.batches_seen) == 6
    with pytest.raises(ConfigError, match="needs a gene graph"):
        kit.network(use_graph_embeddings=False, graph_consistency={})
