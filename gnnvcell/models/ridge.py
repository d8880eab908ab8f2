"""Ridge regression of every gene on the spectral embedding of the perturbed gene."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from gnnvcell.config import Config
from gnnvcell.data.effects import Context, EffectTable
from gnnvcell.graphs.gene_graph import GeneGraph
from gnnvcell.models.base import MODELS, EffectModel, Prediction
from gnnvcell.models.embedding import spectral_embedding
from gnnvcell.models.gene_mean import shrunk_gene_mean, shrunk_gene_variance
from gnnvcell.models.kernel_regression import ridge_weights
from gnnvcell.models.targets import target_matrix


class RidgeConfig(Config):
    """Settings of ``Ridge``.

    Args:
        dim: length of the embedding.
        penalties: ridge penalties to choose from, by leave-one-perturbation-out error on the training effects.
        prior_count: strength of the overall mean in each gene's mean, in measurements.
        max_term_genes: larger terms are left out.
    """

    dim: int = Field(default=128, ge=1)
    penalties: tuple[float, ...] = Field(default=(0.3, 1.0, 3.0, 10.0, 30.0), min_length=1)
    prior_count: float = Field(default=3.0, ge=0)
    max_term_genes: int = Field(default=1500, ge=2)


@MODELS.register("ridge")
class Ridge(EffectModel):
    """Ridge on graph embeddings.

    With z_p the unit-length spectral embedding of the target and m_g the gene's mean:
    ``y[p, g] = m_g + w_g . z_p``, ``w_g = argmin sum_q (r[q, g] - w . z_q)^2 + penalty |w|^2`` over the training
    perturbations q measured for g. One penalty for all genes, chosen by leave-one-out error.

    The spread is the predictive standard deviation of the Gaussian process that this regression is the mean of, with
    k the cosines to the training targets, K those among them (all as if measured for g), C = K + penalty I, and a_g the
    dual weights: ``spread^2 = s_g^2 (1 + (1 - k C^-1 k) / penalty)``, where s_g^2 makes the leave-one-out errors of
    the gene have the variance that is predicted of them: the mean of ``penalty a_q^2 / (C^-1)_qq`` [Rasmussen and
    Williams 2006, eq. 2.26 and 5.12]. A target that is not in the graph has no cosines, and the largest spread.

    Example:
        >>> model = Ridge(RidgeConfig(dim=64))
    """

    config_class = RidgeConfig
    config: RidgeConfig

    def _fit(self, train: EffectTable, graph: GeneGraph, seed: int) -> None:
        """Embed the graph, choose the penalty, solve for every gene. The seed is not used."""
        mean = shrunk_gene_mean(train, self.config.prior_count)
        residual = np.where(train.measured, train.values - mean, 0)
        embedding = spectral_embedding(graph, self.config.dim, max_term_genes=self.config.max_term_genes)
        self._graph, self._embedding, self._genes, self._mean = graph, embedding, train.genes, mean
        self._train_vectors = self._vectors(train.perturbations)
        kernel = (self._train_vectors @ self._train_vectors.T).astype(np.float64)
        penalties = self.config.penalties
        tried = dict(zip(penalties, ridge_weights(kernel, residual, train.measured, penalties), strict=True))
        self._penalty = min(tried, key=lambda penalty: tried[penalty][1])
        self._weights, _ = tried[self._penalty]
        self._inverse = np.linalg.inv(kernel + self._penalty * np.eye(len(kernel)))
        scaled = self._weights * np.sqrt(self._penalty / np.diag(self._inverse))[:, None]
        self._variance = shrunk_gene_variance(scaled, train.measured, self.config.prior_count)

    def _predict(self, names: NDArray, context: Context) -> Prediction:
        """Linear prediction; support is the summed positive cosine to the training perturbations."""
        kernel = self._vectors(names) @ self._train_vectors.T
        values = (self._mean + kernel @ self._weights).astype(np.float32)
        unknown = np.maximum(1 - np.einsum("pq,qr,pr->p", kernel, self._inverse, kernel, optimize=True), 0)
        spread = np.sqrt(np.outer(1 + unknown / self._penalty, self._variance)).astype(np.float32)
        support = np.maximum(kernel, 0).sum(axis=1).astype(np.float32)
        return Prediction(values, names, self._genes, support, spread=spread)

    def _vectors(self, perturbations: Sequence[str] | NDArray) -> NDArray[np.float32]:
        return perturbation_vectors(self._graph, self._embedding, perturbations)


def perturbation_vectors(
    graph: GeneGraph, embedding: NDArray, perturbations: Sequence[str] | NDArray
) -> NDArray[np.float32]:
    """(perturbations, dim) unit-length mean of the embeddings of each perturbation's targets; zero without a target."""
    vectors = target_matrix(graph, perturbations) @ embedding
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0).astype(np.float32)
