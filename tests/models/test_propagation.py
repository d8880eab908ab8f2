from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from gnnvcell.errors import GraphIntegrityError, ModelError
from gnnvcell.metrics.labels import per_gene_auroc
from gnnvcell.models import Propagation, PropagationConfig, ReadoutConfig
from gnnvcell.models._channels import ChannelMaker, Nearness, PassedMessages, pass_over_readouts
from gnnvcell.models._learning import HiddenChannels, Pairs, learn_gated_readout, learn_readout
from gnnvcell.models._outcomes import Outcomes, perturbation_folds
from gnnvcell.models.source_propagation import Paths, SourceNetwork, SourcePropagationConfig, _sources
from gnnvcell.nn.outcome_readout import OutcomeReadout
from gnnvcell.nn.ranking import GenePairs, pairwise_logistic
from gnnvcell.ops.channel_readout import MessageSums, ReadoutWeights, channel_readout

QUICK = PropagationConfig(readout=ReadoutConfig(epochs=2, hidden=4))


def gradient(tensor: torch.Tensor) -> torch.Tensor:
    assert tensor.grad is not None
    return tensor.grad


def test_channels_by_hand():
    # One gene measured under two training perturbations with residuals +1 and -1, similarities 3 and 1.
    outcomes = Outcomes(torch.tensor([[1.0], [-1.0]]), torch.ones(2, 1), torch.zeros(1), torch.full((1,), 2.0))
    messages = pass_over_readouts(outcomes, torch.zeros(1, 1), torch.zeros(1, 1))
    kernels = torch.tensor([[[3.0, 1.0]]])
    found = ChannelMaker(messages, kernels).at(kernels, torch.tensor([0]), torch.tensor([0]))[0]
    # Half-way evidence is .3 of the evidence, which is 4 for the gene and for all genes together.
    np.testing.assert_allclose(found.numpy(), [2 / 5.2, 0, 0, 2 / 5.2], rtol=1e-5)


@pytest.mark.parametrize("measured", ["few", "all but some", "all"])
def test_all_pairs_are_read_out_as_some_are(planted_de, measured):
    """The fused kernel against channels and readout one after the other, for sparse and dense tables."""
    torch.manual_seed(0)
    outcomes = Outcomes.of(planted_de.train)
    count, genes = outcomes.residual.shape
    if measured != "few":
        mask = torch.ones(count, genes)
        mask[:3, :5] = float(measured == "all")
        residual = torch.randn(count, genes) * mask
        outcomes = Outcomes(residual, mask, outcomes.gene_mean, mask.sum(dim=0))
    among = torch.rand(4, count, count)
    among[-1] = 0  # the random kernels are no similarities, and only the last one is solved with
    messages = PassedMessages.of(outcomes, among, torch.rand(genes, genes), torch.rand(genes, 4))
    kernels = torch.rand(4, 6, count)
    kernels[1, 2:4] = 0  # a kernel that knows nothing of two perturbations
    kernels[:, 5] = 0  # a perturbation that no relation knows
    readout = OutcomeReadout(20, 2, base=torch.tensor([0, 1, 6]), hidden=5, members=3).eval()
    torch.nn.init.normal_(readout.last)
    torch.nn.init.normal_(readout.scale)
    features, target, spread = torch.randn(genes, 1), torch.randn(6, 1), torch.rand(20) + 0.02
    row, gene = (part.flatten() for part in torch.meshgrid(torch.arange(6), torch.arange(genes), indexing="ij"))
    with torch.no_grad():
        channels = messages.at(kernels, row, gene) / spread
        expected = readout(channels, torch.cat([features[gene], target[row]], dim=1)).mean(dim=0).reshape(6, genes)
        first = readout.first.transpose(0, 1).flatten(1)
        linear = torch.zeros(20)
        linear[readout.base] = readout.scale.mean() / 3
        of_gene = (features @ first[20:21] + readout.first_bias.flatten()).T
    weights = ReadoutWeights(
        first[:20].T.contiguous().numpy(), readout.last.detach().flatten().numpy() / 3, linear.numpy(), readout.clip,
        (1 / spread).numpy(), messages.halfway.flatten().numpy(), messages.averages.messages.expected.numpy(),
        messages.averages.incomplete.numpy(), of_gene.contiguous().numpy(),
    )  # fmt: skip
    found = channel_readout(messages.sums(kernels), weights, (target @ first[21:]).detach().numpy())
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-5, rtol=1e-4)
    assert np.abs(found[5]).max() < 1e-6


def test_a_readout_of_other_genes_is_refused(planted_de):
    wide, line = np.zeros((0, 3), np.float32), np.zeros(0, np.float32)
    sums = MessageSums(np.array([0, 0]), np.zeros(0, np.int64), wide, wide, wide, line, line, wide)
    weights = ReadoutWeights(
        np.zeros((2, 4), np.float32), np.zeros(2, np.float32), np.zeros(4, np.float32), 4.0, np.ones(4, np.float32),
        np.ones(4, np.float32), np.zeros((3, 5), np.float32), np.full(5, -1), np.zeros((2, 5), np.float32),
    )  # fmt: skip
    with pytest.raises(GraphIntegrityError, match="message sums and readout do not fit"):
        channel_readout(sums, weights)


def test_a_share_of_the_pairs_is_enough_to_learn_from(planted_de):
    """Of a large table some pairs are drawn, by the seed."""
    config = QUICK.model_copy(update={"learned_pairs": int(planted_de.train.measured.sum()) // 2})
    first, second = (Propagation(config).fit(planted_de.train, planted_de.graph) for _ in range(2))
    whole = Propagation(QUICK).fit(planted_de.train, planted_de.graph)
    names = planted_de.train.perturbations[:5]
    np.testing.assert_array_equal(first.predict(names).values, second.predict(names).values)
    assert np.abs(first.predict(names).values - whole.predict(names).values).max() > 0


def test_hidden_perturbations_do_not_reach_their_own_channels(planted_de):
    """Flipping all labels of the hidden fold leaves the channels made for it unchanged."""
    fold = perturbation_folds(planted_de.train.shape[0], 5, seed=0)
    kept = np.flatnonzero(fold != 0)
    before = Outcomes.of(planted_de.train, kept)
    flipped = planted_de.train.take(np.arange(planted_de.train.shape[0]))
    flipped.values[fold == 0] = 1 - flipped.values[fold == 0]
    after = Outcomes.of(flipped, kept)
    torch.testing.assert_close(before.residual, after.residual)
    torch.testing.assert_close(before.gene_mean, after.gene_mean)


def test_gradients_of_source_propagation_reach_features_and_edge_weights(planted_de):
    paths = Paths.of(planted_de.graph, max_term_genes=500)
    counts = Outcomes.of(planted_de.train).gene_count
    network = SourceNetwork(planted_de.graph.num_genes, counts, len(paths.hops), SourcePropagationConfig(dropout=0.0))
    torch.nn.init.normal_(network.readout)
    weights = [[weight.clone().requires_grad_() for weight in relation] for relation in paths.weights]
    network(_sources(planted_de.graph, planted_de.train.perturbations), paths, weights).square().sum().backward()
    assert gradient(network.features).abs().sum() > 0
    for relation in weights:
        for weight in relation:
            assert gradient(weight).abs().sum() > 0
    for name, parameter in network.named_parameters():
        if name.endswith("gate_bias"):
            assert (gradient(parameter).abs() > 0).all()


def test_learns_planted_effects(planted_de):
    model = Propagation(QUICK).fit(planted_de.train, planted_de.graph)
    values = model.predict(planted_de.test.perturbations).values
    assert np.nanmean(per_gene_auroc(values, planted_de.test.values, planted_de.test.measured)) > 0.7


def test_too_few_perturbations_is_an_error(planted_de):
    with pytest.raises(ModelError, match="too few training perturbations"):
        Propagation(QUICK).fit(planted_de.train.take(np.arange(3)), planted_de.graph)


def test_readout_is_zero_without_messages():
    readout = OutcomeReadout(4, 2, base=torch.tensor([0, 1]), members=3).eval()
    torch.nn.init.normal_(readout.last)
    assert readout(torch.zeros(6, 4), torch.randn(6, 2)).abs().max() == 0
    assert readout(torch.ones(6, 4), torch.randn(6, 2)).abs().min() > 0


def test_the_gate_scales_what_the_network_adds():
    readout = OutcomeReadout(4, 2, base=torch.tensor([0, 1]), members=3).eval()
    torch.nn.init.normal_(readout.last)
    channels, features = torch.randn(6, 4), torch.randn(6, 2)
    linear, change = readout.parts(channels, features)
    readout.gate.fill_(0.25)
    torch.testing.assert_close(readout(channels, features), linear + 0.25 * change)


def test_joined_readouts_are_the_members_of_one():
    readouts = [OutcomeReadout(4, 2, base=torch.tensor([0, 1]), hidden=5).eval() for _ in range(3)]
    channels, features = torch.randn(6, 4), torch.randn(6, 2)
    for readout in readouts:
        torch.nn.init.normal_(readout.last)
    expected = torch.cat([readout(channels, features) for readout in readouts])
    torch.testing.assert_close(OutcomeReadout.joined(readouts)(channels, features), expected)


def hidden_channels(effect: Callable[[torch.Tensor], torch.Tensor]) -> HiddenChannels:
    """40 genes under 50 hidden perturbations of 5 folds; the first channel is the linear part, the second is not."""
    row, gene = (part.flatten() for part in torch.meshgrid(torch.arange(50), torch.arange(40), indexing="ij"))
    fold = row % 5
    torch.manual_seed(1)
    channels = torch.randn(len(row), 2)
    pairs = Pairs(row, gene, (effect(channels) > 0).float(), gene + 40 * fold)
    return HiddenChannels(channels, torch.zeros(len(row), 1), pairs, fold, torch.tensor([0]), "de")


def test_the_gate_opens_for_a_network_that_helps_and_not_for_one_that_learns_noise():
    config = ReadoutConfig(hidden=4, epochs=30, lr=1e-2, batch_pairs=256)
    helpful = hidden_channels(lambda x: x[:, 0] + 2 * x[:, 1].square() - 2)
    noise = torch.randn(2000, generator=torch.Generator().manual_seed(3))
    useless = hidden_channels(lambda x: x[:, 0] + 10 * noise)

    def gate(hidden: HiddenChannels) -> float:
        seeds = (np.random.default_rng(seed) for seed in range(4))
        return float(np.mean([learn_gated_readout(hidden, config, rng).gate.item() for rng in seeds]))

    assert gate(helpful) > 0.9
    assert gate(useless) < 0.5


def test_a_readout_is_not_trained_on_its_own_fold():
    """Labels of one fold that are turned round change all readouts but the fold's own."""
    config, rng = ReadoutConfig(epochs=2, hidden=4), np.random.default_rng
    before = hidden_channels(lambda x: x[:, 0])
    effect = torch.where(before.fold == 2, 1 - before.pairs.effect, before.pairs.effect)
    after = replace(before, pairs=replace(before.pairs, effect=effect))
    kept = []
    for fold in range(5):
        others = (before.fold != fold).nonzero()[:, 0]
        found = []
        for hidden in (before, after):
            torch.manual_seed(0)
            found.append(learn_readout(hidden, others, config, rng(0)).first)
        kept.append(torch.equal(*found))
    assert kept == [False, False, True, False, False]


@pytest.mark.parametrize("steps", [1, 9, 10, 11])
def test_few_steps_are_enough(steps):
    """The schedule of the learning rate has no shortest length."""
    whole = hidden_channels(lambda x: x[:, 0])
    config = ReadoutConfig(epochs=steps, batch_pairs=4096)
    of_one_gene = torch.arange(0, 2000, 200)  # under the ten perturbations of a fold
    readout = learn_readout(whole, of_one_gene, config, np.random.default_rng(0))
    assert readout.first.isfinite().all()
    assert readout.last.abs().sum() > 0  # it begins at 0


def test_nothing_to_compare_closes_the_gate():
    hidden = hidden_channels(lambda x: torch.ones(len(x)))
    assert float(learn_gated_readout(hidden, ReadoutConfig(), np.random.default_rng(0)).gate) == 0


def test_nearness_of_a_perturbation_that_no_relation_knows_is_zero():
    near = torch.tensor([[0.5, 0.2], [0.0, 0.0]])
    found = Nearness(3).of_rows(near**2, near**4)
    torch.testing.assert_close(found[0], torch.tensor([np.log1p(0.29), np.log1p(0.0641), 0.5, np.log(3)]).float())
    assert (found[1] == 0).all()


def test_gene_pairs_join_the_labels_of_one_group():
    group, label = np.array([0, 0, 0, 1, 1, 2]), np.array([1, 0, 0, 1, 0, 1], dtype=np.float32)
    pairs = GenePairs(group, label)
    above, below, weight = pairs.draw(np.random.default_rng(0))
    assert len(pairs) == 2
    assert (group[above] == group[below]).all()
    assert (label[above] == 1).all()
    assert (label[below] == 0).all()
    assert weight[group[above] == 0].sum().item() == pytest.approx((2 / 3) ** 0.5)
    assert weight[group[above] == 1].sum().item() == pytest.approx(0.5**0.5)


def test_pairwise_logistic_by_hand():
    loss = pairwise_logistic(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 0.0]]), torch.tensor([1.0, 3.0]))
    assert loss.item() == pytest.approx((np.log1p(np.exp(-1)) + 3 * np.log(2)) / 4)
