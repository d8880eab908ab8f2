"""GraphEmbeddings: the graph's embedding of each gene of a model, learned end to end or computed beforehand."""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from gnnvcell.errors import ModelError
from gnnvcell.features import FeatureTable
from gnnvcell.genes import GeneVocab
from gnnvcell.graphs import GeneGraph
from gnnvcell.models.state_embedding.config import SentenceGraphConfig
from gnnvcell.nn.gene_encoder import GeneGraphEncoder


class GraphEmbeddings(nn.Module):
    """Embeddings of a model's genes from a gene graph.

    ``z_g = encoder(graph)_g``, or the row of a table that was computed beforehand; a learned vector for a gene that the
    graph (or the table) does not have.

    Args:
        source: a gene graph, whose encoder is trained with the model, or a table of embeddings, which stay as they are.
        vocab: the model's genes; they are found in the graph by any of their names.
        config: settings of the encoder; of a table nothing is used.

    Shapes: result (n, d) of n genes.

    Raises:
        ModelError: the source has none of the genes.
    """

    node: Tensor
    table: Tensor | None

    def __init__(
        self, source: GeneGraph | FeatureTable, vocab: GeneVocab, config: SentenceGraphConfig | None = None
    ) -> None:
        super().__init__()
        self.source = source
        self.encoder = None
        table = None
        if isinstance(source, GeneGraph):
            config = config or SentenceGraphConfig()
            node = torch.from_numpy(source.vocab.lookup(vocab.symbols))
            self.encoder = GeneGraphEncoder(source.graph, sources=source.source_relations, config=config)
            self.width = config.width
        else:
            values, present, _ = source.for_genes(vocab)
            table, self.width = torch.from_numpy(values[present]), source.width
            has = torch.from_numpy(present)
            node = torch.where(has, has.cumsum(0) - 1, -1)
        self.outside = int((node < 0).sum())
        if self.outside == len(vocab):
            raise ModelError(
                "the graph has none of the model's genes",
                expected=f"genes such as {', '.join(vocab.symbols[:3])}",
                remedy="check the species and the kind of names",
            )
        self.register_buffer("table", table, persistent=False)
        # A gene outside is counted on from the last node; its vector is learned.
        nodes = source.num_genes if isinstance(source, GeneGraph) else len(table)  # type: ignore[arg-type]
        self.register_buffer("node", torch.where(node < 0, nodes - 1 + (node < 0).cumsum(0), node), persistent=False)
        self.learned = nn.Parameter(torch.randn(self.outside, self.width)) if self.outside else None

    def forward(
        self,
        rows: Int[Tensor, " n"] | None = None,
        *,
        edge_weight: Mapping[tuple[str, str, str], Float[Tensor, " edges"]] | None = None,
    ) -> Float[Tensor, "n d"]:
        """Embeddings of some genes, or of all; the graph is encoded once.

        Args:
            rows: which genes.
            edge_weight: weights in place of the graph's own (``GeneGraphEncoder.forward``).
        """
        nodes = self.of_nodes(edge_weight=edge_weight)
        if self.learned is not None:
            nodes = torch.cat([nodes, self.learned.to(nodes.dtype)])
        return nodes[self.node if rows is None else self.node[rows]]

    def of_nodes(self, *, edge_weight: Mapping[Any, Tensor] | None = None) -> Float[Tensor, "nodes d"]:
        """Embeddings of all genes of the graph, or of all that the table has among the model's."""
        if self.encoder is None:
            return self.table  # type: ignore[return-value]
        return self.encoder(self.source.graph, edge_weight=edge_weight)  # type: ignore[union-attr]
