"""Propagation: two-sided message passing of observed outcomes, with a learned readout."""

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
from gnnvcell.models._channels import READOUT_SIDES, PassedMessages, gene_features
from gnnvcell.models._context import ExpressionInContext
from gnnvcell.models._learning import HiddenChannels, Pairs, ReadoutConfig, learn_gated_readout
from gnnvcell.models._measured_parts import MeasuredParts, parts_of
from gnnvcell.models._outcomes import Outcomes, check_trainable, perturbation_folds
from gnnvcell.models._profiles import GraphProfiles, ProfileConfig, graph_profiles
from gnnvcell.models._solved_messages import readout_factors
from gnnvcell.models.base import MODELS, EffectModel, Prediction
from gnnvcell.models.evidence import Evidence, column_of
from gnnvcell.models.smoother import readout_operator, require_targets
from gnnvcell.ops.channel_readout import ReadoutWeights, channel_readout
from gnnvcell.perturbation import Perturbation

RELATION_POWER = 2.0
MEAN_POWERS = (2.0, 4.0)
PREDICTED_AT_ONCE = 32  # perturbations whose message sums are in memory together


class PropagationConfig(Config):
    """Settings of the propagation model.

    Args:
        folds: blocks of training perturbations that are hidden in turn while learning.
        solved_power: of the mean similarity of perturbations, for solved messages.
        solved_readout_power: of the mean similarity of readout genes, for solved messages.
        readout_power: of the mean similarity of readout genes, for averages.
        learned_pairs: most pairs of a perturbation and a gene that are learned from; of more, so many are drawn.
        readout: how the readout is trained.
        profiles: how relations become similarities.
    """

    folds: int = Field(default=5, ge=2)
    solved_power: float = Field(default=2.5, gt=0)
    solved_readout_power: float = Field(default=2.0, gt=0)
    readout_power: float = Field(default=4.0, gt=0)
    learned_pairs: int = Field(default=4_000_000, ge=1)
    readout: ReadoutConfig = ReadoutConfig()
    profiles: ProfileConfig = ProfileConfig()


@dataclass(frozen=True, eq=False)
class _Readouts:
    """What the graph says of the readout genes: a matrix for averages, factors for solved messages."""

    operator: Tensor
    factors: Tensor

    @classmethod
    def of(cls, profiles: GraphProfiles, genes: NDArray, config: PropagationConfig) -> "_Readouts":
        similarity = profiles.readout_similarity(genes)
        alike = torch.from_numpy(similarity**config.solved_readout_power).fill_diagonal_(1)
        factors = readout_factors(alike)
        del alike  # of a whole genome it takes gigabytes
        return cls(readout_operator(similarity, config.readout_power), factors)

    def pass_messages(self, outcomes: Outcomes, kernels: Tensor) -> PassedMessages:
        """Messages of training perturbations with (kernels, train, train) to each other, whose diagonal is set to 0."""
        kernels.diagonal(dim1=1, dim2=2).zero_()
        return PassedMessages.of(outcomes, kernels, self.operator, self.factors)


@dataclass(frozen=True, eq=False)
class _Fitted:
    """What prediction needs."""

    train: EffectTable
    outcomes: Outcomes
    messages: PassedMessages
    spread: Tensor
    features: Tensor
    expression: ExpressionInContext
    prior: Tensor
    unit: float
    parts: MeasuredParts | None  # of effects, which add up


@MODELS.register("propagation")
class Propagation(EffectModel):
    """Message passing of training outcomes to unseen perturbations, over both sides of the table.

    1. Every relation of the graph gives a similarity S_r between perturbations and, averaged, one between readout genes
       (``GraphProfiles``). The outcomes are residuals R: effect minus the gene's shrunken mean.
    2. Solved messages: R is regressed on the product of both similarities, ``(mean_r S_r)^2.5`` and its like of readout
       genes, so that neighbours that say the same are not heard twice and outcomes travel over any number of hops
       (``SolvedMessages``).
    3. Averages: R is passed over the readout side (own gene, graph neighbours, genes with correlated residuals, all
       genes: B_j, with evidence N_j) and averaged over the perturbation side by kernels K_k, each ``S_r^2`` and the
       mean to the powers 2 and 4: ``x_kj = K_k B_j / (K_k N_j + lambda_kj)`` (``ChannelMaker``).
    4. ``score = solved + gate * f(solved, x, z)``, f the networks of ``OutcomeReadout``, 0 where no message came, z the
       gene's prior and number of measurements, and where the table comes with the expression of control cells, that of
       the gene and of the targets in the cell type (``ExpressionInContext``). The prediction is
       ``sigmoid(logit(mu_g) + score)`` for labels and ``mu_g + score`` for effects.

    5. Effects, unlike labels, add up: the score of a combination is the sum of those of its parts, and a part that was
       measured, in this cell type or in another, is what solved messages say of it (``MeasuredParts``).

    Of labels, a perturbation that was measured in another cell type is its own nearest neighbour. The networks learn
    from blocks of training perturbations whose outcomes are hidden, in all cell types, from steps 2 and 3 (and from the
    gene means): by a pairwise ranking loss within genes for labels, by squared error for effects. Each block is left
    out by one of the networks, which are averaged; the gate is what is best for each on the block that it was not
    trained on.

    Shapes: see ``Prediction``. Units: probability-like score for labels, the table's unit for effects.

    Raises:
        ModelError: on ``fit``, no training target is in the graph, or fewer perturbations than folds; on ``predict``,
            the model was not fitted.

    Example:
        >>> model = Propagation().fit(train, graph, seed=0)  # doctest: +SKIP
        >>> model.predict(["TP53", "MDM2+MDM4"]).values  # doctest: +SKIP
    """

    config_class = PropagationConfig
    config: PropagationConfig
    uses_context = True
    uses_seed = True

    def _fit(self, train: EffectTable, graph: GeneGraph, seed: int) -> None:
        """Make the channels of hidden perturbations, and learn the readout from them."""
        cfg = self.config
        check_trainable(train, minimum=cfg.folds)
        self._profiles = graph_profiles(graph, cfg.profiles)
        require_targets(self._profiles.targets(train.perturbations).nnz, train, graph)
        torch.manual_seed(seed)
        self._among = self._profiles.among(train.perturbations)
        kernels = self._kernels_among(train)
        readouts = _Readouts.of(self._profiles, train.genes, cfg)
        expression = ExpressionInContext.of(train)
        hidden, spread = self._hidden_channels(train, kernels, readouts, expression, seed)
        self._readout, unit = learn_gated_readout(hidden, cfg.readout, np.random.default_rng(seed))
        whole = Outcomes.of(train)
        prior, features = whole.prior(train.kind), gene_features(whole, train.kind)
        messages = readouts.pass_messages(whole, kernels)
        parts = MeasuredParts.of(train, kernels[-1], messages.solution, prior) if train.kind == "delta" else None
        self._fitted = _Fitted(train, whole, messages, spread, features, expression, prior, unit, parts)

    @torch.no_grad()
    def _hidden_channels(
        self,
        train: EffectTable,
        kernels: Tensor,
        readouts: _Readouts,
        expression: ExpressionInContext,
        seed: int,
    ) -> tuple[HiddenChannels, Tensor]:
        """Channels of every fold, made from the outcomes of the others; and (channels,) their spread."""
        cfg = self.config
        codes, names = pd.factorize(train.perturbations)
        fold = perturbation_folds(len(names), cfg.folds, seed)[codes]
        fold_of_learned = np.where(_learned_from(train), fold, -1)
        share = min(1.0, cfg.learned_pairs / max(int(train.measured.sum()), 1))
        in_context = expression.of_rows(train)
        channels, features, pairs = [], [], []
        for k in range(cfg.folds):
            inside, outside = np.flatnonzero(fold_of_learned == k), np.flatnonzero(fold != k)
            outcomes = Outcomes.of(train, outside)
            found = _hidden_pairs(train, inside, k, outcomes, share, seed)
            messages = readouts.pass_messages(outcomes, _block(kernels, outside, outside))
            channels.append(messages.at(_block(kernels, inside, outside), found.row, found.gene))
            of_gene = gene_features(outcomes, train.kind)[found.gene]
            features.append(torch.cat([of_gene, in_context[inside][found.row, found.gene]], dim=1))
            pairs.append(found)
        joined, base = torch.cat(channels), _base_channels(len(kernels) - 1)
        of_fold = torch.cat([torch.full((len(found.row),), k) for k, found in enumerate(pairs)])
        spread = joined.std(dim=0)
        # Solved messages share a unit, so that their mean is the solved prediction.
        spread[base] = joined[:, base].sum(dim=1).std() / len(base)
        spread[spread == 0] = 1.0
        made = HiddenChannels(joined / spread, torch.cat(features), Pairs.joined(pairs), of_fold, base, train.kind)
        return made, spread

    @property
    def graph(self) -> GeneGraph:
        """The gene graph that predictions read."""
        return self._profiles.graph

    @torch.no_grad()
    def with_graph(self, graph: GeneGraph) -> "Propagation":
        """The fitted model on another graph of the same nodes and relations: all that follows from the graph is made
        again (profiles, similarities, messages), all that was learned stays (readout, gate, scales).
        """
        other, fitted = copy(self), self._fitted
        other._profiles = GraphProfiles(graph, self.config.profiles, like=self._profiles)
        other._among = other._profiles.among(fitted.train.perturbations)
        readouts = _Readouts.of(other._profiles, fitted.train.genes, self.config)
        kernels = other._kernels_among(fitted.train)
        messages = readouts.pass_messages(fitted.outcomes, kernels)
        messages.averages.halfway = fitted.messages.averages.halfway
        parts = fitted.parts
        if parts is not None:
            parts = replace(
                MeasuredParts.of(fitted.train, kernels[-1], messages.solution, fitted.prior), amplitude=parts.amplitude
            )
        other._fitted = replace(fitted, messages=messages, parts=parts)
        return other

    def evidence(self, perturbation: str, gene: str, *, context: Context | str | None = None) -> Evidence:
        """Which training perturbations a prediction rests on: how much of it goes when one of them is not heard.

        The weight is the similarity (mean over relations, squared; of a part that was measured, the kernel of solved
        messages, which holds the part itself) as a share of that of all. Contributions do not add
        up to the prediction, because the readout is not linear.

        Raises:
            ModelError: the gene is no readout gene, or the context is unknown.
        """
        fitted, where = self._fitted, self._context(context)
        column = column_of(gene, fitted.train.genes)
        parts = self._parts(perturbation)
        found = [self._without_each(one, column, where) for one in parts]
        weight, gone = (torch.stack(of_parts).sum(dim=0) for of_parts in zip(*found, strict=True))
        amplitude = fitted.parts.amplitude if fitted.parts is not None and len(parts) > 1 else 1.0
        base = fitted.prior[column] if fitted.train.kind == "delta" else fitted.prior[column].sigmoid()
        outcome = fitted.outcomes.residual[:, column].numpy()
        share, gone = (weight / weight.sum().clamp_min(1e-30)).numpy(), amplitude * gone.numpy()
        return Evidence.of(fitted.train.perturbations, share, outcome, gone, float(base), additive=False)

    def _parts(self, perturbation: str) -> list[str]:
        """What adds up to a perturbation: labels do not add up, and are predicted of the whole."""
        return [perturbation] if self._fitted.parts is None else [str(one) for one in parts_of(perturbation)]

    def _without_each(self, name: str, column: int, context: Context) -> tuple[Tensor, Tensor]:
        """(train,) how much each training perturbation is heard of one part, and how much goes without it."""
        fitted = self._fitted
        similarity = self._similarity(np.array([name]))  # (relations, 1, train)
        weight = similarity.mean(dim=0)[0] ** MEAN_POWERS[0]
        one, place = Perturbation.parse(name), self._place(context)
        if fitted.parts is not None and one in fitted.parts.anywhere:
            return fitted.parts.heard(place, one), fitted.parts.contributions(place, one, column)
        heard = weight.nonzero()[:, 0]
        one_less = similarity.repeat(1, len(heard) + 1, 1)
        one_less[:, torch.arange(len(heard)), heard] = 0
        values = self._effects(one_less, np.full(len(heard) + 1, name), context)[:, column]
        gone = torch.zeros(len(weight))
        gone[heard] = values[-1] - values[:-1]
        return weight, gone

    def _place(self, context: Context) -> str:
        """The training context that a context is taken for: without control expression the only one there is."""
        names = self._fitted.train.context_names
        return names[0] if len(names) == 1 and not self._fitted.expression.control else context.name

    def _similarity(self, names: NDArray) -> Tensor:
        """(relations, names, train)."""
        return torch.from_numpy(self._profiles.between(names, self._among))

    def _kernels(self, similarity: Tensor) -> Tensor:
        """(kernels, left, right): each relation squared, the mean to fixed powers, and that of solved messages."""
        mean = similarity.mean(dim=0)
        powers = (*MEAN_POWERS, self.config.solved_power)
        return torch.cat([similarity**RELATION_POWER, torch.stack([mean**power for power in powers])])

    def _kernels_among(self, train: EffectTable) -> Tensor:
        """(kernels, train, train); one perturbation in two contexts is the same to solved messages, whatever the graph
        knows of it.
        """
        kernels = self._kernels(torch.from_numpy(self._among.similarity))
        if len(train.context_names) > 1:
            codes = torch.from_numpy(pd.factorize(train.perturbations)[0])
            kernels[-1][codes[:, None] == codes] = 1
        return kernels

    def _predict(self, names: NDArray, context: Context) -> Prediction:
        """The gene's prior moved by the messages; of effects, by what was measured, and by that of all parts."""
        parts = self._fitted.parts
        if parts is None:
            values = self._effects(self._similarity(names), names, context)
        else:
            place, of_name = self._place(context), [parts_of(str(name)) for name in names]
            single = {one: str(one) for several in of_name for one in several}
            unknown = [one for one in single if one not in parts.anywhere]
            asked = np.array([single[one] for one in unknown], dtype=str)
            heard = self._effects(self._similarity(asked), asked, context) - self._fitted.prior
            beyond = dict(zip(unknown, heard, strict=True))
            values = self._fitted.prior.repeat(len(names), 1)
            for row, several in enumerate(of_name):
                found = [beyond[one] if one in beyond else parts.beyond_mean(place, one) for one in several]
                amplitude = 1.0 if len(several) == 1 else parts.amplitude
                values[row] += amplitude * torch.stack(found).sum(dim=0)
        support = self._profiles.support(names, self._fitted.train.perturbations)
        return Prediction(values.numpy(), names, self._fitted.train.genes, support)

    def _effects(self, similarity: Tensor, names: NDArray, context: Context) -> Tensor:
        """(perturbations, genes) effects of perturbations by their (relations, perturbations, train) similarity."""
        fitted = self._fitted
        weights, row = self._readout_weights(*fitted.expression.parts(names, context))
        score = torch.empty(len(names), len(fitted.train.genes))
        for part in torch.arange(len(names)).split(PREDICTED_AT_ONCE):
            with torch.no_grad():
                sums = fitted.messages.sums(self._kernels(similarity[:, part]))
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
            last=(readout.gate * readout.last.flatten() / len(readout.last)).numpy(),
            linear=linear.numpy(),
            clip=readout.clip,
            scale=(1 / fitted.spread).numpy(),
            halfway=fitted.messages.halfway.flatten().numpy(),
            expected=fitted.messages.averages.messages.expected.numpy(),
            incomplete=fitted.messages.averages.incomplete.numpy(),
            gene=added.numpy(),
        )
        return weights, (target @ first[end:]).numpy() if target.shape[1] else None


def _learned_from(train: EffectTable) -> NDArray[np.bool_]:
    """Rows to learn from: of effects, which add up, those of one target where there are any."""
    alone = np.array([len(parts_of(str(name))) == 1 for name in train.perturbations])
    return alone if train.kind == "delta" and alone.any() else np.ones(len(alone), dtype=bool)


def _block(kernels: Tensor, rows: NDArray, columns: NDArray) -> Tensor:
    """(kernels, rows, columns) a copy; numpy takes a quarter of torch's time for it."""
    return torch.from_numpy(kernels.numpy()[:, rows[:, None], columns])


def _hidden_pairs(train: EffectTable, inside: NDArray, k: int, outcomes: Outcomes, share: float, seed: int) -> Pairs:
    """The measured pairs of one fold, or a share of them, drawn."""
    measured = train.measured[inside]
    if share < 1:
        measured = measured & (np.random.default_rng([seed, k]).random(measured.shape, dtype=np.float32) < share)
    return Pairs.hidden(train.values[inside], measured, train.kind, outcomes.gene_mean, k)


def _base_channels(kernel: int) -> Tensor:
    """Channels of the solved messages: what is said of the gene itself, and through genes that are like it."""
    return torch.tensor([kernel * len(READOUT_SIDES) + READOUT_SIDES.index(side) for side in ("own", "graph")])
