"""JepaParts: all of a JEPA but its weights."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from numpy.typing import NDArray

from gnnvcell.data.cell_sets import GeneSetMembership
from gnnvcell.data.effects import EffectTable
from gnnvcell.errors import ModelError
from gnnvcell.features import FeatureTable
from gnnvcell.genes import GeneVocab
from gnnvcell.graphs.gene_graph import GeneGraph
from gnnvcell.models.control_pool import ControlPool
from gnnvcell.models.effect_prior import EffectPrior
from gnnvcell.models.jepa.config import JepaConfig
from gnnvcell.models.jepa.facts import JepaFacts
from gnnvcell.models.jepa.network import JepaNetwork
from gnnvcell.models.target_names import target_compounds, target_vocab


@dataclass(eq=False)
class JepaParts:
    """What a network is made for, and what predictions begin from.

    Args:
        config: settings.
        genes: (genes,) names of what is read and predicted.
        target_sum: what counts of a cell are scaled to.
        batches: names of the training batches.
        perturbations: names of the training perturbations.
        seen: targets of training: genes, and compounds.
        controls: cell type to its kept control cells.
        strengths: whether training has doses.
        graph: the gene graph, where there is one.
        tables: "esm" and "compound" to features.
        pathways: which genes are in which sets, where latents are of pathways.
        effects: training effects, where a model of effects is fitted to them.
        stages: those that the weights went through.
        seed: of the fit.
    """

    config: JepaConfig
    genes: NDArray
    target_sum: float
    batches: Sequence[str]
    perturbations: Sequence[str]
    seen: tuple[Sequence[str], Sequence[str]]
    controls: dict[str, ControlPool]
    strengths: bool
    graph: GeneGraph | None = None
    tables: Mapping[str, FeatureTable] = field(default_factory=dict)
    pathways: GeneSetMembership | None = None
    effects: EffectTable | None = None
    stages: list[str] = field(default_factory=list)
    seed: int = 0

    @cached_property
    def targets(self) -> GeneVocab:
        """All genes that can be targets."""
        return target_vocab(self.graph, self.tables, self.seen[0], self.genes)

    @cached_property
    def compounds(self) -> list[str]:
        """All compounds that can be."""
        return target_compounds(self.tables, self.seen[1])

    @cached_property
    def prior(self) -> EffectPrior | None:
        """The model of effects whose predictions the network reads, fitted once; None where it reads none.

        Raises:
            ModelError: there are no training effects, or as of ``EffectPrior``.
        """
        name = self.config.measured
        if name is None:
            return None
        if self.effects is None or self.graph is None:
            raise ModelError("the model has no training effects to fit a prior to")
        return EffectPrior(name, self.effects, self.graph, folds=self.config.folds, seed=self.seed)

    def network(self) -> JepaNetwork:
        """A network with new weights, drawn by the seed; the global generator stays as it was.

        Raises:
            ModelError: the settings read what is not there.
        """
        members = None if self.pathways is None else torch.from_numpy(self.pathways.matrix.toarray())
        facts = JepaFacts(
            [str(gene) for gene in self.genes],
            self.targets,
            self.compounds,
            self.tables,
            self.seen,
            self.graph,
            members,
            self.strengths,
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            return JepaNetwork(self.config, facts)
