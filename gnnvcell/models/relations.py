"""Relations of genes as matrices whose rows can be compared: the common ground of the models without parameters."""

import numpy as np
import scipy.sparse as sp

from gnnvcell import keys
from gnnvcell.errors import ModelError
from gnnvcell.graphs.gene_graph import GeneGraph

SPECIFIC_TERM_GENES = 100  # genes that share a term of at most this size count as neighbours


def gene_relations(graph: GeneGraph) -> list[str]:
    """Relations that start at a gene: gene-gene ones and those from genes to terms, pathways or compounds."""
    return [relation for source, relation, _ in graph.etypes if source == keys.GENE]


def links(graph: GeneGraph, relation: str) -> sp.csr_matrix:
    """(genes, genes) weights of a gene-gene relation, taken in both directions."""
    adjacency = graph.adjacency(relation)
    return adjacency if graph.is_symmetric(relation) else sp.csr_matrix(adjacency.maximum(adjacency.T))


def is_gene_gene(graph: GeneGraph, relation: str) -> bool:
    """Whether a relation links genes to genes."""
    return graph.etype(relation)[2] == keys.GENE


def tfidf_rows(membership: sp.csr_matrix, *, max_term_genes: int | None = None) -> sp.csr_matrix:
    """Term memberships weighted by how rare a term is, rows of unit length.

    ``x[g, t] = w[g, t] * log(N / n_t)`` over terms with at most ``max_term_genes`` genes, then ``x[g] / |x[g]|``; the
    product of two rows is the tf-idf cosine of two genes.

    Args:
        membership: (genes, terms) weights.
        max_term_genes: larger terms are left out; None keeps all.

    Returns:
        (genes, terms) float32; a gene without (kept) terms has an empty row.
    """
    size = np.diff(membership.tocsc().indptr)
    annotated = max(1, int((np.diff(membership.indptr) > 0).sum()))
    kept = size > 0 if max_term_genes is None else (size > 0) & (size <= max_term_genes)
    idf = np.where(kept, np.log(np.maximum(annotated / np.maximum(size, 1), 1.0)), 0.0)
    weighted = sp.csr_matrix(membership @ sp.diags(idf), dtype=np.float32)
    weighted.eliminate_zeros()
    return unit_rows(weighted)


def specific_terms(membership: sp.csr_matrix) -> sp.csr_matrix:
    """(genes, terms) weights of the terms that 2 to ``SPECIFIC_TERM_GENES`` genes share."""
    size = np.diff(membership.tocsc().indptr)
    return membership[:, (size >= 2) & (size <= SPECIFIC_TERM_GENES)]


def unit_rows(matrix: sp.csr_matrix) -> sp.csr_matrix:
    """The matrix with every non-empty row scaled to unit length."""
    length = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    scale = np.divide(1.0, length, out=np.zeros_like(length), where=length > 0)
    return sp.csr_matrix(sp.diags(scale) @ matrix, dtype=np.float32)


def require_gene_relations(graph: GeneGraph, model: str) -> list[str]:
    """The relations of genes.

    Raises:
        ModelError: there is none.
    """
    relations = gene_relations(graph)
    if not relations:
        raise ModelError(f"{model} needs a graph with a relation of genes", found=str(graph))
    return relations
