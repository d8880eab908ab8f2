"""From a gene x term incidence to gene-gene similarity, in blocks, so that 20,000 genes fit in little memory."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from gnnvcell.errors import ConfigError, EmptyGraphError, did_you_mean
from gnnvcell.graphs.similarity import Mode, select_pairs

Measure = Literal["jaccard", "information_content", "tfidf"]
MEASURES: tuple[str, ...] = ("jaccard", "information_content", "tfidf")

# A term with more than this share of the genes is cheaper as a dense column (BLAS) than as a sparse one.
_DENSE_SHARE = 0.03


@dataclass(frozen=True, eq=False)
class SimilarPairs:
    """Pairs of similar genes, each once, sorted.

    Args:
        src: (pairs,) int64 row of the incidence, smaller than ``dst``.
        dst: (pairs,) int64 row of the incidence.
        weight: (pairs,) float32 similarity in (0, 1].
    """

    src: NDArray[np.int64]
    dst: NDArray[np.int64]
    weight: NDArray[np.float32]


def information(incidence: sp.csr_matrix, total: int | None = None) -> NDArray[np.float64]:
    """(terms,) information content of each term in nats: ``-ln(genes with the term / annotated genes)``.

    The same number is the inverse document frequency of tf-idf. A term of no gene gets 0.

    Args:
        incidence: (genes, terms) 0/1, annotations closed under ancestors.
        total: number of annotated genes; by default the rows with at least one entry.
    """
    counts = np.diff(incidence.tocsc().indptr).astype(float)
    annotated = int((np.diff(incidence.indptr) > 0).sum()) if total is None else total
    ratio = np.divide(counts, annotated, out=np.ones_like(counts), where=counts > 0)
    return np.maximum(-np.log(ratio), 0.0)


def similar_pairs(
    incidence: sp.csr_matrix,
    *,
    measure: str,
    top_k: int | None = None,
    min_similarity: float = 0.0,
    total: int | None = None,
) -> SimilarPairs:
    r"""Similarity of genes by the terms they share.

    With A and B the term sets of two genes and IC(t) the information content of a term:

    - ``jaccard``: :math:`|A \cap B| / |A \cup B|`;
    - ``information_content``: simGIC, :math:`\sum_{t \in A \cap B} IC(t) / \sum_{t \in A \cup B} IC(t)`
      (Pesquita et al., BMC Bioinformatics 2008);
    - ``tfidf``: cosine of the rows weighted by inverse document frequency,
      :math:`\sum_{t \in A \cap B} IC(t)^2 / \sqrt{\sum_A IC^2 \sum_B IC^2}`.

    Args:
        incidence: (genes, terms) 0/1 sparse rows.
        measure: one of the above.
        top_k: keep a pair if one gene is among the ``top_k`` most similar of the other (ties: the smaller row first);
            None keeps every pair of at least ``min_similarity``, which must then be above 0.
        min_similarity: keep pairs at least this similar; pairs of similarity 0 are never kept.
        total: number of annotated genes for IC(t), where it is not the number of rows with entries.

    Raises:
        ConfigError: an unknown measure, ``top_k`` < 1, a similarity outside [0, 1], or far too many pairs.
        EmptyGraphError: no pair is left.
    """
    _check(measure, top_k, min_similarity)
    matrix = sp.csr_matrix(incidence, dtype=np.float32, copy=True)
    matrix.sum_duplicates()
    matrix.data[:] = 1
    rows, sums = _weighted_rows(matrix, measure, total)
    genes, products = matrix.get_shape()[0], _Products(rows)
    # Genes that share nothing get distinct negative scores, so that they are no ties to be sorted.
    nothing = -np.arange(1, genes + 1, dtype=np.float32)

    def block(start: int, stop: int) -> NDArray[np.float32]:
        values = _similarity(products.rows(start, stop), sums, start)
        np.copyto(values, nothing, where=values <= 0)
        return values

    if genes < 2:
        raise EmptyGraphError(f"{genes} genes have no pairs", remedy="give more genes")
    mode = Mode("threshold", min_similarity) if top_k is None else Mode("top", float(top_k))
    src, dst, weight = select_pairs(block, genes, mode)
    keep = weight >= np.float32(min_similarity)
    if not keep.any():
        raise EmptyGraphError(
            f"no pair of {genes:,} genes has a {measure} similarity of at least {min_similarity}",
            found=f"at most {weight.max():.4g}",
            remedy="lower min_similarity",
        )
    return SimilarPairs(src[keep], dst[keep], weight[keep])


def _check(measure: str, top_k: int | None, min_similarity: float) -> None:
    if measure not in MEASURES:
        raise ConfigError(f"unknown similarity measure {measure!r}", remedy=did_you_mean(measure, MEASURES))
    if top_k is not None and top_k < 1:
        raise ConfigError(f"top_k is {top_k}", expected="at least 1, or None for every pair")
    if not 0 <= min_similarity <= 1:
        raise ConfigError(f"min_similarity is {min_similarity}", expected="a number from 0 to 1")
    if top_k is None and min_similarity == 0:
        raise ConfigError(
            "top_k is None and min_similarity is 0, so that every pair that shares anything would be kept",
            remedy="set top_k, or a min_similarity above 0",
        )


def _weighted_rows(
    matrix: sp.csr_matrix, measure: str, total: int | None
) -> tuple[sp.csr_matrix, NDArray[np.float32] | None]:
    """Rows whose inner products are the shared weight of two genes, and each gene's own weight (None for a cosine)."""
    if measure == "jaccard":
        return matrix, np.asarray(matrix.sum(axis=1), dtype=np.float32).ravel()
    weight = information(matrix, total)
    if measure == "information_content":
        rows = matrix @ sp.diags(np.sqrt(weight), dtype=np.float32)
        return sp.csr_matrix(rows), np.asarray(matrix @ weight, dtype=np.float32)
    rows = sp.csr_matrix(matrix.astype(np.float64) @ sp.diags(weight))
    norm = np.sqrt(np.asarray(rows.power(2).sum(axis=1)).ravel())
    scale = np.divide(1.0, norm, out=np.zeros_like(norm), where=norm > 0)
    return sp.csr_matrix(sp.diags(scale) @ rows, dtype=np.float32), None


class _Products:
    """Blocks of ``rows @ rows.T``: frequent terms through BLAS, the others through a sparse product."""

    def __init__(self, rows: sp.csr_matrix) -> None:
        genes, terms = rows.get_shape()
        counts = np.bincount(rows.indices, minlength=terms)
        frequent = counts > _DENSE_SHARE * genes
        self.dense = np.ascontiguousarray(rows[:, frequent].toarray())
        self.sparse = sp.csr_matrix(rows[:, ~frequent])
        self.transposed = self.sparse.T.tocsr()

    def rows(self, start: int, stop: int) -> NDArray[np.float32]:
        """(stop - start, genes) inner products."""
        block = self.dense[start:stop] @ self.dense.T
        shared = (self.sparse[start:stop] @ self.transposed).tocoo()
        # No pair repeats in a product, so that adding at indices is safe.
        block[shared.row, shared.col] += shared.data
        return block


def _similarity(shared: NDArray[np.float32], sums: NDArray[np.float32] | None, start: int) -> NDArray[np.float32]:
    """(rows, genes) similarity from shared weights; works in place."""
    if sums is not None:
        union = sums[start : start + len(shared), None] + sums[None, :]
        union -= shared
        np.divide(shared, union, out=shared, where=union > 0)
    return np.minimum(shared, 1, out=shared)
