"""Effects add up in a latent space: targets that were seen have their own vector, others one from the graph."""

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from gnnvcell.config import Config
from gnnvcell.data.effects import Context, EffectTable
from gnnvcell.graphs.gene_graph import GeneGraph
from gnnvcell.models.base import MODELS, EffectModel, Prediction
from gnnvcell.models.baselines._embedded import Embedded, cosine_support, latent
from gnnvcell.perturbation import Perturbation


class LatentAdditiveConfig(Config):
    """Settings of ``LatentAdditive``.

    Args:
        factors: dimensions of the latent space.
        own: weight of a target's own vector beside its graph embedding.
        penalty: ridge penalty.
        dim: length of the graph embedding.
        max_term_genes: larger terms are left out.
    """

    factors: int = Field(default=32, ge=1)
    own: float = Field(default=1.0, ge=0)
    penalty: float = Field(default=0.3, gt=0)
    dim: int = Field(default=64, ge=1)
    max_term_genes: int = Field(default=1500, ge=2)


@MODELS.register("latent_additive")
class LatentAdditive(EffectModel):
    """The effect of several targets is the sum of theirs in the space of the leading principal components.

    ``z[p] = sum_{t in p} (own * u_t + V e_t)``, ``y[p] = m + z[p] C``, with C the principal components of the training
    effects beyond their mean m, e_t the graph embedding of target t, and u_t, V by ridge regression over singles and
    combinations together. A target that was never perturbed has no u_t. [After the latent additive model of
    PerturBench; linear here.] Support is the number of targets that were seen plus the summed positive cosine.

    Example:
        >>> model = LatentAdditive(LatentAdditiveConfig(own=0.0))
    """

    config_class = LatentAdditiveConfig
    config: LatentAdditiveConfig
    kinds = ("delta",)

    def _fit(self, train: EffectTable, graph: GeneGraph, seed: int) -> None:
        self._genes = train.genes
        self._data = Embedded.of(train, graph, self.config.dim, self.config.max_term_genes)
        targets = [t for name in train.perturbations for t in Perturbation.parse(str(name)).targets]
        self._place = {target: at for at, target in enumerate(dict.fromkeys(targets))}
        scores, self._directions = latent(self._data.residual, self.config.factors)
        self._features = self._of(train.perturbations)
        kernel = self._features @ self._features.T
        self._dual = np.linalg.solve(kernel + self.config.penalty * np.eye(len(kernel)), scores)

    def _of(self, names: NDArray) -> NDArray[np.float64]:
        """(names, seen targets + dim): which targets, and the sum of their embeddings."""
        return np.concatenate([self.config.own * self._hits(names), self._data.of_names(names)], axis=1)

    def _hits(self, names: NDArray) -> NDArray[np.float64]:
        hits = np.zeros((len(names), len(self._place)))
        for row, name in enumerate(names):
            hits[row, [self._place[t] for t in Perturbation.parse(str(name)).targets if t in self._place]] = 1
        return hits

    def _predict(self, names: NDArray, context: Context) -> Prediction:
        latent_effect = self._of(names) @ self._features.T @ self._dual
        values = (self._data.mean + latent_effect @ self._directions).astype(np.float32)
        seen = self._hits(names).sum(axis=1)
        support = seen + cosine_support(self._data.of_names(names), self._data.train)
        return Prediction(values, names, self._genes, support.astype(np.float32))
