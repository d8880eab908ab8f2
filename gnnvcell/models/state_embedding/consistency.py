"""The graph-consistency loss over a model's genes."""

import torch

from gnnvcell import keys
from gnnvcell.errors import EmptyGraphError
from gnnvcell.genes import GeneVocab
from gnnvcell.graphs import GeneGraph
from gnnvcell.nn.losses import GraphConsistency, GraphConsistencyConfig


def consistency_of(graph: GeneGraph, vocab: GeneVocab, config: GraphConsistencyConfig) -> GraphConsistency:
    """The loss whose representations are those of a vocabulary's genes, in its order.

    Relations between genes are used, each with its edges whose ends are both in the vocabulary; memberships in terms
    and pathways are no such relations. A relation that loses all its edges is left out.

    Args:
        graph: the gene graph.
        vocab: the model's genes.
        config: settings of the loss.

    Raises:
        EmptyGraphError: no relation has an edge between two of the genes.
        ConfigError: weights of relations that the graph does not have.
    """
    gene_of = torch.full((graph.num_genes,), -1)
    node = torch.from_numpy(graph.vocab.lookup(vocab.symbols))
    gene_of[node[node >= 0]] = torch.arange(len(vocab))[node >= 0]
    relations = {}
    for source, relation, destination in graph.etypes:
        if (source, destination) != (keys.GENE, keys.GENE):
            continue
        src, dst, weight, _ = (torch.from_numpy(part) if part is not None else None for part in graph.edges(relation))
        ends = gene_of[src], gene_of[dst]
        inside = (ends[0] >= 0) & (ends[1] >= 0)
        if inside.any():
            relations[relation] = (ends[0][inside], ends[1][inside], weight[inside])  # type: ignore[index]
    if not relations:
        raise EmptyGraphError(
            "the graph has no edge between two of the model's genes",
            expected="a relation from genes to genes, such as that of STRING",
            found=", ".join(graph.relations),
            remedy="leave graph_consistency out, or add such a relation to the graph",
        )
    return GraphConsistency(relations, config)
