"""Propagation: message passing of observed outcomes over both sides of the table."""

from copy import copy

from numpy.typing import NDArray

from gnnvcell.config import Config
from gnnvcell.data.effects import Context, EffectTable
from gnnvcell.graphs.gene_graph import GeneGraph
from gnnvcell.models._edge_variances import VarianceConfig
from gnnvcell.models._effect_process import EffectProcess
from gnnvcell.models._label_propagation import LabelConfig, LabelPropagation
from gnnvcell.models._outcomes import check_trainable
from gnnvcell.models._profiles import GraphProfiles, ProfileConfig, graph_profiles
from gnnvcell.models.base import MODELS, EffectModel, Prediction
from gnnvcell.models.evidence import Evidence, column_of
from gnnvcell.models.smoother import require_targets


class PropagationConfig(LabelConfig):
    """Settings of the propagation model; but for the last two they are those of labels (``LabelConfig``).

    Args:
        variances: of effects: how the variances of edges are learned.
        profiles: how relations become similarities.
    """

    variances: VarianceConfig = VarianceConfig()
    profiles: ProfileConfig = ProfileConfig()


@MODELS.register("propagation")
class Propagation(EffectModel):
    """Message passing of training outcomes to unseen perturbations.

    **Of effects** (kind "delta"), along the edges that tell perturbations apart (``EffectProcess``):

    1. A target's profile phi holds, for every relation of the graph, the terms or network nodes near it.
    2. Effects are a mean, what targets have in common through every term or node e, ``w_e phi_t[e] phi_u[e]``, and
       through several at once, what is a target's own, and noise. All variances are learned from the products of
       training effects by maximum likelihood: edges whose perturbations did alike things gain weight, edges between
       some that did much and some that did nothing lose it.
    3. The prediction is the posterior mean, a sum of messages of training perturbations, each how far it differs from
       what the others already say. Where no edge with weight leads to what was measured it goes back to the mean,
       which counts as much as it is shared.
       Its spread is that of the process, with a scale for each gene from the leave-one-out errors of training.
    4. Combinations are sums of their parts; a part that was measured, in this cell type or another, is what was
       measured, less its noise. Amplitudes of sums, and of targets that are more or less expressed in the cell type,
       are learned likewise.

    **Of labels** (kinds "de" and "direction"), over both sides of the table (``LabelPropagation``):

    1. Every relation of the graph gives a similarity S_r between perturbations and, averaged, one between readout genes
       (``GraphProfiles``). The outcomes are residuals R: label minus the gene's shrunken mean.
    2. Solved messages: R is regressed on the product of both similarities, ``(mean_r S_r)^2.5`` and its like of readout
       genes, so that neighbours that say the same are not heard twice and outcomes travel over any number of hops
       (``SolvedMessages``). A perturbation that was measured in another cell type is its own nearest neighbour.
    3. Averages: R is passed over the readout side (own gene, graph neighbours, genes with correlated residuals, all
       genes: B_j, with evidence N_j) and averaged over the perturbation side by kernels K_k, each ``S_r^2`` and the
       mean to the powers 2 and 4: ``x_kj = K_k B_j / (K_k N_j + lambda_kj)`` (``ChannelMaker``).
    4. ``score = solved + gate * f(solved, x, z)``, f the networks of ``OutcomeReadout``, 0 where no message came, z the
       gene's prior and number of measurements, and where the table comes with the expression of control cells, that of
       the gene and of the targets in the cell type (``ExpressionInContext``). The prediction is
       ``sigmoid(logit(mu_g) + score)``.
    5. The networks learn from blocks of training perturbations whose outcomes are hidden, in all cell types, by a
       pairwise ranking loss within genes. Each block is left out by one of the networks, which are averaged; the gate
       is what is best for each on the block that it was not trained on.

    Shapes: see ``Prediction``. Units: probability-like score for labels, the table's unit for effects.

    Raises:
        ModelError: on ``fit``, no training target is in the graph, or too few perturbations; on ``predict``, the model
            was not fitted.

    Example:
        >>> model = Propagation().fit(train, graph, seed=0)  # doctest: +SKIP
        >>> model.predict(["TP53", "MDM2+MDM4"]).values  # doctest: +SKIP
    """

    config_class = PropagationConfig
    config: PropagationConfig
    uses_context = True
    uses_seed = True
    _fitted: EffectProcess | LabelPropagation

    @classmethod
    def heeds_seed(cls, config: Config, train: EffectTable) -> bool:
        """Of effects only where the variances are learned from a draw of the perturbations."""
        assert isinstance(config, PropagationConfig)
        return train.kind != "delta" or train.shape[0] > config.variances.rows

    def _fit(self, train: EffectTable, graph: GeneGraph, seed: int) -> None:
        """Learn what the kind of the effects asks for."""
        effects = train.kind == "delta"
        check_trainable(train, minimum=2 if effects else self.config.folds)
        profiles = graph_profiles(graph, self.config.profiles)
        require_targets(profiles.targets(train.perturbations).nnz, train, graph)
        if effects:
            self._fitted = EffectProcess(train, profiles, self.config.variances, seed)
        else:
            self._fitted = LabelPropagation(train, profiles, self.config, seed)

    @property
    def graph(self) -> GeneGraph:
        """The gene graph that predictions read."""
        return self._fitted.profiles.graph

    def with_graph(self, graph: GeneGraph) -> "Propagation":
        """The fitted model on another graph of the same nodes and relations: all that follows from the graph is made
        again (profiles, similarities, messages), all that was learned stays (variances and amplitudes; readout, gate
        and scales).
        """
        other = copy(self)
        profiles = GraphProfiles(graph, self.config.profiles, like=self._fitted.profiles)
        other._fitted = self._fitted.with_profiles(profiles)
        return other

    def evidence(self, perturbation: str, gene: str, *, context: Context | str | None = None) -> Evidence:
        """Which training perturbations a prediction rests on.

        Of effects, which they add up to: the messages, and as weight the covariance with each, as a share of all. Of
        labels, which they do not add up to: how much goes when one is not heard, and as weight the similarity (mean
        over relations, squared) as a share of that of all.

        Raises:
            ModelError: the gene is no readout gene, or the context is unknown.
        """
        column = column_of(gene, self._fitted.train.genes)
        return self._fitted.evidence(perturbation, column, self._context(context))

    def _predict(self, names: NDArray, context: Context) -> Prediction:
        """Values of the fitted messages; support is the number of measured perturbations near each."""
        fitted, spread = self._fitted, None
        support = fitted.profiles.support(names, fitted.train.perturbations)
        if isinstance(fitted, EffectProcess):
            values, spread = fitted.predict(names, context)
        else:
            values = fitted.predict(names, context)
        return Prediction(values, names, fitted.train.genes, support, spread=spread)
