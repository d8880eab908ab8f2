"""The network: shapes, invariants, what it depends on, and that no parameter is dead."""

import numpy as np
import pytest
import torch

from gnnvcell import keys
from gnnvcell.errors import ModelError
from gnnvcell.models.state_transition import StateTransition
from gnnvcell.models.state_transition.predictor import TransitionPredictor

SETTINGS = {
    "graph": {"encoders": ("graph",)},
    "all": {"encoders": ("onehot", "esm", "graph", "field"), "confidence": True},
    "field": {"encoders": ("field",)},
    "named": {"encoders": ("graph",), "decoder": "named", "decoder_layers": 2, "hide_targets": 0.3},
    "deep": {"encoders": ("onehot",), "cell_encoder_layers": 2, "decoder_layers": 3, "residual": False},
    "plain": {"encoders": ("esm",), "norm": "layernorm", "feed_forward": "gelu", "pooling": "sum"},
}


@pytest.fixture(scope="module")
def ready(make, cells):
    """(settings) -> the network and loader of a model, with weights that are not zero any more."""

    def made(**settings):
        model: StateTransition = make(**settings)
        parts = model._assembled(cells, model._graph, 0, False)
        network = parts.network()
        model._predictor = TransitionPredictor(network, parts)
        loader = model.loader(cells)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
        return network, loader

    return made


def run(network, batch, **changes):
    given = {
        "control": batch[keys.CONTROL_CELLS],
        "conditions": batch[keys.CONDITIONS],
        "batch": batch[keys.BATCH],
        "field": batch.get(keys.FIELD),
    }
    return network(**{**given, **changes})


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
class TestEverySetting:
    def test_no_parameter_is_dead(self, ready, settings):
        network, loader = ready(**settings)
        for number in range(4 * len(loader)):
            network.train().loss(loader.batch(number))["loss"].backward()
        dead = [name for name, p in network.named_parameters() if p.numel() and (p.grad is None or not p.grad.any())]
        assert dead == []

    def test_cells_of_a_set_are_a_set(self, ready, settings):
        network, loader = ready(**settings)
        batch = loader.batch(0)
        order = torch.randperm(8)
        found = run(network.eval(), batch).cells
        again = run(network, batch, control=batch[keys.CONTROL_CELLS][:, order]).cells
        torch.testing.assert_close(again, found[:, order], atol=1e-5, rtol=1e-5)

    def test_sets_do_not_see_each_other(self, ready, settings):
        network, loader = ready(**settings)
        batch = loader.batch(0)
        found = run(network.eval(), batch).cells
        first = {name: value[:1] for name, value in batch.items() if isinstance(value, torch.Tensor)}
        first[keys.CONDITIONS] = batch[keys.CONDITIONS].take(torch.tensor([0]))
        torch.testing.assert_close(run(network, first).cells, found[:1], atol=1e-5, rtol=1e-5)


def test_training_begins_at_no_change(make, cells):
    model = make(encoders=("graph",))
    parts = model._assembled(cells, model._graph, 0, False)
    network = parts.network()
    model._predictor = TransitionPredictor(network, parts)
    batch = model.loader(cells).batch(0)
    torch.testing.assert_close(run(network, batch).cells, batch[keys.CONTROL_CELLS])


def test_nothing_leaks_out_of_padded_cells(ready):
    network, loader = ready(encoders=("graph",), confidence=True)
    batch = loader.batch(0)
    mask = torch.ones(4, 8, dtype=torch.bool)
    mask[:, 5:] = False
    control = batch[keys.CONTROL_CELLS].clone()
    control[:, 5:] = torch.nan
    padded = run(network.eval(), batch, control=control, mask=mask)
    alone = run(network, batch, control=control[:, :5])
    torch.testing.assert_close(padded.cells[:, :5], alone.cells, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(padded.confidence, alone.confidence, atol=1e-5, rtol=1e-5)


def test_every_relation_gets_a_gradient(ready, graph):
    network, loader = ready(encoders=("graph",))
    batch, encoder = loader.batch(0), network.targets.graph_encoder
    weights = {etype: graph.graph.edges[etype].data[keys.WEIGHT].clone() for etype in graph.graph.canonical_etypes}
    for weight in weights.values():
        weight.requires_grad_()
    nodes = encoder(graph.graph, edge_weight=weights)
    rows = network.targets.get_buffer("_graph_rows").clamp_min(0)
    described = network.targets()
    described = described._replace(features={**described.features, "graph": nodes[rows]}, nodes=nodes)
    context = network.encode_conditions(batch[keys.CONDITIONS], batch[keys.BATCH], described=described)
    states = network.encode_cells(batch[keys.CONTROL_CELLS])
    network.transform(batch[keys.CONTROL_CELLS], states, context).cells.square().sum().backward()
    for etype, weight in weights.items():
        if etype[2] == "gene":  # one layer of messages: only what arrives at genes
            assert weight.grad is not None, etype
            assert weight.grad.abs().sum() > 0, etype


def test_a_changed_edge_changes_the_prediction(ready, graph):
    network, loader = ready(encoders=("graph",))
    batch, network = loader.batch(0), network.eval()
    before = run(network, batch).cells
    weight = graph.graph.edges["string"].data[keys.WEIGHT]
    target = int(network.targets.get_buffer("_graph_rows")[batch[keys.CONDITIONS].target[0]])
    edge = int((graph.graph.edges(etype="string")[1] == target).nonzero()[0])
    old = float(weight[edge])
    try:
        weight[edge] = 5.0
        assert (run(network, batch).cells[0] - before[0]).abs().max() > 1e-6
    finally:
        weight[edge] = old
    torch.testing.assert_close(run(network, batch).cells, before)


@pytest.mark.parametrize(
    ("settings", "sets"),
    [
        ({"encoders": ("onehot",), "decoder": "named"}, {"onehot"}),
        ({"encoders": ("graph",), "graph_inputs": ("spectral", "esm")}, {"graph"}),
        ({"encoders": ("esm", "graph"), "decoder": "named"}, {"esm", "graph"}),
        ({"encoders": ("field",), "decoder": "named"}, set()),
    ],
)
def test_targets_are_described_by_the_chosen_encoders_only(ready, settings, sets):
    network, loader = ready(**settings)
    assert set(network.targets.gene_widths) == sets
    assert (network.perturbation_encoder is not None) == bool(sets)
    calls = []
    network.targets.graph_encoder.register_forward_hook(lambda *_: calls.append(1))
    network.train().loss(loader.batch(0))
    assert len(calls) == 1  # once a step, whoever reads it


def test_a_field_that_is_read_must_be_there(ready):
    network, loader = ready(encoders=("field",))
    with pytest.raises(ModelError, match="reads a field"):
        run(network, loader.batch(0), field=None)


def test_unknown_batch_is_the_mean_of_the_known_ones(ready):
    network, loader = ready(encoders=("graph",))
    batch, table = loader.batch(0), network.eval().batch_encoder.weight
    context = network.encode_conditions(batch[keys.CONDITIONS], torch.full((4,), -1), described=network.targets())
    described = network.targets()
    bare = network.perturbation_encoder(batch[keys.CONDITIONS], described.features, described.present)
    torch.testing.assert_close(context - bare, table.mean(dim=0).expand(4, -1), atol=1e-5, rtol=1e-4)


def test_batches_hold_what_they_say(ready, cells):
    _, loader = ready(encoders=("field",))
    batch = loader.batch(1)
    sets = loader.loader.sets
    code = sets.take(np.arange(4, 8))[keys.PERTURBATION]
    assert torch.equal(batch[keys.CONDITIONS].mode, loader.facts.conditions.mode[code])
    assert batch[keys.FIELD].shape == (4, len(cells.genes) + 1)
    assert sum(len(one[keys.BATCH]) for one in loader) == len(sets)
    again = loader.batch(1)
    assert torch.equal(again[keys.CONTROL_CELLS], batch[keys.CONTROL_CELLS])
    assert not torch.equal(loader.batch(1 + len(loader))[keys.CONTROL_CELLS], batch[keys.CONTROL_CELLS])


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_mean_outputs_are_means_of_cells(ready, settings):
    network, loader = ready(**settings)
    batch, network = loader.batch(0), network.eval()
    control, described = batch[keys.CONTROL_CELLS], network.targets() if network.targets is not None else None
    field, states = batch.get(keys.FIELD), network.encode_cells(control)
    context = network.encode_conditions(batch[keys.CONDITIONS], batch[keys.BATCH], field, described=described)
    weight = torch.rand(control.shape[:2]).softmax(dim=1)
    cells = network.transform(control, states, context, field, described=described).cells
    added = cells - control if network.config.residual else cells
    found = network.mean_outputs(states, context, weight, field, described=described)
    torch.testing.assert_close(found, torch.einsum("sc,scg->sg", weight, added), rtol=1e-4, atol=1e-5)
