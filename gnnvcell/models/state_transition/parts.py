"""TransitionParts: all of a transition model but its weights."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch

from gnnvcell.data.effects import EffectTable
from gnnvcell.errors import ModelError
from gnnvcell.features import FeatureTable
from gnnvcell.graphs.gene_graph import GeneGraph
from gnnvcell.models.control_pool import ControlPool
from gnnvcell.models.model_genes import ModelGenes
from gnnvcell.models.state_transition.config import StateTransitionConfig
from gnnvcell.models.state_transition.gate import EvidenceGate
from gnnvcell.models.state_transition.names import names_of_columns, names_of_rows
from gnnvcell.models.state_transition.network import TransitionNetwork
from gnnvcell.models.target_features import TargetFeatures
from gnnvcell.models.target_names import COMPOUND, ESM, target_compounds, target_vocab


@dataclass(eq=False)
class TransitionParts:
    """What a network is made for, and what predictions begin from.

    Args:
        config: settings.
        genes: what is predicted and read.
        target_sum: what counts of a cell are scaled to.
        batches: names of the training batches.
        perturbations: names of the training perturbations.
        seen: targets of training: genes, and compounds.
        controls: cell type to its kept control cells.
        combined, strengths: whether training has combinations, and doses.
        graph: the gene graph, where there is one.
        tables: "esm" and "compound" to features.
        effects: training effects, where a prior or a fallback is fitted to them.
        width: of the embeddings; None in gene space.
        gate: mixture with the fallback.
        seed: of the fit.
    """

    config: StateTransitionConfig
    genes: ModelGenes
    target_sum: float
    batches: Sequence[str]
    perturbations: Sequence[str]
    seen: tuple[Sequence[str], Sequence[str]]
    controls: dict[str, ControlPool]
    combined: bool
    strengths: bool
    graph: GeneGraph | None = None
    tables: Mapping[str, FeatureTable] = field(default_factory=dict)
    effects: EffectTable | None = None
    width: int | None = None
    gate: EvidenceGate | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        cfg = self.config
        if cfg.uses_graph and self.graph is None:
            raise ModelError(
                "the model needs a gene graph",
                expected="graph=... for the encoders graph and field, the decoder 'named' and the fallback",
                remedy="give one (gnnvcell.graphs.build), or choose encoders=('onehot',)",
            )
        for reads, table in (((*cfg.encoders, *cfg.graph_inputs), ESM), (cfg.encoders, COMPOUND)):
            if table in reads and table not in self.tables:
                raise ModelError(
                    f"{table!r} is to be read, and there are no features of that name",
                    remedy=f"give features={{{table!r}: gnnvcell.features.read_features(path)}}",
                )

    def network(self) -> TransitionNetwork:
        """A network with new weights, drawn by the seed; the global generator stays as it was."""
        cfg, genes = self.config, self.genes
        pooling = cfg.pooling
        if pooling == "auto":
            pooling = "attention" if self.combined else "sum"
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            outputs = len(genes.predicted) if self.width is None else self.width
            read = None if genes.read is None or self.width is not None else torch.from_numpy(genes.read)
            network = TransitionNetwork(
                cfg,
                self._targets(),
                outputs=outputs,
                input_columns=read,
                genes=len(genes.predicted),
                batches=len(self.batches),
                gene_rows=self._gene_rows() if cfg.decoder == "named" else None,
                decoded=None if self.width is None else len(genes.predicted),
                pooling=pooling,
                strengths=self.strengths,
            )
        network.row_names, network.column_names = names_of_rows(network, self), names_of_columns(network, self)
        return network

    def _targets(self) -> TargetFeatures | None:
        cfg = self.config
        of_targets = [name for name in cfg.encoders if name != "field"]
        if not of_targets and cfg.decoder == "linear":
            return None
        needs_graph = "graph" in of_targets or cfg.decoder == "named"
        as_input = ESM in cfg.graph_inputs and needs_graph
        tables = {ESM: self.tables[ESM]} if "esm" in of_targets or as_input else {}
        of_compounds = {COMPOUND: self.tables[COMPOUND]} if "compound" in of_targets else {}
        return TargetFeatures(
            target_vocab(self.graph, self.tables, self.seen[0], self.genes.predicted),
            target_compounds(self.tables, self.seen[1]),
            tables=tables,
            compound_tables=of_compounds,
            seen=self.seen,
            onehot_width=cfg.hidden_dim if "onehot" in of_targets else None,
            graph=self.graph if needs_graph else None,
            graph_config=cfg.graph,
            graph_inputs=cfg.graph_inputs,
            spectral_dim=cfg.spectral_dim,
            describing=of_targets,
        )

    def _gene_rows(self) -> torch.Tensor:
        assert self.graph is not None
        return torch.from_numpy(self.graph.vocab.lookup(self.genes.predicted))
