"""The linear model between gene factors and graph embeddings of the perturbed gene."""

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from gnnvcell.config import Config
from gnnvcell.data.effects import Context, EffectTable
from gnnvcell.graphs.gene_graph import GeneGraph
from gnnvcell.models.base import MODELS, EffectModel, Prediction
from gnnvcell.models.baselines._embedded import Embedded, cosine_support, latent


class LinearGWPConfig(Config):
    """Settings of ``LinearGWP``.

    Args:
        factors: principal components of the training effects that stand for the readout genes.
        dim: length of the graph embedding of the perturbed gene.
        penalty: ridge penalty of both sides.
        max_term_genes: larger terms are left out.
    """

    factors: int = Field(default=10, ge=1)
    dim: int = Field(default=10, ge=1)
    penalty: float = Field(default=0.1, gt=0)
    max_term_genes: int = Field(default=1500, ge=2)


@MODELS.register("linear_gwp")
class LinearGWP(EffectModel):
    """``Y = G W P^T + b`` [Ahlmann-Eltze et al., Nat Methods 2025].

    ``W = (G^T G + l I)^-1 G^T (Y - b) P (P^T P + l I)^-1``, b the mean training effect, G (readout genes, factors) the
    principal components of the training effects, P (perturbations, dim) the sum of the targets' graph embeddings, l the
    penalty. Support is the summed positive cosine to the training perturbations.

    Example:
        >>> model = LinearGWP(LinearGWPConfig(dim=32))
    """

    config_class = LinearGWPConfig
    config: LinearGWPConfig
    kinds = ("delta",)

    def _fit(self, train: EffectTable, graph: GeneGraph, seed: int) -> None:
        self._genes = train.genes
        self._data = data = Embedded.of(train, graph, self.config.dim, self.config.max_term_genes)
        scores, directions = latent(data.residual, self.config.factors)
        # Factors of the length of the data, as principal components of genes are.
        factors = directions.T * np.linalg.norm(scores, axis=0)
        left = np.linalg.solve(_ridged(factors, self.config.penalty), factors.T @ data.residual.T)
        weight = left @ data.train @ np.linalg.inv(_ridged(data.train, self.config.penalty))
        self._map = factors @ weight  # (readout genes, dim)

    def _predict(self, names: NDArray, context: Context) -> Prediction:
        vectors = self._data.of_names(names)
        values = (self._data.mean + vectors @ self._map.T).astype(np.float32)
        return Prediction(values, names, self._genes, cosine_support(vectors, self._data.train))


def _ridged(matrix: NDArray, penalty: float) -> NDArray[np.float64]:
    return matrix.T @ matrix + penalty * np.eye(matrix.shape[1])
