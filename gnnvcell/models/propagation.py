"""Propagation: two-sided message passing of observed outcomes, with learned relations and a learned readout."""

from copy import copy
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from gnnvcell.config import Config
from gnnvcell.data.effects import Context, EffectTable
from gnnvcell.graphs.gene_graph import GeneGraph
from gnnvcell.models._channels import READOUT_SIDES, ChannelMaker, gene_features, pass_over_readouts
from gnnvcell.models._context import ExpressionInContext
from gnnvcell.models._learning import Pairs, learn_mixture, learn_readout
from gnnvcell.models._outcomes import Outcomes, check_trainable, perturbation_folds
from gnnvcell.models._profiles import GraphProfiles, ProfileConfig, graph_profiles, similarities
from gnnvcell.models.base import MODELS, EffectModel, Prediction
from gnnvcell.models.evidence import Evidence, column_of
from gnnvcell.models.smoother import readout_operator, require_targets
from gnnvcell.nn.outcome_readout import OutcomeReadout
from gnnvcell.nn.relation_mixture import RelationMixture
from gnnvcell.ops.channel_readout import ReadoutWeights, channel_readout

RELATION_POWER = 2.0
FIXED_POWERS = (2.0, 4.0)
PREDICTED_AT_ONCE = 32  # perturbations whose message sums are in memory together


class PropagationConfig(Config):
    """Settings of the propagation model.

    Args:
        heads: learned mixtures of relations.
        folds: blocks of training perturbations that are hidden in turn while learning.
        mixture_epochs, mixture_lr: training of the mixtures.
        hidden, members, dropout: of the readout.
        readout_epochs, readout_lr, weight_decay, batch_pairs: training of the readout.
        readout_power: of the similarity between readout genes.
        learned_pairs: most pairs of a perturbation and a gene that are learned from; of more, so many are drawn.
        profiles: how relations become similarities.
    """

    heads: int = Field(default=2, ge=1)
    folds: int = Field(default=5, ge=2)
    mixture_epochs: int = Field(default=8, ge=0)
    mixture_lr: float = Field(default=0.1, gt=0)
    hidden: int = Field(default=32, ge=1)
    members: int = Field(default=4, ge=1)
    dropout: float = Field(default=0.2, ge=0, lt=1)
    readout_epochs: int = Field(default=12, ge=0)
    readout_lr: float = Field(default=3e-3, gt=0)
    weight_decay: float = Field(default=0.3, ge=0)
    batch_pairs: int = Field(default=2048, ge=1)
    readout_power: float = Field(default=4.0, gt=0)
    learned_pairs: int = Field(default=4_000_000, ge=1)
    profiles: ProfileConfig = ProfileConfig()


@dataclass(frozen=True, eq=False)
class _Fitted:
    """What prediction needs."""

    train: EffectTable
    outcomes: Outcomes
    maker: ChannelMaker
    spread: Tensor
    features: Tensor
    expression: ExpressionInContext
    prior: Tensor
    unit: float


@MODELS.register("propagation")
class Propagation(EffectModel):
    """Message passing of training outcomes to unseen perturbations, over both sides of the table.

    1. Every relation of the graph gives a similarity S_r between perturbations and, averaged, one between readout genes
       (``GraphProfiles``).
    2. Kernels K: each ``S_r^2``, their mean to the powers 2 and 4, and ``heads`` learned mixtures
       ``(sum_r softmax(a)_r S_r)^p`` (``RelationMixture``).
    3. Training residuals R (effect minus the gene's shrunken mean) are passed over the readout side: own gene, graph
       neighbours, genes with correlated residuals, all genes (``pass_over_readouts``): B_j, with evidence N_j.
    4. Channels ``x_kj = K_k B_j / (K_k N_j + lambda_kj)`` (``ChannelMaker``), in units of their standard deviation.
    5. ``score = OutcomeReadout(x, z)``, 0 where no message came, z the gene's prior and number of measurements, and
       where the table comes with the expression of control cells, that of the gene and of the targets in the cell type
       (``ExpressionInContext``); the prediction is ``sigmoid(logit(mu_g) + score)`` for labels and ``mu_g + score`` for
       effects.

    A perturbation that was measured in another cell type is its own nearest neighbour there. Mixtures and readout are
    learned on blocks of training perturbations whose outcomes are hidden, in all cell types, from steps 3 and 4 (and
    from the gene means): by a pairwise ranking loss within genes for labels, by squared error for effects.

    Shapes: see ``Prediction``. Units: probability-like score for labels, the table's unit for effects.

    Raises:
        ModelError: on ``fit``, no training target is in the graph, or fewer perturbations than folds; on ``predict``,
            the model was not fitted.

    Example:
        >>> model = Propagation().fit(train, graph, seed=0)  # doctest: +SKIP
        >>> model.relation_weights  # doctest: +SKIP
        {'string': [0.3, 0.2], 'annotated_bp': [0.7, 0.8]}
    """

    config_class = PropagationConfig
    config: PropagationConfig
    uses_context = True
    uses_seed = True

    def _fit(self, train: EffectTable, graph: GeneGraph, seed: int) -> None:
        """Learn relation weights, then the readout."""
        cfg = self.config
        check_trainable(train, minimum=cfg.folds)
        self._profiles = graph_profiles(graph, cfg.profiles)
        require_targets(self._profiles.targets(train.perturbations).nnz, train, graph)
        torch.manual_seed(seed)
        rng = np.random.default_rng(seed)
        self._rows = self._profiles.of_perturbations(train.perturbations)
        similarity = torch.from_numpy(similarities(self._rows, self._rows))
        similarity.diagonal(dim1=1, dim2=2).zero_()
        operator = readout_operator(self._profiles.readout_similarity(train.genes), cfg.readout_power)
        codes, names = pd.factorize(train.perturbations)
        fold = perturbation_folds(len(names), cfg.folds, seed)[codes]
        outcomes = [Outcomes.of(train, np.flatnonzero(fold != k)) for k in range(cfg.folds)]
        share = min(1.0, cfg.learned_pairs / max(int(train.measured.sum()), 1))
        hidden = [_hidden_pairs(train, fold == k, k, outcomes[k], share, seed) for k in range(cfg.folds)]
        self._mixture = RelationMixture(len(similarity), cfg.heads)
        learn_mixture(
            self._mixture, similarity, fold, outcomes, hidden,
            kind=train.kind, epochs=cfg.mixture_epochs, lr=cfg.mixture_lr, rng=rng,
        )  # fmt: skip
        with torch.no_grad():
            channels = torch.cat(
                [self._fold_channels(similarity, operator, fold, k, outcomes[k], hidden[k]) for k in range(cfg.folds)]
            )
        expression = ExpressionInContext.of(train)
        in_context = expression.of_rows(train)
        features = torch.cat(
            [
                torch.cat([gene_features(o, train.kind)[p.gene], in_context[fold == k][p.row, p.gene]], dim=1)
                for k, (o, p) in enumerate(zip(outcomes, hidden, strict=True))
            ]
        )
        spread = channels.std(dim=0)
        spread[spread == 0] = 1.0
        kernels = len(similarity) + len(FIXED_POWERS) + cfg.heads
        self._readout = OutcomeReadout(
            channels.shape[1], features.shape[1], base=_base_channels(len(similarity), kernels),
            hidden=cfg.hidden, members=cfg.members, dropout=cfg.dropout,
        )  # fmt: skip
        unit = learn_readout(
            self._readout, channels / spread, features, Pairs.joined(hidden),
            kind=train.kind, epochs=cfg.readout_epochs, lr=cfg.readout_lr, weight_decay=cfg.weight_decay,
            batch_pairs=cfg.batch_pairs, rng=rng,
        )  # fmt: skip
        whole = Outcomes.of(train)
        with torch.no_grad():
            all_kernels = self._kernels(similarity)
            maker = ChannelMaker(pass_over_readouts(whole, operator, all_kernels[len(similarity)]), all_kernels)
        prior = whole.prior(train.kind)
        features = gene_features(whole, train.kind)
        self._fitted = _Fitted(train, whole, maker, spread, features, expression, prior, unit)

    @property
    def graph(self) -> GeneGraph:
        """The gene graph that predictions read."""
        return self._profiles.graph

    @torch.no_grad()
    def with_graph(self, graph: GeneGraph) -> "Propagation":
        """The fitted model on another graph of the same nodes and relations: all that follows from the graph is made
        again (profiles, similarities, messages), all that was learned stays (relation weights, readout, scales).
        """
        other, cfg, fitted = copy(self), self.config, self._fitted
        other._profiles = GraphProfiles(graph, cfg.profiles, like=self._profiles)
        other._rows = other._profiles.of_perturbations(fitted.train.perturbations)
        similarity = torch.from_numpy(similarities(other._rows, other._rows))
        similarity.diagonal(dim1=1, dim2=2).zero_()
        operator = readout_operator(other._profiles.readout_similarity(fitted.train.genes), cfg.readout_power)
        near = similarity.mean(dim=0) ** FIXED_POWERS[0]
        maker = ChannelMaker(pass_over_readouts(fitted.outcomes, operator, near), self._kernels(similarity))
        maker.halfway = fitted.maker.halfway
        other._fitted = replace(fitted, maker=maker)
        return other

    def evidence(self, perturbation: str, gene: str, *, context: Context | str | None = None) -> Evidence:
        """Which training perturbations a prediction rests on: how much of it goes when one of them is not heard.

        The weight is the similarity (mean over relations, squared) as a share of that of all. Contributions do not add
        up to the prediction, because the readout is not linear.

        Raises:
            ModelError: the gene is no readout gene, or the context is unknown.
        """
        fitted = self._fitted
        column = column_of(gene, fitted.train.genes)
        rows = self._profiles.of_perturbations(np.array([perturbation]))
        similarity = torch.from_numpy(similarities(rows, self._rows))  # (relations, 1, train)
        weight = similarity.mean(dim=0)[0] ** FIXED_POWERS[0]
        heard = weight.nonzero()[:, 0]
        one_less = similarity.repeat(1, len(heard) + 1, 1)
        one_less[:, torch.arange(len(heard)), heard] = 0
        names = np.full(len(heard) + 1, perturbation)
        values = self._effects(one_less, names, self._context(context))[:, column]
        gone = torch.zeros(len(weight))
        gone[heard] = values[-1] - values[:-1]
        outcome = fitted.outcomes.residual[:, column].numpy()
        base = fitted.prior[column] if fitted.train.kind == "delta" else fitted.prior[column].sigmoid()
        share = (weight / weight.sum().clamp_min(1e-30)).numpy()
        return Evidence.of(fitted.train.perturbations, share, outcome, gone.numpy(), float(base), additive=False)

    def _kernels(self, similarity: Tensor) -> Tensor:
        """(kernels, left, right): each relation squared, the mean to fixed powers, the learned mixtures."""
        mean = similarity.mean(dim=0)
        fixed = [mean**power for power in FIXED_POWERS]
        floor = (similarity.sum(dim=0) > 0).float()  # the mixture's floor must not let unrelated perturbations speak
        return torch.cat([similarity**RELATION_POWER, torch.stack(fixed), self._mixture(similarity) * floor])

    def _fold_channels(
        self, similarity: Tensor, operator: Tensor, fold: NDArray, k: int, outcomes: Outcomes, hidden: Pairs
    ) -> Tensor:
        inside, outside = torch.from_numpy(np.flatnonzero(fold == k)), torch.from_numpy(np.flatnonzero(fold != k))
        kernels = self._kernels(similarity[:, inside][:, :, outside])
        near = similarity[:, outside][:, :, outside].mean(dim=0) ** FIXED_POWERS[0]
        return ChannelMaker(pass_over_readouts(outcomes, operator, near), kernels).at(kernels, hidden.row, hidden.gene)

    def _predict(self, names: NDArray, context: Context) -> Prediction:
        """The gene's prior moved by the messages."""
        similarity = torch.from_numpy(similarities(self._profiles.of_perturbations(names), self._rows))
        score = self._effects(similarity, names, context)
        support = self._profiles.support(names, self._fitted.train.perturbations)
        return Prediction(score.numpy(), names, self._fitted.train.genes, support)

    def _effects(self, similarity: Tensor, names: NDArray, context: Context) -> Tensor:
        """(perturbations, genes) effects of perturbations by their (relations, perturbations, train) similarity."""
        fitted = self._fitted
        weights, row = self._readout_weights(*fitted.expression.parts(names, context))
        score = torch.empty(len(names), len(fitted.train.genes))
        for part in torch.arange(len(names)).split(PREDICTED_AT_ONCE):
            with torch.no_grad():
                sums = fitted.maker.sums(self._kernels(similarity[:, part]))
            found = channel_readout(sums, weights, None if row is None else row[part.numpy()])
            score[part] = torch.from_numpy(found)
        score.mul_(fitted.unit).add_(fitted.prior)
        return score if fitted.train.kind == "delta" else score.sigmoid_()

    @torch.no_grad()
    def _readout_weights(self, gene: Tensor, target: Tensor) -> tuple[ReadoutWeights, NDArray[np.float32] | None]:
        """The readout as the kernel takes it, and what each perturbation's targets add to the hidden layer."""
        fitted, readout = self._fitted, self._readout
        channels = len(fitted.spread)
        first = readout.first.transpose(0, 1).flatten(1)  # (channels and features, hidden of all members)
        of_genes = torch.cat([fitted.features, gene], dim=1)
        end = channels + of_genes.shape[1]
        added = first[channels:end].T @ of_genes.T + readout.first_bias.flatten()[:, None]
        linear = torch.zeros(channels)
        linear[readout.base] = readout.scale.mean() / len(readout.base)
        weights = ReadoutWeights(
            first=first[:channels].T.contiguous().numpy(),
            last=(readout.last.flatten() / len(readout.last)).numpy(),
            linear=linear.numpy(),
            clip=readout.clip,
            scale=(1 / fitted.spread).numpy(),
            halfway=fitted.maker.halfway.flatten().numpy(),
            expected=fitted.maker.messages.expected.numpy(),
            incomplete=fitted.maker.incomplete.numpy(),
            gene=added.numpy(),
        )
        return weights, (target @ first[end:]).numpy() if target.shape[1] else None

    @property
    def relation_weights(self) -> dict[str, list[float]]:
        """Share of each relation in every learned mixture."""
        weights = self._mixture.weights.detach().T.tolist()
        return dict(zip(self._profiles.relations, weights, strict=True))


def _hidden_pairs(
    train: EffectTable, inside: NDArray, k: int, outcomes: Outcomes, share: float, seed: int
) -> Pairs:
    """The measured pairs of one fold, or a share of them, drawn."""
    measured = train.measured[inside]
    if share < 1:
        measured = measured & (np.random.default_rng([seed, k]).random(measured.shape, dtype=np.float32) < share)
    return Pairs.hidden(train.values[inside], measured, train.kind, outcomes.gene_mean, k)


def _base_channels(first: int, kernels: int) -> Tensor:
    """Channels of kernels ``first`` and later, over the own, graph and data sides."""
    sides = [READOUT_SIDES.index(side) for side in ("own", "graph", "data")]
    return torch.tensor([k * len(READOUT_SIDES) + side for k in range(first, kernels) for side in sides])
