"""The mean training effect: the baseline that the Virtual Cell Challenge scales its scores by."""

import numpy as np
from numpy.typing import NDArray

from gnnvcell.config import Config
from gnnvcell.data.effects import Context, EffectTable
from gnnvcell.errors import ModelError
from gnnvcell.graphs.gene_graph import GeneGraph
from gnnvcell.models.base import MODELS, EffectModel, Prediction


class PerturbationMeanConfig(Config):
    """There is nothing to set."""


def mean_effect(train: EffectTable, weight: NDArray | None = None) -> NDArray[np.float64]:
    """(genes,) mean effect over the rows in which a gene was measured, 0 where it never was.

    Args:
        train: training effects.
        weight: (rows,) >= 0; equal when left out.
    """
    share = train.measured.astype(np.float64)
    if weight is not None:
        share *= np.asarray(weight, dtype=np.float64)[:, None]
    total = share.sum(axis=0)
    return np.divide((share * train.values).sum(axis=0), total, out=np.zeros(len(total)), where=total > 0)


def same_for_all(mean: NDArray, names: NDArray, genes: NDArray) -> Prediction:
    """A prediction of one row for every perturbation, without support."""
    values = np.tile(mean.astype(np.float32), (len(names), 1))
    return Prediction(values, names, genes, np.zeros(len(names), dtype=np.float32))


@MODELS.register("perturbation_mean")
class PerturbationMean(EffectModel):
    """Every perturbation does what training perturbations did on average: ``y[p, g] = mean_q d[q, g]``.

    ``gene_mean`` is the same with shrinkage, for labels.

    Example:
        >>> model = PerturbationMean()
    """

    config_class = PerturbationMeanConfig
    config: PerturbationMeanConfig
    kinds = ("delta",)
    uses_graph = False

    def _fit(self, train: EffectTable, graph: GeneGraph, seed: int) -> None:
        self._genes, self._mean = train.genes, mean_effect(train)

    def _predict(self, names: NDArray, context: Context) -> Prediction:
        return same_for_all(self._mean, names, self._genes)


@MODELS.register("cell_mean")
class CellMean(EffectModel):
    """Every perturbation does what perturbed training cells did on average, each cell counted once.

    ``y[p, g] = sum_q n_q d[q, g] / sum_q n_q`` with n_q the cells of training perturbation q.

    Raises:
        ModelError: on ``fit``, the table does not say how many cells its rows are of.

    Example:
        >>> model = CellMean()
    """

    config_class = PerturbationMeanConfig
    config: PerturbationMeanConfig
    kinds = ("delta",)
    uses_graph = False

    def _fit(self, train: EffectTable, graph: GeneGraph, seed: int) -> None:
        if train.cells is None:
            raise ModelError(
                "the training table does not say how many cells its effects are of",
                remedy="fit it on cells, give EffectTable(cells=...), or use perturbation_mean",
            )
        self._genes, self._mean = train.genes, mean_effect(train, train.cells)

    def _predict(self, names: NDArray, context: Context) -> Prediction:
        return same_for_all(self._mean, names, self._genes)
