"""The network: its stages, what is trained in each, and what predictions depend on."""

from dataclasses import replace

import pytest
import torch

from gnnvcell import keys
from gnnvcell.errors import ConfigError, ModelError
from gnnvcell.models.jepa import JepaConfig, JepaNetwork
from gnnvcell.models.jepa.objectives import mean_cell

VERSIONS = ("v0.2", "v0.3", "graph")
STAGES = ("pretrain", "action", "decode")
SETTINGS = {
    "v0.2": ("v0.2", {"hide_targets": 0.4}),
    "v0.3": ("v0.3", {"hide_targets": 0.4}),
    "graph": ("graph", {"hide_targets": 0.4}),
    "graph without measured outcomes": ("graph", {"hide_targets": 0.4, "measured": None}),
    "graph, cell by cell": ("graph", {"hide_targets": 0.0, "pool_cells": False, "encoders": ("onehot", "graph")}),
    "field of v0.3's kind": ("v0.3", {"hide_targets": 0.4, "action_inputs": ("adaln", "field"), "rollout": 1.0}),
    "rotary and linear": ("v0.2", {"hide_targets": 0.4, "attention": "linear", "gene_tokens": "graph"}),
}


@pytest.fixture(scope="module")
def ready(make, facts):
    def made(preset, **settings) -> JepaNetwork:
        seen = replace(facts, seen=(["G0", "G1", "G2", "G3"], []))
        return make(preset, given=seen, **settings)

    return made


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("stage", STAGES)
def test_all_that_a_stage_trains_gets_gradients_and_nothing_else(ready, batch, name, stage):
    preset, settings = SETTINGS[name]
    network = ready(preset, **settings)
    network.set_stage(stage)
    network.train()
    torch.manual_seed(0)
    for number in range(6):
        network.loss(batch(seed=number))["loss"].backward()
    for parameter_name, parameter in network.named_parameters():
        if parameter.requires_grad and parameter.numel():
            assert parameter.grad is not None, parameter_name
            assert parameter.grad.abs().sum() > 0, parameter_name
        else:
            assert parameter.grad is None, parameter_name
    assert all(not p.requires_grad for p in network.teacher.parameters())


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("stage", STAGES)
def test_what_is_frozen_does_not_move(make, batch, version, stage):
    network = make(version)
    network.set_stage(stage)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    optimiser = torch.optim.AdamW((p for p in network.parameters() if p.requires_grad), lr=0.01, weight_decay=0.1)
    network.loss(batch())["loss"].backward()
    optimiser.step()
    network.after_step()
    moved = {name.split(".")[0] for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    expected = {
        "pretrain": {"encoder", "completion", "teacher"},
        "action": {"action", "predictor"},
        "decode": {"decoder", "action", "predictor", "measured_share"} if version == "graph" else {"decoder"},
    }
    assert moved == expected[stage]


def test_the_teacher_follows_in_pretraining_only(make, batch):
    network = make("v0.3")
    student, teacher = network.encoder.own, network.teacher.network.own
    with torch.no_grad():
        teacher.copy_(student)
        student.add_(1.0)
    network.after_step()
    torch.testing.assert_close(teacher, student - 1 + 0.004)
    network.set_stage("action")
    network.after_step()
    torch.testing.assert_close(teacher, student - 1 + 0.004)


def test_pretraining_sees_nothing_that_is_hidden(make, batch):
    network, given = make("v0.3").eval(), batch()
    expression, depth = given[keys.CONTROL_CELLS][0], given[keys.CONTROL_LOG_TOTAL][0]
    hidden = torch.rand(expression.shape) < 0.6
    found = network.encoder(expression, depth, hidden)
    torch.testing.assert_close(network.encoder(expression.masked_fill(hidden, 7.0), depth, hidden), found)


@pytest.mark.parametrize("stage", STAGES)
def test_the_loss_is_the_weighted_sum_of_its_parts(make, batch, stage):
    network = make("v0.3").eval()
    network.set_stage(stage)
    parts = network.loss(batch())
    cfg = network.config
    weights = {
        "pretrain": {"l1": 25.0, "variance": 25.0, "covariance": 1.0},
        "action": {"nll": 25.0, "variance": 25.0, "covariance": 1.0},
        "decode": {"delta": 1.0},
    }[stage]
    assert set(parts) == {"loss", *weights}
    assert cfg.mask_share == 0.6
    total = sum(weight * float(parts[name]) for name, weight in weights.items())
    assert float(parts["loss"].detach()) == pytest.approx(total, rel=1e-5)


def test_sets_are_compared_by_their_means(make, batch):
    network, given = make("graph").eval(), batch()
    network.set_stage("action")
    perturbed, mask = given[keys.PERTURBED_CELLS], given[keys.CELL_MASK]
    order = torch.tensor([2, 0, 1])
    shuffled = given | {
        keys.PERTURBED_CELLS: perturbed[:, order],
        keys.PERTURBED_LOG_TOTAL: given[keys.PERTURBED_LOG_TOTAL][:, order],
        keys.CELL_MASK: mask[:, order],
    }
    torch.testing.assert_close(network.loss(shuffled)["loss"], network.loss(given)["loss"])
    nobody = given | {keys.PERTURBED_CELLS: perturbed.masked_fill(~mask[..., None], 5.0)}  # a cell drawn again
    torch.testing.assert_close(network.loss(nobody)["loss"], network.loss(given)["loss"])
    torch.testing.assert_close(
        mean_cell(torch.tensor([[1.0, 3.0, 9.0]]), torch.tensor([[True, True, False]])), torch.tensor([2.0])
    )


def test_validation_of_decoding_is_of_changes_of_other_genes(make, batch):
    network, given = make("graph", hide_targets=0.0).eval(), batch("G0|KO", "G1+G2|KO")
    network.set_stage("decode")
    parts = network.loss(given)
    torch.testing.assert_close(parts["loss"].detach(), parts["delta"])
    assert parts["reconstruction"] > 0
    control, mask = given[keys.CONTROL_CELLS], given[keys.CELL_MASK]
    change = network.change(
        network.encode(control, given[keys.CONTROL_LOG_TOTAL]),
        control,
        network.action(given[keys.CONDITIONS], given[keys.FIELD]),
    )
    error = (change - mean_cell(given[keys.PERTURBED_CELLS], mask) + given[keys.CONTROL_MEAN]).square()
    by_hand = torch.cat([error[0, 1:], error[1, :1], error[1, 3:]]).mean()
    torch.testing.assert_close(parts["delta"], by_hand.detach())
    again = network.train().loss(given)
    torch.testing.assert_close(again["delta"], error.mean().detach())
    torch.testing.assert_close(again["loss"].detach(), again["delta"] + again["reconstruction"])


@pytest.mark.parametrize("version", ["v0.2", "graph"])
def test_the_decoded_change_is_from_all_matching_controls(make, batch, version):
    network, given = make(version).eval(), batch("G0|KO", "G1+G2|KO")
    network.set_stage("decode")
    moved = given | {keys.CONTROL_MEAN: given[keys.CONTROL_MEAN] + 1.0}
    shifted = moved | {keys.PERTURBED_CELLS: given[keys.PERTURBED_CELLS] + 1.0}
    delta = network.loss(given)["delta"]
    of_changes = network.loss(shifted if network.config.decode_residual else moved)["delta"]
    torch.testing.assert_close(of_changes, delta)  # whole cells are decoded by versions without the residual


def test_decoding_begins_at_the_mean_cell_and_the_measured_field(make, batch):
    network, given = make("graph", fresh=True, hide_targets=0.0), batch()
    torch.nn.init.normal_(network.predictor.mean.weight)  # what the stage before learned
    network.set_stage("decode")
    network.train().loss(given)
    mean = given[keys.CONTROL_CELLS].mean(dim=(0, 1))
    torch.testing.assert_close(network.decoder.bias.detach(), mean)
    network.train().loss(batch(seed=1))
    torch.testing.assert_close(network.decoder.bias.detach(), mean)  # once
    latents = network.encode(given[keys.CONTROL_CELLS], given[keys.CONTROL_LOG_TOTAL])
    action = network.action(given[keys.CONDITIONS], given[keys.FIELD])
    torch.testing.assert_close(network.change(latents, given[keys.CONTROL_CELLS], action), given[keys.FIELD][:, :-1])


def test_training_of_graph_begins_at_no_change_and_at_the_measured_field(make, batch):
    given = batch()
    network = make("graph", fresh=True).eval()
    latents = network.encode(given[keys.CONTROL_CELLS], given[keys.CONTROL_LOG_TOTAL])
    action = network.action(given[keys.CONDITIONS], given[keys.FIELD])
    torch.testing.assert_close(network.predict_latents(latents, action).mean, network.state(latents))
    change = network.change(latents, given[keys.CONTROL_CELLS], action)
    torch.testing.assert_close(change, given[keys.FIELD][:, :-1], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("version", VERSIONS)
def test_one_cell_in_a_set_is_the_published_way(make, batch, version):
    network, given = make(version).eval(), batch(cells=1)
    for stage in STAGES:
        network.set_stage(stage)
        assert torch.isfinite(network.loss(given)["loss"])
    latents = network.encode(given[keys.CONTROL_CELLS], given[keys.CONTROL_LOG_TOTAL])
    found = network.predict_latents(latents, network.action(given[keys.CONDITIONS], given[keys.FIELD]))
    assert found.mean.shape == latents.shape
    if version == "v0.3":
        assert found.log_variance is not None
        assert float(found.log_variance.min().detach()) >= -10
        assert float(found.log_variance.max().detach()) <= 2
    else:
        assert found.log_variance is None


@pytest.mark.parametrize("version", VERSIONS)
def test_recomputing_layers_changes_nothing(make, batch, version):
    given = batch()
    found = []
    for checkpointed in (False, True):
        network = make(version, checkpoint_layers=checkpointed, hide_targets=0.0)
        network.set_stage("action")
        network.train().loss(given)["loss"].backward()
        found.append([p.grad for p in network.parameters() if p.grad is not None])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("version", VERSIONS)
def test_attention_of_chosen_genes(make, batch, version):
    network, given = make(version).eval(), batch()
    cells, depth = given[keys.CONTROL_CELLS][0], given[keys.CONTROL_LOG_TOTAL][0]
    weights = network.encoder.attention_weights(cells, depth, torch.tensor([2, 0]))
    assert weights.shape == (3, 2, 2, 3 if version == "v0.2" else 14)  # pathway by pathway, or gene by gene
    torch.testing.assert_close(weights.sum(dim=3), torch.ones(3, 2, 2))


class TestBadInput:
    def test_no_graph(self, facts):
        with pytest.raises(ModelError, match=r"needs a gene graph[\s\S]*gnnvcell.graphs.build"):
            JepaNetwork(JepaConfig.preset("graph"), replace(facts, graph=None))

    def test_no_features(self, facts):
        with pytest.raises(ModelError, match=r"'esm' is to be read[\s\S]*read_features"):
            JepaNetwork(JepaConfig.preset("v0.3"), replace(facts, tables={}))

    def test_no_pathways(self, facts):
        for given, found in ((None, "none"), (facts.pathways[:5], "5 genes")):
            with pytest.raises(ModelError, match=rf"no gene sets of its genes[\s\S]*14 genes[\s\S]*{found}"):
                JepaNetwork(JepaConfig.preset("v0.2"), replace(facts, pathways=given))

    def test_a_gene_that_is_no_possible_target(self, make, facts):
        with pytest.raises(ModelError, match=r"'NOPE' is not among the possible targets"):
            make("graph", given=replace(facts, genes=[*facts.genes[:13], "NOPE"]))

    def test_no_such_stage(self, make):
        with pytest.raises(ModelError, match=r"no stage 'pretraining'[\s\S]*did you mean 'pretrain'"):
            make("v0.3").set_stage("pretraining")

    def test_a_batch_that_lacks_something(self, make, batch):
        network, given = make("graph"), batch()
        given.pop(keys.FIELD)
        assert torch.isfinite(network.loss(given)["loss"])  # no action is read in pre-training
        network.set_stage("action")
        with pytest.raises(ModelError, match=r"the batch has no 'field'[\s\S]*Jepa.loader"):
            network.loss(given)
        with pytest.raises(ModelError, match=r"reads measured outcomes, and there are none"):
            network.action(given[keys.CONDITIONS])

    def test_cells_of_other_genes(self, make):
        with pytest.raises(ModelError, match=r"other genes[\s\S]*14 genes[\s\S]*13"):
            make("v0.3").encode(torch.rand(2, 13), torch.rand(2))

    @pytest.mark.parametrize(
        ("settings", "problem"),
        [
            ({"heads": 3}, "3 heads do not divide the width 64"),
            ({"action_inputs": ("cross", "cross")}, "action_inputs are one or more, each once"),
            ({"encoders": ()}, "encoders are one or more"),
            ({"pathways": True}, "pathways or a field"),
            ({"action_loss": "nll"}, "probabilistic = true"),
            ({"probabilistic": True}, "action_loss = 'nll'"),
            ({"action_inputs": ("field",)}, "neighbours are tokens of 'cross'"),
            ({"action_inputs": ("cross",), "neighbours": 0}, "measured outcomes are part of the field"),
        ],
    )
    def test_settings_that_do_not_fit(self, settings, problem):
        with pytest.raises(ConfigError, match=problem):
            JepaConfig.preset("graph", **settings)

    def test_no_such_preset(self):
        with pytest.raises(ConfigError, match=r"no preset 'v0.4'[\s\S]*did you mean"):
            JepaConfig.preset("v0.4")
