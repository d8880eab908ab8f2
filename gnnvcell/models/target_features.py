"""TargetFeatures: what is known of each gene or compound that can be perturbed, in the order of one vocabulary."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from gnnvcell import keys
from gnnvcell.errors import ModelError
from gnnvcell.features import FeatureTable
from gnnvcell.genes import GeneVocab
from gnnvcell.graphs.gene_graph import GeneGraph
from gnnvcell.models.embedding import spectral_embedding
from gnnvcell.nn.gene_encoder import GeneGraphEncoder, GeneGraphEncoderConfig

ONEHOT, GRAPH, SPECTRAL = "onehot", "graph", "spectral"
ONEHOT_COMPOUND = "onehot_compound"


class Described(NamedTuple):
    """What is known of targets, as ``PerturbationEncoder`` takes it, and the graph's nodes.

    Args:
        features: feature set to (genes or compounds, width).
        present: feature set to (genes or compounds,), which rows hold something.
        nodes: (graph genes, d) embeddings by message passing; None without a graph.
    """

    features: dict[str, Float[Tensor, "_ _"]]
    present: dict[str, Bool[Tensor, " _"]]
    nodes: Float[Tensor, "nodes d"] | None


class TargetFeatures(nn.Module):
    """Learned vectors of targets seen in training, measured features, and embeddings by message passing.

    The graph encoder runs once for each call, over the whole graph, and all targets of a batch are read from it.

    Args:
        vocab: genes that can be targets.
        compounds: compounds that can be.
        tables: name to measured features of genes, such as {"esm": table}.
        compound_tables: the same of compounds.
        seen: names of targets that get a learned vector ("onehot"); genes, then compounds.
        onehot_width: width of these vectors; None for no such vectors.
        graph: the gene graph; None for no embeddings by message passing.
        graph_config: settings of its encoder.
        graph_inputs: what the encoder's nodes begin with, side by side: "spectral" (the leading singular vectors of the
            graph, each gene's of unit length), or names of tables. A gene that has neither learns its vector; without
            any inputs every gene does, and a target that was never perturbed has little but its neighbours' to go by.
        spectral_dim: length of the spectral vectors.
        describing: tables, and "graph", that targets are described by; all when left out. The others are there for the
            graph's nodes, or for a decoder that reads these.

    Raises:
        ModelError: no target of a table or of the graph is in the vocabulary.

    Attributes:
        gene_widths, compound_widths: feature set to its width.
    """

    def __init__(
        self,
        vocab: GeneVocab,
        compounds: Sequence[str] = (),
        *,
        tables: Mapping[str, FeatureTable] | None = None,
        compound_tables: Mapping[str, FeatureTable] | None = None,
        seen: tuple[Sequence[str], Sequence[str]] = ((), ()),
        onehot_width: int | None = None,
        graph: GeneGraph | None = None,
        graph_config: GeneGraphEncoderConfig | None = None,
        graph_inputs: Sequence[str] = (SPECTRAL,),
        spectral_dim: int = 64,
        describing: Sequence[str] | None = None,
    ) -> None:
        super().__init__()
        self.vocab, self.compounds = vocab, list(compounds)
        self.gene_widths: dict[str, int] = {}
        self.compound_widths: dict[str, int] = {}
        self._graph = graph
        self.onehot = nn.ModuleDict()
        if onehot_width is not None:
            self._add_onehot(seen, onehot_width)
        for name, table in (tables or {}).items():
            values, present, _ = table.for_genes(vocab)
            self._keep(name, torch.from_numpy(values), torch.from_numpy(present))
            if describing is None or name in describing:
                self.gene_widths[name] = table.width
        for name, table in (compound_tables or {}).items():
            values, present, _ = table.for_names(self.compounds)
            self._keep(name, torch.from_numpy(values), torch.from_numpy(present))
            self.compound_widths[name] = table.width
        self.graph_encoder = None
        if graph is not None:
            config = graph_config or GeneGraphEncoderConfig()
            self.graph_encoder = self._encoder(graph, config, graph_inputs, spectral_dim)
            if describing is None or GRAPH in describing:
                self.gene_widths[GRAPH] = self.graph_encoder.config.width

    def _add_onehot(self, seen: tuple[Sequence[str], Sequence[str]], width: int) -> None:
        genes, compounds = seen
        rows = torch.from_numpy(self.vocab.lookup(list(genes)))
        self._learned(ONEHOT, rows[rows >= 0], len(self.vocab), width)
        self.gene_widths[ONEHOT] = width
        if compounds:
            places = torch.tensor([self.compounds.index(name) for name in compounds])
            self._learned(ONEHOT_COMPOUND, places, len(self.compounds), width)
            self.compound_widths[ONEHOT_COMPOUND] = width

    def _learned(self, name: str, rows: Tensor, count: int, width: int) -> None:
        """A vector for each of some rows; the others are missing, and stay zeros that nobody reads."""
        self.onehot[name] = nn.Embedding(len(rows), width)
        self.register_buffer(f"_{name}_rows", rows, persistent=False)
        present = torch.zeros(count, dtype=torch.bool)
        present[rows] = True
        self.register_buffer(f"_{name}_present", present, persistent=False)

    def _keep(self, name: str, values: Tensor, present: Tensor) -> None:
        self.register_buffer(f"_{name}_values", values, persistent=False)
        self.register_buffer(f"_{name}_present", present, persistent=False)

    def _encoder(
        self, graph: GeneGraph, config: GeneGraphEncoderConfig, inputs: Sequence[str], spectral_dim: int
    ) -> GeneGraphEncoder:
        rows = torch.from_numpy(graph.vocab.lookup(self.vocab.symbols))
        if not bool((rows >= 0).any()):
            raise ModelError("no gene that can be a target is in the graph", found=repr(graph))
        self.register_buffer("_graph_rows", rows, persistent=False)
        self.register_buffer("_graph_present", rows >= 0, persistent=False)
        values, present = [], []
        place = torch.from_numpy(self.vocab.lookup(graph.vocab.symbols))
        for name in inputs:
            if name == SPECTRAL:
                own = torch.from_numpy(spectral_embedding(graph, spectral_dim).copy())
                has = own.norm(dim=1) > 0
                own = F.normalize(own, dim=1) * spectral_dim**0.5
            else:
                has = (place >= 0) & self.get_buffer(f"_{name}_present")[place.clamp_min(0)]
                own = self.get_buffer(f"_{name}_values")[place.clamp_min(0)]
            values.append(torch.where(has[:, None], own, 0.0))
            present.append(has)
        return GeneGraphEncoder(
            graph.graph,
            features={keys.GENE: torch.cat(values, dim=1)} if values else None,
            present={keys.GENE: torch.stack(present).any(dim=0)} if values else None,
            sources=graph.source_relations,
            config=config,
        )

    def node_embeddings(self) -> Float[Tensor, "nodes d"]:
        """Embeddings of all genes of the graph.

        Raises:
            ModelError: there is no graph.
        """
        if self.graph_encoder is None or self._graph is None:
            raise ModelError("the model was made without a graph", remedy="give it one: graph=...")
        return self.graph_encoder(self._graph.graph)

    def forward(self) -> Described:
        """All that describes targets; the graph encoder runs once."""
        nodes = None if self.graph_encoder is None else self.node_embeddings()
        features: dict[str, Tensor] = {}
        present: dict[str, Tensor] = {}
        for name in (*self.gene_widths, *self.compound_widths):
            if name == GRAPH and nodes is not None:
                features[name] = nodes[self.get_buffer("_graph_rows").clamp_min(0)]
            elif name in self.onehot:
                count = len(self.get_buffer(f"_{name}_present"))
                table: Tensor = self.onehot[name].weight  # type: ignore[assignment]
                empty = table.new_zeros(count, table.shape[1])
                features[name] = empty.index_copy(0, self.get_buffer(f"_{name}_rows"), table)
            else:
                features[name] = self.get_buffer(f"_{name}_values")
            present[name] = self.get_buffer(f"_{name}_present")
        return Described(features, present, nodes)
