"""Actions: through the graph, differing between genes, composing, in any order, and between real perturbations."""

import pytest
import torch

from gnnvcell import keys
from gnnvcell.models.jepa.monitors import spread
from gnnvcell.models.jepa.two_steps import controls_like, first_and_rest
from gnnvcell.nn.perturbation_batch import MODES
from gnnvcell.perturbation import Mode

VERSIONS = ("v0.2", "v0.3", "graph")


@pytest.fixture(scope="module")
def acting(make):
    """(version) -> a network in the stage "action", in evaluation mode."""

    def made(version: str, **settings):
        network = make(version, **settings).eval()
        network.set_stage("action")
        return network

    return made


def latents_of(network, given):
    return network.state(network.encode(given[keys.CONTROL_CELLS], given[keys.CONTROL_LOG_TOTAL]))


def test_how_much_an_action_differs_between_genes(acting, batch):
    """v0.3's cross-attention to one token gives all genes the same by construction; the graph's field does not."""
    given, found = batch(), {}
    for version in VERSIONS:
        network = acting(version)
        action = network.action(given[keys.CONDITIONS], given[keys.FIELD])
        injected = network.predictor.injected(latents_of(network, given), action)
        found[version] = spread(injected)
        monitored = network.monitors(given)["injected_spread"]
        torch.testing.assert_close(monitored, found[version].mean())
    assert found["v0.3"].max() < 1e-5
    assert found["v0.2"].max() > 1e-3  # its shift is the same for all pathways, its scale acts on what each is
    assert found["graph"].min() > 0.3


def test_of_a_target_outside_of_the_graph_only_itself_is_told_apart(acting, batch):
    network, given = acting("graph", measured=None), batch("G13|KO", "G0|KO")
    action = network.action(given[keys.CONDITIONS])
    reached = action.field.abs().sum(dim=2) > 0
    assert reached[0].nonzero()[:, 0].tolist() == [13]
    assert reached[1].sum() > 4
    assert action.mask.tolist() == [[True, False, False, False], [True] * 4]


@pytest.mark.parametrize("version", VERSIONS)
def test_order_of_targets_has_no_effect_and_actions_compose(acting, batch, version):
    network = acting(version)
    given = batch("G1+G2|CRISPRi", "G2+G1|CRISPRi", "G1|CRISPRi", "G2|CRISPRi")
    for name in (keys.CONTROL_CELLS, keys.CONTROL_LOG_TOTAL, keys.FIELD):
        given[name] = given[name][:1].expand_as(given[name])
    action = network.action(given[keys.CONDITIONS], given[keys.FIELD])
    ab, ba, a, b = network.predictor(latents_of(network, given), action).mean
    torch.testing.assert_close(ab, ba, atol=1e-6, rtol=1e-5)
    assert (ab - a).abs().max() > 1e-3
    assert (ab - b).abs().max() > 1e-3


@pytest.mark.parametrize("version", VERSIONS)
def test_mode_changes_the_prediction_and_gets_gradients(acting, batch, version):
    network, given = acting(version), batch("G1|CRISPRi", "G1|CRISPRa")
    given[keys.FIELD] = given[keys.FIELD][:1].expand(2, -1)
    latents = latents_of(network, given)[:1].expand(2, -1, -1, -1)
    found = network.predictor(latents, network.action(given[keys.CONDITIONS], given[keys.FIELD])).mean
    assert (found[0] - found[1]).abs().max() > 1e-3
    found.square().sum().backward()
    used = network.action.encoder.mode.weight.grad.abs().sum(dim=1).nonzero()[:, 0].tolist()
    assert used == [MODES.index(Mode.CRISPRI), MODES.index(Mode.CRISPRA)]


def test_a_changed_edge_changes_the_prediction(acting, batch, graph):
    network, given = acting("graph"), batch()
    latents = latents_of(network, given)

    def predicted():
        return network.predictor(latents, network.action(given[keys.CONDITIONS], given[keys.FIELD])).mean

    with torch.no_grad():
        before = predicted()
        for relation in graph.graph.canonical_etypes:
            weight = graph.graph.edges[relation].data[keys.WEIGHT]
            old = weight[0].clone()
            try:
                weight[0] = 5.0
                assert (predicted() - before).abs().max() > 1e-6, relation
            finally:
                weight[0] = old
        torch.testing.assert_close(predicted(), before)


def test_gradients_reach_every_relation_and_the_features(acting, batch, graph):
    network, given = acting("graph"), batch()
    weights = {etype: graph.graph.edges[etype].data[keys.WEIGHT].clone() for etype in graph.graph.canonical_etypes}
    for weight in weights.values():
        weight.requires_grad_()
    diffusion, encoder = network.action.diffusion, network.action.targets.graph_encoder
    start = network.action.starts(given[keys.CONDITIONS]).to_dense()[:12]
    diffusion(graph.graph, start, edge_weight=weights).square().sum().backward()
    for etype, weight in weights.items():
        assert weight.grad is not None, etype
        assert weight.grad.abs().sum() > 0, etype
    latents = latents_of(network, given)
    network.predictor(latents, network.action(given[keys.CONDITIONS], given[keys.FIELD])).mean.square().sum().backward()
    for module in (diffusion, encoder):
        for name, parameter in module.named_parameters():
            if parameter.numel():
                assert parameter.grad is not None, name
                assert parameter.grad.abs().sum() > 0, name


def test_relabelled_genes_change_the_field(acting, batch):
    network, given = acting("graph"), batch("G0|KO", "G3|KO")
    field = network.action(given[keys.CONDITIONS], given[keys.FIELD]).field
    assert (field[0, :, 1:] - field[1, :, 1:]).abs().max() > 0.1


def test_vectors_of_real_perturbations_give_their_predictions(acting, batch):
    network, given = acting("graph"), batch("G0|KO", "G1|KO", "G1+G2|KO", "G4|CRISPRa", "G5|KO")
    conditions, field = given[keys.CONDITIONS], given[keys.FIELD]
    cells, depth = given[keys.CONTROL_CELLS][0], given[keys.CONTROL_LOG_TOTAL][0]
    latents = network.encode(cells, depth)
    vectors = network.actions_of(conditions)
    found = network.effects_of_actions(vectors, network.action.gallery(conditions, field), latents, cells)
    count = len(conditions)
    expected = network.change(
        latents.expand(count, -1, -1, -1), cells.expand(count, -1, -1), network.action(conditions, field)
    )
    torch.testing.assert_close(found, expected, atol=2e-2, rtol=2e-2)


@pytest.mark.parametrize("version", VERSIONS)
def test_effects_are_differentiable_in_actions(acting, batch, version):
    network, given = acting(version), batch()
    conditions = given[keys.CONDITIONS]
    gallery = network.action.gallery(conditions, given[keys.FIELD])
    cells, depth = given[keys.CONTROL_CELLS][0], given[keys.CONTROL_LOG_TOTAL][0]
    vectors = (gallery.vectors.detach() + 0.3).requires_grad_()
    effects = network.effects_of_actions(vectors, gallery, network.encode(cells, depth), cells)
    assert effects.shape == (4, 14)
    gradient = torch.autograd.grad(effects.square().sum(), vectors)[0]
    assert torch.isfinite(gradient).all()
    assert (gradient.abs().sum(dim=1) > 0).all()


class TestTwoSteps:
    def test_parts_by_hand(self, conditions):
        first, rest = first_and_rest(conditions("G1+G2+G3|CRISPRi@50%", "G4|KO", "ctrl", "G5+NOPE|KO"))
        assert first.target.tolist() == [1, 4, 5]
        assert first.owner.tolist() == [0, 1, 3]
        assert rest.target.tolist() == [2, 3, -1]
        assert rest.owner.tolist() == [0, 0, 3]
        modes = [MODES[at] for at in rest.mode.tolist()]
        assert modes == [Mode.CRISPRI, Mode.CONTROL, Mode.CONTROL, Mode.KO]
        assert rest.has_strength.tolist() == [True, False, False, False]
        assert rest.strength[0].tolist() == [0.0, 0.0, 0.5]

    def test_controls(self, conditions):
        nothing = controls_like(conditions("G1+G2|KO", "G4|KO"))
        assert len(nothing.target) == 0
        assert [MODES[at] for at in nothing.mode.tolist()] == [Mode.CONTROL] * 2

    def test_the_loss_by_hand(self, acting, batch):
        network, given = acting("graph"), batch("G0|KO", "G1+G2|KO")
        control = latents_of(network, given)
        whole = network.action(given[keys.CONDITIONS], given[keys.FIELD])
        single, _ = network.predictor(control, whole).mean
        first, rest = first_and_rest(given[keys.CONDITIONS])
        nothing = torch.zeros_like(given[keys.FIELD])
        _, of_first = network.predictor(control, network.action(first, nothing)).mean
        after = network.predictor(torch.stack([single, of_first]), network.action(rest, nothing)).mean
        observed = network.target(given[keys.PERTURBED_CELLS], given[keys.PERTURBED_LOG_TOTAL])
        mask = given[keys.CELL_MASK]
        observed = torch.stack([cells[there].mean(dim=0) for cells, there in zip(observed, mask, strict=True)])
        expected = (after.mean(dim=1) - observed).abs().mean()
        torch.testing.assert_close(network.loss(given)["rollout"], expected.detach())


def test_spread_by_hand():
    same, opposite = torch.ones(1, 4, 2), torch.tensor([[[1.0], [-1.0]]])
    assert float(spread(same)) == 0
    assert float(spread(opposite)) == 1
    assert float(spread(torch.zeros(1, 3, 2))) == 0
    assert float(spread(torch.tensor([[[3.0], [1.0]]]))) == pytest.approx((2 / 10) ** 0.5)


def test_collapse_is_seen(acting, batch):
    network, given = acting("v0.3"), batch()
    healthy = network.monitors(given)
    assert healthy["latent_std"] > network.monitor_floors["latent_std"]
    assert healthy["latent_rank"] > network.monitor_floors["latent_rank"]
    same = given | {name: torch.ones_like(given[name]) for name in (keys.PERTURBED_CELLS, keys.PERTURBED_LOG_TOTAL)}
    collapsed = network.monitors(same)
    assert collapsed["latent_std"] < network.monitor_floors["latent_std"]
    assert not network.training
