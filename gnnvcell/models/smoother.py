"""Smoother: multi-relational diffusion of training outcomes to an unseen perturbation, over both sides of the table."""


from copy import copy

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from gnnvcell.config import Config
from gnnvcell.data.effects import Context, EffectTable
from gnnvcell.errors import ModelError
from gnnvcell.graphs.gene_graph import GeneGraph
from gnnvcell.models._outcomes import Outcomes, check_trainable
from gnnvcell.models._profiles import GraphProfiles, ProfileConfig, graph_profiles
from gnnvcell.models.base import MODELS, EffectModel, Prediction
from gnnvcell.models.evidence import Evidence, column_of


class SmootherConfig(Config):
    """Settings of the smoother; nothing is learned but gene means.

    Args:
        power: of the mean similarity between perturbations; larger listens to nearer perturbations only.
        readout_power: of the mean similarity between readout genes.
        readout_weight: weight of all the other readout genes together against the gene itself.
        shrinkage: evidence, in units of the median over predicted pairs, at which the answer is halfway to the mean.
        profiles: how relations become similarities.
    """

    power: float = Field(default=2.5, gt=0)
    readout_power: float = Field(default=4.0, gt=0)
    readout_weight: float = Field(default=0.1, ge=0)
    shrinkage: float = Field(default=1.0, ge=0)
    profiles: ProfileConfig = ProfileConfig()


def readout_operator(similarity: NDArray[np.float32], power: float) -> Tensor:
    """(genes, genes) messages between readout genes: similarity to a power, over the median column sum.

    It takes the place of the similarity, because of a whole genome each takes gigabytes.
    """
    raised = np.power(similarity, np.float32(power), out=similarity)
    sums = raised.sum(axis=0)
    raised /= np.float32(np.median(sums[sums > 0])) if (sums > 0).any() else np.float32(1)
    return torch.from_numpy(raised)


@MODELS.register("smoother")
class Smoother(EffectModel):
    """Average of the training outcomes near a perturbation, where near is measured by all relations of the graph.

    ``S = (mean_r cos_r)^power`` between perturbations (own profile of each relation, see ``GraphProfiles``),
    ``T = I + readout_weight * C^readout_power`` between readout genes, and for the residuals R of the training effects
    to the genes' shrunken means mu and the mask M:

    ``prediction = mu + S R T / (S M T + shrinkage * median(S0 M T))``, S0 the same among training perturbations

    Shapes: R, M (training perturbations, genes); S (perturbations, training perturbations); T (genes, genes). Units are
    those of the effects. A label's prediction is its estimated probability.

    Raises:
        ModelError: on ``fit``, no training target is in the graph; on ``predict``, the model was not fitted.

    Example:
        >>> model = Smoother(SmootherConfig(power=3.0)).fit(train, graph)  # doctest: +SKIP
        >>> model.predict(["TP53", "MDM2+MDM4"]).values  # doctest: +SKIP
    """

    config_class = SmootherConfig
    config: SmootherConfig

    def _fit(self, train: EffectTable, graph: GeneGraph, seed: int) -> None:
        """Keep the training residuals, and what the readout genes tell each other."""
        check_trainable(train)
        self._train, self._outcomes = train, Outcomes.of(train)
        self._profiles = graph_profiles(graph, self.config.profiles)
        require_targets(self._profiles.targets(train.perturbations).nnz, train, graph)
        self._pass()
        among = self._among.similarity.mean(axis=0)
        np.fill_diagonal(among, 0)
        evidence = torch.from_numpy(among**self.config.power) @ self._heard
        present = evidence[evidence > 0]
        self._halfway = self.config.shrinkage * float(present.median()) if len(present) else 1.0

    def _pass(self) -> None:
        """Pass the training outcomes between readout genes, over the graph of the profiles."""
        self._among = self._profiles.among(self._train.perturbations)
        genes = self._train.genes
        operator = readout_operator(self._profiles.readout_similarity(genes), self.config.readout_power)
        operator = operator.mul_(self.config.readout_weight).add_(torch.eye(len(genes)))
        outcomes = self._outcomes
        self._message = outcomes.over_genes(outcomes.residual, operator)
        self._heard = outcomes.over_genes(outcomes.measured, operator)

    @property
    def graph(self) -> GeneGraph:
        """The gene graph that predictions read."""
        return self._profiles.graph

    def with_graph(self, graph: GeneGraph) -> "Smoother":
        """The fitted model on another graph of the same nodes: all that follows from the graph is made again, what was
        learned from the training outcomes (gene means, shrinkage) stays.
        """
        other = copy(self)
        other._profiles = GraphProfiles(graph, self.config.profiles, like=self._profiles)
        other._pass()
        return other

    def evidence(self, perturbation: str, gene: str) -> Evidence:
        """Which training perturbations a prediction is made of: it is the gene's mean plus their contributions.

        The outcome of a training perturbation is what it did to the gene and, by ``readout_weight``, to like genes.

        Raises:
            ModelError: the gene is no readout gene.
        """
        column = column_of(gene, self._train.genes)
        near = self._near(np.array([perturbation]))[0]
        weight = near / max(float(near @ self._heard[:, column].numpy()) + self._halfway, 1e-30)
        outcome = self._message[:, column].numpy()
        base = float(self._outcomes.gene_mean[column])
        return Evidence.of(self._train.perturbations, weight, outcome, weight * outcome, base)

    def _predict(self, names: NDArray, context: Context) -> Prediction:
        """The gene's mean plus the shrunken average of the messages."""
        near = torch.from_numpy(self._near(names))
        evidence = (near @ self._heard + self._halfway).clamp_min(torch.finfo(torch.float32).tiny)
        answer = self._outcomes.gene_mean + (near @ self._message) / evidence
        support = self._profiles.support(names, self._train.perturbations)
        return Prediction(answer.numpy(), names, self._train.genes, support)

    def _near(self, names: NDArray) -> NDArray[np.float32]:
        """(perturbations, training perturbations) S."""
        return self._profiles.between(names, self._among).mean(axis=0) ** self.config.power


def require_targets(known: int, train: EffectTable, graph: GeneGraph) -> None:
    """Refuse training perturbations of which no target is in the graph.

    Raises:
        ModelError: with an example.
    """
    if known == 0:
        raise ModelError(
            "no target of the training perturbations is in the graph",
            expected=f"some of the graph's {graph.num_genes:,} genes",
            found=", ".join(map(str, train.perturbations[:3])),
            remedy="use the graph of the right species, or gene symbols",
        )
