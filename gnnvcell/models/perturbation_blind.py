"""What the graph says of the readout gene alone: a model that never looks at the perturbation."""


import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from gnnvcell.config import Config
from gnnvcell.data.effects import Context, EffectTable
from gnnvcell.graphs.gene_graph import GeneGraph
from gnnvcell.models.base import MODELS, EffectModel, Prediction
from gnnvcell.models.embedding import spectral_embedding
from gnnvcell.models.gene_mean import shrunk_gene_mean


class PerturbationBlindConfig(Config):
    """Settings of ``PerturbationBlind``.

    Args:
        dim: length of the embedding.
        penalty: ridge penalty on the embedding, in measurements.
        prior_count: measurements after which a gene's own mean weighs as much as what its embedding says.
        max_term_genes: larger terms are left out.
    """

    dim: int = Field(default=64, ge=1)
    penalty: float = Field(default=1.0, gt=0)
    prior_count: float = Field(default=3.0, ge=0)
    max_term_genes: int = Field(default=1500, ge=2)


@MODELS.register("perturbation_blind")
class PerturbationBlind(EffectModel):
    """The gene's mean, drawn towards what genes like it in the graph have on average.

    ``y[p, g] = (n_g m_g + c (m + w . z_g)) / (n_g + c)`` with m_g the mean of the gene's n_g training effects, m the
    overall mean, z_g its spectral embedding, w a ridge fit of the genes' means weighted by n_g, c the ``prior_count``.
    All perturbations get the same row: its per-gene AUROC is .5, its micro AUROC is not, and that is why the micro
    AUROC flatters.

    Example:
        >>> model = PerturbationBlind(PerturbationBlindConfig(dim=16))
    """

    config_class = PerturbationBlindConfig
    config: PerturbationBlindConfig

    def _fit(self, train: EffectTable, graph: GeneGraph, seed: int) -> None:
        """Fit the genes' means on their embeddings. The seed is not used."""
        own = shrunk_gene_mean(train, 0.0).astype(np.float64)
        count = train.measured.sum(axis=0).astype(np.float64)
        overall = float(train.values[train.measured].mean())
        position = graph.vocab.lookup(train.genes)
        embedding = spectral_embedding(graph, self.config.dim, max_term_genes=self.config.max_term_genes)
        features = np.where(position[:, None] >= 0, embedding[position], 0).astype(np.float64)
        features /= np.abs(features).max(initial=1e-12)
        gram = features.T @ (count[:, None] * features) + self.config.penalty * np.eye(self.config.dim)
        slope = np.linalg.solve(gram, features.T @ (count * np.where(count > 0, own - overall, 0)))
        expected = overall + features @ slope
        prior = self.config.prior_count
        blend = np.divide(count * own + prior * expected, count + prior, out=expected.copy(), where=count + prior > 0)
        self._genes, self._row = train.genes, blend.astype(np.float32)

    def _predict(self, names: NDArray, context: Context) -> Prediction:
        """The same row for every perturbation; support is 0."""
        return Prediction(
            np.tile(self._row, (len(names), 1)), names, self._genes, np.zeros(len(names), dtype=np.float32)
        )
