"""Propagation of labels: solved messages and averages of training outcomes, read out by small networks."""

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
from gnnvcell.models._channels import READOUT_SIDES, PassedMessages, gene_features
from gnnvcell.models._context import ExpressionInContext
from gnnvcell.models._learning import HiddenChannels, Pairs, ReadoutConfig, learn_gated_readout
from gnnvcell.models._outcomes import Outcomes, perturbation_folds
from gnnvcell.models._profiles import GraphProfiles
from gnnvcell.models._solved_messages import readout_factors
from gnnvcell.models.evidence import Evidence
from gnnvcell.models.smoother import readout_operator
from gnnvcell.ops.channel_readout import ReadoutWeights, channel_readout

RELATION_POWER = 2.0
MEAN_POWERS = (2.0, 4.0)
PREDICTED_AT_ONCE = 32  # perturbations whose message sums are in memory together


class LabelConfig(Config):
    """Settings of the propagation of labels.

    Args:
        folds: blocks of training perturbations that are hidden in turn while learning.
        solved_power: of the mean similarity of perturbations, for solved messages.
        solved_readout_power: of the mean similarity of readout genes, for solved messages.
        readout_power: of the mean similarity of readout genes, for averages.
        learned_pairs: most pairs of a perturbation and a gene that are learned from; of more, so many are drawn.
        readout: how the readout is trained.
    """

    folds: int = Field(default=5, ge=2)
    solved_power: float = Field(default=2.5, gt=0)
    solved_readout_power: float = Field(default=2.0, gt=0)
    readout_power: float = Field(default=4.0, gt=0)
    learned_pairs: int = Field(default=4_000_000, ge=1)
    readout: ReadoutConfig = ReadoutConfig()


@dataclass(frozen=True, eq=False)
class _Readouts:
    """What the graph says of the readout genes: a matrix for averages, factors for solved messages."""

    operator: Tensor
    factors: Tensor

    @classmethod
    def of(cls, profiles: GraphProfiles, genes: NDArray, config: LabelConfig) -> "_Readouts":
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
class _Learned:
    """What prediction needs beside the graph and the readout."""

    messages: PassedMessages
    spread: Tensor
    features: Tensor
    prior: Tensor


class LabelPropagation:
    """Messages of training labels, and the networks that read them out; what they are is said at ``Propagation``.

    Args:
        train: labels.
        profiles: of the graph.
        config: settings.
        seed: of folds and networks.
    """

    @torch.no_grad()
    def __init__(self, train: EffectTable, profiles: GraphProfiles, config: LabelConfig, seed: int) -> None:
        self.train, self.profiles, self.config = train, profiles, config
        torch.manual_seed(seed)
        self.among = profiles.among(train.perturbations)
        self._expression = ExpressionInContext.of(train)
        self._outcomes = Outcomes.of(train)
        kernels, readouts = self._kernels_among(), _Readouts.of(profiles, train.genes, config)
        hidden, spread = self._hidden_channels(kernels, readouts, seed)
        with torch.enable_grad():
            self._readout = learn_gated_readout(hidden, config.readout, np.random.default_rng(seed))
        messages = readouts.pass_messages(self._outcomes, kernels)
        prior, features = self._outcomes.prior(train.kind), gene_features(self._outcomes, train.kind)
        self._learned = _Learned(messages, spread, features, prior)

    def _hidden_channels(self, kernels: Tensor, readouts: _Readouts, seed: int) -> tuple[HiddenChannels, Tensor]:
        """Channels of every fold, made from the outcomes of the others; and (channels,) their spread."""
        train, cfg = self.train, self.config
        codes, names = pd.factorize(train.perturbations)
        fold = perturbation_folds(len(names), cfg.folds, seed)[codes]
        share = min(1.0, cfg.learned_pairs / max(int(train.measured.sum()), 1))
        in_context = self._expression.of_rows(train)
        channels, features, pairs = [], [], []
        for k in range(cfg.folds):
            inside, outside = np.flatnonzero(fold == k), np.flatnonzero(fold != k)
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

    @torch.no_grad()
    def with_profiles(self, profiles: GraphProfiles) -> "LabelPropagation":
        """On another graph: all that follows from it is made again, all that was learned stays."""
        other, learned = copy(self), self._learned
        other.profiles = profiles
        other.among = profiles.among(self.train.perturbations)
        readouts = _Readouts.of(profiles, self.train.genes, self.config)
        messages = readouts.pass_messages(self._outcomes, other._kernels_among())
        messages.averages.halfway = learned.messages.averages.halfway
        other._learned = replace(learned, messages=messages)
        return other

    def predict(self, names: NDArray, context: Context) -> NDArray[np.float32]:
        """(names, genes) scores between 0 and 1."""
        return self.scores(self._similarity(names), names, context).numpy()

    def evidence(self, perturbation: str, column: int, context: Context) -> Evidence:
        """How much of a prediction goes when a training perturbation is not heard."""
        similarity = self._similarity(np.array([perturbation]))  # (relations, 1, train)
        weight = similarity.mean(dim=0)[0] ** MEAN_POWERS[0]
        heard = weight.nonzero()[:, 0]
        one_less = similarity.repeat(1, len(heard) + 1, 1)
        one_less[:, torch.arange(len(heard)), heard] = 0
        values = self.scores(one_less, np.full(len(heard) + 1, perturbation), context)[:, column]
        gone = torch.zeros(len(weight))
        gone[heard] = values[-1] - values[:-1]
        share = (weight / weight.sum().clamp_min(1e-30)).numpy()
        outcome, base = self._outcomes.residual[:, column].numpy(), float(self._learned.prior[column].sigmoid())
        return Evidence.of(self.train.perturbations, share, outcome, gone.numpy(), base, additive=False)

    def _similarity(self, names: NDArray) -> Tensor:
        """(relations, names, train)."""
        return torch.from_numpy(self.profiles.between(names, self.among))

    def _kernels(self, similarity: Tensor) -> Tensor:
        """(kernels, left, right): each relation squared, the mean to fixed powers, and that of solved messages."""
        mean = similarity.mean(dim=0)
        powers = (*MEAN_POWERS, self.config.solved_power)
        return torch.cat([similarity**RELATION_POWER, torch.stack([mean**power for power in powers])])

    def _kernels_among(self) -> Tensor:
        """(kernels, train, train); one perturbation in two contexts is the same to solved messages, whatever the graph
        knows of it.
        """
        kernels = self._kernels(torch.from_numpy(self.among.similarity))
        if len(self.train.context_names) > 1:
            codes = torch.from_numpy(pd.factorize(self.train.perturbations)[0])
            kernels[-1][codes[:, None] == codes] = 1
        return kernels

    def scores(self, similarity: Tensor, names: NDArray, context: Context) -> Tensor:
        """(perturbations, genes) scores of perturbations by their (relations, perturbations, train) similarity."""
        learned = self._learned
        weights, row = self._readout_weights(*self._expression.parts(names, context))
        score = torch.empty(len(names), len(self.train.genes))
        for part in torch.arange(len(names)).split(PREDICTED_AT_ONCE):
            with torch.no_grad():
                sums = learned.messages.sums(self._kernels(similarity[:, part]))
            found = channel_readout(sums, weights, None if row is None else row[part.numpy()])
            score[part] = torch.from_numpy(found)
        return score.add_(learned.prior).sigmoid_()

    @torch.no_grad()
    def _readout_weights(self, gene: Tensor, target: Tensor) -> tuple[ReadoutWeights, NDArray[np.float32] | None]:
        """The readout as the kernel takes it, and what each perturbation's targets add to the hidden layer."""
        learned, readout = self._learned, self._readout
        channels = len(learned.spread)
        first = readout.first.transpose(0, 1).flatten(1)  # (channels and features, hidden of all members)
        of_genes = torch.cat([learned.features, gene], dim=1)
        end = channels + of_genes.shape[1]
        added = first[channels:end].T @ of_genes.T + readout.first_bias.flatten()[:, None]
        linear = torch.zeros(channels)
        linear[readout.base] = readout.scale.mean() / len(readout.base)
        weights = ReadoutWeights(
            first=first[:channels].T.contiguous().numpy(),
            last=(readout.gate * readout.last.flatten() / len(readout.last)).numpy(),
            linear=linear.numpy(),
            clip=readout.clip,
            scale=(1 / learned.spread).numpy(),
            halfway=learned.messages.halfway.flatten().numpy(),
            expected=learned.messages.averages.messages.expected.numpy(),
            incomplete=learned.messages.averages.incomplete.numpy(),
            gene=added.numpy(),
        )
        return weights, (target @ first[end:]).numpy() if target.shape[1] else None


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
