"""Logistic regression of every gene's label on the spectral embedding of the perturbed gene."""


import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from gnnvcell.config import Config
from gnnvcell.data.effects import Context, EffectTable
from gnnvcell.graphs.gene_graph import GeneGraph
from gnnvcell.models.base import MODELS, EffectModel, Prediction
from gnnvcell.models.embedding import spectral_embedding
from gnnvcell.models.gene_mean import shrunk_gene_mean
from gnnvcell.models.kernel_regression import logistic_weights
from gnnvcell.models.ridge import perturbation_vectors

HELD_OUT_SHARE = 0.2
_SMALLEST_CHANCE = 1e-4


class LogisticConfig(Config):
    """Settings of ``Logistic``.

    Args:
        dim: length of the embedding.
        penalties: to choose from, by the likelihood of a fifth of the training perturbations.
        prior_count: strength of the overall rate in each gene's rate, in measurements.
        max_term_genes: larger terms are left out.
    """

    dim: int = Field(default=128, ge=1)
    penalties: tuple[float, ...] = Field(default=(0.3, 1.0, 3.0), min_length=1)
    prior_count: float = Field(default=3.0, gt=0)
    max_term_genes: int = Field(default=1500, ge=2)


@MODELS.register("logistic")
class Logistic(EffectModel):
    """Logistic regression on graph embeddings, for labels.

    With z_p the unit-length spectral embedding of the target and m_g the gene's rate of label 1:
    ``P(label of (p, g) is 1) = sigmoid(logit m_g + w_g . z_p)`` with a ridge penalty on w_g. The penalty is chosen by
    the likelihood of held-out training perturbations, then all of them are used.

    Raises:
        ModelError: on ``fit``, effects that are not labels.

    Example:
        >>> model = Logistic(LogisticConfig(dim=64))
    """

    config_class = LogisticConfig
    config: LogisticConfig
    kinds = ("de", "direction")
    uses_seed = True

    def _fit(self, train: EffectTable, graph: GeneGraph, seed: int) -> None:
        """Embed the graph, choose the penalty on perturbations drawn with the seed, fit every gene."""
        embedding = spectral_embedding(graph, self.config.dim, max_term_genes=self.config.max_term_genes)
        vectors = perturbation_vectors(graph, embedding, train.perturbations)
        rate = np.clip(shrunk_gene_mean(train, self.config.prior_count), _SMALLEST_CHANCE, 1 - _SMALLEST_CHANCE)
        self._graph, self._embedding, self._train_vectors, self._genes = graph, embedding, vectors, train.genes
        self._offset = np.log(rate / (1 - rate)).astype(np.float64)
        kernel = (vectors @ vectors.T).astype(np.float64)
        penalty = self._choose_penalty(kernel, train, seed)
        self._weights = logistic_weights(kernel, train.values, train.measured, self._offset, penalty)

    def _choose_penalty(self, kernel: NDArray, train: EffectTable, seed: int) -> float:
        if len(self.config.penalties) == 1 or train.shape[0] < 2:
            return self.config.penalties[0]
        held_out = np.zeros(train.shape[0], dtype=bool)
        chosen = np.random.default_rng(seed).permutation(train.shape[0])
        held_out[chosen[: max(1, round(HELD_OUT_SHARE * train.shape[0]))]] = True
        inner = np.ix_(~held_out, ~held_out)

        def loss(penalty: float) -> float:
            weights = logistic_weights(
                kernel[inner], train.values[~held_out], train.measured[~held_out], self._offset, penalty
            )
            odds = self._offset + kernel[np.ix_(held_out, ~held_out)] @ weights
            sign = 1 - 2 * train.values[held_out]
            return float(np.logaddexp(0, sign * odds)[train.measured[held_out]].mean())

        return min(self.config.penalties, key=loss)

    def _predict(self, names: NDArray, context: Context) -> Prediction:
        """Chance of label 1; support is the summed positive cosine to the training perturbations."""
        kernel = perturbation_vectors(self._graph, self._embedding, names) @ self._train_vectors.T
        chance = 1 / (1 + np.exp(-(self._offset + kernel @ self._weights)))
        return Prediction(
            chance.astype(np.float32), names, self._genes, np.maximum(kernel, 0).sum(axis=1).astype(np.float32)
        )
