"""The gene's own training mean: the floor that every model stands on, and is compared with."""

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from gnnvcell.config import Config
from gnnvcell.data.effects import Context, EffectTable
from gnnvcell.errors import ModelError
from gnnvcell.graphs.gene_graph import GeneGraph
from gnnvcell.models.base import MODELS, EffectModel, Prediction


def shrunk_gene_mean(train: EffectTable, prior_count: float) -> NDArray[np.float32]:
    """Mean training effect of each gene, drawn towards the mean of all measured pairs.

    ``mean_g = (sum of the gene's effects + prior_count * overall mean) / (number measured + prior_count)``

    Args:
        train: training effects.
        prior_count: strength of the prior in numbers of measurements, >= 0.

    Returns:
        (genes,) float32.

    Raises:
        ModelError: nothing was measured.
    """
    if not train.measured.any():
        raise ModelError("no training effect was measured", remedy="check the split and the mask of the table")
    overall = float(train.values[train.measured].mean())
    count = train.measured.sum(axis=0)
    total = train.values.sum(axis=0, dtype=np.float64)
    return ((total + prior_count * overall) / np.maximum(count + prior_count, 1e-12)).astype(np.float32)


def shrunk_gene_variance(residual: NDArray, measured: NDArray[np.bool_], prior_count: float) -> NDArray[np.float64]:
    """Mean square of each gene's residuals, drawn towards that of all measured pairs as in ``shrunk_gene_mean``.

    Args:
        residual: (perturbations, genes) effects less the gene's mean.
        measured: (perturbations, genes) which of them count.
        prior_count: strength of the prior in numbers of measurements, >= 0.

    Returns:
        (genes,) float64.
    """
    square = np.where(measured, residual.astype(np.float64) ** 2, 0.0)
    count = measured.sum(axis=0)
    overall = square.sum() / max(int(count.sum()), 1)
    return (square.sum(axis=0) + prior_count * overall) / np.maximum(count + prior_count, 1e-12)


class GeneMeanConfig(Config):
    """Settings of ``GeneMean``.

    Args:
        prior_count: strength of the overall mean in numbers of measurements.
    """

    prior_count: float = Field(default=3.0, ge=0)


@MODELS.register("gene_mean")
class GeneMean(EffectModel):
    """Every perturbation does to a gene what training perturbations did to it on average.

    ``y[p, g] = mean_g`` (see ``shrunk_gene_mean``). It cannot tell perturbations apart: its per-gene AUROC is .5. The
    spread is the gene's standard deviation over the training perturbations.

    Example:
        >>> model = GeneMean(GeneMeanConfig(prior_count=1.0))
    """

    config_class = GeneMeanConfig
    config: GeneMeanConfig
    uses_graph = False

    def _fit(self, train: EffectTable, graph: GeneGraph, seed: int) -> None:
        """Take the means; the graph and the seed are not used."""
        self._genes = train.genes
        self._mean = shrunk_gene_mean(train, self.config.prior_count)
        variance = shrunk_gene_variance(train.values - self._mean, train.measured, self.config.prior_count)
        self._spread = np.sqrt(variance).astype(np.float32)

    def _predict(self, names: NDArray, context: Context) -> Prediction:
        """The same row for every perturbation; support is 0."""
        values, spread = (np.tile(row, (len(names), 1)) for row in (self._mean, self._spread))
        return Prediction(values, names, self._genes, np.zeros(len(names), dtype=np.float32), spread=spread)
