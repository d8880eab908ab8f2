"""Perturbations as sums of their targets' graph embeddings, and effects as a mean and what is beyond it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gnnvcell.data.effects import EffectTable
from gnnvcell.graphs.gene_graph import GeneGraph
from gnnvcell.models.baselines.perturbation_mean import mean_effect
from gnnvcell.models.embedding import spectral_embedding
from gnnvcell.models.smoother import require_targets
from gnnvcell.models.targets import target_matrix


@dataclass(frozen=True, eq=False)
class Embedded:
    """A training table beside graph embeddings.

    Args:
        graph: where targets are looked up.
        genes: (graph genes, dim) embedding, rows of unit length or zero.
        train: (rows, dim) sum over the targets of each training row.
        mean: (readout genes,) mean training effect.
        residual: (rows, readout genes) effect minus the mean, 0 where not measured.
    """

    graph: GeneGraph
    genes: NDArray[np.float64]
    train: NDArray[np.float64]
    mean: NDArray[np.float64]
    residual: NDArray[np.float64]

    @classmethod
    def of(cls, train: EffectTable, graph: GeneGraph, dim: int, max_term_genes: int) -> "Embedded":
        """Embed the graph and line the table up with it.

        Raises:
            ModelError: no target of the training perturbations is in the graph, or it has no relation of genes.
        """
        require_targets(target_matrix(graph, train.perturbations).nnz, train, graph)
        vectors = spectral_embedding(graph, dim, max_term_genes=max_term_genes).astype(np.float64)
        length = np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors = np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)
        mean = mean_effect(train)
        residual = np.where(train.measured, train.values - mean, 0.0)
        return cls(graph, vectors, _sums(graph, vectors, train.perturbations), mean, residual)

    def of_names(self, names: NDArray) -> NDArray[np.float64]:
        """(names, dim) sum over the targets that the graph knows; zero without one."""
        return _sums(self.graph, self.genes, names)


def _sums(graph: GeneGraph, vectors: NDArray, names: NDArray) -> NDArray[np.float64]:
    hits = target_matrix(graph, names)
    hits.data[:] = 1  # each target counts whole, where the matrix has shares
    return np.asarray(hits @ vectors)


def latent(residual: NDArray, rank: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(rows, k) scores and (k, genes) orthonormal directions of the leading singular vectors, k at most ``rank``."""
    left, values, right = np.linalg.svd(residual, full_matrices=False)
    kept = min(rank, int((values > 1e-9 * max(values[0], 1e-30)).sum()) or 1)
    return left[:, :kept] * values[:kept], right[:kept]


def cosine_support(queries: NDArray, train: NDArray) -> NDArray[np.float32]:
    """(queries,) summed positive cosine to the training perturbations; 0 without a known target."""
    units = []
    for vectors in (queries, train):
        length = np.linalg.norm(vectors, axis=1, keepdims=True)
        units.append(np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0))
    return np.maximum(units[0] @ units[1].T, 0).sum(axis=1).astype(np.float32)
