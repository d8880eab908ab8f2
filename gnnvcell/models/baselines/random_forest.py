"""A random forest from graph embeddings to the leading directions of effects."""

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from sklearn.ensemble import RandomForestRegressor

from gnnvcell.config import Config
from gnnvcell.data.effects import Context, EffectTable
from gnnvcell.graphs.gene_graph import GeneGraph
from gnnvcell.models.base import MODELS, EffectModel, Prediction
from gnnvcell.models.baselines._embedded import Embedded, cosine_support, latent


class RandomForestConfig(Config):
    """Settings of ``RandomForest``.

    Args:
        trees: number of trees.
        min_leaf: fewest training perturbations in a leaf.
        factors: principal components of the effects that are predicted.
        dim: length of the embedding.
        max_term_genes: larger terms are left out.
    """

    trees: int = Field(default=100, ge=1)
    min_leaf: int = Field(default=2, ge=1)
    factors: int = Field(default=32, ge=1)
    dim: int = Field(default=64, ge=1)
    max_term_genes: int = Field(default=1500, ge=2)


@MODELS.register("random_forest")
class RandomForest(EffectModel):
    """Trees on the sum of the targets' graph embeddings; their leaves hold principal-component scores of effects.

    ``y[p] = m + forest(sum_{t in p} e_t) C``, m the mean training effect, C the principal components of what is beyond
    it. A perturbation without a known target gets the mean. [Baseline of the VCC 2025 wrap-ups.]

    Example:
        >>> model = RandomForest(RandomForestConfig(trees=300))
    """

    config_class = RandomForestConfig
    config: RandomForestConfig
    kinds = ("delta",)
    uses_seed = True

    def _fit(self, train: EffectTable, graph: GeneGraph, seed: int) -> None:
        self._genes = train.genes
        self._data = Embedded.of(train, graph, self.config.dim, self.config.max_term_genes)
        scores, self._directions = latent(self._data.residual, self.config.factors)
        self._forest = RandomForestRegressor(
            self.config.trees,
            min_samples_leaf=self.config.min_leaf,
            max_features="sqrt",  # type: ignore[arg-type]  (scikit-learn annotates numbers only)
            random_state=seed,
        )
        self._forest.fit(self._data.train, scores)

    def _predict(self, names: NDArray, context: Context) -> Prediction:
        vectors = self._data.of_names(names)
        known = (vectors != 0).any(axis=1)
        scores = np.zeros((len(names), len(self._directions)))
        if known.any():
            scores[known] = self._forest.predict(vectors[known]).reshape(int(known.sum()), -1)
        values = (self._data.mean + scores @ self._directions).astype(np.float32)
        return Prediction(values, names, self._genes, cosine_support(vectors, self._data.train))
