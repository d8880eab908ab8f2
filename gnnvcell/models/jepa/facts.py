"""JepaFacts: what a JEPA network is made for, beside its settings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from gnnvcell.errors import ModelError
from gnnvcell.features import FeatureTable
from gnnvcell.genes import GeneVocab
from gnnvcell.graphs.gene_graph import GeneGraph
from gnnvcell.models.jepa.config import JepaConfig
from gnnvcell.models.target_features import TargetFeatures

ESM, COMPOUND = "esm", "compound"


@dataclass(frozen=True, eq=False)
class JepaFacts:
    """Genes, possible targets and what is known of them.

    Args:
        genes: names of the genes that are read and predicted, in order.
        targets: all genes that can be targets; ``genes`` are among them.
        compounds: all compounds that can be.
        tables: "esm" to features of genes, "compound" to features of compounds, where the settings read them.
        seen: targets of training, genes and compounds, for learned vectors ("onehot").
        graph: the gene graph, where the settings read it.
        pathways: (genes, pathways) which genes are in which sets, where latents are of pathways.
        strengths: whether training has doses.
    """

    genes: Sequence[str]
    targets: GeneVocab
    compounds: Sequence[str] = ()
    tables: Mapping[str, FeatureTable] = field(default_factory=dict)
    seen: tuple[Sequence[str], Sequence[str]] = ((), ())
    graph: GeneGraph | None = None
    pathways: Tensor | None = None
    strengths: bool = False

    def require(self, config: JepaConfig) -> None:
        """Refuse settings that read what is not there.

        Raises:
            ModelError: no graph, no features, no pathways, or pathways of other genes.
        """
        if config.uses_graph and self.graph is None:
            raise ModelError(
                "the model needs a gene graph",
                expected="graph=... for graph tokens, the encoder 'graph' and the action's field",
                remedy="give one (gnnvcell.graphs.build), or choose a preset without",
            )
        reads = {*config.encoders, *(config.graph_inputs if config.uses_graph else ())}
        for name in (ESM, COMPOUND):
            if name in reads and name not in self.tables:
                raise ModelError(
                    f"{name!r} is to be read, and there are no features of that name",
                    remedy=f"give features={{{name!r}: gnnvcell.features.read_features(path)}}",
                )
        if config.pathways and (self.pathways is None or len(self.pathways) != len(self.genes)):
            raise ModelError(
                "the model has a pathway layer, and there are no gene sets of its genes",
                expected=f"pathways of {len(self.genes)} genes",
                found="none" if self.pathways is None else f"{len(self.pathways)} genes",
                remedy="give gene sets, or set pathways = false",
            )

    @property
    def gene_rows(self) -> Tensor:
        """(genes,) place of each gene among the possible targets.

        Raises:
            ModelError: a gene is not among them.
        """
        rows = torch.from_numpy(self.targets.lookup(list(self.genes)))
        if bool((rows < 0).any()):
            missing = self.genes[int((rows < 0).nonzero()[0, 0])]
            raise ModelError(f"the gene {missing!r} is not among the possible targets", remedy="add it to targets")
        return rows

    def of_actions(self, config: JepaConfig) -> TargetFeatures:
        """What actions are known by; a graph that only the field reads gives embeddings of its nodes too."""
        names = set(config.encoders)
        needs_graph = bool({"graph"} & names) or config.neighbours > 0
        tables = {ESM} & (names | (set(config.graph_inputs) if needs_graph else set()))
        return TargetFeatures(
            self.targets,
            self.compounds,
            tables={name: self.tables[name] for name in tables},
            compound_tables={COMPOUND: self.tables[COMPOUND]} if COMPOUND in names else {},
            seen=self.seen,
            onehot_width=config.width if "onehot" in names else None,
            graph=self.graph if needs_graph else None,
            graph_config=config.graph,
            graph_inputs=config.graph_inputs,
            spectral_dim=config.spectral_dim,
            describing=config.encoders,
        )

    def of_genes(self, config: JepaConfig) -> TargetFeatures | None:
        """What gene tokens begin with; None for learned vectors alone."""
        if config.gene_tokens == "learned":
            return None
        return TargetFeatures(
            self.targets,
            tables={name: self.tables[name] for name in {ESM} & set(config.graph_inputs)},
            graph=self.graph,
            graph_config=config.graph,
            graph_inputs=config.graph_inputs,
            spectral_dim=config.spectral_dim,
            describing=("graph",),
        )
