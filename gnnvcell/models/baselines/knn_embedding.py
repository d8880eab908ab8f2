"""kNN on graph embeddings: the average of what perturbations with a like embedding did."""

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from gnnvcell.config import Config
from gnnvcell.data.effects import Context, EffectTable
from gnnvcell.graphs.gene_graph import GeneGraph
from gnnvcell.models.base import MODELS, EffectModel, Prediction
from gnnvcell.models.baselines._embedded import Embedded


class KnnEmbeddingConfig(Config):
    """Settings of ``KnnEmbedding``.

    Args:
        k: nearest training perturbations.
        dim: length of the embedding.
        power: of the cosine in the weights.
        max_term_genes: larger terms are left out.
    """

    k: int = Field(default=5, ge=1)
    dim: int = Field(default=128, ge=1)
    power: float = Field(default=1.0, ge=0)
    max_term_genes: int = Field(default=1500, ge=2)


@MODELS.register("knn_embedding")
class KnnEmbedding(EffectModel):
    """Weighted average over the k training perturbations of largest cosine between graph embeddings.

    ``y[p] = m + sum_q w_q r_q / sum_q w_q``, ``w_q = max(cos(z_p, z_q), 0)^power`` over the k nearest, m the mean
    training effect, r the effects beyond it, z the sum of the targets' spectral embeddings. The mean where no cosine is
    positive; support is the sum of cosines. (``knn`` goes along edges instead.) [Cole 2026; PEREGGRN]

    Example:
        >>> model = KnnEmbedding(KnnEmbeddingConfig(k=10))
    """

    config_class = KnnEmbeddingConfig
    config: KnnEmbeddingConfig
    kinds = ("delta",)

    def _fit(self, train: EffectTable, graph: GeneGraph, seed: int) -> None:
        self._genes = train.genes
        self._data = Embedded.of(train, graph, self.config.dim, self.config.max_term_genes)

    def _predict(self, names: NDArray, context: Context) -> Prediction:
        near = np.maximum(_unit(self._data.of_names(names)) @ _unit(self._data.train).T, 0.0)
        if near.shape[1] > self.config.k:
            cut = np.partition(near, -self.config.k, axis=1)[:, -self.config.k][:, None]
            near = np.where(near >= cut, near, 0.0)
        weight = np.where(near > 0, near**self.config.power, 0.0)
        total = weight.sum(axis=1, keepdims=True)
        # Without a neighbour all weights are zero, and so is what they carry.
        moved = weight @ self._data.residual / np.where(total > 0, total, 1.0)
        values = (self._data.mean + moved).astype(np.float32)
        return Prediction(values, names, self._genes, near.sum(axis=1).astype(np.float32))


def _unit(vectors: NDArray) -> NDArray[np.float64]:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)
