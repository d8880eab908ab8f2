"""Spectral embeddings of genes: what is left of a graph when it is squeezed into one vector per gene."""

from functools import lru_cache

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.utils.extmath import randomized_svd

from gnnvcell.graphs.gene_graph import GeneGraph
from gnnvcell.models._by_digest import GraphByDigest
from gnnvcell.models.relations import is_gene_gene, links, require_gene_relations, tfidf_rows

_KEPT = 8  # embeddings
POWER_ITERATIONS = 2  # of the randomised SVD [Halko et al. 2011]


def spectral_embedding(graph: GeneGraph, dim: int, *, max_term_genes: int = 1500) -> NDArray[np.float32]:
    """Truncated SVD of all relations of genes side by side.

    Gene-gene relations enter as ``D^-1/2 (A + I) D^-1/2``, relations to terms as tf-idf rows of unit length; each block
    is scaled to the same norm, so that no source drowns the others.

    Args:
        graph: the gene graph.
        dim: length of the vectors; at most one less than the number of genes is used.
        max_term_genes: larger terms are left out.

    Returns:
        (genes, dim) left singular vectors times singular values, read-only and made once for a content of the graph;
        rows of genes without edges are zero.

    Raises:
        ModelError: the graph has no relation of genes.
    """
    return _embedding_of(GraphByDigest(graph), dim, max_term_genes)


@lru_cache(maxsize=_KEPT)
def _embedding_of(keyed: GraphByDigest, dim: int, max_term_genes: int) -> NDArray[np.float32]:
    graph = keyed.graph
    blocks = [_block(graph, relation, max_term_genes) for relation in require_gene_relations(graph, "an embedding")]
    matrix = sp.csr_matrix(sp.hstack(blocks))
    rank = max(min(dim, *(size - 1 for size in matrix.shape or ())), 1)  # one hub of all genes is one column
    # scikit-learn's own annotation of n_iter is the word "auto" only.
    left, values, _ = randomized_svd(matrix, rank, n_iter=POWER_ITERATIONS, random_state=0)  # type: ignore[arg-type]
    embedding = np.zeros((graph.num_genes, dim), dtype=np.float32)
    embedding[:, :rank] = left * values
    embedding.flags.writeable = False  # it is shared by all that ask for it
    return embedding


def _block(graph: GeneGraph, relation: str, max_term_genes: int) -> sp.csr_matrix:
    if is_gene_gene(graph, relation):
        weight = links(graph, relation)
        linked = sp.diags((np.diff(weight.indptr) > 0).astype(np.float32) * weight.data.max(initial=0))
        weight = (weight + linked).tocsr()
        degree = np.asarray(weight.sum(axis=1)).ravel()
        scale = sp.diags(np.divide(1.0, np.sqrt(degree), out=np.zeros_like(degree), where=degree > 0))
        block = (scale @ weight @ scale).tocsr()
    else:
        block = tfidf_rows(graph.adjacency(relation), max_term_genes=max_term_genes)
    norm = np.sqrt((block.data**2).sum())
    return block / norm if norm > 0 else block
